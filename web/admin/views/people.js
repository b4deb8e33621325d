// One person at a time: what is known of them, ending their tokens, erasing them.

import { Failure, ask, get } from "../api.js";
import { confirm, run } from "../dialog.js";
import { el } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";

export function people() {
  const found = el("div", { "aria-live": "polite" });
  const findStatus = el("p", { class: "outcome", role: "status" });
  const id = el("input", { id: "person-id", inputmode: "numeric", pattern: "[1-9][0-9]*", required: true, autocomplete: "off" });
  const find = el("button", { type: "submit", class: "primary" }, "Find");

  const look = (event) => {
    event?.preventDefault();
    run(find, findStatus, async () => {
      found.replaceChildren();
      const wanted = ids.typed(id.value);
      const [person, sessions] = await Promise.all([entry(wanted), get(`/admin/sessions?person_id=${wanted}`)]);
      found.replaceChildren(card(wanted, person, sessions.count, (text) => {
        found.replaceChildren(el("p", { class: "notice good", role: "status" }, text));
      }));
    });
  };

  return {
    title: "People",
    seconds: 0,
    root: el("div", {},
      el("form", { class: "card", on: { submit: look } }, el("h2", {}, "Find a person"),
        el("p", { class: "soft" }, "Find a person to revoke their tokens or to erase them."),
        el("div", { class: "inline" },
          el("div", { class: "field" }, el("label", { for: "person-id" }, "Person’s id"), id), find), findStatus),
      found, tokenForm()),
    load: async () => {},
  };
}

/** The directory's entry, or null: somebody may be gone from it and still have messages here. */
async function entry(id) {
  try {
    return await get(`/admin/directory/person/${id}`);
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return null;
    throw error;
  }
}

function card(id, person, sessions, done) {
  const name = (person && format.personName(person)) || null;
  const called = name ?? `person ${id}`;
  const revoke = async () => {
    const made = await confirm({
      title: `Revoke every token of ${called}?`,
      text: el("p", {}, "Their sessions end and their present tokens become invalid, on every node, within two seconds. "
        + "They can sign in again with a new token."),
      action: "Revoke", danger: true,
      act: () => ask("POST", "/admin/revocations", { body: { person_id: ids.number(id) } }),
    });
    if (made) done(`The tokens of ${called} have been revoked.`);
  };
  const erase = async () => {
    const made = await confirm({
      title: `Erase ${called}?`,
      text: erasureText(id, name),
      type: name ?? id, typeLabel: `Type ${name ?? id} to continue`,
      action: `Erase ${called}`, danger: true,
      act: () => ask("POST", "/admin/erasures", { body: { person_id: ids.number(id) }, long: true }),
    });
    if (made) done(outcome(called, made.value));
  };
  return el("article", { class: "card" },
    el("h2", {}, name ?? `Person ${id} is not in the directory`),
    name ? null : el("p", { class: "soft" }, "Their messages, devices and keys may still be stored, and can be erased."),
    el("dl", { class: "facts" }, el("dt", {}, "Id"), el("dd", {}, id),
      person ? [el("dt", {}, "Calls from"), el("dd", {}, person.numbers?.length ? person.numbers.join(", ") : "no number")] : null,
      el("dt", {}, "Sessions on this node"), el("dd", {}, format.count(sessions))),
    el("div", { class: "buttons" },
      el("button", { type: "button", on: { click: revoke } }, "Revoke tokens…"),
      el("button", { type: "button", class: "danger", on: { click: erase } }, "Erase this person…")));
}

function erasureText(id, name) {
  return [
    el("p", {}, name ? [el("strong", {}, name), ` (person ${id}) `] : [el("strong", {}, `Person ${id}`), " "], "will lose:"),
    el("ul", {},
      el("li", {}, "their directory entry, contacts, devices, keys and blocked calls"),
      el("li", {}, "the text of every message they sent: others still see that there was one, and when"),
      el("li", {}, "the personal data of privacy requests that they made by phone from their numbers"),
      el("li", {}, "every token, and their Buzz number, which is not assigned again for 60 days")),
    el("p", {}, "Erase requests by web form under “Privacy”."),
    el("p", { class: "strong" }, "You cannot undo this."),
  ];
}

function outcome(called, erased) {
  const parts = [
    erased.in_directory ? "their directory entry" : null,
    format.many(erased.activities_emptied, "activity", "activities"),
    format.many(erased.devices, "device"),
    format.many(erased.privacy_requests, "privacy request"),
  ].filter(Boolean);
  return `${called} has been erased: ${parts.join(", ")}.`;
}

function tokenForm() {
  const status = el("p", { class: "outcome", role: "status" });
  const input = el("input", { id: "revoked-token", type: "password", autocomplete: "off", required: true,
    "aria-describedby": "revoked-token-note" });
  const go = el("button", { type: "submit", class: "danger" }, "Revoke");
  const submit = (event) => {
    event.preventDefault();
    run(go, status, async () => {
      const { value } = await ask("POST", "/admin/revocations", { body: { token: input.value.trim() } });
      input.value = "";
      return `Token ${value.token_id} has been revoked.`;
    });
  };
  return el("form", { class: "card", on: { submit } }, el("h2", {}, "Revoke one token"),
    el("p", { id: "revoked-token-note", class: "soft" }, "Enter a whole token, or its id (jti). It becomes invalid on every node within two seconds."),
    el("div", { class: "inline" }, el("div", { class: "field wide" }, el("label", { for: "revoked-token" }, "Token or its id"), input), go),
    status);
}
