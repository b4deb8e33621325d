// What this device keeps for one person: its place in the log, what is not sent yet, and the opened history.

const VERSION = 2;
const ROWS = "rows";

/** Open the database of a person. Other windows of the same person share it. */
export async function openDatabase(personId) {
  const request = indexedDB.open(`buzz-app-${personId}`, VERSION);
  request.onupgradeneeded = ({ oldVersion }) => create(request.result, oldVersion);
  const opened = await done(request);
  opened.onversionchange = () => opened.close();
  return new Database(opened);
}

function create(database, oldVersion) {
  // What devices have sent that are not trusted yet, as the client gave it.
  database.createObjectStore("untrusted", { keyPath: "id" });
  if (oldVersion) return;
  database.createObjectStore("position");
  database.createObjectStore("parcels", { keyPath: "key" });
  database.createObjectStore(ROWS, { keyPath: ["conversation", "id"] }).createIndex("message", "messageId");
  database.createObjectStore("conversations", { keyPath: "key" });
  database.createObjectStore("outgoing", { keyPath: "messageId" });
  database.createObjectStore("drafts", { keyPath: "key" });
  database.createObjectStore("lists");
}

/** Resolves with a request's result. */
export const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** All rows of a conversation, or those between two ids. */
const rangeOf = (key, from = 0, to = Infinity) => IDBKeyRange.bound([key, from], [key, to]);

class Database {
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** Run `work` with the named stores in one transaction; resolves when it is durable. */
  async change(names, work) {
    const transaction = this.#database.transaction(names, "readwrite");
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const result = await work((name) => transaction.objectStore(name));
    await ended;
    return result;
  }

  #store(name) {
    return this.#database.transaction(name).objectStore(name);
  }

  all(name) {
    return done(this.#store(name).getAll());
  }

  get(name, key) {
    return done(this.#store(name).get(key));
  }

  put(name, value, key) {
    return this.change([name], (store) => void store(name).put(value, key));
  }

  delete(name, key) {
    return this.change([name], (store) => void store(name).delete(key));
  }

  /** The newest `count` rows of a conversation, oldest first. */
  async newest(key, count) {
    const rows = [];
    const request = this.#store(ROWS).openCursor(rangeOf(key), "prev");
    await new Promise((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor || rows.push(cursor.value) >= count) return resolve();
        cursor.continue();
      };
    });
    return rows.reverse();
  }

  /** The ids of all rows of a conversation, in order. */
  async ids(key) {
    return (await done(this.#store(ROWS).getAllKeys(rangeOf(key)))).map(([, id]) => id);
  }

  /** The rows of a conversation between two ids, both included. */
  between(key, from, to) {
    return done(this.#store(ROWS).getAll(rangeOf(key, from, to)));
  }

  /** Yield all rows in pieces, conversation by conversation: a search reads them. */
  async *pieces(size) {
    let after = IDBKeyRange.lowerBound(["", 0]);
    for (;;) {
      const rows = await done(this.#store(ROWS).getAll(after, size));
      if (rows.length) yield rows;
      if (rows.length < size) return;
      const last = rows.at(-1);
      after = IDBKeyRange.lowerBound([last.conversation, last.id], true);
    }
  }

  close() {
    this.#database.close();
  }
}
