// Where privacy requests are told on, what came of it, and trying again.

import { ask, get } from "../api.js";
import { run, show } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { moment } from "../times.js";

const TAGS = { delivered: "good", failed: "bad", pending: "warn", cancelled: "" };
const PAGE = 50;

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
    { title: "Event" }, { title: "Endpoint" }, { title: "Status" }, { title: "Attempts", numeric: true },
    { title: "Answer" }, { title: "Last attempt" }, { title: "Next attempt" }, { title: "Action" },
  ]);

  const endpointCard = (one) => {
    const act = (button, path, said) => run(button, status, async () => {
      const { value } = await ask("POST", `/admin/webhook-endpoints/${one.id}/${path}`);
      refresh();
      return said(value);
    });
    const retry = one.failed > 0 && el("button", { type: "button", class: "primary", data: { action: "retry-failed" },
      on: { click: (event) => act(event.currentTarget, "retry-failed",
        (value) => `${format.many(value.retried, "delivery", "deliveries")} to endpoint ${one.id} will be sent now.`) } },
    `Retry ${format.count(one.failed)} failed`);
    return el("li", { class: "card" },
      el("h3", { class: "address" }, one.url),
      el("p", { class: "soft" }, `Endpoint ${one.id} of company ${one.company_id}, ${one.format}`,
        one.recording === "link" ? ", recordings as links" : "",
        one.enabled ? "" : ", switched off: events wait"),
      el("p", {},
        one.failed ? el("span", { class: "tag bad" }, `${format.count(one.failed)} failed`) : null,
        one.pending ? el("span", { class: "tag warn" }, `${format.count(one.pending)} waiting`) : null,
        !one.failed && !one.pending ? el("span", { class: "tag good" }, "nothing waiting") : null),
      el("div", { class: "buttons" }, retry,
        el("button", { type: "button", data: { action: "test" }, on: { click: (event) => act(event.currentTarget, "test",
          () => `A test event to endpoint ${one.id} has been queued.`) } }, "Send a test event")));
  };

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
    format.count(one.attempts),
    answer(one),
    moment(one.attempted_at),
    moment(one.next_attempt_at),
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
      el("h2", {}, "Endpoints"), endpointsBox, noEndpoints,
      el("div", { class: "bar" }, el("h2", {}, "Deliveries"), el("div", { class: "inline" },
        el("div", { class: "field" }, el("label", { for: "delivery-status" }, "Status"), which),
        el("div", { class: "field" }, el("label", { for: "delivery-endpoint" }, "Endpoint"), whose))),
      list.whole, noDeliveries, el("div", { class: "more" }, older)),
    async load(signal) {
      const query = new URLSearchParams({ limit: Math.min(limit, 500) });
      if (which.value) query.set("status", which.value);
      if (whose.value) query.set("endpoint_id", whose.value);
      const [endpoints, { value: found, next }] = await Promise.all([
        get("/admin/webhook-endpoints", { signal }),
        ask("GET", `/admin/webhook-deliveries?${query}`, { signal }),
      ]);
      badges({ webhooks: endpoints.reduce((sum, each) => sum + each.failed, 0) });
      urls = new Map(endpoints.map((each) => [each.id, each.url]));
      keep(endpointsBox, endpoints, (each) => each.id, endpointCard);
      keep(whose, [{ id: "", url: "all" }, ...endpoints], (each) => `e${each.id}`,
        (each) => el("option", { value: each.id }, each.id ? `${each.id}: ${each.url}` : "all"));
      keep(list.body, found, (each) => each.id, row);
      fill(noEndpoints, endpoints.length ? "" : "There are no endpoints. Create one with POST /admin/webhook-endpoints.");
      const wanted = which.value ? `No delivery is ${which.value}.` : "There are no deliveries yet.";
      fill(noDeliveries, found.length ? "" : wanted);
      list.whole.hidden = !found.length;
      older.hidden = next === null || limit >= 500;
    },
  };
}

/** A dotted name that may go on in a second line behind a dot, and nowhere else. */
function breakable(name) {
  return name.split(/(?=\.)/).flatMap((part) => [part, el("wbr")]);
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
