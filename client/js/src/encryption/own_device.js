/** This device's own keys in the key store: made once, replaced in time, and what is published of them. */

import { BuzzError } from "../errors.js"
import { createKeys, deviceTag, expiresAt, rotated } from "./keys.js"
import { SEED_BYTES } from "./primitives.js"
import { IDENTITY_ALGORITHM, NEVER, SEALING_ALGORITHM, makeStatement, writtenStatement } from "./statements.js"
import { Vault, newVaultKey } from "./vault.js"

/** @import { KeyAlgorithm } from "../answers.js" */
/** @import { Bytes } from "./encoding.js" */
/** @import { DeviceKeys, SealingKey } from "./keys.js" */
/** @import { Identity, Primitives } from "./primitives.js" */
/** @import { Link, Statement } from "./statements.js" */
/** @import { KeyStore, Row } from "./stores/text.js" */

/**
 * What the identity's statement says besides the signature.
 *
 * @typedef {Pick<Statement, "link" | "commitment" | "nonce" | "answer">} Extras
 */

/**
 * An attempt to link. On the new device: its nonce, and the old device that has answered. On the old one: `answering`.
 *
 * @typedef {object} Attempt
 * @property {Bytes} [nonce]
 * @property {{ identity: string, nonce: Bytes, deviceId: string }} [answered]
 * @property {boolean} [shown] whether the code was shown
 * @property {{ tag: string, deviceId: string, identity: string, commitment: Bytes, nonce: Bytes }} [answering]
 */

/**
 * One key to publish.
 *
 * @typedef {{ publicKey: string, algorithm: KeyAlgorithm, deviceId: string, statement: string }} Publication
 */

const ROW = "device"

/** The keys of this device. */
export class OwnDevice {
  /**
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {Row} row
   * @param {Vault} vault
   * @param {DeviceKeys} keys
   */
  constructor(use, store, row, vault, keys) {
    this.use = use
    this.store = store
    this.row = row
    this.vault = vault
    this.keys = keys
  }

  /**
   * Load this device's keys, or make them if there are none.
   *
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {number} personId
   * @param {string} deviceId
   * @param {number} now
   * @returns {Promise<OwnDevice>}
   */
  static async open(use, store, personId, deviceId, now) {
    for (;;) {
      const row = await store.get(ROW)
      if (row) return OwnDevice.#loaded(use, store, row, personId, deviceId)
      const vaultKey = await newVaultKey(store.holdsKeys)
      const vault = await Vault.with(vaultKey)
      const identity = store.holdsKeys ? await use.newIdentity() : await use.identityOf(use.random(SEED_BYTES))
      const keys = await createKeys(use, personId, deviceId, identity, now)
      const value = { personId, deviceId, vaultKey, extras: {}, ...(await wrapped(vault, keys)) }
      // Of two tabs that begin at the same time, one makes the keys.
      await store.commit([{ key: ROW, value, version: 0 }])
    }
  }

  /**
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {Row} row
   * @param {number} personId
   * @param {string} deviceId
   */
  static async #loaded(use, store, row, personId, deviceId) {
    const { value } = row
    if (value.personId !== personId || value.deviceId !== deviceId) {
      const owner = `person ${value.personId}, device ${JSON.stringify(value.deviceId)}`
      throw new BuzzError(`these keys are of ${owner}: use one key store for each person and device`)
    }
    const vault = await Vault.with(value.vaultKey)
    const { publicKey, secret } = value.identity
    const identity = { publicKey, secret: secret instanceof Uint8Array ? await vault.unwrap(/** @type {any} */ (secret)) : secret }
    const tag = await deviceTag(use, personId, deviceId, publicKey)
    const sealing = await Promise.all(
      value.sealing.map(async (/** @type {SealingKey} */ key) => ({ ...key, seed: await vault.unwrap(key.seed) })),
    )
    return new OwnDevice(use, store, row, vault, { personId, deviceId, identity, tag, sealing })
  }

  /** @returns {Extras} */
  get extras() {
    return this.row.value.extras
  }

  /** The seeds of the sealing keys that are kept, the newest first. */
  seeds = async () => this.keys.sealing.map(({ seed }) => seed)

  /**
   * Replace the sealing key if it is old, and forget what was kept long enough. Returns whether anything changed.
   *
   * @param {number} now
   */
  async rotate(now) {
    const keys = await rotated(this.use, this.keys, now)
    return keys !== this.keys && this.#write(await wrapped(this.vault, keys))
  }

  /** Whether this device is its person's root, or linked. @param {{ root: string } | undefined} person */
  isLinkedTo(person) {
    return person?.root === this.keys.identity.publicKey || this.extras.link !== undefined
  }

  /** The attempt to link this device, or another one by this one, if there is one. @returns {Attempt | undefined} */
  get linking() {
    return this.row.value.linking
  }

  /**
   * Replace the attempt to link, and what the identity's statement says for it.
   *
   * @param {Attempt | undefined} linking
   * @param {Extras} extras
   */
  async setLinking(linking, extras) {
    while (!(await this.#write({ linking, extras }))) await this.reload()
  }

  /** @param {Record<string, any>} changes */
  async #write(changes) {
    const { key, version, value } = this.row
    const written = await this.store.commit([{ key, value: { ...value, ...changes }, version }])
    await this.reload()
    return written
  }

  /** Read what another tab may have changed. */
  async reload() {
    const row = await this.store.get(ROW)
    if (!row || row.version === this.row.version) return
    const { personId, deviceId } = this.keys
    const loaded = await OwnDevice.#loaded(this.use, this.store, row, personId, deviceId)
    this.row = loaded.row
    this.keys = loaded.keys
  }

  /**
   * Return what is to be published: the identity and the newest sealing key, each with its statement.
   *
   * @returns {Promise<Publication[]>}
   */
  async publications() {
    const { use, keys, extras } = this
    const { personId, deviceId, identity } = keys
    const [newest] = keys.sealing
    const own = { personId, deviceId, algorithm: IDENTITY_ALGORITHM, publicKey: identity.publicKey }
    const sealing = { personId, deviceId, algorithm: SEALING_ALGORITHM, publicKey: newest.publicKey }
    const statements = [
      { ...(await makeStatement(use, own, identity, NEVER)), ...extras },
      await makeStatement(use, sealing, identity, expiresAt(newest)),
    ]
    return [own, sealing].map(({ publicKey, algorithm }, at) => {
      return { publicKey, algorithm, deviceId, statement: writtenStatement(statements[at]) }
    })
  }
}

/** Return the secrets as they are stored. @param {Vault} vault @param {DeviceKeys} keys */
async function wrapped(vault, { identity, sealing }) {
  const { publicKey, secret } = identity
  return {
    identity: { publicKey, secret: secret instanceof Uint8Array ? await vault.wrap(/** @type {Bytes} */ (secret)) : secret },
    sealing: await Promise.all(sealing.map(async (key) => ({ ...key, seed: await vault.wrap(key.seed) }))),
  }
}
