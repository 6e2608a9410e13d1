const STEP_COLUMNS = [
  { name: "activity", title: "step" },
  { name: "attempt", title: "attempt", number: true },
  { name: "status", title: "status" },
  { name: "started", title: "started (UTC)" },
  { name: "took", title: "took", number: true },
  { name: "class", title: "error class" },
  { name: "error", title: "error" },
];

// A run, drawn into a node: alone in RunView, below the table in Monitor.
function draw_run(root, state, send, local, paint) {
  local.tab ??= "Steps";
  const at = state.seq === null ? state.moments.length - 1 : state.moments.findIndex((moment) => moment.seq === state.seq);
  const head = h(
    "div",
    { class: "ok-head" },
    h("span", { class: "ok-title" }, `Case ${state.case_id}`),
    h("span", { class: "ok-status" }, `${state.sign} ${state.status}`),
    h("span", { class: "ok-note" }, `${state.workflow} · ${state.elapsed}${state.trace_id ? ` · trace ${state.trace_id}` : ""}`),
  );
  const question = h("div", {});
  const buttons = state.is_final
    ? null
    : h("div", { class: "ok-row" }, button("Cancel the run", () => confirm_in(question, "Cancel this run? Its sagas are compensated first.", "Cancel it", () => send("cancel")), { class: "ok-button ok-danger" }));
  const slider = h("input", {
    type: "range",
    min: 0,
    max: state.moments.length - 1,
    value: at,
    "data-key": "moment",
    "aria-label": "Moment of the history",
    "aria-valuetext": state.moments[at]?.text,
    style: "flex:1 1 240px",
    onchange: (event) => {
      const position = Number(event.target.value);
      send("look_at", { seq: position === state.moments.length - 1 ? null : state.moments[position].seq });
    },
    oninput: (event) => {
      told.textContent = state.moments[Number(event.target.value)].text;
    },
  });
  const told = h("span", { class: "ok-note ok-moment" }, state.moments[at]?.text ?? "");
  const time = h("div", { class: "ok-row" }, h("span", {}, "Moment"), slider, told, button("Now", () => send("look_at", { seq: null }), { disabled: state.seq === null }));
  const choose = (name) => {
    local.tab = name;
    paint();
  };
  const body = local.tab === "Steps" ? table(STEP_COLUMNS, state.steps, { caption: "Steps" }) : h("pre", { class: "ok-code", tabindex: 0 }, state.variables);
  fill(root, head, state.error ? h("div", { class: "ok-problem" }, state.error) : null, picture(state.svg), time, tabs(["Steps", "Variables"], local.tab, choose), body, buttons, question);
}
