// A form for a JSON Schema. What it cannot show as fields is written as JSON; the engine checks the data, not the form.
const KINDS = { integer: "number", number: "number" };
const FORMATS = { date: "date", "date-time": "datetime-local", time: "time", email: "email" };

function form_field(name, schema, value, required) {
  const label = schema.title ?? name;
  const described = schema.description ? h("small", { class: "ok-note" }, schema.description) : null;
  const shared = { "data-key": `field-${name}`, "aria-label": label, "aria-required": required ? "true" : null };
  const given = value ?? schema.default;
  const told = h("span", {}, label, required ? " *" : "");
  let input;
  let read;
  if (schema.type === "boolean") {
    input = h("input", { type: "checkbox", checked: Boolean(given), ...shared });
    read = () => input.checked;
    return { read, node: h("label", { class: "ok-check" }, input, told, described) };
  }
  if (Array.isArray(schema.enum)) {
    const options = schema.enum.map((option, index) => h("option", { value: index, selected: option === given }, String(option)));
    input = h("select", shared, h("option", { value: "" }, "(choose)"), options);
    read = () => (input.value === "" ? undefined : schema.enum[Number(input.value)]);
  } else if (schema.type === "string" && (schema.maxLength > 120 || schema.format === "textarea")) {
    input = h("textarea", { rows: 3, ...shared });
    input.value = given ?? "";
    read = () => (input.value === "" && !required ? undefined : input.value);
  } else if (schema.type === "string" || KINDS[schema.type]) {
    const type = KINDS[schema.type] ?? FORMATS[schema.format] ?? "text";
    input = h("input", { type, step: schema.type === "integer" ? 1 : "any", min: schema.minimum ?? null, max: schema.maximum ?? null, maxlength: schema.maxLength ?? null, ...shared });
    input.value = given ?? "";
    read = () => {
      if (input.value === "") return schema.type === "string" && required ? "" : undefined;
      return type === "number" ? Number(input.value) : input.value;
    };
  } else {
    input = h("textarea", { rows: 4, spellcheck: "false", ...shared });
    input.value = given === undefined ? "" : JSON.stringify(given, null, 2);
    read = () => {
      if (input.value.trim() === "") return undefined;
      try {
        const parsed = JSON.parse(input.value);
        input.removeAttribute("aria-invalid");
        return parsed;
      } catch (error) {
        input.setAttribute("aria-invalid", "true");
        throw new Error(`${label}: this is not JSON (${error.message}).`);
      }
    };
  }
  return { read, node: h("label", { class: "ok-field" }, told, input, described) };
}

// A form's node, and what it says now. An object with known properties has a field each; all else is one field of JSON.
function form_of(schema, values) {
  const properties = schema?.properties;
  if (!properties || !Object.keys(properties).length) {
    const whole = form_field("data", { title: schema?.title ?? "Data (JSON)" }, values, false);
    return { node: h("div", { class: "ok-form" }, whole.node), read: whole.read };
  }
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(properties).map(([name, part]) => [name, form_field(name, part ?? {}, values?.[name], required.has(name))]);
  return {
    node: h("div", { class: "ok-form" }, fields.map(([, field]) => field.node)),
    read: () => Object.fromEntries(fields.map(([name, field]) => [name, field.read()]).filter(([, value]) => value !== undefined)),
  };
}
