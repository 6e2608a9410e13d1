const ITEM_COLUMNS = [
  { name: "title", title: "item" },
  { name: "case_id", title: "case" },
  { name: "role", title: "role" },
  { name: "due", title: "due (UTC)", show: (row) => (row.is_late ? h("span", { class: "ok-late" }, `! ${row.due || "overdue"}`) : row.due) },
  { name: "claimed_by", title: "claimed by" },
];

export default view(({ root, state, send, local, paint }) => {
  const item = state.items.find((one) => one.item_id === local.item);
  const head = h("div", { class: "ok-head" }, h("span", { class: "ok-title" }, `Inbox${state.role ? ` of ${state.role}` : ""}`), h("span", { class: "ok-note" }, `${state.items.length} open · you are ${state.by}`));
  const pick = (row) => {
    local.item = row.item_id;
    local.form = null;
    paint();
  };
  const list = state.items.length ? table(ITEM_COLUMNS, state.items, { caption: "Work items", onpick: pick, picked: local.item, key: "item_id" }) : h("div", { class: "ok-empty" }, "Nothing waits for anybody.");
  if (!item) {
    local.form = null;
    fill(root, head, list);
    return;
  }
  // What is being filled in outlives a refresh of the list.
  if (local.form?.item !== item.item_id) local.form = { item: item.item_id, ...form_of(item.form, undefined) };
  const question = h("div", {});
  const taken = Boolean(item.claimed_by) && !item.is_mine;
  const complete = () => {
    try {
      send("complete", { item: item.item_id, data: local.form.read() ?? null });
    } catch (error) {
      fill(question, h("div", { class: "ok-problem", role: "alert" }, error.message));
    }
  };
  const reject = () => {
    const reason = h("input", { type: "text", "aria-label": "Reason", placeholder: "Reason", style: "flex:1 1 240px" });
    fill(question, h("div", { class: "ok-confirm", role: "alertdialog", "aria-label": "Refuse the item" }, reason, button("Refuse it", () => send("reject", { item: item.item_id, reason: reason.value }), { class: "ok-button ok-danger" }), button("No, leave it", () => fill(question))));
    reason.focus();
  };
  const detail = h(
    "div",
    { class: "ok-detail" },
    h("div", { class: "ok-title" }, item.title),
    item.instructions ? h("div", {}, item.instructions) : null,
    h("dl", {}, [["Case", item.case_id], ["Workflow", item.workflow], ["Offered", item.created], ["For", item.assignee || item.role || "anybody"]].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    item.data ? h("pre", { class: "ok-code", tabindex: 0 }, item.data) : null,
    local.form.node,
    h(
      "div",
      { class: "ok-row" },
      button("Complete", complete, { class: "ok-button ok-primary", disabled: taken }),
      item.claimed_by ? button("Give back", () => send("release", { item: item.item_id }), { disabled: taken }) : button("Claim", () => send("claim", { item: item.item_id })),
      button("Refuse …", reject, { disabled: taken }),
    ),
    question,
  );
  fill(root, head, list, detail);
});
