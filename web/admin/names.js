// Names for ids: asked for many at a time, believed for a minute.

import { get } from "./api.js";
import { el } from "./dom.js";
import { personName } from "./format.js";

const KEPT_MS = 60_000;
const AT_ONCE = 100;
const KINDS = { people: personName, companies: (company) => company.name };
const known = { people: new Map(), companies: new Map() };

/** Load the names of these ids (text), so that `nameOf` has them. `kind`: people or companies. */
export async function loadNames(kind, ids, signal) {
  const now = Date.now();
  const missing = [...new Set(ids)].filter((id) => id && !(known[kind].get(id)?.until > now));
  for (let start = 0; start < missing.length; start += AT_ONCE) {
    const some = missing.slice(start, start + AT_ONCE);
    const found = await get(`/admin/${kind}?ids=${some.join(",")}&limit=${AT_ONCE}`, { signal });
    const names = new Map(found.map((each) => [each.id, KINDS[kind](each)]));
    for (const id of some) known[kind].set(id, { name: names.get(id) ?? null, until: now + KEPT_MS });
  }
}

/** The name of an id, or null: not in the directory, or not loaded. */
export function nameOf(kind, id) {
  return known[kind].get(id)?.name ?? null;
}

/** A name with its id behind it, or the id alone. */
export function named(name, id) {
  return name ? el("span", {}, name, el("span", { class: "soft small" }, ` ${id}`)) : el("span", {}, id);
}
