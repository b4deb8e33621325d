// Who is connected to this node now.

import { ask, get } from "../api.js";
import { confirm } from "../dialog.js";
import { announce, el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const SHOWN = 200;
const STALLED_MS = 15_000;

export function sessions({ refresh }) {
  const summary = el("p", { class: "soft", role: "status" });
  const empty = el("p", { class: "empty" });
  const list = table("Live sessions", [
    { title: "Person" }, { title: "Device" }, { title: "Opened" }, { title: "Delivery" },
    { title: "Stored up to", numeric: true }, { title: "Token expires" }, { title: "Action" },
  ]);
  const person = el("input", { id: "session-person", inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off" });
  const fault = el("p", { class: "fault", role: "alert" });
  let wanted = "";
  const choose = (text) => {
    fault.textContent = "";
    try {
      wanted = text.trim() && ids.typed(text);
      refresh();
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const filter = el("form", { class: "inline", on: { submit: (event) => { event.preventDefault(); choose(person.value); } } },
    el("div", { class: "field" }, el("label", { for: "session-person" }, "Person’s id"), person),
    el("button", { type: "submit" }, "Show"),
    el("button", { type: "button", on: { click: () => { person.value = ""; choose(""); } } }, "Show all"));

  const slow = el("input", { id: "session-slow", type: "checkbox", on: { change: () => refresh() } });
  filter.append(el("div", { class: "field" }, el("label", { for: "session-slow" }, slow, " Only sessions that are behind")));
  const behind = progress();

  async function revoke(session) {
    const done = await confirm({
      title: `Revoke every token of person ${session.person_id}?`,
      text: el("p", {}, "Their sessions end and their present tokens become invalid, on every node, within two seconds. "
        + "They can sign in again with a new token."),
      action: "Revoke", danger: true,
      act: () => ask("POST", "/admin/revocations", { body: { person_id: ids.number(session.person_id) } }),
    });
    if (done) announce(`The tokens of person ${session.person_id} have been revoked.`);
    refresh();
  }

  const row = (session) => list.row(
    named(session.name, session.person_id),
    el("span", {}, session.device_id ?? "unnamed", el("span", { class: "soft small" }, ` ${codec(session)}`)),
    moment(session.opened_at),
    delivery(session),
    session.received_id,
    moment(session.token_expires_at),
    el("button", { type: "button", data: { action: "revoke" }, "aria-label": `Revoke tokens of person ${session.person_id}…`,
      on: { click: () => revoke(session) } }, "Revoke…"),
  );

  return {
    title: "Sessions",
    seconds: 5,
    root: el("div", {}, filter, fault, summary, list.whole, empty),
    async load(signal) {
      const query = wanted ? `?person_id=${wanted}` : "";
      const found = await get(`/admin/sessions${query}`, { signal });
      behind.look(found.sessions);
      const late = found.sessions.filter((each) => !each.live);
      const shown = (slow.checked ? late : found.sessions).slice(0, SHOWN);
      await loadNames("people", shown.map((each) => each.person_id), signal);
      for (const each of shown) each.name = nameOf("people", each.person_id);
      keep(list.body, shown, (each) => each.id, row);
      list.whole.hidden = !shown.length;
      fill(empty, shown.length ? "" : slow.checked ? "No session is behind." : wanted ? `Person ${wanted} has no session on this node.` : "Nobody is connected to this node.");
      const stalled = late.filter((each) => each.stalled_seconds).length;
      const health = late.length ? `; ${format.count(late.length)} behind, ${format.count(stalled)} of them stalled` : "";
      const rest = !slow.checked && found.count > shown.length ? `; the page shows the first ${format.count(shown.length)}` : "";
      summary.textContent = found.count ? `${format.many(found.count, "session")} on this node${rest}${health}.` : "";
    },
  };
}

/** Notes for each session since when it has been behind without catching up on anything, between two looks at the list. */
export function progress() {
  let before = new Map();
  return {
    look(sessions, now = Date.now()) {
      const seen = new Map();
      for (const each of sessions.filter((one) => !one.live)) {
        const known = before.get(each.id);
        const moves = !known || each.behind_by < known.by;
        const since = moves ? now : known.since;
        seen.set(each.id, { by: each.behind_by, since });
        each.stalled_seconds = now - since >= STALLED_MS ? (now - since) / 1000 : 0;
      }
      before = seen;
    },
  };
}

function delivery(session) {
  if (session.live) return el("span", { class: "tag good" }, "live");
  const tag = el("span", { class: "tag warn" }, `${format.count(session.behind_by)} behind`);
  if (!session.stalled_seconds) return tag;
  return el("span", {}, tag, el("span", { class: "tag bad" }, `stalled for ${format.duration(session.stalled_seconds)}`));
}

function codec(session) {
  return session.subprotocol.split(".").at(-1);
}
