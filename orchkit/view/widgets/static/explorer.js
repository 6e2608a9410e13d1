// What is pointed at in the map, with what may be asked of it.
function asks_of(found, send, close) {
  if (!found) return h("div", { class: "ok-note ok-asks" }, "Click an activity, a line or an outcome to filter by it. Keys: ↑ ↓ through the activities, ← → through the lines, Enter to choose.");
  const item = found.item;
  if (!item.asks.length) return h("div", { class: "ok-note ok-asks" }, h("bdi", {}, item.name));
  const choices = item.asks.map((ask) => button(ask.words, () => (close(), send("keep", { offer: ask.ask, is_without: ask.is_without })), { "data-key": `ask-${ask.words}` }));
  return h("div", { class: "ok-row ok-asks", role: "group", "aria-label": `Filter by ${item.name}`, onkeydown: (event) => event.key === "Escape" && close() }, h("span", {}, "Keep the cases of ", h("b", {}, h("bdi", {}, item.name)), ":"), choices, button("✕", close, { "aria-label": "Choose nothing" }));
}

// The map: its stops and lines in the order of the drawing, so that names stay out of its source.
function map_tab(state, send, local, paint) {
  const { body } = state;
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: Math.sqrt(state.detail), "data-key": "detail", "aria-label": "Flows taken by fewer cases are not drawn", "aria-valuetext": percent(state.detail), oninput: () => (told.textContent = percent(slider.value ** 2)), onchange: () => send("set_map", { min_share: slider.value ** 2 }) });
  const told = h("b", { class: "ok-told" }, percent(state.detail));
  const show = ["frequency", "time"].map((name) => button(name === "time" ? "Time" : "Frequency", () => send("set_map", { show: name }), { "aria-pressed": String(state.show === name), class: state.show === name ? "ok-button ok-on" : "ok-button" }));
  const tools = h("div", { class: "ok-row" }, h("div", { class: "ok-switch", role: "group", "aria-label": "What the map shows" }, show), h("label", { class: "ok-row" }, "Leave out flows of less than", slider, told, "of the cases"));
  if (body.empty) return [tools, h("div", { class: "ok-empty" }, body.empty)];
  const holder = picture(body.svg);
  holder.classList.add("ok-map");
  holder.setAttribute("aria-label", "Process map");
  const asks = h("div", {});
  const groups = { stops: [...holder.querySelectorAll("g.stop")], ways: [...holder.querySelectorAll("g.way")] };
  const at = (kind, index) => ({ kind, index, item: body[kind][index], node: groups[kind][index] });
  const choose = (found, enter) => {
    for (const node of holder.querySelectorAll(".ok-chosen")) node.classList.remove("ok-chosen");
    local.found = found ? [found.kind, found.index] : null;
    found?.node?.classList.add("ok-chosen");
    fill(asks, asks_of(found, send, () => (choose(null), holder.focus({ preventScroll: true }))));
    if (enter) asks.querySelector("button")?.focus({ preventScroll: true });
    else if (found) found.node.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const step = (kind, by) => {
    const [was, index] = local.found ?? ["", -1];
    const open = body[kind].map((item, place) => place).filter((place) => body[kind][place].asks.length);
    // From an activity the lines are those that leave it or reach it.
    const near = kind === "ways" && was === "stops" ? open.filter((place) => body.ways[place].ends.includes(index)) : open;
    const list = near.length ? near : open;
    if (!list.length) return;
    const place = was === kind ? list.indexOf(index) : by > 0 ? -1 : 0;
    choose(at(kind, list[(place + by + list.length) % list.length]));
  };
  for (const kind of ["ways", "stops"]) {
    groups[kind].forEach((node, index) => {
      if (!body[kind][index]?.asks.length) return;
      node.classList.add("ok-can");
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", body[kind][index].name);
      node.addEventListener("click", () => choose(at(kind, index)));
    });
  }
  holder.dataset.key = "map";
  holder.addEventListener("keydown", (event) => {
    const move = { ArrowDown: ["stops", 1], ArrowUp: ["stops", -1], ArrowRight: ["ways", 1], ArrowLeft: ["ways", -1] }[event.key];
    if (move) {
      event.preventDefault();
      step(...move);
    } else if (event.key === "Enter" && local.found) {
      event.preventDefault();
      choose(at(...local.found), true);
    } else if (event.key === "Escape") choose(null);
  });
  if (local.drawn !== body.svg) local.found = null;
  local.drawn = body.svg;
  choose(local.found ? at(...local.found) : null);
  return [tools, asks, holder];
}

function percent(share) {
  const value = share * 100;
  return value > 0 && value < 1 ? `${value.toFixed(1)}%` : `${Math.round(value)}%`;
}

// Rows that keep or leave out their cases: a click keeps, the button beside leaves out.
function choice(row, words, send) {
  return [button("Only", () => send("keep", { offer: row.ask }), { "aria-label": `Only ${words}`, "data-key": `only-${row.ask}` }), button("Not", () => send("keep", { offer: row.ask, is_without: true }), { "aria-label": `Not ${words}`, "data-key": `not-${row.ask}` })];
}

function bar(width) {
  return h("span", { class: "ok-bar", "aria-hidden": "true" }, h("i", { style: `width:${Math.max(100 * width, 1)}%` }));
}

function variants_tab(body, send) {
  const rows = body.rows.map((row) => {
    const steps = row.steps.map((step) => h("span", { class: `ok-chevron${step.hue < 0 ? "" : ` ok-hue-${step.hue}`}`, title: step.text }, h("bdi", {}, step.text)));
    const words = row.steps.map((step) => step.text).join(", ").slice(0, 80);
    return h("li", {}, h("div", { class: "ok-figures" }, bar(row.width), h("b", {}, row.share), h("span", {}, row.cases), h("span", { class: "ok-note" }, row.time), h("span", { class: "ok-pair" }, choice(row, words, send))), h("div", { class: "ok-chevrons" }, steps, row.more ? h("span", { class: "ok-note" }, `… ${row.more} more`) : null));
  });
  return [h("div", { class: "ok-note" }, `${body.note}. Share, cases, median time, then the steps.`), h("ol", { class: "ok-variants ok-scroll", tabindex: 0, "aria-label": "Variants", "data-key": "variants" }, rows)];
}

function table_tab(body, send, caption) {
  const asks = { name: "ask", title: "filter", show: (row) => h("span", { class: "ok-pair" }, choice(row, `with ${row.name}`, send)) };
  const columns = [body.columns[0], asks, ...body.columns.slice(1)];
  return [table(columns, body.rows, { caption }), body.note ? h("div", { class: "ok-note" }, body.note) : null];
}

function cases_tab(state, send) {
  const { body } = state;
  const select = h("select", { "aria-label": "Attribute", "data-key": "attribute", onchange: () => send("set_column", { place: select.selectedIndex }) }, body.titles.map((title, place) => h("option", { selected: place === body.place }, title)));
  const columns = [
    { name: "text", title: body.titles[body.place] },
    { name: "cases", title: "cases", number: true },
    { name: "share", title: "share", number: true },
    { name: "width", title: "", show: (row) => bar(row.width) },
    { name: "ask", title: "", show: (row) => h("span", { class: "ok-pair" }, choice(row, row.text, send)) },
  ];
  const after = h("input", { type: "date", "data-key": "after" });
  const before = h("input", { type: "date", "data-key": "before" });
  const low = h("input", { type: "number", step: "any", "data-key": "low", size: 10 });
  const high = h("input", { type: "number", step: "any", "data-key": "high", size: 10 });
  const range = body.is_number ? [h("label", { class: "ok-row" }, "from", low), h("label", { class: "ok-row" }, "to", high), button("Keep the range", () => low.value !== "" && high.value !== "" && send("within", { low: Number(low.value), high: Number(high.value) }))] : null;
  return [
    h("div", { class: "ok-row" }, h("label", { class: "ok-row" }, "Attribute", select), range),
    table(columns, body.values, { caption: "Values" }),
    body.note ? h("div", { class: "ok-note" }, body.note) : null,
    h("div", { class: "ok-row" }, h("label", { class: "ok-row" }, "Started from", after), h("label", { class: "ok-row" }, "and before", before), button("Keep these days", () => send("between", { after: after.value, before: before.value }))),
  ];
}

// When cases started: all, and in front of them those that are left. A window is drawn with the pointer.
function time_line(period, send) {
  const count = period.all.length;
  const largest = Math.max(...period.all, 1);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${count} 32`);
  svg.setAttribute("preserveAspectRatio", "none");
  const rect = (x, width, height, name) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ x, width, height, y: 32 - height, class: name })) node.setAttribute(key, value);
    svg.append(node);
    return node;
  };
  period.all.forEach((value, place) => value && rect(place + 0.1, 0.8, Math.max((31 * value) / largest, 0.8), "ok-all"));
  period.kept.forEach((value, place) => value && rect(place + 0.1, 0.8, Math.max((31 * value) / largest, 0.8), "ok-kept"));
  const mark = rect(0, 0, 32, "ok-mark");
  const told = h("span", { class: "ok-note", role: "status" }, `Cases by start, ${period.edges[0].slice(0, 10)} to ${period.edges[count].slice(0, 10)}: drag to keep a time`);
  let from = null;
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * count), 0), count - 1);
  };
  const show = (a, b) => {
    mark.setAttribute("x", Math.min(a, b));
    mark.setAttribute("width", Math.abs(b - a) + 1);
    told.textContent = `${period.edges[Math.min(a, b)]} to ${period.edges[Math.max(a, b) + 1]} (UTC)`;
  };
  svg.addEventListener("pointerdown", (event) => {
    from = place(event);
    svg.setPointerCapture(event.pointerId);
    show(from, from);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => from !== null && show(from, place(event)));
  svg.addEventListener("pointerup", (event) => {
    if (from !== null) send("window", { first: from, last: place(event) });
    from = null;
  });
  return h("div", { class: "ok-times" }, svg, told);
}

async function copy(text, holder, note) {
  try {
    await navigator.clipboard.writeText(text);
    note.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(holder);
    note.textContent = "marked: press Ctrl+C";
  }
}

export default view(({ root, state, send, local, paint }) => {
  if (!local.parts) {
    const part = () => h("div", { class: "ok-part ok-root" });
    local.parts = { head: part(), times: part(), chips: part(), tabs: part(), body: part(), code: part() };
    root.append(...Object.values(local.parts));
  }
  const { parts } = local;
  fill(parts.head, h("div", { class: "ok-cards" }, state.figures.map((figure) => h("div", { class: "ok-card" }, h("span", { class: "ok-note" }, figure.title), h("b", {}, figure.value), h("span", { class: "ok-note" }, figure.note)))));
  fill(parts.times, state.period.all ? time_line(state.period, send) : null);
  const chips = state.chips.map((words, place) => h("button", { type: "button", class: "ok-chip", "data-key": `chip-${place}`, title: words, "aria-label": `Take away the filter ${words}`, onclick: () => send("drop", { place }) }, h("bdi", {}, words), h("span", { "aria-hidden": "true" }, "✕")));
  fill(parts.chips, h("div", { class: "ok-row", role: "group", "aria-label": "Filters" }, chips.length ? chips : h("span", { class: "ok-note" }, "No filter: all cases"), h("span", { class: "ok-push" }), button("Undo", () => send("undo"), { disabled: !state.can_undo }), button("Redo", () => send("redo"), { disabled: !state.can_redo }), button("All cases", () => send("reset"), { disabled: !chips.length })));
  fill(parts.tabs, tabs(state.tabs, state.tab, (name) => send("show_tab", { name })));
  // What has not changed stays, with where it was scrolled to.
  const content = JSON.stringify([state.body, state.tab, state.show, state.detail]);
  if (local.content !== content) {
    const scrolled = parts.body.querySelector(".ok-picture");
    const spot = scrolled ? [scrolled.scrollLeft, scrolled.scrollTop] : [0, 0];
    local.content = content;
    const body = state.body;
    if (state.tab === "Map") fill(parts.body, map_tab(state, send, local, paint));
    else if (body.empty) fill(parts.body, h("div", { class: "ok-empty" }, body.empty));
    else if (state.tab === "Variants") fill(parts.body, variants_tab(body, send));
    else if (state.tab === "Cases") fill(parts.body, cases_tab(state, send));
    else fill(parts.body, table_tab(body, send, state.tab));
    parts.body.querySelector(".ok-picture")?.scrollTo(...spot);
  }
  const code = h("pre", { class: "ok-code", tabindex: 0, "aria-label": "The code that gives the same", "data-key": "code" }, state.code);
  const note = h("span", { class: "ok-note", role: "status" });
  fill(parts.code, h("details", { class: "ok-same", open: local.open ?? true, ontoggle: (event) => (local.open = event.target.open) }, h("summary", {}, "The code that gives the same"), h("div", { class: "ok-root" }, code, h("div", { class: "ok-row" }, button("Copy", () => copy(state.code, code, note)), note))));
});
