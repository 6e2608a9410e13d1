// What every widget's module uses. Text goes in as text, never as HTML; pictures come from Python, which escapes.
function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// The children of a node that changed are replaced; who has the focus keeps it where its key is there again.
function fill(node, ...children) {
  const key = node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  node.replaceChildren(...children.flat().filter(Boolean));
  if (key !== undefined) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

// A picture that Python drew. Nothing in it runs: it is parsed as an image's source, not as a page.
function picture(svg) {
  const parsed = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
  const holder = h("div", { class: "ok-picture", tabindex: 0 });
  if (parsed) holder.append(document.importNode(parsed, true));
  return holder;
}

function table(columns, rows, { caption, onpick, picked, key } = {}) {
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.number ? "ok-number" : null }, column.title)));
  const body = rows.map((row) => {
    const chosen = picked !== undefined && row[key] === picked;
    const attributes = onpick
      ? {
          tabindex: 0,
          class: "ok-pick",
          "aria-selected": chosen ? "true" : "false",
          "data-key": `row-${row[key]}`,
          onclick: () => onpick(row),
          onkeydown: (event) => {
            if (event.key === "Enter" || event.key === " ") {
              event.preventDefault();
              onpick(row);
            }
          },
        }
      : {};
    return h("tr", attributes, columns.map((column) => h("td", { class: column.number ? "ok-number" : null, title: row[column.name] ?? null }, column.show ? column.show(row) : String(row[column.name] ?? ""))));
  });
  return h("div", { class: "ok-scroll", tabindex: 0, role: "region", "aria-label": caption ?? "Table" }, h("table", { class: "ok-table" }, h("thead", {}, head), h("tbody", {}, body)));
}

function button(label, onclick, attributes) {
  return h("button", { type: "button", class: "ok-button", "data-key": label, onclick, ...attributes }, label);
}

// A choice of few views, by mouse or arrow keys.
function tabs(names, current, choose) {
  const list = h("div", { class: "ok-tabs", role: "tablist" });
  names.forEach((name, index) => {
    list.append(
      h(
        "button",
        {
          type: "button",
          role: "tab",
          "aria-selected": name === current ? "true" : "false",
          tabindex: name === current ? 0 : -1,
          "data-key": `tab-${name}`,
          onclick: () => choose(name),
          onkeydown: (event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (step) {
              event.preventDefault();
              const next = names[(index + step + names.length) % names.length];
              choose(next);
              list.parentNode?.querySelector(`[data-key="tab-${CSS.escape(next)}"]`)?.focus();
            }
          },
        },
        name,
      ),
    );
  });
  return list;
}

// A question in the view itself: the browser's own boxes are blocked in many notebooks.
function confirm_in(holder, question, label, yes) {
  const close = () => fill(holder);
  const go = () => {
    close();
    yes();
  };
  fill(holder, h("div", { class: "ok-confirm", role: "alertdialog", "aria-label": question, onkeydown: (event) => event.key === "Escape" && close() }, h("span", {}, question), button(label, go, { class: "ok-button ok-danger" }), button("No, leave it", close)));
  holder.querySelector("button:last-of-type").focus();
}

// A view: draws once, again whenever the state or the problem changes; gives back how it is taken down.
function view(draw) {
  return {
    render({ model, el }) {
      el.classList.add("orchkit-widget");
      const root = h("div", { class: "ok-root" });
      const problem = h("div", { class: "ok-problem", role: "alert" });
      el.append(problem, root);
      // Keys that are meant for the view are no shortcuts of the notebook around it.
      el.addEventListener("keydown", (event) => event.stopPropagation());
      const send = (action, content) => model.send({ action, content });
      const local = {};
      const paint = () => draw({ root, state: model.get("state"), send, local, paint, model });
      const tell = () => {
        problem.textContent = model.get("problem");
        problem.hidden = !model.get("problem");
      };
      model.on("change:state", paint);
      model.on("change:problem", tell);
      tell();
      paint();
      return () => {
        model.off("change:state", paint);
        model.off("change:problem", tell);
        local.stop?.();
      };
    },
  };
}
