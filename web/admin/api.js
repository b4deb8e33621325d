// The admin routes. The token travels in the Authorization header alone: no URL, no cookie, no form ever holds it.

import { parse } from "./ids.js";

const KEPT = "buzz-admin-token";
const PATIENCE_MS = 15_000;

/** A request that did not succeed. `status` 0: no answer. `message` is meant to be read. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** The token is no good (any more), or not an admin's. */
  get credential() {
    return this.status === 401 || this.status === 403;
  }
}

/** The token of this tab: it is gone when the tab is closed. */
export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

/** Ask; gives `{value, next}`: the answer, and where a list goes on. Throws Failure, or AbortError if `signal` fires. */
export async function ask(method, path, { body, signal, using = token.get(), long = false } = {}) {
  const answer = await send(method, path, { body, signal, using, long });
  const value = answer.status === 204 ? null : await read(answer);
  if (!answer.ok) throw new Failure(answer.status, reason(answer, value));
  const next = /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get("Link") ?? "");
  return { value, next: next ? next[1] : null };
}

/** The value alone. */
export async function get(path, more) {
  return (await ask("GET", path, more)).value;
}

/** The rows of a list from as many pages as it takes, at most `most` of them; `next`: whether it goes on after them. */
export async function every(path, most, more) {
  const rows = [];
  for (let next = path; next;) {
    const found = await ask("GET", next, more);
    rows.push(...found.value);
    next = found.next;
    if (rows.length >= most) return { rows: rows.slice(0, most), next: next !== null || rows.length > most };
  }
  return { rows, next: false };
}

/** A recording, as an address that this page alone can play. Whoever asked revokes it. */
export async function media(path) {
  const answer = await send("GET", path, { using: token.get() });
  if (!answer.ok) throw new Failure(answer.status, reason(answer, await read(answer)));
  return URL.createObjectURL(await answer.blob());
}

/** What `/readyz` says: also when it is that the node is not ready. */
export async function readiness(signal) {
  return read(await send("GET", "/readyz", { signal, using: token.get() }));
}

/** An answer's JSON, or null if it has none. */
async function read(answer) {
  try {
    return parse(await answer.text());
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

async function send(method, path, { body, signal, using, long }) {
  const headers = { Accept: "application/json", Authorization: `Bearer ${using}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const patience = long ? [] : [AbortSignal.timeout(PATIENCE_MS)];
  try {
    return await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any([...patience, ...(signal ? [signal] : [])]),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, error.name === "TimeoutError"
      ? "The server did not answer in time."
      : "The server can’t be reached.");
  }
}

function reason(answer, value) {
  const said = value?.error?.message ?? value?.message;
  if (typeof said === "string") return said;
  return `The server answered ${answer.status}.`;
}
