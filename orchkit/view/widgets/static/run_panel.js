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
    state.current.length ? h("span", { class: "ok-note" }, `now at ${state.current.slice(0, 5).join(", ")}${state.current.length > 5 ? ` and ${state.current.length - 5} more` : ""}`) : null,
  );
  // A question stays while the view follows the run.
  const question = (local.question ??= h("div", {}));
  if (local.status !== state.status) fill(question);
  local.status = state.status;
  const ask = (text, label, action, content) => () => confirm_in(question, text, label, () => send(action, content));
  const buttons = [
    state.is_final ? null : button("Cancel the run", ask("Cancel this run? Its sagas are compensated first.", "Cancel it", "cancel"), { class: "ok-button ok-danger" }),
    state.retry.includes("failure") ? button("Retry from the failed step", ask("Retry this run? What failed is tried again; what was completed stays.", "Retry it", "retry", { from_start: false })) : null,
    state.retry.includes("start") ? button("Retry from the start", ask("Run all of it again? What was completed is done again too.", "Run it again", "retry", { from_start: true })) : null,
  ].filter(Boolean);
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
  const bodies = {
    Steps: () => table(STEP_COLUMNS, state.steps, { caption: "Steps" }),
    Gantt: () => (state.gantt ? picture(state.gantt) : h("div", { class: "ok-empty" }, "No step has begun.")),
    Variables: () => h("pre", { class: "ok-code", tabindex: 0 }, state.variables),
  };
  fill(root, head, state.error ? h("div", { class: "ok-problem" }, state.error) : null, picture(state.svg), time, tabs(Object.keys(bodies), local.tab, choose), bodies[local.tab](), buttons.length ? h("div", { class: "ok-row" }, buttons) : null, question);
}
