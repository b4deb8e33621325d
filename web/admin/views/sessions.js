// Who is connected to this node now.

import { ask, get } from "../api.js";
import { confirm } from "../dialog.js";
import { announce, el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const SHOWN = 200;

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
    session.live ? el("span", { class: "tag good" }, "live")
      : el("span", { class: "tag warn" }, `${format.count(session.behind_by)} behind`),
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
      const shown = found.sessions.slice(0, SHOWN);
      await loadNames("people", shown.map((each) => each.person_id), signal);
      for (const each of shown) each.name = nameOf("people", each.person_id);
      keep(list.body, shown, (each) => each.id, row);
      list.whole.hidden = !shown.length;
      fill(empty, shown.length ? "" : wanted ? `Person ${wanted} has no session on this node.` : "Nobody is connected to this node.");
      const rest = found.count > shown.length ? `; the page shows the first ${format.count(shown.length)}` : "";
      summary.textContent = found.count ? `${format.many(found.count, "session")} on this node${rest}.` : "";
    },
  };
}

function codec(session) {
  return session.subprotocol.split(".").at(-1);
}
