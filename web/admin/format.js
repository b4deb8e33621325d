// How values read. Pure: what is shown depends on the arguments and the reader's language alone.

import { parse } from "./ids.js";

const DAY = 86_400;

/** A count: 1,234,567. */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString();
}

/** `2 things`, `1 thing`. */
export function many(value, one, several = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : several}`;
}

/** A rate or another number that may be small: three digits that count. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString();
  return Number(value.toPrecision(3)).toLocaleString();
}

/** Seconds as a latency: 340 µs, 1.2 ms, 2.5 s. */
export function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds < 0.001) return `${short(seconds * 1e6)} µs`;
  if (seconds < 1) return `${short(seconds * 1e3)} ms`;
  return `${short(seconds)} s`;
}

/** Bytes: 12 B, 3.4 KiB, 5.6 MiB. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${short(value)} ${units[unit]}`;
}

/** A length of time in its largest whole unit: 45 s, 3 min, 2 h, 5 days. */
export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 60) return `${Math.round(size)} s`;
  if (size < 5_400) return `${Math.round(size / 60)} min`;
  if (size < 2 * DAY) return `${Math.round(size / 3_600)} h`;
  return many(Math.round(size / DAY), "day");
}

/** A moment seen from now: `5 min ago`, `in 2 h`. */
export function relative(text, nowMs = Date.now()) {
  const seconds = (nowMs - Date.parse(text)) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
}

/** Whole days from one date (`2024-07-05`) to another; negative when it lies before. */
export function daysBetween(from, to) {
  return Math.round((Date.parse(to) - Date.parse(from)) / (DAY * 1000));
}

/** A date for people: 28 Apr 2020, in the reader's language. Dates have no time zone: UTC keeps the day. */
export function day(text) {
  return new Date(text).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

/** A directory entry's name. */
export function personName(person) {
  return [person.first_name, person.middle_name, person.last_name].filter(Boolean).join(" ");
}

/** What a token says about itself: `{subject, expiresAtMs}`, unverified and only for showing; null if it is no JWT. */
export function tokenClaims(token) {
  try {
    const [, payload] = token.split(".");
    const text = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    const claims = parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    return { subject: String(claims.sub), expiresAtMs: claims.exp * 1000 };
  } catch {
    return null;
  }
}
