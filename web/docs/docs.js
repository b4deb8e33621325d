// The reference, made from the two descriptions that the server gives of itself. Text only ever becomes text nodes.

import { bodyOf, fieldTable, typeNodes } from "./schema.js";
import { element, rich, table } from "./dom.js";
import { read } from "./json.js";
import { samples, trying } from "./trying.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

const [http, socket] = await Promise.all(["/openapi.json", "/asyncapi.json"].map(load)).catch(failed);
const main = document.getElementById("main");
const contents = document.getElementById("contents");
const nothing = element("p", { role: "status", hidden: "" });

document.getElementById("version").textContent = http.info.version;
document.getElementById("status").remove();
main.append(nothing, overview(), ...http.tags.map(tagSection), ...socketSections(), typesSection());
contents.append(...contentLists());
follow(location.hash);
window.addEventListener("hashchange", () => follow(location.hash));
document.getElementById("find").addEventListener("input", (event) => filter(event.target.value));

async function load(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return read(await answer.text());
}

function failed(error) {
  document.getElementById("status").textContent = `The descriptions could not be read: ${error.message}.`;
  throw error;
}

// --- sections ---------------------------------------------------------------------------------------------------

function section(id, title, lead, ...content) {
  const words = lead ? [element("p", { class: "lead" }, rich(lead))] : [];
  return element("section", { id, "aria-label": title }, element("h2", {}, title), ...words, ...content);
}

function item(id, head, ...content) {
  return element("details", { class: "item", id }, element("summary", {}, ...head), element("div", {}, ...content));
}

function overview() {
  const schemes = Object.entries(http.components.securitySchemes).map(([name, scheme]) => [
    name,
    scheme.scheme ? "Authorization: Bearer …" : scheme.name,
    rich(scheme.description),
  ]);
  const shapes = ["ErrorAnswer", "FlatErrorAnswer"].map((name) => [name, rich(http.components.schemas[name].description)]);
  return section(
    "overview",
    "Overview",
    `${http.info.description} Ids are unsigned integers, times RFC 3339 in UTC with whole seconds, bodies JSON.`,
    element("h3", {}, "Authorization"),
    table(["Credential", "How to send it", "Meaning"], schemes),
    element("h3", {}, "Errors"),
    table(["Shape", "Where"], shapes),
  );
}

function tagSection(tag) {
  const items = [];
  for (const [path, methods] of Object.entries(http.paths)) {
    for (const method of METHODS) {
      if (methods[method]?.tags[0] === tag.name) items.push(operationItem(method, path, methods[method]));
    }
  }
  return section(slug(tag.name), capital(tag.name), tag.description, ...items);
}

function operationItem(method, path, operation) {
  const who = operation.security.map((each) => Object.keys(each)[0]).join(" or ") || "anybody";
  const head = [
    element("span", { class: `method ${method}` }, method),
    element("span", { class: "path" }, path),
    element("span", { class: "summary" }, rich(operation.summary)),
    element("span", { class: "who" }, who),
  ];
  const words = [element("p", {}, rich(operation.description))];
  const parts = [...parameters(operation), ...requestBody(operation), ...responses(operation), ...samples(operation)];
  return item(operation.operationId, head, ...words, ...parts, ...trying(method, path, operation));
}

function parameters(operation) {
  if (!operation.parameters.length) return [];
  const rows = operation.parameters.map((each) => [
    [each.name, each.required ? element("span", { class: "required" }, " required") : ""],
    each.in,
    typeNodes(each.schema),
    rich(each.description ?? ""),
  ]);
  return [element("h3", {}, "Parameters"), table(["Name", "In", "Type", "Meaning"], rows)];
}

function requestBody(operation) {
  if (!operation.requestBody) return [];
  const content = operation.requestBody.content;
  const schema = Object.values(content)[0].schema;
  const example = exampleOf(Object.values(content)[0]);
  return [element("h3", {}, `Body: ${Object.keys(content).join(", ")}`), bodyOf(schema, http), ...example];
}

function responses(operation) {
  const found = [];
  const refusals = [];
  for (const [status, response] of Object.entries(operation.responses)) {
    if (response.$ref) {
      const refusal = http.components.responses[response.$ref.split("/").pop()];
      refusals.push([status, rich(refusal.description)]);
      continue;
    }
    const [type, content] = Object.entries(response.content ?? {})[0] ?? ["", {}];
    found.push(element("h3", {}, `Answer ${status}${type ? `: ${type}` : ""}`));
    found.push(content.schema ? bodyOf(content.schema, http) : element("p", {}, response.description), ...exampleOf(content));
  }
  return [...found, element("h3", {}, "Refusals"), table(["Status", "Message begins"], refusals)];
}

function socketSections() {
  const { messages, schemas } = socket.components;
  const names = (action) =>
    Object.values(socket.operations)
      .filter((each) => each.action === action)
      .map((each) => each.messages[0].$ref.split("/").pop());
  const frames = (action, arrow) =>
    names(action).map((name) =>
      item(
        `frame-${name}`,
        [
          element("span", { class: "method" }, arrow),
          element("span", { class: "path" }, name),
          element("span", { class: "summary" }, rich(messages[name].summary)),
        ],
        bodyOf(messages[name].payload, socket),
        ...examplesOf(messages[name]),
      ),
    );
  const events = socket["x-events"].map((event) =>
    item(`event-${slug(event.name)}`, [element("span", { class: "path" }, event.name), summaryOf(event.data, schemas)], bodyOf(event.data, socket)),
  );
  const channel = socket.channels.socket;
  return [
    section("frames-client", "Frames from the client", `${channel.address}: ${channel.description}`, ...frames("receive", "client")),
    section("frames-server", "Frames from the server", "", ...frames("send", "server")),
    section("events", "Events", "The data of each event frame, by its name.", ...events),
    section("errors", "Error codes", "The code of an error frame; an HTTP answer has the status.", codeTable()),
    section("closes", "Close codes", "Why the server closed a socket, and what the client should do.", closeTable()),
  ];
}

function exampleOf(content) {
  if (content.example === undefined) return [];
  const text = typeof content.example === "string" ? content.example : JSON.stringify(content.example, null, 2);
  return [element("p", {}, "For example:"), element("pre", { tabindex: "0" }, text)];
}

function examplesOf(message) {
  const shown = message.examples.flatMap((each) => [
    element("p", {}, rich(each.summary)),
    element("pre", { tabindex: "0" }, JSON.stringify(each.payload, null, 2)),
  ]);
  return [element("h3", {}, "Examples"), ...shown];
}

function summaryOf(schema, schemas) {
  const named = schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema;
  return element("span", { class: "summary" }, rich(named.description ?? ""));
}

function codeTable() {
  const rows = socket["x-error-codes"].map((each) => [each.code, String(each.http_status), each.retry ? "later" : "no"]);
  return table(["Code", "HTTP status", "Retry"], rows);
}

function closeTable() {
  const rows = socket["x-close-codes"].map((each) => [String(each.code), each.meaning, each.client_should]);
  return table(["Code", "Meaning", "The client should"], rows);
}

function typesSection() {
  const all = { ...socket.components.schemas, ...http.components.schemas };
  const items = Object.keys(all)
    .sort()
    .map((name) =>
      item(
        `type-${name}`,
        [element("span", { class: "path" }, name), element("span", { class: "summary" }, rich(all[name].description ?? ""))],
        fieldTable(all[name]),
      ),
    );
  return section("types", "Types", "Types that the routes and frames above refer to.", ...items);
}

// --- finding ----------------------------------------------------------------------------------------------------

function contentLists() {
  const list = (title, ids) => [
    element("h2", {}, title),
    element("ul", {}, ...ids.map((id) => element("li", {}, element("a", { href: `#${id}` }, heading(id))))),
  ];
  const tags = http.tags.map((tag) => slug(tag.name));
  return [
    ...list("HTTP", ["overview", ...tags]),
    ...list("Socket", ["frames-client", "frames-server", "events"]),
    ...list("Reference", ["errors", "closes", "types"]),
  ];
}

function heading(id) {
  return document.getElementById(id).querySelector("h2").textContent;
}

function follow(hash) {
  const target = hash && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const each of main.querySelectorAll("details.item")) {
    each.hidden = wanted !== "" && !each.textContent.toLowerCase().includes(wanted);
  }
  for (const each of main.querySelectorAll(":scope > section")) {
    const items = [...each.querySelectorAll("details.item")];
    const shown = items.length ? items.some((one) => !one.hidden) : each.textContent.toLowerCase().includes(wanted);
    each.hidden = wanted !== "" && !shown;
  }
  nothing.textContent = `Nothing is found for “${text.trim()}”.`;
  nothing.hidden = [...main.querySelectorAll(":scope > section")].some((each) => !each.hidden);
}

function slug(name) {
  return name.replace(/[^a-z0-9]+/gi, "-");
}

function capital(name) {
  return name[0].toUpperCase() + name.slice(1);
}
