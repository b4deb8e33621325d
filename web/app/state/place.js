// Which screen is shown: the part of the address after `#`.

import { readKey } from "./parties.js";

const SECTIONS = ["messages", "calls", "privacy", "devices", "settings"];

/** Read an address: `{ section, key, at, id }`. `at`: the message to jump to. */
export function readPlace(hash) {
  const [section, rest = "", at] = hash.replace(/^#\/?/, "").split("!");
  if (section === "c" && readKey(rest)) return { section: "messages", key: rest, at: Number(at) || null };
  if (section === "privacy" && rest) return { section, id: rest };
  return { section: SECTIONS.includes(section) ? section : "messages", key: null };
}

export const conversationPlace = (key, at) => `#/c!${key}${at ? `!${at}` : ""}`;
export const sectionPlace = (section, id) => `#/${section}${id ? `!${id}` : ""}`;

/** Go to an address; the screen follows. */
export const go = (place) => {
  location.hash = place;
};
