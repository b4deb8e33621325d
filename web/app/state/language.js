// The texts in the person's language, and numbers and times as that language writes them.

import { en } from "../texts/en.js";

/** The languages that the app has, each by its own name. */
export const LANGUAGES = { en: "English", es: "Español" };
const FIRST = { en: () => ({ en }), es: () => import("../texts/es.js") };
/** What only screens say that are loaded when they are opened. */
const LATER = { en: () => import("../texts/later_en.js"), es: () => import("../texts/later_es.js") };

let texts = en;
let current = "en";
/** Settles when the texts of the screens that are loaded later are there; undefined until one of them is opened. */
let all;

/** Use a language: one of `LANGUAGES`, or undefined for the browser's. */
export async function useLanguage(wanted) {
  const asked = wanted ? [wanted] : navigator.languages ?? [];
  const code = asked.map((each) => each.split("-")[0]).find((each) => each in LANGUAGES) ?? "en";
  useTexts(code, { ...(await FIRST[code]())[code], ...(all && (await LATER[code]())[code]) });
  document.documentElement.lang = code;
}

/** Load the texts of the screens that are loaded when they are opened. */
export function useAllTexts() {
  all ??= LATER[current]().then((later) => useTexts(current, { ...texts, ...later[current] }));
  all.catch(() => (all = undefined));
  return all;
}

/** Use the texts of a language, which are loaded. */
export function useTexts(code, loaded = en) {
  current = code;
  texts = { ...en, ...loaded };
  formats.clear();
}

/** The present language's code. */
export const language = () => current;

/** Return a text by its name. `{field}` is filled in; a text that counts has one form for each plural of `count`. */
export function t(name, fields = {}) {
  let text = texts[name];
  if (text === undefined) return name;
  if (typeof text === "object") text = text[new Intl.PluralRules(current).select(fields.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, field) => fields[field] ?? "");
}

const formats = new Map();

function formatted(name, make) {
  if (!formats.has(name)) formats.set(name, make());
  return formats.get(name);
}

const dates = (name, options) => formatted(name, () => new Intl.DateTimeFormat(current, options));

export const clockTime = (ms) => dates("time", { hour: "numeric", minute: "2-digit" }).format(ms);
export const fullTime = (ms) => dates("full", { dateStyle: "full", timeStyle: "short" }).format(ms);
export const dateTime = (ms) => dates("dateTime", { dateStyle: "medium", timeStyle: "short" }).format(ms);
export const longDate = (ms) => dates("long", { day: "numeric", month: "long", year: "numeric" }).format(ms);
export const count = (value) => formatted("number", () => new Intl.NumberFormat(current)).format(value);

const midnight = (ms) => new Date(ms).setHours(0, 0, 0, 0);
const DAY_MS = 86_400_000;

/** How many days ago a time was, by the calendar. */
export const daysAgo = (ms, now = Date.now()) => Math.round((midnight(now) - midnight(ms)) / DAY_MS);
export const sameDay = (a, b) => midnight(a) === midnight(b);

/** A day in words. `width`: `long`, as a line between messages shows it, or `short`, as lists do. */
export function dayName(ms, width = "long", now = Date.now()) {
  const days = daysAgo(ms, now);
  if (days === 0) return t("today");
  if (days === 1) return t("yesterday");
  if (days > 1 && days < 7) return dates(`weekday ${width}`, { weekday: width }).format(ms);
  const sameYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  const more = !sameYear ? { year: "numeric" } : width === "long" && { weekday: width };
  return dates(`${width} ${sameYear}`, { day: "numeric", month: width, ...more }).format(ms);
}

/** A time as the list of conversations shows it: that of today, or the day. */
export const listTime = (ms, now = Date.now()) => (daysAgo(ms, now) <= 0 ? clockTime(ms) : dayName(ms, "short", now));

/** A duration in seconds: `4:09`, `1:02:03`. */
export function duration(seconds) {
  const [minutes, rest] = [Math.floor(seconds / 60), String(seconds % 60).padStart(2, "0")];
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}
