// The search over the guides and, on their pages, over the routes too. On the reference the page filters its own parts.

import { element } from "./dom.js";
import { read } from "./json.js";

const MOST = 30;
const AROUND = 70;

const field = document.getElementById("find");
const results = document.getElementById("results");
const article = document.querySelector("article.guide");
let entries = null;

// The list of pages is beside the text if there is room for both, else a fold above it.
const fold = document.querySelector("nav .fold");
const wide = matchMedia("(min-width: 56.01rem)");
const unfold = () => (fold.open = wide.matches);
unfold();
wide.addEventListener("change", unfold);
document.getElementById("contents").addEventListener("click", ({ target }) => target.closest("a") && unfold());

field.addEventListener("input", search);
field.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") move(event, results.querySelector("a"));
  if (event.key === "Escape") {
    field.value = "";
    field.dispatchEvent(new Event("input"));
  }
});
results.addEventListener("keydown", (event) => {
  const row = event.target.closest("li");
  if (event.key === "ArrowDown") move(event, row?.nextElementSibling?.querySelector("a"));
  if (event.key === "ArrowUp") move(event, row?.previousElementSibling?.querySelector("a") ?? field);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, textarea, select")) move(event, field);
});

function move(event, target) {
  if (!target) return;
  event.preventDefault();
  target.focus();
}

async function search() {
  try {
    entries ??= read(await (await fetch("/docs/search.json")).text());
  } catch {
    results.replaceChildren(element("p", { role: "alert" }, "The search could not be loaded. Try again."));
    results.hidden = false;
    return undefined;
  }
  // Read after the entries have arrived: more may have been typed meanwhile.
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return show([]);
  const ours = article ? entries : entries.filter(({ page }) => page !== "Reference");
  const found = ours.filter((entry) => words.every((word) => whole(entry).includes(word)));
  // Those whose heading has a word go first.
  found.sort((a, b) => named(b, words) - named(a, words));
  return show(found.slice(0, MOST), words, found.length);
}

const whole = (entry) => (entry.whole ??= `${entry.title} ${entry.page} ${entry.text}`.toLowerCase());
const named = ({ title }, words) => words.filter((word) => title.toLowerCase().includes(word)).length;

function show(found, words = [], count = 0) {
  // The reference says itself that it has nothing.
  results.hidden = !words.length || (!article && !found.length);
  if (article) article.hidden = Boolean(words.length);
  if (results.hidden) return results.replaceChildren();
  const rows = found.map((entry) =>
    element("li", {}, element("a", { href: entry.url }, entry.title), element("span", { class: "where" }, entry.page),
      element("p", {}, excerpt(entry.text, words))));
  const heading = count ? `${count} ${count === 1 ? "place" : "places"} in the ${article ? "documentation" : "guides"}` : "Nothing is found";
  return results.replaceChildren(element("h2", { role: "status" }, heading), element("ul", {}, ...rows));
}

function excerpt(text, words) {
  const places = words.map((word) => text.toLowerCase().indexOf(word)).filter((at) => at >= 0);
  const from = Math.max(0, Math.min(...places, text.length) - AROUND);
  return `${from ? "…" : ""}${text.slice(from, from + 3 * AROUND)}${from + 3 * AROUND < text.length ? "…" : ""}`;
}
