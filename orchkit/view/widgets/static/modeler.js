const SVG = "http://www.w3.org/2000/svg";
const WORDS = { task: "Task", choice: "Choice", parallel: "Parallel", for_each: "For each", repeat_while: "While", saga: "Saga", wait: "Wait", call: "Call", end: "End" };
const HELP = "Arrows: go along the flows · Enter: properties · C: connect, then Enter on the target · Delete: take away · Ctrl+Z, Ctrl+Shift+Z: undo, redo";

function node_of(target) {
  return target?.closest?.("[data-node]")?.dataset.node ?? null;
}

// A link says in its title what it joins.
function flow_of(target, flows) {
  const link = target?.closest?.("g.link,g.words");
  const title = link?.querySelector("title")?.textContent.split("\n")[0];
  return flows.find(([source, end]) => `${source} → ${end}` === title) ?? null;
}

function property(field, variables, send) {
  const change = (value) => value !== field.value && send("change", { name: field.name, value });
  const shared = { "data-key": `property-${field.name}`, "aria-label": field.label };
  let input;
  if (field.kind === "choice") {
    input = h("select", { ...shared, onchange: (event) => change(event.target.value) }, field.choices.map((choice) => h("option", { value: choice, selected: choice === field.value }, choice)));
  } else if (field.kind === "flag") {
    input = h("input", { type: "checkbox", checked: field.value === "true", ...shared, onchange: (event) => change(String(event.target.checked)) });
    return h("label", { class: "ok-check" }, input, field.label);
  } else if (field.kind === "json") {
    input = h("textarea", { rows: 3, spellcheck: "false", ...shared, onchange: (event) => change(event.target.value) });
    input.value = field.value;
  } else {
    input = h("input", { type: "text", list: field.kind === "expression" ? "ok-variables" : null, autocomplete: "off", ...shared, onchange: (event) => change(event.target.value), onkeydown: (event) => event.key === "Enter" && change(event.target.value) });
    input.value = field.value;
  }
  return h("label", { class: "ok-field" }, h("span", {}, field.label), input, field.hint ? h("small", { class: "ok-note" }, field.hint) : null);
}

function text_tab(language, state, send, local) {
  const fault = state.faults[language];
  const area = h("textarea", {
    rows: 18,
    spellcheck: "false",
    wrap: "off",
    "aria-label": language === "yaml" ? "YAML" : "Python",
    "data-key": `text-${language}`,
    "aria-invalid": fault ? "true" : null,
    oninput: (event) => {
      clearTimeout(local.timer);
      local.draft = { language, text: event.target.value, at: event.target.selectionStart };
      local.timer = setTimeout(() => send(`write_${language}`, { text: event.target.value }), 700);
    },
  });
  area.value = state[language];
  const numbers = h("div", { class: "ok-lines", "aria-hidden": "true" });
  const count = () => fill(numbers, Array.from({ length: area.value.split("\n").length }, (_, index) => h("div", { class: fault?.line === index + 1 ? "ok-late" : null }, fault?.line === index + 1 ? `✗ ${index + 1}` : String(index + 1))));
  count();
  area.addEventListener("input", count);
  area.addEventListener("scroll", () => (numbers.scrollTop = area.scrollTop));
  return h("div", { class: "ok-root" }, fault ? h("div", { class: "ok-problem", role: "alert" }, fault.line ? `Line ${fault.line}: ${fault.message.replace(/^\d+(:\d+)?: /, "")}` : fault.message) : null, h("div", { class: "ok-editor" }, numbers, area));
}

// What the checks found, as a sign at the node.
function badges(drawing, issues) {
  const worst = new Map();
  for (const issue of issues) if (issue.severity !== "info" && !worst.has(issue.node)) worst.set(issue.node, issue);
  for (const [name, issue] of worst) {
    const group = [...drawing.querySelectorAll("[data-node]")].find((one) => one.dataset.node === name);
    const shape = group?.querySelector("rect,circle,polygon,path");
    if (!shape?.getBBox) continue;
    const box = shape.getBBox();
    const badge = document.createElementNS(SVG, "g");
    badge.setAttribute("class", `ok-badge ok-${issue.severity}`);
    badge.setAttribute("transform", `translate(${box.x} ${box.y})`);
    const circle = document.createElementNS(SVG, "circle");
    circle.setAttribute("r", 8);
    const sign = document.createElementNS(SVG, "text");
    sign.setAttribute("text-anchor", "middle");
    sign.setAttribute("y", 4);
    sign.textContent = issue.sign;
    const tip = document.createElementNS(SVG, "title");
    tip.textContent = issue.text;
    badge.append(tip, circle, sign);
    shape.parentNode.append(badge);
  }
}

export default view(({ root, state, send, local, paint }) => {
  local.tab ??= "Properties";
  local.stop = () => clearTimeout(local.timer);
  const place = (event) => {
    const node = node_of(event.target);
    const flow = node ? null : flow_of(event.target, state.flows);
    return node ? { node } : flow ? { source: flow[0], target: flow[1] } : {};
  };
  const connect = (target) => {
    const source = local.from;
    local.from = null;
    if (source && target && source !== target) send("connect", { source, target });
    else paint();
  };
  const palette = h(
    "div",
    { class: "ok-row", role: "toolbar", "aria-label": "Patterns" },
    state.palette.map((pattern) =>
      h("button", { type: "button", class: "ok-button", draggable: "true", "data-key": `add-${pattern}`, title: "Click: put it in after what is chosen. Or drag it onto a flow or a node.", onclick: () => send("add", { pattern }), ondragstart: (event) => event.dataTransfer.setData("text/plain", `orchkit:${pattern}`) }, `+ ${WORDS[pattern] ?? pattern}`),
    ),
  );
  const chosen = state.node !== null || state.flow !== null;
  const tools = h(
    "div",
    { class: "ok-row" },
    button("Undo", () => send("undo"), { disabled: !state.can_undo }),
    button("Redo", () => send("redo"), { disabled: !state.can_redo }),
    button(local.from ? `Connect ${local.from} to …` : "Connect", () => {
      local.from = local.from ? null : state.node;
      paint();
    }, { disabled: state.node === null && !local.from, "aria-pressed": local.from ? "true" : "false", "data-key": "connect" }),
    button("Delete", () => send("delete"), { disabled: !chosen }),
  );
  const drawing = picture(state.svg);
  drawing.classList.add("ok-canvas");
  drawing.removeAttribute("tabindex");
  for (const part of drawing.querySelectorAll("g.node[data-node], g.group[data-node]")) {
    const name = part.dataset.node;
    part.setAttribute("tabindex", "0");
    part.setAttribute("role", "button");
    part.setAttribute("aria-label", name);
    part.setAttribute("data-key", `node-${name}`);
    if (name === state.node) part.classList.add("ok-chosen");
    if (name === local.from) part.classList.add("ok-from");
    part.addEventListener("keydown", (event) => {
      const onward = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        if (local.from) connect(name);
        else {
          local.tab = "Properties";
          local.focus = "property-name";
          send("select", { node: name });
          if (name === state.node) paint();
        }
      } else if (onward) {
        event.preventDefault();
        event.stopPropagation();
        const flow = state.flows.find(([source, target]) => (onward > 0 ? source : target) === name);
        const next = flow?.[onward > 0 ? 1 : 0];
        if (next) drawing.querySelector(`[data-key="node-${CSS.escape(next)}"]`)?.focus();
      } else if (event.key.toLowerCase() === "c" && !event.ctrlKey && !event.metaKey) {
        event.stopPropagation();
        local.from = name;
        paint();
      } else if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        event.stopPropagation();
        send("select", { node: name });
        send("delete");
      }
    });
  }
  for (const link of drawing.querySelectorAll("g.link")) {
    const flow = flow_of(link, state.flows);
    if (!flow) continue;
    link.classList.add("ok-link");
    link.setAttribute("tabindex", "0");
    link.setAttribute("role", "button");
    link.setAttribute("aria-label", `${flow[0]} → ${flow[1]}`);
    link.setAttribute("data-key", `flow-${flow[0]}-${flow[1]}`);
    if (state.flow && state.flow[0] === flow[0] && state.flow[1] === flow[1]) link.classList.add("ok-chosen");
    link.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        local.focus = "property-condition";
        send("select", { source: flow[0], target: flow[1] });
      } else if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        event.stopPropagation();
        send("select", { source: flow[0], target: flow[1] });
        send("delete");
      }
    });
  }
  let pressed = null;
  drawing.addEventListener("pointerdown", (event) => (pressed = node_of(event.target)));
  drawing.addEventListener("pointerup", (event) => {
    const released = node_of(event.target);
    const from = pressed;
    pressed = null;
    if (from && released && from !== released) {
      send("connect", { source: from, target: released });
      return;
    }
    if (local.from) {
      connect(released);
      return;
    }
    const at = place(event);
    local.tab = "Properties";
    send("select", at);
  });
  drawing.addEventListener("dblclick", (event) => {
    if (node_of(event.target)) {
      local.focus = "property-name";
      paint();
    }
  });
  drawing.addEventListener("dragover", (event) => event.preventDefault());
  drawing.addEventListener("drop", (event) => {
    event.preventDefault();
    const [kind, pattern] = event.dataTransfer.getData("text/plain").split(":");
    if (kind === "orchkit") send("add", { pattern, ...place(event) });
  });
  const choose = (name) => {
    local.tab = name;
    paint();
  };
  const errors = state.issues.filter((issue) => issue.severity === "error").length;
  const checks = `Checks (${errors ? `${errors} ✗, ` : ""}${state.issues.length})`;
  const names = ["Properties", checks, "YAML", "Python"];
  const current = local.tab.startsWith("Checks") ? checks : local.tab;
  let body;
  if (current === "YAML" || current === "Python") body = text_tab(current.toLowerCase(), state, send, local);
  else if (current === checks) {
    body = state.issues.length
      ? table([{ name: "sign", title: "" }, { name: "severity", title: "severity" }, { name: "node", title: "node" }, { name: "rule", title: "rule" }, { name: "text", title: "what to mend" }], state.issues, { caption: "Checks", onpick: (issue) => issue.node && send("select", { node: issue.node }), key: "node" })
      : h("div", { class: "ok-empty" }, "✓ Nothing to mend.");
  } else {
    const title = state.flow ? `Flow ${state.flow[0]} → ${state.flow[1]}` : state.node ? `${state.kind} ${state.node}` : `Workflow ${state.name}`;
    body = h("div", { class: "ok-detail" }, h("div", { class: "ok-title" }, title), h("div", { class: "ok-fields" }, state.fields.map((field) => property(field, state.variables, send))), h("datalist", { id: "ok-variables" }, state.variables.map((name) => h("option", { value: name }))));
  }
  // What is being typed is not taken away by an answer to what was typed before.
  const typing = root.contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA" && document.activeElement.dataset.key === `text-${local.draft?.language}` ? document.activeElement : null;
  const cursor = typing ? [typing.value, typing.selectionStart, typing.selectionEnd, typing.scrollTop] : null;
  fill(root, h("div", { class: "ok-head" }, h("span", { class: "ok-title" }, `Modeler · ${state.name}`), h("span", { class: "ok-note" }, errors ? `✗ ${errors} to mend` : "✓ no errors")), palette, tools, state.fault ? h("div", { class: "ok-problem" }, state.fault) : drawing, h("small", { class: "ok-note" }, HELP), tabs(names, current, choose), body);
  badges(drawing, state.issues);
  if (cursor) {
    const area = root.querySelector(`[data-key="text-${local.draft.language}"]`);
    if (area) {
      if (area.value !== cursor[0] && local.draft.text === cursor[0] && state.faults[local.draft.language]) area.value = cursor[0];
      area.setSelectionRange(cursor[1], cursor[2]);
      area.scrollTop = cursor[3];
    }
  }
  if (local.focus) {
    const wanted = root.querySelector(`[data-key="${local.focus}"]`);
    if (wanted && (state.node !== null || state.flow !== null)) {
      wanted.focus();
      wanted.select?.();
      local.focus = null;
    }
  }
  root.onkeydown = (event) => {
    const inside = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !inside) {
      event.preventDefault();
      event.stopPropagation();
      send(event.shiftKey ? "redo" : "undo");
    } else if (event.key === "Escape" && local.from) {
      local.from = null;
      paint();
    }
  };
});
