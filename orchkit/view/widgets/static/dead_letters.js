export default view(({ root, state, send, local, paint }) => {
  local.chosen ??= new Set();
  const known = new Set(state.letters.map((letter) => letter.run_id));
  for (const run of local.chosen) if (!known.has(run)) local.chosen.delete(run);
  const letter = state.letters.find((one) => one.run_id === local.run);
  const question = h("div", {});
  const choose = (run, wanted) => {
    if (wanted) local.chosen.add(run);
    else local.chosen.delete(run);
    paint();
  };
  const columns = [
    {
      name: "run_id",
      title: "",
      show: (row) =>
        h("input", {
          type: "checkbox",
          "aria-label": `Choose ${row.case_id}`,
          "data-key": `choose-${row.run_id}`,
          checked: local.chosen.has(row.run_id),
          onclick: (event) => event.stopPropagation(),
          onkeydown: (event) => event.stopPropagation(),
          onchange: (event) => choose(row.run_id, event.target.checked),
        }),
    },
    { name: "case_id", title: "case" },
    { name: "workflow", title: "workflow" },
    { name: "node", title: "step" },
    { name: "error", title: "error" },
    { name: "attempts", title: "attempts", number: true },
    { name: "since", title: "since (UTC)" },
  ];
  const discard = (runs) => {
    const reason = h("input", { type: "text", "aria-label": "Reason", placeholder: "Reason", style: "flex:1 1 240px" });
    const label = runs.length === 1 ? "Discard it" : `Discard ${runs.length}`;
    fill(question, h("div", { class: "ok-confirm", role: "alertdialog", "aria-label": "Discard" }, reason, button(label, () => send("discard", { runs, reason: reason.value }), { class: "ok-button ok-danger" }), button("No, leave it", () => fill(question))));
    reason.focus();
  };
  const chosen = [...local.chosen];
  const head = h("div", { class: "ok-head" }, h("span", { class: "ok-title" }, "Dead letters"), h("span", { class: "ok-note" }, `${state.letters.length} wait for a decision · you are ${state.by}`));
  const bulk = h(
    "div",
    { class: "ok-row" },
    button(chosen.length === state.letters.length ? "Choose none" : "Choose all", () => {
      local.chosen = new Set(chosen.length === state.letters.length ? [] : known);
      paint();
    }),
    button(`Replay ${chosen.length} chosen`, () => send("replay", { runs: chosen }), { disabled: !chosen.length, "data-key": "replay-chosen" }),
    button(`Discard ${chosen.length} chosen …`, () => discard(chosen), { disabled: !chosen.length, "data-key": "discard-chosen" }),
  );
  const pick = (row) => {
    local.run = row.run_id;
    local.form = null;
    paint();
  };
  const list = state.letters.length ? table(columns, state.letters, { caption: "Dead letters", onpick: pick, picked: local.run, key: "run_id" }) : h("div", { class: "ok-empty" }, "Nothing waits for a decision.");
  if (!letter) {
    local.form = null;
    fill(root, head, state.letters.length ? bulk : null, list, question);
    return;
  }
  if (local.form?.run !== letter.run_id) local.form = { run: letter.run_id, ...form_of(letter.form, letter.inputs) };
  const replay = (from_start) => {
    try {
      // What was not touched stays as the run has it: only what was mended is sent.
      const now = local.form.read() ?? {};
      const mended = Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(letter.inputs[name])));
      send("replay", { runs: [letter.run_id], variables: from_start ? { ...letter.inputs, ...now } : mended, from_start });
    } catch (error) {
      fill(question, h("div", { class: "ok-problem", role: "alert" }, error.message));
    }
  };
  const detail = h(
    "div",
    { class: "ok-detail" },
    h("div", { class: "ok-title" }, `Case ${letter.case_id}`),
    h("dl", {}, [["Step", letter.node], ["Error", letter.error], ["Class", letter.class], ["Attempts", String(letter.attempts)], ["Run", letter.run_id]].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    local.form.node,
    h("div", { class: "ok-row" }, button("Replay from the failed step", () => replay(false), { class: "ok-button ok-primary" }), button("Replay from the start", () => replay(true)), button("Discard …", () => discard([letter.run_id]), { class: "ok-button ok-danger" })),
    question,
  );
  fill(root, head, bulk, list, detail);
});
