/** The same functions from `node:crypto`, which answers at once: WebCrypto takes longer to ask than to compute. */

import * as node from "node:crypto"
import { fromBase64, joined } from "./encoding.js"
import { PKCS8, Primitives } from "./primitives.js"

/** @import { Bytes } from "./encoding.js" */
/** @import { Identity } from "./primitives.js" */

const TAG_BYTES = 16
const NO_SALT = new Uint8Array()
// RFC 8410: what comes before an Ed25519 public key in its SPKI form.
const SPKI = Uint8Array.of(48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0)
const MAX_KEYS = 256

/** The functions for Node. */
export class NodePrimitives extends Primitives {
  /** @type {WeakMap<Bytes, node.KeyObject>} */
  #signers = new WeakMap()
  /** @type {Map<string, node.KeyObject>} */
  #verifiers = new Map()

  /** @param {Bytes} key @param {...[Bytes, number]} wanted */
  async derive(key, ...wanted) {
    const secret = node.createSecretKey(key)
    return wanted.map(([info, length]) => new Uint8Array(node.hkdfSync("sha256", secret, NO_SALT, info, length)))
  }

  /** @param {Bytes} key @param {Bytes} iv @param {Bytes} plaintext @param {Bytes} additionalData */
  async encrypt(key, iv, plaintext, additionalData) {
    const cipher = node.createCipheriv("aes-256-gcm", key, iv).setAAD(additionalData)
    const parts = [cipher.update(plaintext), cipher.final()]
    return joined(...[...parts, cipher.getAuthTag()].map((part) => new Uint8Array(part)))
  }

  /** @param {Bytes} key @param {Bytes} iv @param {Bytes} ciphertext @param {Bytes} additionalData */
  async decrypt(key, iv, ciphertext, additionalData) {
    const end = ciphertext.length - TAG_BYTES
    if (end < 0) return undefined
    const decipher = node.createDecipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES }).setAAD(additionalData)
    decipher.setAuthTag(ciphertext.subarray(end))
    try {
      const parts = [decipher.update(ciphertext.subarray(0, end)), decipher.final()]
      return joined(...parts.map((part) => new Uint8Array(part)))
    } catch {
      return undefined
    }
  }

  /** @param {Identity} identity @param {Bytes} data @returns {Promise<Bytes>} */
  async sign(identity, data) {
    const { secret } = identity
    if (!(secret instanceof Uint8Array)) return super.sign(identity, data)
    const seed = /** @type {Bytes} */ (secret)
    const key = this.#signers.get(seed) ?? node.createPrivateKey(der(joined(PKCS8, seed), "pkcs8"))
    this.#signers.set(seed, key)
    return new Uint8Array(node.sign(null, data, key))
  }

  /** @param {string} publicKey @param {Bytes} signature @param {Bytes} data */
  async signedBy(publicKey, signature, data) {
    try {
      return node.verify(null, data, this.#verifier(publicKey), signature)
    } catch {
      return false
    }
  }

  /** @param {string} publicKey */
  #verifier(publicKey) {
    const key = this.#verifiers.get(publicKey) ?? node.createPublicKey(der(joined(SPKI, fromBase64(publicKey)), "spki"))
    if (this.#verifiers.size >= MAX_KEYS) this.#verifiers.clear()
    this.#verifiers.set(publicKey, key)
    return key
  }
}

/** @param {Bytes} key @param {"pkcs8" | "spki"} type @returns {any} */
function der(key, type) {
  return { key: Buffer.from(key), format: "der", type }
}
