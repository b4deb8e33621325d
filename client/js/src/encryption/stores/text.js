/** Key stores that are one text: in memory, or kept by functions that load and save it. */

import { fromBase64, toBase64 } from "../encoding.js"

/**
 * One row: its value, and a version that grows with each change.
 *
 * @typedef {{ key: string, version: number, value: any }} Row
 */

/**
 * One row to write, or to delete if `value` is undefined. `version`: the one that the change was made from (0: there was
 * no row); without it the row is written whatever is there.
 *
 * @typedef {{ key: string, value?: any, version?: number }} Change
 */

/**
 * Where a device's keys are kept: rows by key.
 *
 * @typedef {object} KeyStore
 * @property {boolean} holdsKeys whether it can keep a `CryptoKey`, whose secret can't be read
 * @property {boolean} shared whether other tabs use the same rows at the same time
 * @property {(key: string) => Promise<Row | undefined>} get
 * @property {(prefix: string) => Promise<Row[]>} list the rows whose keys begin so
 * @property {(changes: Change[], options?: { lazy?: boolean }) => Promise<boolean>} commit make all changes, or none if a
 *   row has another version by now: then it returns false. Durable when it returns, or if `lazy`: with the next `flush`
 * @property {() => Promise<unknown>} flush return when everything is durable
 */

/**
 * Return a key store in one text, for a single program at a time.
 *
 * @param {object} file
 * @param {() => string | null | undefined | Promise<string | null | undefined>} file.load
 * @param {(text: string) => unknown} file.save replaces the text in one step, and returns when that is durable
 * @returns {KeyStore}
 */
export function textKeys({ load, save }) {
  /** @type {Map<string, Row>} */
  const rows = new Map()
  const loaded = (async () => {
    for (const row of read(await load())) rows.set(row.key, row)
  })()
  // A load that fails is reported by every method, not as a rejection that nobody handles.
  loaded.catch(() => {})
  /** @type {Promise<unknown>} */
  let writing = loaded
  /** @type {Promise<unknown> | undefined} */
  let next
  let dirty = false

  /** Write what is in memory. Calls during a write share the next one. */
  const flush = async () => {
    if (!dirty && !next) return writing
    next ??= writing
      .catch(() => {})
      .then(() => {
        next = undefined
        dirty = false
        return (writing = written())
      })
    return next
  }
  const written = async () => {
    try {
      await save(JSON.stringify([...rows.values()], asText))
    } catch (error) {
      dirty = true
      throw error
    }
  }
  return {
    holdsKeys: false,
    shared: false,
    async get(key) {
      await loaded
      return rows.get(key)
    },
    async list(prefix) {
      await loaded
      return [...rows.values()].filter(({ key }) => key.startsWith(prefix))
    },
    async commit(changes, { lazy = false } = {}) {
      await loaded
      const versionOf = (/** @type {string} */ key) => rows.get(key)?.version ?? 0
      if (changes.some(({ key, version }) => version !== undefined && version !== versionOf(key))) return false
      for (const { key, value } of changes) {
        if (value === undefined) rows.delete(key)
        else rows.set(key, { key, version: versionOf(key) + 1, value })
      }
      dirty = true
      if (!lazy) await flush()
      return true
    },
    flush,
  }
}

/**
 * Return a key store that lives as long as the page or process: for tests. Every run is a new device.
 *
 * @returns {KeyStore}
 */
export function memoryKeys() {
  return textKeys({ load: () => undefined, save: () => undefined })
}

/** @param {string} _ @param {any} value */
function asText(_, value) {
  return value instanceof Uint8Array ? { $bytes: toBase64(value) } : value
}

/** @param {string} _ @param {any} value */
function fromText(_, value) {
  return typeof value?.$bytes === "string" ? fromBase64(value.$bytes) : value
}

/** @param {string | null | undefined} text @returns {Row[]} */
function read(text) {
  if (!text) return []
  let rows
  try {
    rows = JSON.parse(text, fromText)
  } catch (error) {
    throw new Error("what is stored are no keys of buzz-client", { cause: error })
  }
  if (Array.isArray(rows) && rows.every((row) => typeof row?.key === "string")) return rows
  throw new Error("what is stored are no keys of buzz-client")
}
