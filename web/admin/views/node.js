// The nodes of the cluster; and this one: what it logs, whether its storage is sound, a backup.

import { ask, get } from "../api.js";
import { run } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { moment } from "../times.js";

const LEVELS = { debug: "debug: everything", info: "info: normal events", warning: "warning: possible problems", error: "error: problems" };

export function node({ refresh }) {
  const facts = el("dl", { class: "facts" });
  const cluster = clusterList();
  const { form, showLevel } = logLevel(refresh);
  return {
    title: "Node",
    seconds: 15,
    root: el("div", {}, cluster.root, el("section", { class: "card" }, el("h2", {}, "This node"), facts), form, doctor(), backup()),
    async load(signal) {
      const [stats, level, { nodes }] = await Promise.all(
        ["stats", "log-level", "nodes"].map((name) => get(`/admin/${name}`, { signal })));
      cluster.show(nodes);
      const { node: about, log, stored, storage } = stats;
      const all = {
        "Version": about.version, "Mode": about.mode, "Process": about.process_id,
        "Running for": format.duration(about.uptime_seconds), "Log epoch": log.epoch, "Newest activity": log.head_id,
        "Database": storage.bytes === undefined ? storage.dialect : `SQLite, ${format.bytes(storage.bytes)}, of which ${format.bytes(storage.wal_bytes)} in the write-ahead log`,
        ...Object.fromEntries(Object.entries(stored).map(([name, value]) => [stem(name), format.count(value)])),
      };
      fill(facts, Object.entries(all).map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
      showLevel(level.level);
    },
  };
}

function clusterList() {
  const list = table("Nodes", [
    { title: "Node" }, { title: "State" }, { title: "Sessions", numeric: true }, { title: "Newest activity", numeric: true },
    { title: "Version" }, { title: "Started" },
  ]);
  const row = (each) => list.row(
    el("span", {}, `${each.host}, process ${each.process_id}`, each.this_node && el("span", { class: "soft small" }, " this node")),
    nodeState(each),
    el("span", {}, format.count(each.sessions), each.behind > 0 && el("span", { class: "soft small" }, ` ${format.count(each.behind)} behind`)),
    each.head_id, each.version, moment(each.started_at));
  const root = el("section", {}, el("h2", {}, "Nodes"), list.whole);
  return { root, show: (nodes) => keep(list.body, nodes, (each) => `${each.host} ${each.process_id} ${each.started_at}`, row) };
}

function nodeState({ silent_seconds, draining }) {
  if (silent_seconds) return el("span", { class: "tag bad" }, `silent for ${format.duration(silent_seconds)}`);
  return draining ? el("span", { class: "tag warn" }, "draining") : el("span", { class: "tag good" }, "running");
}

const HEALTH = { ok: "good", warn: "warn", fail: "bad" };
const STEMS = { person: "People", company: "Companies", member: "Memberships", contact: "Contacts", device: "Devices",
  privacy_request: "Privacy requests", webhook_endpoint: "Webhook endpoints" };
const stem = (name) => STEMS[name] ?? name;

function logLevel(refresh) {
  const status = el("p", { class: "outcome", role: "status" });
  const select = el("select", { id: "log-level" }, Object.entries(LEVELS).map(([value, text]) => el("option", { value }, text)));
  const go = el("button", { type: "submit" }, "Set");
  let chosen = false;
  select.addEventListener("change", () => { chosen = true; });
  const submit = (event) => {
    event.preventDefault();
    run(go, status, async () => {
      const { value } = await ask("PUT", "/admin/log-level", { body: { level: select.value } });
      chosen = false;
      refresh();
      return `The log level of this node is now ${value.level}.`;
    });
  };
  const form = el("form", { class: "card", on: { submit } }, el("h2", {}, "Log level"),
    el("p", { class: "soft" }, "The lowest level that this node logs, until it restarts. Other nodes do not change."),
    el("div", { class: "inline" }, el("div", { class: "field" }, el("label", { for: "log-level" }, "Level"), select), go), status);
  // What somebody is about to set is not taken from under their hands.
  return { form, showLevel: (level) => { if (!chosen) select.value = level; } };
}

function doctor() {
  const status = el("p", { class: "outcome", role: "status" });
  const findings = el("ul", { class: "findings" });
  const go = el("button", { type: "button" }, "Run all checks");
  go.addEventListener("click", () => run(go, status, async () => {
    findings.replaceChildren();
    status.textContent = "Checking…";
    const found = await get("/admin/doctor", { long: true });
    findings.replaceChildren(...found.map(finding));
    const bad = found.filter((each) => each.health !== "ok").length;
    return bad ? `${format.many(bad, "problem")} found.` : `${format.many(found.length, "check")}, no problems.`;
  }));
  return el("section", { class: "card" }, el("h2", {}, "Doctor"),
    el("p", { class: "soft" }, "Checks versions, limits, the key and storage. It reads the whole SQLite file, which takes minutes if it is large."),
    el("div", { class: "buttons" }, go), status, findings);
}

function finding({ check, health, detail }) {
  return el("li", {}, el("span", { class: `tag ${HEALTH[health] ?? "bad"}` }, health), ` ${check}: ${detail}`);
}

function backup() {
  const status = el("p", { class: "outcome", role: "status" });
  const go = el("button", { type: "button" }, "Back up now");
  go.addEventListener("click", () => run(go, status, async () => {
    status.textContent = "Backing up…";
    const { value } = await ask("POST", "/admin/backups", { long: true });
    return `Done: ${value.name}, ${format.bytes(value.bytes)}.`;
  }));
  return el("section", { class: "card" }, el("h2", {}, "Backup"),
    el("p", { class: "soft" }, "Copies the database to a file in the server’s data directory, while the server runs."), el("div", { class: "buttons" }, go), status);
}
