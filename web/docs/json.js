// JSON with its ids unrounded: integers that a JavaScript number would round are kept as their text.

export function read(text) {
  return JSON.parse(text, (key, value, from) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) ? (from?.source ?? null) : value);
}
