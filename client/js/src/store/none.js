/** What a client has that was given no store: everything that it needs while it runs is in its own memory. */

/** @type {import("./memory.js").Store} */
export const noStore = {
  loadPosition() {},
  savePosition() {},
  loadParcels: () => [],
  saveParcel() {},
  deleteParcel() {},
  clear() {},
}
