// Where privacy requests are sent, what came of each attempt, and trying again.

import { ask, every, get } from "../api.js";
import { run, show } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { loadNames, nameOf } from "../names.js";
import { moment } from "../times.js";
import { endpointCard, endpointForm } from "./endpoints.js";

const TAGS = { delivered: "good", failed: "bad", pending: "warn", cancelled: "" };
const PAGE = 50;
const MOST = 500;

export function webhooks({ refresh, badges }) {
  const status = el("p", { class: "outcome", role: "status" });
  const endpointsBox = el("ul", { class: "cards" });
  const noEndpoints = el("p", { class: "empty" });
  const noDeliveries = el("p", { class: "empty" });
  const older = el("button", { type: "button", on: { click: () => { limit += PAGE; refresh(); } } }, "Show older deliveries");
  let limit = PAGE;
  let urls = new Map();

  const which = el("select", { id: "delivery-status", on: { change: () => { limit = PAGE; refresh(); } } },
    el("option", { value: "failed" }, "failed"), el("option", { value: "" }, "all"),
    ["pending", "delivered", "cancelled"].map((each) => el("option", { value: each }, each)));
  which.value = "";
  const whose = el("select", { id: "delivery-endpoint", on: { change: () => { limit = PAGE; refresh(); } } },
    el("option", { value: "" }, "all"));

  const list = table("Webhook deliveries, newest first", [
    { title: "Event" }, { title: "Endpoint" }, { title: "Status" }, { title: "Attempts" }, { title: "Answer" },
    { title: "Action" },
  ]);

  const retryOne = (button, one) => run(button, status, async () => {
    await ask("POST", `/admin/webhook-deliveries/${one.id}/retry`);
    refresh();
    return `Delivery ${one.id} will be sent now.`;
  });

  const readOne = (button, one) => run(button, status, async () => {
    read(await get(`/admin/webhook-deliveries/${one.id}`));
    return "";
  });

  const row = (one) => list.row(
    el("span", {}, el("span", { class: "strong" }, breakable(one.event)), el("br"), el("span", { class: "soft small code" }, one.request_id)),
    el("span", { class: "address small" }, urls.get(one.endpoint_id) ?? `endpoint ${one.endpoint_id}, deleted`),
    el("span", { class: `tag ${TAGS[one.status]}` }, one.status),
    attempts(one),
    answer(one),
    el("div", { class: "buttons few" },
      one.status === "failed" && el("button", { type: "button", data: { action: "retry" },
        "aria-label": `Retry delivery ${one.id}`, on: { click: (event) => retryOne(event.currentTarget, one) } }, "Retry"),
      one.attempts > 0 && el("button", { type: "button", data: { action: "read" },
        "aria-label": `Read what was sent by delivery ${one.id}, and each answer`,
        on: { click: (event) => readOne(event.currentTarget, one) } }, "Details…")),
  );

  return {
    title: "Webhooks",
    seconds: 5,
    root: el("div", {}, status,
      el("h2", {}, "Endpoints"), endpointsBox, noEndpoints, endpointForm(refresh),
      el("div", { class: "bar" }, el("h2", {}, "Deliveries"), el("div", { class: "inline" },
        el("div", { class: "field" }, el("label", { for: "delivery-status" }, "Status"), which),
        el("div", { class: "field" }, el("label", { for: "delivery-endpoint" }, "Endpoint"), whose))),
      list.whole, noDeliveries, el("div", { class: "more" }, older)),
    async load(signal) {
      const query = new URLSearchParams({ limit: Math.min(limit, MOST) });
      if (which.value) query.set("status", which.value);
      if (whose.value) query.set("endpoint_id", whose.value);
      const [{ rows: endpoints }, { rows: found, next }] = await Promise.all([
        every("/admin/webhook-endpoints", MOST, { signal }),
        every(`/admin/webhook-deliveries?${query}`, limit, { signal }),
      ]);
      badges({ webhooks: endpoints.reduce((sum, each) => sum + each.failed, 0) });
      await loadNames("companies", endpoints.map((each) => each.company_id), signal);
      for (const each of endpoints) each.company = nameOf("companies", each.company_id);
      urls = new Map(endpoints.map((each) => [each.id, `${each.company ?? `company ${each.company_id}`}: ${each.url}`]));
      keep(endpointsBox, endpoints, (each) => each.id, (each) => endpointCard(each, status, refresh));
      keep(whose, [{ id: "", url: "all" }, ...endpoints], (each) => `e${each.id}`,
        (each) => el("option", { value: each.id }, each.id ? `${each.id}: ${urls.get(each.id)}` : "all"));
      keep(list.body, found, (each) => each.id, row);
      fill(noEndpoints, endpoints.length ? "" : "There are no endpoints. Create one below.");
      const wanted = which.value ? `No delivery is ${which.value}.` : "There are no deliveries yet.";
      fill(noDeliveries, found.length ? "" : wanted);
      list.whole.hidden = !found.length;
      older.hidden = !next || limit >= MOST;
    },
  };
}

/** A dotted name that may go on in a second line behind a dot, and nowhere else. */
function breakable(name) {
  return name.split(/(?=\.)/).flatMap((part) => [part, el("wbr")]);
}

function attempts(one) {
  if (!one.attempts) return el("span", { class: "soft" }, "none yet");
  const next = one.next_attempt_at && [el("br"), el("span", { class: "soft small" }, "next ", moment(one.next_attempt_at))];
  return el("span", {}, `${format.count(one.attempts)}, `, one.attempts === 1 ? "" : "last ", moment(one.attempted_at), next);
}

function answer(one) {
  if (one.http_status === null) return el("span", { class: one.error ? "fault" : "soft" }, one.error || "–");
  const took = one.duration_ms === null ? "" : ` in ${format.latency(one.duration_ms / 1000)}`;
  return el("span", { class: "nowrap" }, `${one.http_status}${took}`);
}

function read(one) {
  show(`Delivery ${one.id}: ${one.status}`, [
    el("p", {}, one.summary),
    el("dl", { class: "facts" },
      el("dt", {}, "Event"), el("dd", {}, one.event),
      el("dt", {}, "Queued"), el("dd", {}, moment(one.created_at))),
    one.log.toReversed().map((each) => [
      el("h3", {}, `Attempt ${each.number}, `, moment(each.at)),
      el("p", {}, each.summary),
      each.answer ? [el("h4", {}, "The first 1 KiB of the answer"), el("pre", { tabindex: "0" }, each.answer)] : null,
      each.payload ? el("details", {}, el("summary", {}, "What was sent"),
        el("pre", { tabindex: "0" }, JSON.stringify(each.payload, null, 2))) : null,
    ]),
  ]);
}
