/** A key store in a file, for Node, Deno and Bun; and the rest of `buzz-client/encryption`. */

import { mkdir, open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { lockFile } from "../file_lock.js"
import { KeysInUse } from "./errors.js"
import { libraries } from "./index.js"
import { NodePrimitives } from "./node_primitives.js"
import { sealedMessagesWith } from "./sealed_messages.js"
import { textKeys } from "./stores/text.js"

export * from "./index.js"

/** @import { KeyStore } from "./stores/text.js" */

/**
 * Return a key store in a file that only this user may read (mode 0600), replaced in one step.
 *
 * One program at a time may use the file: every method rejects with `KeysInUse` if another one does. `close` stores
 * everything and lets another one use it; so does the end of the program.
 *
 * @param {string} path
 * @returns {KeyStore & { close: () => Promise<void> }}
 */
export function fileKeys(path) {
  /** @type {(() => void) | undefined} */
  let release
  const locked = () => {
    release = lockFile(path, KeysInUse)
    return load(path)
  }
  const save = (/** @type {string} */ text) => {
    if (!release) throw new Error(`the keys in ${path} were closed`)
    return replace(path, text)
  }
  const keys = textKeys({ load: async () => locked(), save })
  const close = async () => {
    await keys.flush()
    release?.()
    release = undefined
  }
  return { ...keys, close }
}

/**
 * The same as in `buzz-client/encryption`, on Node's own functions.
 *
 * @param {{ keys: KeyStore, now?: () => number }} options
 */
export function sealedMessages(options) {
  return sealedMessagesWith(libraries, options, NodePrimitives)
}

/** @param {string} path */
async function load(path) {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return undefined
    throw error
  }
}

/** @param {string} path @param {string} text */
async function replace(path, text) {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}.tmp`
  const file = await open(draft, "w", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
}
