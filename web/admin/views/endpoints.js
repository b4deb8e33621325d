// Where privacy requests are sent: endpoints are made, paused, tested, given new keys and deleted.

import { ask, get } from "../api.js";
import { confirm, run, show } from "../dialog.js";
import { el } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";
import { moment } from "../times.js";

const PATH = "/admin/webhook-endpoints";

/** One endpoint as a card. `one.company`: the company's name, or null. */
export function endpointCard(one, status, refresh) {
  const act = (button, method, path, body, said) => run(button, status, async () => {
    const { value } = await ask(method, `${PATH}/${one.id}${path}`, { body });
    refresh();
    return said(value);
  });
  const button = (text, action, listener, more = {}) =>
    el("button", { type: "button", data: { action }, on: { click: listener }, "aria-label": `${text} (endpoint ${one.id})`, ...more }, text);
  const retry = one.failed > 0 && button(`Retry ${format.count(one.failed)} failed`, "retry-failed",
    (event) => act(event.currentTarget, "POST", "/retry-failed", undefined,
      (value) => `${format.many(value.retried, "delivery", "deliveries")} to endpoint ${one.id} will be sent now.`), { class: "primary" });
  const test = button("Send a test event", "test", (event) => act(event.currentTarget, "POST", "/test", undefined,
    () => `A test event to endpoint ${one.id} has been queued.`));
  const pause = button(one.enabled ? "Pause" : "Resume", "pause", (event) => act(event.currentTarget, "PATCH", "",
    { enabled: !one.enabled }, (value) => (value.enabled
      ? `Endpoint ${one.id} is on: what waited is being sent.` : `Endpoint ${one.id} is paused: events wait.`)));
  return el("li", { class: "card" },
    el("h3", { class: "address" }, one.url),
    el("p", { class: "soft" }, `${one.company ?? "Company"} (company ${one.company_id}), endpoint ${one.id}, ${one.format}`,
      one.recording === "link" ? ", recordings as links" : ""),
    one.previous_keys_until && el("p", { class: "soft" }, "The old keys are valid until ", moment(one.previous_keys_until), "."),
    el("p", {},
      one.enabled ? null : el("span", { class: "tag warn" }, "paused: events wait"),
      one.failed ? el("span", { class: "tag bad" }, `${format.count(one.failed)} failed`) : null,
      one.pending ? el("span", { class: "tag warn" }, `${format.count(one.pending)} waiting`) : null,
      !one.failed && !one.pending ? el("span", { class: "tag good" }, "nothing waiting") : null),
    el("div", { class: "buttons" }, retry, test, pause,
      button("Rotate keys…", "rotate", () => rotate(one, refresh)),
      button("Delete…", "delete", () => remove(one, refresh))));
}

/** The form that makes an endpoint. */
export function endpointForm(refresh) {
  const status = el("p", { class: "outcome", role: "status" });
  const company = el("input", { id: "endpoint-company", required: true, autocomplete: "off", "aria-describedby": "endpoint-note" });
  const url = el("input", { id: "endpoint-url", type: "url", required: true, autocomplete: "off" });
  const form = select("endpoint-format", [["multipart", "multipart form"], ["json", "JSON"]]);
  const recording = select("endpoint-recording", [["inline", "in the event"], ["link", "as a link"]]);
  const go = el("button", { type: "submit", class: "primary" }, "Create");
  const submit = (event) => {
    event.preventDefault();
    run(go, status, async () => {
      const owner = await companyOf(company.value.trim());
      const body = { company_id: ids.number(owner.id), url: url.value.trim(), format: form.value, recording: recording.value };
      const { value } = await ask("POST", PATH, { body });
      company.value = url.value = "";
      showKeys(`Endpoint ${value.id} of ${owner.name} has been created`, value);
      refresh();
      return `Endpoint ${value.id} of ${owner.name} has been created.`;
    });
  };
  const field = (id, text, control) => el("div", { class: "field" }, el("label", { for: id }, text), control);
  return el("details", { class: "card" }, el("summary", {}, "Create an endpoint"),
    el("form", { class: "stack", on: { submit } },
      el("p", { id: "endpoint-note", class: "soft" }, "Buzz posts the company’s privacy requests to this address. Its keys are shown only once."),
      el("div", { class: "inline" }, field("endpoint-company", "Company’s name or id", company),
        el("div", { class: "field wide" }, el("label", { for: "endpoint-url" }, "Address"), url)),
      el("div", { class: "inline" }, field("endpoint-format", "Format", form), field("endpoint-recording", "Recordings", recording), go),
      status));
}

function select(id, options) {
  return el("select", { id }, options.map(([value, text]) => el("option", { value }, text)));
}

/** The one company that the text names. Throws Error, for the reader, if there is none or several. */
async function companyOf(text) {
  const found = await get(`/admin/companies?${new URLSearchParams({ q: text, limit: "20" })}`);
  const exact = found.filter((each) => each.id === text || each.name.toLowerCase() === text.toLowerCase());
  const [one, ...others] = exact.length ? exact : found;
  if (!one) throw new Error(`No company is called “${text}”.`);
  if (others.length) {
    const names = [one, ...others].slice(0, 5).map((each) => `${each.name} (${each.id})`).join(", ");
    throw new Error(`Several companies are found: ${names}. Enter the id.`);
  }
  return one;
}

async function rotate(one, refresh) {
  const made = await confirm({
    title: `Give endpoint ${one.id} new keys?`,
    text: el("p", {}, "Events are signed with the new keys from now on. The receiver should accept the old ones too for a day; "
      + "if it refuses the new one, Buzz uses the old one until then."),
    action: "Rotate",
    act: () => ask("POST", `${PATH}/${one.id}/rotate`, { body: {} }),
  });
  if (made) showKeys(`Endpoint ${one.id} has new keys`, made.value);
  refresh();
}

async function remove(one, refresh) {
  await confirm({
    title: `Delete endpoint ${one.id}?`,
    text: [el("p", {}, el("span", { class: "address" }, one.url), ` gets no more events. ${format.many(one.pending, "waiting delivery", "waiting deliveries")} will be cancelled.`),
      el("p", { class: "strong" }, "You cannot undo this.")],
    type: one.id, typeLabel: `Type ${one.id} to continue`,
    action: "Delete", danger: true,
    act: () => ask("DELETE", `${PATH}/${one.id}`),
  });
  refresh();
}

function showKeys(title, { api_key: key, secret }) {
  const part = (name, value, note) => [el("h3", {}, name), el("p", { class: "soft" }, note), el("pre", { tabindex: "0" }, value)];
  show(title, [
    el("p", { class: "notice warn" }, "Copy both keys now. Buzz does not show them again."),
    part("API key", key, "For the signature inside the event."),
    part("Secret", secret, "For the Standard Webhooks headers."),
  ]);
}
