const RUN_COLUMNS = [
  { name: "case_id", title: "case" },
  { name: "workflow", title: "workflow" },
  { name: "status", title: "status" },
  { name: "started", title: "started (UTC)" },
  { name: "took", title: "took", number: true },
  { name: "error", title: "error" },
];
const WORKFLOW_COLUMNS = [
  { name: "workflow", title: "workflow" },
  { name: "active", title: "active", number: true },
  { name: "states", title: "by status" },
  { name: "completed", title: "completed", number: true },
  { name: "failed", title: "failed", number: true },
  { name: "letters", title: "dead letters", number: true },
  { name: "rate", title: "completion rate", number: true },
  { name: "mean", title: "mean", number: true },
  { name: "p95", title: "p95", number: true },
];
const ALERT_COLUMNS = [
  { name: "state", title: "alert", show: (row) => h("span", { class: row.is_on && !row.silenced ? "ok-late" : null }, row.state) },
  { name: "severity", title: "severity" },
  { name: "alert", title: "name" },
  { name: "workflow", title: "workflow" },
  { name: "condition", title: "condition" },
  { name: "value", title: "value", number: true },
  { name: "since", title: "since (UTC)" },
  { name: "silenced", title: "silenced" },
];

function bars(counts, top) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const most = top ?? Math.max(...counts, 1e-9);
  svg.setAttribute("viewBox", `0 0 ${counts.length * 4} 22`);
  svg.setAttribute("class", "ok-bars");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `over the window: ${counts.map((count) => count ?? "none").join(", ")}`);
  counts.forEach((count, index) => {
    if (count === null) return;
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = count ? Math.max(1.5, (20 * count) / most) : 0.8;
    for (const [name, value] of Object.entries({ x: index * 4, y: 22 - height, width: 3, height })) bar.setAttribute(name, value);
    svg.append(bar);
  });
  return svg;
}

// Drawn again only where it has changed: nothing flickers, and what is scrolled or marked stays.
function once(holder, content, draw) {
  const now = JSON.stringify(content);
  if (holder.drawn === now) return;
  holder.drawn = now;
  const before = holder.querySelector(".ok-scroll")?.scrollTop ?? 0;
  fill(holder, draw());
  const scroll = holder.querySelector(".ok-scroll");
  if (scroll) scroll.scrollTop = before;
}

export default view(({ root, state, send, local, paint }) => {
  if (!local.parts) {
    // The parts stay; only what is in them changes, so that nothing flickers and what is typed stays.
    const part = () => h("div", { class: "ok-part" });
    local.parts = { head: part(), alerts: part(), cards: part(), workflows: part(), filter: part(), runs: part(), run: part() };
    root.append(...Object.values(local.parts));
    local.text = h("input", {
      type: "search",
      placeholder: "case or run",
      "aria-label": "Search runs",
      oninput: () => {
        clearTimeout(local.timer);
        local.timer = setTimeout(local.find, 250);
      },
    });
    local.status = h("select", { "aria-label": "Status", onchange: () => local.find() });
    local.workflow = h("select", { "aria-label": "Workflow", onchange: () => local.find() });
    local.found = h("span", { class: "ok-note" });
    local.find = () => send("find", { text: local.text.value, status: local.status.value, workflow: local.workflow.value });
    local.parts.filter.append(h("div", { class: "ok-row" }, local.text, local.status, local.workflow, local.found));
    local.stop = () => clearTimeout(local.timer);
  }
  const options = (select, all, names, chosen) => {
    const wanted = JSON.stringify([all, ...names]);
    if (select.dataset.options !== wanted) {
      select.replaceChildren(h("option", { value: "" }, all), ...names.map((name) => h("option", { value: name }, name)));
      select.dataset.options = wanted;
      select.value = chosen;
    }
  };
  const firing = state.alerts.filter((alert) => alert.is_on && !alert.silenced).length;
  const { head, alerts, cards, workflows, runs, run } = local.parts;
  fill(
    head,
    h(
      "div",
      { class: "ok-head" },
      h("span", { class: "ok-title" }, "Monitor"),
      h("label", { class: "ok-note" }, "the last ", h("select", { "aria-label": "Window", "data-key": "window", onchange: (event) => send("choose_window", { window: event.target.value }) }, state.windows.map((name) => h("option", { value: name, selected: name === state.window }, name)))),
      state.queues.length ? h("span", { class: "ok-note" }, `queues: ${state.queues.map((queue) => `${queue.role} ${queue.depth}`).join(", ")}`) : h("span", { class: "ok-note" }, "no queue"),
      h("span", { class: firing ? "ok-late" : "ok-note", role: "status" }, firing ? `▲ ${firing} firing` : "no alert fires"),
    ),
  );
  once(alerts, state.alerts, () => (state.alerts.length ? table(ALERT_COLUMNS, state.alerts, { caption: "Alerts" }) : null));
  once(cards, state.cards, () => h("div", { class: "ok-cards" }, state.cards.map((card) => h("div", { class: "ok-card" }, h("span", { class: "ok-note" }, card.title), h("b", {}, card.value), bars(card.trend, card.most), card.note ? h("small", { class: "ok-note" }, card.note) : null))));
  once(workflows, state.workflows, () => table(WORKFLOW_COLUMNS, state.workflows, { caption: "By workflow" }));
  options(local.status, "every status", state.statuses, state.find.status);
  options(local.workflow, "every workflow", state.names, state.find.workflow);
  local.found.textContent = state.found > state.runs.length ? `the newest ${state.runs.length} of ${state.found.toLocaleString("en")} runs` : `${state.found.toLocaleString("en")} runs`;
  once(runs, [state.runs, state.run?.run_id], () => table(RUN_COLUMNS, state.runs, { caption: "Runs", onpick: (row) => send("open_run", { run_id: row.run_id }), picked: state.run?.run_id, key: "run_id" }));
  if (!state.run) {
    fill(run);
    local.panel = null;
    return;
  }
  const panel = h("div", { class: "ok-root" });
  local.panel ??= {};
  draw_run(panel, state.run, send, local.panel, paint);
  fill(run, h("div", { class: "ok-detail" }, h("div", { class: "ok-row" }, button("Close", () => send("open_run", { run_id: null }))), panel));
});
