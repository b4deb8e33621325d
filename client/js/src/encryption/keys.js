/** A device's own keys: its identity, and its sealing keys, which are replaced every 30 days. */

import { fromBase64, toBase64, toHex } from "./encoding.js"
import { SEED_BYTES } from "./primitives.js"

/** @import { Bytes } from "./encoding.js" */
/** @import { Identity, Primitives } from "./primitives.js" */

export const DAY_SECONDS = 86_400
/** How long a sealing key is the newest. */
export const SEALING_KEY_SECONDS = 30 * DAY_SECONDS
/** How long its secret is kept after that. */
export const KEPT_SECONDS = 30 * DAY_SECONDS
export const DEVICE_TAG_BYTES = 16

/**
 * Return the name of a device in messages, hexadecimal: nobody else's device can have the same.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {string} deviceId
 * @param {string} identity base64
 */
export async function deviceTag(use, personId, deviceId, identity) {
  const digest = await use.sha256("buzz device v1", personId, deviceId, fromBase64(identity))
  return toHex(digest.subarray(0, DEVICE_TAG_BYTES))
}

/**
 * A sealing key. `replacedAt`: since when it is no longer the newest; undefined: it is. `publicKey` is base64.
 *
 * @typedef {{ seed: Bytes, publicKey: string, createdAt: number, replacedAt?: number }} SealingKey
 */

/**
 * The secrets of a device. `sealing`: the newest first. Times are Unix seconds.
 *
 * @typedef {object} DeviceKeys
 * @property {number} personId
 * @property {string} deviceId
 * @property {Identity} identity
 * @property {string} tag
 * @property {SealingKey[]} sealing
 */

/**
 * Until when others may seal for this key: a device that was offline so long can still open that.
 *
 * @param {SealingKey} key
 */
export function expiresAt({ createdAt }) {
  return createdAt + SEALING_KEY_SECONDS + KEPT_SECONDS
}

/** @param {Primitives} use @param {Bytes} seed @param {number} now @returns {Promise<SealingKey>} */
export async function sealingKey(use, seed, now) {
  return { seed, publicKey: toBase64(await use.sealingPublic(seed)), createdAt: now }
}

/**
 * Return the keys of a new device.
 *
 * @param {Primitives} use
 * @param {number} personId
 * @param {string} deviceId
 * @param {Identity} identity
 * @param {number} now
 * @returns {Promise<DeviceKeys>}
 */
export async function createKeys(use, personId, deviceId, identity, now) {
  const sealing = [await sealingKey(use, use.random(SEED_BYTES), now)]
  return { personId, deviceId, identity, tag: await deviceTag(use, personId, deviceId, identity.publicKey), sealing }
}

/**
 * Return the keys with a new sealing key if the newest is 30 days old, and without those kept long enough; the same
 * object if nothing changes.
 *
 * @param {Primitives} use
 * @param {DeviceKeys} keys
 * @param {number} now
 */
export async function rotated(use, keys, now) {
  let [newest, ...older] = keys.sealing
  if (now - newest.createdAt >= SEALING_KEY_SECONDS) {
    older = [{ ...newest, replacedAt: now }, ...older]
    newest = await sealingKey(use, use.random(SEED_BYTES), now)
  }
  const kept = older.filter(({ replacedAt = 0 }) => now - replacedAt < KEPT_SECONDS)
  if (newest === keys.sealing[0] && kept.length === keys.sealing.length - 1) return keys
  return { ...keys, sealing: [newest, ...kept] }
}
