/** A store in the browser's database, which all tabs of the origin share. */

/** @import { Position } from "../core/keeping.js" */
/** @import { Parcel } from "../core/outbox.js" */
/** @import { Store } from "./memory.js" */

const POSITION = "position"
const PARCELS = "parcels"

/**
 * Return a store in IndexedDB. Use one name for each person.
 *
 * @param {string} [name]
 * @param {IDBFactory} [factory]
 * @returns {Store}
 */
export function indexedDBStore(name = "buzz-client", factory = globalThis.indexedDB) {
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening
  const open = () => (opening ??= openDatabase(factory, name, () => (opening = undefined)))

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: (name: string) => IDBObjectStore) => IDBRequest<T> | void} work
   * @returns {Promise<T>}
   */
  const run = async (mode, work) => {
    const transaction = (await open()).transaction([POSITION, PARCELS], mode)
    return new Promise((resolve, reject) => {
      const request = work((each) => transaction.objectStore(each))
      transaction.oncomplete = () => resolve(/** @type {T} */ (request?.result))
      transaction.onabort = () => reject(transaction.error)
    })
  }
  return {
    loadPosition: () => run("readonly", (store) => store(POSITION).get(0)),
    savePosition: (position) => run("readwrite", (store) => saveIfNewer(store(POSITION), position)),
    loadParcels: () => run("readonly", (store) => store(PARCELS).getAll()),
    saveParcel: (parcel) => run("readwrite", (store) => store(PARCELS).put(parcel)),
    deleteParcel: (key) => run("readwrite", (store) => store(PARCELS).delete(key)),
    clear: () =>
      run("readwrite", (store) => {
        store(POSITION).clear()
        store(PARCELS).clear()
      }),
  }
}

/**
 * Another tab of this device may have handled more, in the same history.
 *
 * @param {IDBObjectStore} store
 * @param {Position} position
 */
function saveIfNewer(store, position) {
  const request = store.get(0)
  request.onsuccess = () => {
    const kept = request.result
    const same = kept?.epoch === position.epoch && kept.personId === position.personId
    if (!same || kept.lastActivityId < position.lastActivityId) store.put(position, 0)
  }
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
    request.onupgradeneeded = () => {
      request.result.createObjectStore(POSITION)
      request.result.createObjectStore(PARCELS, { keyPath: "key" })
    }
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
