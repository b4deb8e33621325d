// Searching what this device has opened. The server can't search: it has only ciphertext.

import { folded, splitQuote } from "./rows.js";

const PIECE = 2_000;
const ENOUGH = 100;

// The server gives times in whole seconds.
const newest = (a, b) => b.at - a.at || b.id - a.id;

export class Search {
  /** The search that is shown: its words, what it found, and whether that is all. */
  #run = null;

  constructor(session) {
    this.session = session;
  }

  /**
   * Find messages; `found` is called with those known so far, newest first, and whether that is all. It is called again
   * for messages that arrive later, until the search is stopped.
   */
  async messages(words, found) {
    const run = { wanted: folded(words), rows: new Map(), all: false, found };
    this.#run = run;
    for await (const piece of this.session.database.pieces(PIECE)) {
      if (run !== this.#run) return;
      this.stored(piece);
    }
    if (run !== this.#run) return;
    run.all = true;
    this.#tell();
  }

  /** Look through rows of the database: those that were just read, or just written. */
  stored(rows) {
    if (!this.#run) return;
    const { wanted, rows: known } = this.#run;
    const fits = rows.filter(({ text }) => text && folded(text).includes(wanted));
    for (const row of fits) known.set(`${row.conversation} ${row.id}`, row);
    if (fits.length) this.#tell();
  }

  #tell() {
    const { rows, all, found } = this.#run;
    found([...rows.values()].sort(newest).slice(0, ENOUGH), all);
  }

  /** Stop a search that runs. */
  stop() {
    this.#run = null;
  }
}

/** Split a text around the first place where it has the words: `[before, found, after]`. What it quotes counts last. */
export function around(whole, words, room = 30) {
  const { quote, rest } = splitQuote(whole);
  const text = quote && !folded(rest).includes(folded(words)) ? quote : rest;
  const place = placeOf(text, folded(words));
  if (!place) return [text.slice(0, 2 * room), "", ""];
  const [at, end] = place;
  const from = Math.max(0, at - room);
  return [(from ? "…" : "") + text.slice(from, at), text.slice(at, end), text.slice(end, end + 2 * room)];
}

/** Where a text has what was searched: `[from, to]`, or null. Folded, a letter can have fewer or more units. */
function placeOf(text, wanted) {
  let all = "";
  const places = [];
  for (const { 0: letter, index } of text.matchAll(/./gsu)) {
    const unit = folded(letter);
    for (let count = 0; count < unit.length; count += 1) places.push(index);
    all += unit;
  }
  const at = all.indexOf(wanted);
  return at < 0 ? null : [places[at], places[at + wanted.length] ?? text.length];
}
