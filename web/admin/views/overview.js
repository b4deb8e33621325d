// How the node is now, what wants somebody's attention, and how its figures moved.

import { every, get, readiness } from "../api.js";
import { chart } from "../charts.js";
import { el, fill } from "../dom.js";
import * as format from "../format.js";

const perSecond = (value) => (value === null || value === undefined ? "–" : `${format.short(value)}/s`);
const bytesPerSecond = (value) => (value === null || value === undefined ? "–" : `${format.bytes(value)}/s`);
const POWERS_OF_TWO = Array.from({ length: 40 }, (_, power) => 2 ** power);
const CHARTS = [
  { title: "Live sessions", format: format.short,
    series: [{ key: "sessions", label: "connected" }, { key: "sessions_behind", label: "behind" }] },
  { title: "Activity", format: perSecond,
    series: [{ key: "sends", label: "activities stored" }, { key: "lookups", label: "look-ups answered" }] },
  { title: "Send to push", note: "time from the arrival of a send to its write to live sessions", format: format.latency,
    series: [{ key: "push_p50", label: "half within" }, { key: "push_p99", label: "99% within" }] },
  { title: "Commits", note: "time to make sends durable", format: format.latency,
    series: [{ key: "commit_p50", label: "half within" }, { key: "commit_p99", label: "99% within" }] },
  { title: "Look-ups", note: "time to answer Twilio", format: format.latency,
    series: [{ key: "lookup_p50", label: "half within" }, { key: "lookup_p99", label: "99% within" }] },
  { title: "Event loop", note: "how late timers run: the first sign of overload", format: format.latency,
    series: [{ key: "loop_lag_p50", label: "half within" }, { key: "loop_lag_p99", label: "99% within" }] },
  { title: "Sessions opened and closed", format: perSecond,
    series: [{ key: "connects", label: "opened" }, { key: "closes", label: "closed" }] },
  { title: "Traffic", note: "on the sockets", format: bytesPerSecond, incrs: POWERS_OF_TWO,
    series: [{ key: "bytes_received", label: "received" }, { key: "bytes_sent", label: "sent" }] },
  { title: "Processor", note: "100% is one core", format: (value) => (value === null || value === undefined
    ? "–" : `${format.short(value * 100)}%`), series: [{ key: "processor", label: "in use" }] },
];
const RANGES = [[5, "5 min"], [15, "15 min"], [60, "1 hour"]];
const KEPT_SECONDS = 3_600;
const WORST_OF = 60;  // points: five minutes

export function overview({ badges }) {
  const tiles = el("dl", { class: "tiles" });
  const attention = el("div", {});
  const waiting = el("p", { class: "soft" });
  const charts = CHARTS.map(chart);
  let minutes = 15;
  let trends = { at: [] };

  const ranges = el("fieldset", { class: "choices" }, el("legend", { class: "unseen" }, "Time shown"),
    RANGES.map(([value, text]) => el("label", {},
      el("input", { type: "radio", name: "range", value, checked: value === minutes,
        on: { change: () => { minutes = value; draw(); } } }), el("span", {}, text))));

  function draw() {
    const to = trends.at.at(-1) ?? Date.now() / 1000;
    waiting.textContent = trends.at.length ? "" : "This node has just started: the first figures appear within seconds.";
    for (const each of charts) each.show(trends, to - minutes * 60, to);
  }
  const repaint = () => charts.forEach((each) => each.repaint());
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", repaint);

  return {
    title: "Overview",
    seconds: 5,
    root: el("div", {}, attention, tiles,
      el("div", { class: "bar" }, el("h2", {}, "This node’s last hour"), ranges), waiting,
      el("div", { class: "charts" }, charts.map((each) => each.root))),
    async load(signal) {
      const since = trends.at.length ? Math.round(trends.at.at(-1) * 1000) : 0;
      const [stats, more, due, { rows: endpoints }, ready] = await Promise.all([
        get("/admin/stats", { signal }),
        get(`/admin/trends?since=${since}`, { signal }),
        get("/admin/privacy-deadlines?limit=1", { signal }),
        every("/admin/webhook-endpoints", 500, { signal }),
        readiness(signal),
      ]);
      trends = joined(trends, more);
      const failed = endpoints.reduce((sum, each) => sum + each.failed, 0);
      badges({ privacy: due.counts.overdue, webhooks: failed });
      fill(attention, wanting({ stats, due, failed, ready }));
      fill(tiles, figures(stats, trends));
      draw();
    },
    close() {
      scheme.removeEventListener("change", repaint);
      charts.forEach((each) => each.destroy());
    },
  };
}

/** The columns so far and the points that came since, no longer than the node keeps them. */
function joined(before, more) {
  const at = [...before.at, ...more.at_ms.map((each) => each / 1000)];
  const start = at.findIndex((each) => each > at.at(-1) - KEPT_SECONDS);
  const names = new Set([...Object.keys(before), ...Object.keys(more.series)]);
  names.delete("at");
  const found = { at: at.slice(Math.max(0, start)) };
  for (const name of names) {
    found[name] = [...(before[name] ?? before.at.map(() => null)), ...(more.series[name] ?? [])]
      .slice(Math.max(0, start));
  }
  return found;
}

function figures(stats, trends) {
  const last = (name) => trends[name]?.at(-1);
  const worst = (name) => (trends[name] ?? []).slice(-WORST_OF).reduce((most, value) => Math.max(most ?? 0, value ?? 0) || most, null);
  const tile = (name, value, note) => el("div", { class: "card tile" },
    el("dt", {}, name), el("dd", {}, el("strong", {}, value), el("span", { class: "soft" }, note)));
  const store = stats.storage.bytes === undefined ? stats.storage.dialect
    : `${format.bytes(stats.storage.bytes)} of SQLite`;
  return [
    tile("Live sessions", format.count(stats.sessions.now), `of ${format.many(stats.sessions.people, "person", "people")}`),
    tile("Activities stored", perSecond(last("sends")), `newest id ${stats.log.head_id}`),
    tile("Send to push", format.latency(worst("push_p99")), "99% within, in 5 min"),
    tile("Look-ups", perSecond(last("lookups")), `99% within ${format.latency(worst("lookup_p99"))}`),
    tile("Directory", format.count(stats.stored.person), `people, ${format.many(stats.stored.company, "company", "companies")}`),
    tile("Running for", format.duration(stats.node.uptime_seconds), `version ${stats.node.version}, ${store}`),
  ];
}

/** What somebody should look at, the most urgent first. */
function wanting({ stats, due, failed, ready }) {
  const { counts } = due;
  // Otherwise Buzz buys or makes up a number for a new person, and an empty pool is as it should be.
  const free = stats.number_source === "pool" ? stats.numbers.free ?? 0 : Infinity;
  const parts = Object.entries(ready).filter(([name, state]) => name !== "status" && state !== "ok");
  const found = [
    ready.status === "draining" && ["The node is draining: it accepts no new sessions.", "#node"],
    parts.length && [`${parts.map(([name]) => name).join(", ")}: not working.`, "#node"],
    counts.overdue && [`${format.many(counts.overdue, "privacy request")} overdue`, "#privacy"],
    failed && [`${format.many(failed, "webhook delivery", "webhook deliveries")} failed`, "#webhooks"],
    !free && ["The pool has no free number: new people get none", "#numbers"],
    free > 0 && free < 10 && [`Only ${format.many(free, "free number")} left in the pool`, "#numbers"],
  ].filter(Boolean);
  if (!found.length) return el("p", { class: "notice good" }, "Nothing needs attention.");
  return el("div", { class: "notice warn" }, el("h2", {}, "Needs attention"),
    el("ul", {}, found.map(([text, link]) => el("li", {}, el("a", { href: link }, text)))));
}
