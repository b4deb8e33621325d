/** A store in a file, for Node, Deno and Bun. */

import { mkdir, open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { BuzzError } from "./errors.js"
import { lockFile } from "./file_lock.js"
import { memoryStore } from "./store/memory.js"

/** @import { Store } from "./store/memory.js" */

/** Another program uses this store, or this one already. */
export class StoreInUse extends BuzzError {
  code = "store_in_use"
  name = "StoreInUse"
}

/**
 * Return a store in a small JSON file, replaced in one step: after a crash the file has the old contents or the new.
 *
 * One program at a time may use the file: every method rejects with `StoreInUse` if another one does. `close` stores
 * everything and lets another one use it; so does the end of the program.
 *
 * @param {string} path
 * @returns {Store & { close: () => Promise<void> }}
 */
export function fileStore(path) {
  const memory = memoryStore()
  /** @type {(() => void) | undefined} */
  let release
  const free = () => {
    release?.()
    release = undefined
  }
  const loaded = (async () => {
    release = lockFile(path, StoreInUse)
    await load(path, memory).catch((error) => {
      free()
      throw error
    })
  })()
  // A load that fails is reported by every method, not as a rejection that nobody handles.
  loaded.catch(() => {})
  /** @type {Promise<unknown>} */
  let writing = loaded
  /** @type {Promise<void> | undefined} */
  let next

  /** Write what is in memory. Calls during a write share the next one. */
  const written = () =>
    (next ??= writing
      .catch(() => {})
      .then(() => {
        next = undefined
        return (writing = save(path, memory))
      }))

  /** @param {() => unknown} change */
  const changed = async (change) => {
    await loaded
    if (!release) throw new Error(`the store in ${path} was closed`)
    change()
    return written()
  }
  return {
    loadPosition: () => loaded.then(() => memory.loadPosition()),
    loadParcels: () => loaded.then(() => memory.loadParcels()),
    savePosition: (position) => changed(() => memory.savePosition(position)),
    saveParcel: (parcel) => changed(() => memory.saveParcel(parcel)),
    deleteParcel: (key) => changed(() => memory.deleteParcel(key)),
    clear: () => changed(() => memory.clear()),
    async close() {
      await loaded.catch(() => {})
      await (next ?? writing).catch(() => {})
      free()
    },
  }
}

/** @param {string} path @param {Store} memory */
async function load(path, memory) {
  let text
  try {
    text = await readFile(path, "utf8")
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return
    throw error
  }
  const { position, parcels } = parse(text, path)
  if (position) memory.savePosition(position)
  for (const parcel of parcels) memory.saveParcel(parcel)
}

/** @param {string} text @param {string} path */
function parse(text, path) {
  try {
    const { position, parcels } = JSON.parse(text)
    if (Array.isArray(parcels)) return { position, parcels }
  } catch {
    // Refused below, as other contents that were not written by `save` are.
  }
  throw new Error(`${path} contains no store of buzz-client; delete it to start from the beginning`)
}

/** @param {string} path @param {Store} memory */
async function save(path, memory) {
  const contents = { position: await memory.loadPosition(), parcels: await memory.loadParcels() }
  await mkdir(dirname(path), { recursive: true })
  const draft = `${path}.${process.pid}.tmp`
  const file = await open(draft, "w", 0o600)
  try {
    await file.writeFile(JSON.stringify(contents))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
}
