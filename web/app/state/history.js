// The rows of one open conversation: all ids, and the rows that were looked at.

const NEWEST = 60;
const PIECE = 100;

/** The first index whose id is not below `id`. */
export function indexOf(ids, id) {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ids[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One conversation's rows. `changed` is called when there is something new to show. */
export class History {
  ids = [];
  #rows = new Map();
  #loading = new Map();

  constructor(database, key, changed) {
    this.database = database;
    this.key = key;
    this.changed = changed;
  }

  /** Read the newest rows, so that there is something to see, then the ids of all. */
  async open() {
    this.#keep(await this.database.newest(this.key, NEWEST));
    this.changed();
    if (this.ids.length < NEWEST) return;
    const ids = await this.database.ids(this.key);
    const newest = ids.at(-1) ?? 0;
    this.ids = [...ids, ...this.ids.filter((id) => id > newest)];
    this.changed();
  }

  /** The row at an index, or undefined if it is not in memory: then `load` fetches it. */
  at(index) {
    return this.#rows.get(this.ids[index]);
  }

  get(id) {
    return this.#rows.get(id);
  }

  /** The row of a message that is in memory. */
  byMessage(messageId) {
    for (let index = this.ids.length - 1; index >= 0; index -= 1) {
      const row = this.at(index);
      if (row?.messageId === messageId && row.type === "chat_message") return row;
    }
    return undefined;
  }

  /** Fetch the rows from one index to another that are not in memory. */
  async load(from, to) {
    for (let piece = Math.floor(Math.max(0, from) / PIECE); piece * PIECE <= to; piece += 1) {
      await this.#loadPiece(piece * PIECE, Math.min(this.ids.length, (piece + 1) * PIECE) - 1);
    }
  }

  async #loadPiece(first, last) {
    const name = this.ids[first];
    if (first > last) return undefined;
    if (!this.#loading.has(name)) {
      let missing = false;
      for (let index = first; index <= last && !missing; index += 1) missing = !this.#rows.has(this.ids[index]);
      if (!missing) return undefined;
      this.#loading.set(name, this.#read(name, this.ids[last]).finally(() => this.#loading.delete(name)));
    }
    return this.#loading.get(name);
  }

  async #read(from, to) {
    for (const row of await this.database.between(this.key, from, to)) {
      if (!this.#rows.has(row.id)) this.#rows.set(row.id, row);
    }
    this.changed();
  }

  /** Take a row that has just arrived, or has changed. */
  put(row) {
    this.#keep([row]);
    this.changed();
  }

  /** Another window has stored rows: read those again that could not be opened here. */
  async refresh() {
    const doubtful = [...this.#rows.values()].filter(({ problem }) => problem);
    for (const { id } of doubtful) {
      const row = await this.database.get("rows", [this.key, id]);
      if (row && !row.problem) this.put(row);
    }
  }

  clear() {
    this.ids = [];
    this.#rows.clear();
    this.changed();
  }

  #keep(rows) {
    for (const row of rows) {
      this.#rows.set(row.id, row);
      const index = indexOf(this.ids, row.id);
      if (index === this.ids.length) this.ids.push(row.id);
      else if (this.ids[index] !== row.id) this.ids.splice(index, 0, row.id);
    }
  }
}
