// Ids on this page are text, from the server's JSON to the address or body that names them again: as a JavaScript number
// an id beyond 2^53 would become another person's.

const ID = /^(id|sub|.+_id)$/;
const LARGEST = 2n ** 63n - 1n;

/**
 * Whether this browser shows the text of a JSON number to who reads it, and writes one from text (ECMAScript's "JSON.parse
 * source text access": Chromium from 114, Firefox from 135, Safari from 18.4).
 */
export const exact = typeof JSON.rawJSON === "function"
  && JSON.parse("[9007199254740993]", (_, value, from) => from?.source ?? value)[0] === "9007199254740993";

/** JSON as a value in which every id (`id`, `…_id`, and a token's `sub`) is the text of its digits. Throws SyntaxError. */
export function parse(text) {
  return JSON.parse(text, (key, value, from) => (typeof value === "number" && ID.test(key) ? from.source : value));
}

/** An id for a body that is sent as JSON: a number there, with exactly these digits. Throws Error for anything else. */
export function number(id) {
  return JSON.rawJSON(checked(id));
}

/** An id as it was typed, without the spaces around it. Throws Error, for the reader, unless it is one. */
export function typed(text, what = "A person’s id") {
  const id = text.trim();
  if (!isId(id)) throw new Error(`${what} is a whole number from 1 to ${LARGEST}, such as 456.`);
  return id;
}

function checked(id) {
  if (typeof id !== "string" || !isId(id)) throw new Error("This is not an id.");
  return id;
}

/** Whether the text is an id. */
export function isId(text) {
  return /^[1-9][0-9]{0,18}$/.test(text) && BigInt(text) <= LARGEST;
}
