/** A key store in the browser's database, which all tabs of the origin share. */

/** @import { Change, KeyStore, Row } from "./text.js" */

const ROWS = "rows"

/**
 * Return a key store in IndexedDB. Use one name for each person.
 *
 * @param {string} [name]
 * @param {IDBFactory} [factory]
 * @returns {KeyStore}
 */
export function indexedDBKeys(name = "buzz-keys", factory = globalThis.indexedDB) {
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening
  const open = () => (opening ??= openDatabase(factory, `${name} keys`, () => (opening = undefined)))

  /**
   * @template T
   * @param {(rows: IDBObjectStore) => IDBRequest<T>} ask
   * @returns {Promise<T>}
   */
  const read = async (ask) => {
    const request = ask((await open()).transaction(ROWS).objectStore(ROWS))
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  }
  return {
    holdsKeys: true,
    shared: true,
    get: (key) => read((rows) => rows.get(key)),
    list: (prefix) => read((rows) => rows.getAll(IDBKeyRange.bound(prefix, `${prefix}\uffff`))),
    async commit(changes, { lazy = false } = {}) {
      const durability = lazy ? "relaxed" : "strict"
      const transaction = (await open()).transaction(ROWS, "readwrite", { durability })
      const made = change(transaction.objectStore(ROWS), changes)
      return new Promise((resolve, reject) => {
        transaction.oncomplete = () => resolve(made.all)
        transaction.onabort = () => (made.all ? reject(transaction.error) : resolve(false))
      })
    },
    flush: async () => {},
  }
}

/** Make the changes, or abort if a row has another version. @param {IDBObjectStore} rows @param {Change[]} changes */
function change(rows, changes) {
  const made = { all: true }
  for (const { key, value, version } of changes) {
    const request = rows.get(key)
    request.onsuccess = () => {
      const now = /** @type {Row | undefined} */ (request.result)?.version ?? 0
      if (!made.all) return
      if (version !== undefined && version !== now) {
        made.all = false
        rows.transaction.abort()
      } else if (value === undefined) rows.delete(key)
      else rows.put({ key, version: now + 1, value })
    }
  }
  return made
}

/**
 * @param {IDBFactory} factory
 * @param {string} name
 * @param {() => void} closed
 * @returns {Promise<IDBDatabase>}
 */
function openDatabase(factory, name, closed) {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(ROWS, { keyPath: "key" })
    request.onsuccess = () => {
      const database = request.result
      // The browser may close it, and another tab may want to delete it: the next use opens it again.
      database.onclose = closed
      database.onversionchange = () => {
        database.close()
        closed()
      }
      resolve(database)
    }
    request.onerror = () => {
      closed()
      reject(request.error)
    }
  })
}
