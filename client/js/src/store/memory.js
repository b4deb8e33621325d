/** What a device keeps between runs: its position in the log, and what it has not sent yet. */

/** @import { Position } from "../core/keeping.js" */
/** @import { Parcel } from "../core/outbox.js" */

/**
 * Six methods. Each may be async; each is durable when it has returned.
 *
 * @typedef {object} Store
 * @property {() => Position | undefined | Promise<Position | undefined>} loadPosition
 * @property {(position: Position) => unknown} savePosition replace the position
 * @property {() => Parcel[] | Promise<Parcel[]>} loadParcels every parcel that was not deleted
 * @property {(parcel: Parcel) => unknown} saveParcel keep a parcel, by its `key`
 * @property {(key: string) => unknown} deleteParcel forget a parcel; an unknown key is no error
 * @property {() => unknown} clear forget everything: the person has signed out
 */

/** What a client has without a store: all that it needs while it runs is in its own memory. @type {Store} */
export const noStore = {
  loadPosition() {},
  savePosition() {},
  loadParcels: () => [],
  saveParcel() {},
  deleteParcel() {},
  clear() {},
}

/**
 * Return a store that lives as long as the page or process.
 *
 * @returns {Store}
 */
export function memoryStore() {
  /** @type {Position | undefined} */
  let kept
  /** @type {Map<string, Parcel>} */
  const parcels = new Map()
  return {
    loadPosition: () => kept,
    savePosition: (position) => void (kept = position),
    loadParcels: () => [...parcels.values()],
    saveParcel: (parcel) => void parcels.set(parcel.key, parcel),
    deleteParcel: (key) => void parcels.delete(key),
    clear() {
      kept = undefined
      parcels.clear()
    },
  }
}
