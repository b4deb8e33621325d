// The pool of Buzz numbers.

import { ask, get } from "../api.js";
import { run } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const EMPTY = {
  pool: "The pool is empty: new people get no number.",
  twilio: "The pool is empty: Buzz buys a number for each new person from Twilio.",
  fictional: "The pool is empty: this is a development server, and makes up a number for each new person.",
};
const PAGE = 100;
const STATES = {
  free: ["Free", "can be assigned"], allocated: ["In use", "assigned to a person"],
  resting: ["Resting", "released, not assigned again yet"], reserved: ["Reserved", "ordered from the provider"],
};

export function numbers({ refresh }) {
  const status = el("p", { class: "outcome", role: "status" });
  const tiles = el("dl", { class: "tiles" });
  const empty = el("p", { class: "empty" });
  const list = table("Numbers", [{ title: "Number" }, { title: "State" }, { title: "Person" }, { title: "Until" }]);
  const more = el("button", { type: "button", on: { click: () => { limit += PAGE; refresh(); } } }, "Show more");
  let limit = PAGE;

  const text = el("textarea", { id: "new-numbers", rows: "4", spellcheck: "false", autocomplete: "off",
    placeholder: "+12385551629", "aria-describedby": "new-numbers-note" });
  const go = el("button", { type: "submit", class: "primary" }, "Add to the pool");
  const add = (event) => {
    event.preventDefault();
    run(go, status, async () => {
      const wanted = text.value.split(/[\s,;]+/).filter(Boolean);
      if (!wanted.length) throw new Error("Enter at least one number.");
      const { value } = await ask("POST", "/admin/numbers", { body: { numbers: wanted } });
      text.value = "";
      refresh();
      const known = value.known ? `, ${format.count(value.known)} ${value.known === 1 ? "was" : "were"} in the pool already` : "";
      return `${format.many(value.added, "number")} added${known}.`;
    });
  };
  const row = (each) => list.row(
    el("span", { class: "code nowrap" }, each.number ?? "ordered"),
    el("span", { class: `tag ${each.state === "free" ? "good" : ""}` }, STATES[each.state][0].toLowerCase()),
    each.person_id ? named(each.name, each.person_id) : "–", moment(each.until),
  );

  return {
    title: "Numbers",
    seconds: 15,
    root: el("div", {}, tiles,
      el("form", { class: "card", on: { submit: add } }, el("h2", {}, "Add numbers"),
        el("div", { class: "field" }, el("label", { for: "new-numbers" }, "Numbers"),
          el("p", { id: "new-numbers-note", class: "soft" }, "Enter numbers in E.164, one a line, at most 1,000 at once."), text),
        el("div", { class: "buttons" }, go), status),
      el("h2", {}, "All numbers"), list.whole, empty, el("div", { class: "more" }, more)),
    async load(signal) {
      const found = await get(`/admin/numbers?limit=${Math.min(limit, 1000)}`, { signal });
      fill(tiles, Object.entries(STATES).map(([state, [title, note]]) => el("div", {
        class: `card tile${state === "free" && !found.counts.free && found.source === "pool" ? " bad" : ""}` },
      el("dt", {}, title), el("dd", {}, el("strong", {}, format.count(found.counts[state] ?? 0)),
        el("span", { class: "soft" }, note)))));
      await loadNames("people", found.numbers.map((each) => each.person_id), signal);
      for (const each of found.numbers) each.name = nameOf("people", each.person_id);
      keep(list.body, found.numbers, (each) => each.number, row);
      list.whole.hidden = !found.numbers.length;
      fill(empty, found.numbers.length ? "" : EMPTY[found.source]);
      more.hidden = found.numbers.length < limit || limit >= 1000;
    },
  };
}
