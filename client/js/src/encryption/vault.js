/** Encrypts secrets before the key store keeps them, with a key that can't be read where a store can keep such keys. */

import { joined, utf8 } from "./encoding.js"

/** @import { Bytes } from "./encoding.js" */

const KEY_BYTES = 32
const NONCE_BYTES = 12
const decoder = new TextDecoder()

/**
 * Return a new key for a vault, as the store keeps it.
 *
 * @param {boolean} holdsKeys
 * @returns {Promise<CryptoKey | Bytes>}
 */
export async function newVaultKey(holdsKeys) {
  const { crypto } = globalThis
  if (!holdsKeys) return crypto.getRandomValues(new Uint8Array(KEY_BYTES))
  return crypto.subtle.generateKey({ name: "AES-GCM", length: 8 * KEY_BYTES }, false, ["encrypt", "decrypt"])
}

/** One key, and what it encrypts: the nonce, then the ciphertext. */
export class Vault {
  /** @param {CryptoKey} key */
  constructor(key) {
    this.key = key
  }

  /** @param {CryptoKey | Bytes} key as `newVaultKey` has returned it */
  static async with(key) {
    if (!(key instanceof Uint8Array)) return new Vault(key)
    return new Vault(await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]))
  }

  /** @param {Bytes} secret */
  async wrap(secret) {
    const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
    return joined(iv, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, this.key, secret)))
  }

  /** Throws if it was not wrapped by this key. @param {Bytes} wrapped */
  async unwrap(wrapped) {
    const iv = wrapped.slice(0, NONCE_BYTES)
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, this.key, wrapped.slice(NONCE_BYTES)))
  }

  /** @param {string} text */
  wrapText(text) {
    return this.wrap(utf8(text))
  }

  /** @param {Bytes} wrapped */
  async unwrapText(wrapped) {
    return decoder.decode(await this.unwrap(wrapped))
  }
}
