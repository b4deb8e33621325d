// The code of an operation in three languages, and a form that sends it to this server with the reader's token.

import { element } from "./dom.js";
import { read } from "./json.js";

const EXAMPLE_HOST = "https://buzz.example";
const MOST_CHARACTERS = 20_000;
const token = () => document.getElementById("token").value.trim();

/** The operation's example as code, one language at a time. */
export function samples(operation) {
  const found = operation["x-codeSamples"] ?? [];
  if (!found.length) return [];
  const code = element("pre", { tabindex: "0" });
  const buttons = found.map(({ label, source }) => {
    const button = element("button", { type: "button", "aria-pressed": "false" }, label);
    button.addEventListener("click", () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      code.textContent = source.replaceAll(EXAMPLE_HOST, location.origin);
    });
    return button;
  });
  buttons[0].click();
  return [element("h3", {}, "Code"), element("div", { class: "languages" }, ...buttons), code];
}

/** A form for the operation's parameters and body, or nothing where only Twilio may ask. */
export function trying(method, path, operation) {
  if (path.endsWith("/socket") || operation.security.some((each) => "twilio" in each && operation.security.length === 1)) return [];
  const fields = operation.parameters.map((parameter) => ({ parameter, input: field(parameter) }));
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  const body = content && element("textarea", { rows: "8", spellcheck: "false", "aria-label": "Body" });
  if (body) body.value = typeof content[1].example === "string" ? content[1].example : JSON.stringify(content[1].example ?? {}, null, 2);
  const answer = element("div", { role: "status" });
  const send = element("button", { type: "submit", class: "send" }, `Send ${method.toUpperCase()}`);
  const form = element("form", {}, ...fields.map(({ parameter, input }) =>
    element("label", {}, `${parameter.name} (${parameter.in})`, input)), ...(body ? [body] : []), send, answer);
  let agreed = method === "get";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!agreed) {
      // It changes something: asked once more.
      agreed = true;
      send.textContent = `Really send ${method.toUpperCase()}?`;
      return;
    }
    agreed = method === "get";
    send.textContent = `Send ${method.toUpperCase()}`;
    answer.replaceChildren(element("p", {}, "Waiting for the answer…"));
    answer.replaceChildren(...(await sent(method, filled(path, fields), headers(operation, fields, content), body?.value)));
  });
  return [element("details", { class: "try" }, element("summary", {}, "Try it"), form)];
}

function field({ name, example, required }) {
  return element("input", { name, value: example ?? "", autocomplete: "off", spellcheck: "false", ...(required ? { required: "" } : {}) });
}

function filled(path, fields) {
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (parameter.in === "query" && input.value !== "") query.append(parameter.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function headers(operation, fields, content) {
  const found = content ? { "Content-Type": content[0] } : {};
  if (operation.security.length && token()) found.Authorization = `Bearer ${token()}`;
  for (const { parameter, input } of fields) {
    if (parameter.in === "header" && input.value !== "") found[parameter.name] = input.value;
  }
  return found;
}

async function sent(method, address, headers, body) {
  if (headers.Authorization && !/^[\x21-\x7e ]+$/.test(headers.Authorization)) return [problem("The token has characters that no token has.")];
  const began = performance.now();
  try {
    // The address begins with a slash, so the token goes to this server only, and never on to another one.
    const answer = await fetch(new URL(address, location.origin), {
      method: method.toUpperCase(), headers, body, credentials: "omit", redirect: "error", cache: "no-store", mode: "same-origin",
    });
    const text = await answer.text();
    const line = `${method.toUpperCase()} ${address}: ${answer.status} ${answer.statusText}, ${Math.round(performance.now() - began)} ms`;
    return [element("p", { class: answer.ok ? "good" : "bad" }, line), element("pre", { tabindex: "0" }, pretty(text))];
  } catch (error) {
    return [problem(`There was no answer: ${error.message}.`)];
  }
}

const problem = (text) => element("p", { class: "bad" }, text);

function pretty(text) {
  let shown = text;
  try {
    shown = JSON.stringify(read(text), null, 2);
  } catch {
    // It is no JSON: shown as it is.
  }
  return shown.length > MOST_CHARACTERS ? `${shown.slice(0, MOST_CHARACTERS)}\n… and ${shown.length - MOST_CHARACTERS} more characters` : shown;
}
