// Moments on the page: short, seen from now, exact in the tooltip; and kept right while the page stays open.

import { el } from "./dom.js";
import { relative } from "./format.js";

/** A moment (RFC 3339), or a dash. */
export function moment(text) {
  if (!text) return "–";
  const exact = `${new Date(text).toLocaleString()} (${text})`;
  return el("time", { datetime: text, title: exact, data: { relative: true } }, relative(text));
}

setInterval(() => {
  for (const each of document.querySelectorAll("time[data-relative]")) {
    const now = relative(each.dateTime);
    if (each.textContent !== now) each.textContent = now;
  }
}, 5_000);
