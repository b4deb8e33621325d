// JSON schemas as tables: one row for each field, types in words, references as links.

import { element, rich, table } from "./dom.js";

/** What a schema describes: its fields where it has some, otherwise its type. A reference is opened once. */
export function bodyOf(schema, document) {
  const { named, wrap } = opened(schema);
  if (!named) return fieldTable(schema);
  const target = document.components.schemas[named];
  return element("div", {}, element("p", { class: "type" }, ...wrap, link(named)), fieldTable(target));
}

/** The fields of an object, or one line that says what it is. */
export function fieldTable(schema) {
  const branches = schema.oneOf ?? schema.anyOf;
  if (branches) return element("div", {}, ...branches.map((each) => element("div", {}, fieldTable(each))));
  if (!schema.properties || !Object.keys(schema.properties).length) {
    return element("p", { class: "type" }, ...typeNodes(schema));
  }
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties).map(([name, field]) => [
    [name, required.has(name) ? element("span", { class: "required" }, " required") : ""],
    element("span", { class: "type" }, ...typeNodes(field)),
    meaning(field),
  ]);
  const explained = rows.some(([, , words]) => words.length);
  return explained ? table(["Field", "Type", "Meaning"], rows) : table(["Field", "Type"], rows.map((row) => row.slice(0, 2)));
}

/** A type in words, as nodes. */
export function typeNodes(schema) {
  if (schema.$ref) return [link(schema.$ref.split("/").pop())];
  if ("const" in schema) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return branches.flatMap((each, index) => (index ? [" or ", ...typeNodes(each)] : typeNodes(each)));
  if (schema.type === "array") return ["list of ", ...typeNodes(schema.items ?? {}), bounds(schema, "minItems", "maxItems", "")];
  if (schema.type === "object" && schema.additionalProperties?.type) {
    return ["map to ", ...typeNodes(schema.additionalProperties)];
  }
  return [`${schema.type ?? "anything"}${format(schema)}`];
}

function opened(schema) {
  if (schema.$ref) return { named: schema.$ref.split("/").pop(), wrap: [] };
  if (schema.type === "array" && schema.items?.$ref) return { named: schema.items.$ref.split("/").pop(), wrap: ["list of "] };
  return { named: null, wrap: [] };
}

function link(name) {
  return element("a", { href: `#type-${name}` }, name);
}

function meaning(field) {
  const parts = [];
  if (field.description) parts.push(...rich(field.description), " ");
  if (field.examples?.length) parts.push("For example ", element("code", {}, JSON.stringify(field.examples[0])));
  return parts;
}

function format(schema) {
  const known = schema.format ? ` (${schema.format})` : "";
  return (
    known + bounds(schema, "minimum", "maximum", "") + bounds(schema, "minLength", "maxLength", " characters")
  );
}

/** The bounds that say something: those that come as text are as large as the column that keeps the value. */
function bounds(schema, low, high, unit) {
  const [from, to] = [schema[low], schema[high]].map((bound) => (typeof bound === "number" ? bound : undefined));
  if (from === undefined && to === undefined) return "";
  if (to === undefined) return `, from ${from}${unit}`;
  return from === undefined ? `, up to ${to}${unit}` : `, ${from} to ${to}${unit}`;
}
