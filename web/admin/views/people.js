// Finding people and companies; then one person at a time: ending their tokens, erasing them.

import { ask, get } from "../api.js";
import { confirm, run } from "../dialog.js";
import { el, table } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";

const SHOWN = 50;

export function people() {
  const found = el("div", { class: "stack", "aria-live": "polite" });
  const status = el("p", { class: "outcome", role: "status" });
  const text = el("input", { id: "directory-search", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "directory-note" });
  const find = el("button", { type: "submit", class: "primary" }, "Find");
  const open = async (person, id) => {
    const sessions = await get(`/admin/sessions?person_id=${id}`);
    found.replaceChildren(card(id, person, sessions.count, (said) => {
      found.replaceChildren(el("p", { class: "notice good", role: "status" }, said));
    }));
  };

  const look = (event) => {
    event.preventDefault();
    run(find, status, async () => {
      found.replaceChildren();
      const wanted = text.value.trim();
      const query = new URLSearchParams({ q: wanted, limit: SHOWN });
      const [persons, companies] = await Promise.all([get(`/admin/people?${query}`), get(`/admin/companies?${query}`)]);
      const exact = persons.find((each) => each.id === wanted);
      const only = persons.length === 1 && !companies.length ? persons[0] : null;
      if (exact || only) return open(exact ?? only, (exact ?? only).id);
      if (persons.length || companies.length) return found.replaceChildren(...lists(persons, companies, open, status));
      // Somebody may be gone from the directory and still have messages here.
      if (ids.isId(wanted)) return open(null, wanted);
      return found.replaceChildren(el("p", { class: "empty" }, `Nobody is found for “${wanted}”.`));
    });
  };

  return {
    title: "People",
    seconds: 0,
    root: el("div", {},
      el("form", { class: "card", on: { submit: look } }, el("h2", {}, "Find people and companies"),
        el("p", { id: "directory-note", class: "soft" }, "Enter a part of a name, the beginning of a phone number with its country code, or an id."),
        el("div", { class: "inline" },
          el("div", { class: "field wide" }, el("label", { for: "directory-search" }, "Name, number or id"), text), find), status),
      found, tokenForm()),
    load: async () => {},
  };
}

/** What was found, as two tables. `open(person, id)` shows one person. */
function lists(persons, companies, open, status) {
  const people = table("People", [{ title: "Name" }, { title: "Id" }, { title: "Numbers" }, { title: "Companies" }, { title: "Action" }]);
  people.body.append(...persons.map((each) => people.row(
    el("span", { class: "strong" }, format.personName(each)), each.id, numbersOf(each),
    each.companies.map((company) => company.name).join(", ") || "–",
    el("button", { type: "button", "aria-label": `Open ${format.personName(each)} (${each.id})`,
      on: { click: (event) => run(event.currentTarget, status, () => open(each, each.id)) } }, "Open"))));
  const firms = table("Companies", [{ title: "Name" }, { title: "Id" }, { title: "Numbers" }]);
  firms.body.append(...companies.map((each) => firms.row(
    el("span", { class: "strong" }, each.name), each.id, phones(each.numbers))));
  const more = (list) => (list.length === SHOWN ? el("p", { class: "soft" }, `Only the first ${SHOWN} are shown: enter more of the name.`) : null);
  return [
    persons.length ? [el("h2", {}, "People"), people.whole, more(persons)] : null,
    companies.length ? [el("h2", {}, "Companies"), firms.whole, more(companies)] : null,
  ].flat().filter(Boolean);
}

/** Phone numbers, none of which breaks into two lines. */
function phones(numbers, none = "–") {
  if (!numbers.length) return none;
  return el("span", {}, ...numbers.flatMap((each, index) => [index ? ", " : "", el("span", { class: "nowrap" }, each)]));
}

function numbersOf(person) {
  const own = phones(person.numbers ?? []);
  return person.buzz_number ? el("span", {}, own, el("br"), el("span", { class: "soft small" }, "Buzz number ", el("span", { class: "nowrap" }, person.buzz_number))) : own;
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
      person ? [el("dt", {}, "Calls from"), el("dd", {}, phones(person.numbers, "no number")),
        el("dt", {}, "Buzz number"), el("dd", {}, person.buzz_number ? phones([person.buzz_number]) : "none"),
        el("dt", {}, "Companies"), el("dd", {}, person.companies.map((each) => `${each.name} (${each.id})`).join(", ") || "none")] : null,
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
      el("li", {}, "the text of everything they wrote, in the histories of those they wrote to as well: these still see that "
        + "there was something, and when. What others wrote stays"),
      el("li", {}, "the personal data of privacy requests that they made by phone from their numbers"),
      el("li", {}, "every token, and their Buzz number, which is not assigned again for 60 days")),
    el("p", {}, "Copies that devices have stay on them."),
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
