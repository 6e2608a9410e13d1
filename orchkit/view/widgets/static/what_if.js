export default view(({ root, state, send, local, paint, model }) => {
  if (!local.parts) {
    // The sliders stay while results come: what is being dragged is not taken away.
    const part = () => h("div", { class: "ok-part" });
    local.parts = { head: part(), knobs: part(), tools: part(), results: part(), yaml: part() };
    root.append(...Object.values(local.parts));
    local.inputs = new Map();
    local.parts.knobs.classList.add("ok-fields");
    for (const knob of state.knobs) {
      const told = h("b", {}, "");
      const input = h("input", {
        type: "range",
        min: knob.low,
        max: knob.high,
        step: knob.step,
        value: knob.value,
        "aria-label": knob.label,
        oninput: () => (told.textContent = shown(knob, Number(input.value))),
        onchange: () => {
          local.busy = true;
          paint();
          send("move", { path: knob.path, value: Number(input.value) });
        },
      });
      local.inputs.set(knob.path, { input, told });
      local.parts.knobs.append(h("label", { class: "ok-field" }, h("span", { class: "ok-row" }, knob.label, told), input));
    }
    local.name = h("input", { type: "text", placeholder: "name", "aria-label": "Name of the scenario", onkeydown: (event) => event.key === "Enter" && keep() });
    const keep = () => {
      send("keep", { name: local.name.value });
      local.name.value = "";
    };
    local.parts.tools.append(h("div", { class: "ok-row" }, button("Back to the base", () => send("reset")), local.name, button("Keep", keep), button("YAML", () => {
      local.yaml = !local.yaml;
      paint();
    })));
    model.on("change:state", () => (local.busy = false));
  }
  function shown(knob, value) {
    if (knob.path.startsWith("resources")) return String(value);
    if (knob.path.startsWith("failures")) return `${Math.round(value * 100)} %`;
    return `× ${value.toFixed(2)}`;
  }
  for (const knob of state.knobs) {
    const { input, told } = local.inputs.get(knob.path);
    if (document.activeElement !== input || !local.busy) input.value = knob.value;
    told.textContent = `${shown(knob, Number(input.value))}${knob.value === knob.base ? "" : ` (base ${shown(knob, knob.base)})`}`;
  }
  const { head, results, yaml } = local.parts;
  fill(head, h("div", { class: "ok-head" }, h("span", { class: "ok-title" }, `What if · ${state.workflow}`), h("span", { class: "ok-note", role: "status" }, local.busy ? "simulating …" : `simulated in ${state.took}`)));
  const columns = [
    { name: "kpi", title: "figure" },
    { name: "base", title: "base", number: true },
    { name: "now", title: "now", number: true, show: (row) => h("b", {}, row.now) },
    { name: "difference", title: "difference", number: true, show: (row) => `${row.sign} ${row.difference}` },
    { name: "95 % interval", title: "95 % interval", number: true },
    ...state.kept.map((name) => ({ name, title: name, number: true })),
  ];
  fill(results, table(columns, state.rows, { caption: "Figures" }), state.kept.length ? h("div", { class: "ok-row" }, state.kept.map((name) => button(`Drop ${name}`, () => send("drop", { name })))) : null);
  fill(yaml, local.yaml ? h("pre", { class: "ok-code", tabindex: 0 }, state.yaml) : null);
});
