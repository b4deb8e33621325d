// Shortcuts that work on every screen. help.js lists them for people.

import { conversationPlace, go, readPlace, sectionPlace } from "../state/place.js";
import { preferences } from "../state/preferences.js";
import { inOrder } from "../state/rows.js";

const SECTION_KEYS = { m: "messages", c: "calls", p: "privacy", d: "devices", s: "settings" };
const SECOND_KEY_MS = 1_500;

/** Follow the keyboard; returns a function that ends this. */
export function followKeys({ session, openHelp }) {
  let firstAt = 0;
  const single = {
    "?": openHelp,
    "/": () => search(),
    n: () => toMessages(() => document.querySelector("[data-action=new]")?.click()),
    g: () => { firstAt = performance.now(); },
  };
  const listener = (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.altKey && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      event.preventDefault();
      return move(session, event.key === "ArrowDown" ? 1 : -1);
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      return search();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (event.key === "Escape") return leave();
    if (isField(event.target) || !preferences().singleKeys) return undefined;
    const section = performance.now() - firstAt < SECOND_KEY_MS && SECTION_KEYS[event.key];
    firstAt = 0;
    const action = section ? () => go(sectionPlace(section)) : single[event.key];
    if (!action) return undefined;
    event.preventDefault();
    return action();
  };
  addEventListener("keydown", listener);
  return () => removeEventListener("keydown", listener);
}

const isField = (element) => element.closest?.("input, textarea, select, [contenteditable]");

/** The messages' screen has the list; it is shown in the next frame. */
function toMessages(then) {
  if (readPlace(location.hash).section !== "messages") go(sectionPlace("messages"));
  requestAnimationFrame(() => requestAnimationFrame(then));
}

const search = () => toMessages(() => document.querySelector("[data-action=search]")?.focus());

function move(session, step) {
  const keys = inOrder(session.log.conversations.values()).map(({ key }) => key);
  const at = keys.indexOf(readPlace(location.hash).key);
  const key = keys[at < 0 ? 0 : (at + step + keys.length) % keys.length];
  if (key) go(conversationPlace(key));
}

/** Escape goes to where one writes; from there, on a narrow screen, to the list. */
function leave() {
  const write = document.querySelector(".composer textarea");
  if (write && document.activeElement !== write) write.focus();
  else if (write) document.querySelector(".list li a[aria-current]")?.focus();
}
