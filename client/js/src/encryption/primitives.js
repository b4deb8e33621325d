/**
 * The cryptographic functions: none is of our own making.
 *
 * HKDF-SHA256 (RFC 5869), AES-256-GCM (NIST SP 800-38D) and Ed25519 (RFC 8032) come from WebCrypto; HPKE (RFC 9180)
 * with the KEM X-Wing (draft-connolly-cfrg-xwing-kem, HPKE KEM id 0x647a) from the libraries that are passed in.
 */

import { framed, fromBase64, joined, toBase64 } from "./encoding.js"

/** @import { Bytes, Field } from "./encoding.js" */

/** @typedef {{ zip215: boolean }} Rules */
/**
 * @callback VerifyAsync
 * @param {Uint8Array} signature
 * @param {Uint8Array} message
 * @param {Uint8Array} key
 * @param {Rules} rules
 * @returns {Promise<boolean>}
 */

/**
 * The part of `@noble/ed25519` that is used where the platform has no Ed25519.
 *
 * @typedef {object} NobleEd25519
 * @property {(seed: Uint8Array) => Promise<Uint8Array>} getPublicKeyAsync
 * @property {(message: Uint8Array, seed: Uint8Array) => Promise<Uint8Array>} signAsync
 * @property {VerifyAsync} verifyAsync
 */

/**
 * Other people's libraries, as the package's entry module imports them, or a page that keeps its own copies.
 *
 * @typedef {object} Libraries
 * @property {any} hpke `@hpke/core`
 * @property {any} xWing `@hpke/hybridkem-x-wing`
 * @property {() => Promise<NobleEd25519>} [ed25519] loads `@noble/ed25519`
 */

/**
 * A device identity. `secret` is what the key store keeps: a key that can't be read, or a seed of 32 bytes.
 *
 * @typedef {object} Identity
 * @property {string} publicKey base64
 * @property {CryptoKey | Bytes} secret
 */

export const SEED_BYTES = 32
export const IDENTITY_BYTES = 32
export const SEALING_PUBLIC_BYTES = 1_216
export const SIGNATURE_BYTES = 64
export const ENCAPSULATED_BYTES = 1_120
export const TAG_BYTES = 16
// RFC 8410: what comes before the seed in a private key's PKCS #8 form.
export const PKCS8 = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32)
const MAX_IMPORTED = 256

/** The functions, on these libraries and the platform's WebCrypto. */
export class Primitives {
  /** @type {Map<string, Promise<CryptoKey>>} */
  #verifiers = new Map()
  /** @type {WeakMap<Bytes, Promise<CryptoKey>>} */
  #signers = new WeakMap()

  /**
   * @param {Libraries} libraries
   * @param {NobleEd25519 | undefined} noble where the platform has no Ed25519
   */
  constructor({ hpke, xWing }, noble) {
    const { crypto } = globalThis
    this.subtle = crypto.subtle
    this.noble = noble
    this.kem = new xWing.XWing()
    this.suite = new hpke.CipherSuite({ kem: this.kem, kdf: new hpke.HkdfSha256(), aead: new hpke.Aes256Gcm() })
    /** @type {(length: number) => Bytes} */
    this.random = (length) => crypto.getRandomValues(new Uint8Array(length))
  }

  /** Return them, with the fallback for Ed25519 if the platform needs it. @param {Libraries} libraries */
  static async on(libraries) {
    const { subtle } = globalThis.crypto ?? {}
    if (!subtle) throw new TypeError("this page or platform has no WebCrypto (crypto.subtle); a page needs https")
    return new this(libraries, (await hasEd25519(subtle)) ? undefined : await fallback(libraries))
  }

  /** @param {"SHA-256" | "SHA-512"} algorithm @param {Bytes} data @returns {Promise<Bytes>} */
  async hash(algorithm, data) {
    return new Uint8Array(await this.subtle.digest(algorithm, data))
  }

  /** @param {...Field} fields */
  sha256(...fields) {
    return this.hash("SHA-256", framed(...fields))
  }

  /**
   * Return HKDF-SHA256 of the key with an empty salt, once for each (info, length).
   *
   * @param {Bytes} key
   * @param {...[Bytes, number]} wanted
   */
  async derive(key, ...wanted) {
    const { subtle } = this
    const material = await subtle.importKey("raw", key, "HKDF", false, ["deriveBits"])
    const salt = new Uint8Array()
    return Promise.all(
      wanted.map(async ([info, length]) => {
        const how = { name: "HKDF", hash: "SHA-256", salt, info }
        return new Uint8Array(await subtle.deriveBits(how, material, 8 * length))
      }),
    )
  }

  /**
   * Return the AES-256-GCM ciphertext with its tag.
   *
   * @param {Bytes} key
   * @param {Bytes} iv
   * @param {Bytes} plaintext
   * @param {Bytes} additionalData
   */
  async encrypt(key, iv, plaintext, additionalData) {
    const imported = await this.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"])
    return new Uint8Array(await this.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, imported, plaintext))
  }

  /**
   * Return the plaintext; undefined if the ciphertext or what it is bound to was changed.
   *
   * @param {Bytes} key
   * @param {Bytes} iv
   * @param {Bytes} ciphertext
   * @param {Bytes} additionalData
   */
  async decrypt(key, iv, ciphertext, additionalData) {
    const imported = await this.subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"])
    try {
      return new Uint8Array(await this.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, imported, ciphertext))
    } catch {
      return undefined
    }
  }

  // --- Ed25519 -----------------------------------------------------------------------------------------------------

  /**
   * Return a new identity whose secret can't be read, where the platform has Ed25519; else a seed.
   *
   * @returns {Promise<Identity>}
   */
  async newIdentity() {
    if (this.noble) return this.identityOf(this.random(SEED_BYTES))
    const pair = /** @type {CryptoKeyPair} */ (await this.subtle.generateKey("Ed25519", false, ["sign", "verify"]))
    const publicKey = new Uint8Array(await this.subtle.exportKey("raw", pair.publicKey))
    return { publicKey: toBase64(publicKey), secret: pair.privateKey }
  }

  /** Return the identity of a seed. @param {Bytes} seed @returns {Promise<Identity>} */
  async identityOf(seed) {
    if (this.noble) return { publicKey: toBase64(await this.noble.getPublicKeyAsync(seed)), secret: seed }
    const key = await this.#signer(seed, true)
    const { x = "" } = await this.subtle.exportKey("jwk", key)
    return { publicKey: x.replace(/-/g, "+").replace(/_/g, "/") + "=", secret: seed }
  }

  /** @param {Bytes} seed @param {boolean} extractable */
  #signer(seed, extractable) {
    return this.subtle.importKey("pkcs8", joined(PKCS8, seed), "Ed25519", extractable, ["sign"])
  }

  /** Return the identity's signature. @param {Identity} identity @param {Bytes} data @returns {Promise<Bytes>} */
  async sign({ secret }, data) {
    if (!(secret instanceof Uint8Array)) return new Uint8Array(await this.subtle.sign("Ed25519", secret, data))
    if (this.noble) return new Uint8Array(await this.noble.signAsync(data, secret))
    const key = this.#signers.get(secret) ?? this.#signer(secret, false)
    this.#signers.set(secret, key)
    return new Uint8Array(await this.subtle.sign("Ed25519", await key, data))
  }

  /**
   * Return whether this is the owner's signature of the data.
   *
   * @param {string} publicKey base64
   * @param {Bytes} signature
   * @param {Bytes} data
   */
  async signedBy(publicKey, signature, data) {
    try {
      if (this.noble) return await this.noble.verifyAsync(signature, data, fromBase64(publicKey), { zip215: false })
      return await this.subtle.verify("Ed25519", await this.#verifier(publicKey), signature, data)
    } catch {
      return false
    }
  }

  /** @param {string} publicKey */
  #verifier(publicKey) {
    const known = this.#verifiers.get(publicKey)
    if (known) return known
    const imported = this.subtle.importKey("raw", fromBase64(publicKey), "Ed25519", false, ["verify"])
    if (this.#verifiers.size >= MAX_IMPORTED) this.#verifiers.clear()
    this.#verifiers.set(publicKey, imported)
    return imported
  }

  // --- HPKE --------------------------------------------------------------------------------------------------------

  /** Return the X-Wing public key of a seed. @param {Bytes} seed @returns {Promise<Bytes>} */
  async sealingPublic(seed) {
    const { publicKey } = await this.kem.generateKeyPairDerand(seed.slice())
    return new Uint8Array(await this.kem.serializePublicKey(publicKey))
  }

  /**
   * Encrypt for the owner of an X-Wing key: the encapsulated key, then the ciphertext.
   *
   * @param {Bytes} publicKey
   * @param {Bytes} info
   * @param {Bytes} plaintext
   * @returns {Promise<Bytes>}
   * @throws {Error} if the key can't be used
   */
  async sealTo(publicKey, info, plaintext) {
    const recipientPublicKey = await this.kem.deserializePublicKey(publicKey.slice())
    const { enc, ct } = await this.suite.seal({ recipientPublicKey, info }, plaintext)
    return joined(new Uint8Array(enc), new Uint8Array(ct))
  }

  /**
   * Decrypt what was encrypted for this seed's key; undefined if it was not, or is damaged.
   *
   * @param {Bytes} seed
   * @param {Bytes} info
   * @param {Bytes} sealed
   * @returns {Promise<Bytes | undefined>}
   */
  async unseal(seed, info, sealed) {
    try {
      const recipientKey = await this.kem.importKey("raw", seed.slice(), false)
      const enc = sealed.slice(0, ENCAPSULATED_BYTES)
      return new Uint8Array(await this.suite.open({ recipientKey, enc, info }, sealed.slice(ENCAPSULATED_BYTES)))
    } catch {
      return undefined
    }
  }
}

/** @param {SubtleCrypto} subtle */
async function hasEd25519(subtle) {
  try {
    await subtle.importKey("raw", new Uint8Array(IDENTITY_BYTES).fill(1), "Ed25519", false, ["verify"])
    return true
  } catch (error) {
    // A platform that has it may refuse this key; one that lacks it says that it does not know the algorithm.
    return /** @type {Error} */ (error)?.name === "DataError"
  }
}

/** @param {Libraries} libraries */
async function fallback({ ed25519 }) {
  if (!ed25519) throw new TypeError("this platform has no Ed25519: install @noble/ed25519")
  return ed25519()
}
