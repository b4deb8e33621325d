/**
 * Links a further device of this person: what each side publishes, step by step, and what it makes of the other's.
 *
 * An attempt is kept with the device's keys, so that any tab can go on with it. `look` is called whenever this person's
 * published keys were fetched; it only changes what is to be published next.
 */

import { LinkRefused } from "./errors.js"
import { deviceTag } from "./keys.js"
import { commitmentTo, confirms, identityIn, linkCode, scannedText } from "./linking.js"
import { named } from "./people.js"
import { IDENTITY_ALGORITHM, NONCE_BYTES, goodLink, makeLink, writtenStatement } from "./statements.js"
import { mayHaveSent, reads } from "./trust.js"

/** @import { BuzzHttp } from "../http.js" */
/** @import { OwnDevice } from "./own_device.js" */
/** @import { People } from "./people.js" */
/** @import { Primitives } from "./primitives.js" */
/** @import { KnownPerson, PublishedKey } from "./trust.js" */

/**
 * @typedef {object} LinkingParts
 * @property {Primitives} use
 * @property {OwnDevice} own
 * @property {People} people
 * @property {BuzzHttp} http
 * @property {() => number} now Unix seconds
 * @property {() => Promise<PublishedKey[]>} follow fetch this person's keys, look at them, publish what has changed
 * @property {(name: string, data: any) => void} emit tell the app, in every tab
 * @property {(name: string, callback: (data: any) => void) => () => void} on hear what another tab has told
 */

/** Both sides of linking, on this device. */
export class Linking {
  /** @param {LinkingParts} parts */
  constructor(parts) {
    this.parts = parts
  }

  // --- the new device ----------------------------------------------------------------------------------------------

  /**
   * Ask to be linked. `picture` is the text for a picture to scan; `code` the six digits to type on the old device, once
   * its user has chosen this device there. It rejects with LinkRefused if the attempt ends without a code.
   *
   * @returns {Promise<{ picture: string, code: Promise<string> }>}
   */
  async start() {
    const { use, own, follow } = this.parts
    const { publicKey } = own.keys.identity
    const nonce = use.random(NONCE_BYTES)
    const code = this.#code()
    await own.setLinking({ nonce }, { ...this.#link(), commitment: await commitmentTo(use, publicKey, nonce) })
    await follow()
    return { picture: scannedText(publicKey), code }
  }

  /** @returns {Promise<string>} */
  #code() {
    const { on } = this.parts
    const code = new Promise((resolve, reject) => {
      const ends = [
        on("encryption.link_code", (data) => end(() => resolve(data.code))),
        on("encryption.link_ended", ({ why }) => end(() => reject(new LinkRefused(why)))),
        on("encryption.linked", () => end(() => reject(new LinkRefused("this device was linked without a code")))),
      ]
      const end = (/** @type {() => void} */ settle) => {
        for (const each of ends) each()
        settle()
      }
    })
    // An app may use the picture only, and not wait for the code.
    code.catch(() => {})
    return code
  }

  /** End this device's attempt, on either side. */
  async cancel() {
    if (this.parts.own.linking) await this.#end("the attempt was cancelled")
  }

  /** Whether this device is not linked, and no other one of this person is in use that could link it. */
  async isAlone() {
    const { own, people } = this.parts
    const person = await people.known(own.keys.personId)
    return person !== undefined && !own.isLinkedTo(person) && !this.#others(person).length
  }

  /**
   * Make this device its person's first one again, if no other one is in use that could link it.
   *
   * Ask the user before: those who talk with this person see that the keys have changed, have to accept this device, and
   * compare the safety number again.
   */
  async becomeRoot() {
    const { own, people, follow } = this.parts
    const { personId, tag } = own.keys
    await follow()
    const person = await people.known(personId)
    if (!person || own.isLinkedTo(person)) throw new LinkRefused("this device is linked already")
    const others = this.#others(person).map(({ deviceId }) => deviceId)
    if (others.length) throw new LinkRefused(`another device of yours can link this one: ${others.join(", ")}`)
    if (own.linking) await this.#end("this device is the first one now")
    await people.decide(personId, tag, true)
    // The safety numbers were made from the root before.
    for (const other of await people.everybody()) if (other.compared) await people.markCompared(other.personId, false)
    await follow()
  }

  /** The other devices of this person that are in use and trusted. @param {KnownPerson} person */
  #others({ devices }) {
    return devices.filter((device) => device.tag !== this.parts.own.keys.tag && reads(device))
  }

  /** @param {string} why */
  async #end(why) {
    await this.parts.own.setLinking(undefined, this.#link())
    this.parts.emit("encryption.link_ended", { why })
    await this.parts.follow()
  }

  // --- the old device ----------------------------------------------------------------------------------------------

  /** Return this person's devices that ask to be linked. @returns {Promise<{ deviceId: string, tag: string }[]>} */
  async offers() {
    const rows = await this.#askers()
    return rows.map(named)
  }

  async #askers() {
    const { own, people, follow } = this.parts
    const rows = await follow()
    const person = await people.known(own.keys.personId)
    const asking = await this.#tagged(rows.filter(({ statement }) => statement.commitment))
    const trusted = person?.devices.filter(({ standing }) => standing === "trusted").map(({ tag }) => tag)
    return asking.filter(({ tag }) => tag !== own.keys.tag && !trusted?.includes(tag))
  }

  /** The user of this device wants to link that one: it shows its code now. @param {string} tag */
  async answer(tag) {
    const { use, own, follow } = this.parts
    await this.#mustBeLinked()
    const asker = (await this.#askers()).find((each) => each.tag === tag)
    const commitment = asker?.statement.commitment
    if (!asker || !commitment) throw new LinkRefused("that device does not ask to be linked: start there first")
    const { deviceId, publicKey } = asker
    const nonce = use.random(NONCE_BYTES)
    const answering = { tag, deviceId, identity: publicKey, commitment, nonce }
    await own.setLinking({ answering }, { ...this.#link(), answer: { device: tag, nonce } })
    await follow()
  }

  /**
   * Link that device if this is the code that it shows. A wrong code ends the attempt.
   *
   * @param {string} tag
   * @param {string} code
   */
  async confirm(tag, code) {
    const { use, own, follow } = this.parts
    await this.#mustBeLinked()
    const answering = own.linking?.answering
    if (answering?.tag !== tag) throw new LinkRefused("choose the device first")
    const device = (await this.#tagged(await follow())).find((each) => each.tag === tag)
    const shown = device?.statement.nonce
    if (!shown) throw new LinkRefused("that device does not show its code yet")
    const old = { identity: own.keys.identity.publicKey, nonce: answering.nonce }
    if (!(await confirms(use, own.keys.personId, old, answering, shown, code))) {
      await this.#end("the code was wrong")
      throw new LinkRefused("the code is wrong: start again on both devices")
    }
    await this.#sign(device)
  }

  /** Link the device whose picture has this text. @param {string} text */
  async scan(text) {
    await this.#mustBeLinked()
    const identity = identityIn(text)
    if (!identity) throw new LinkRefused("this is no picture of a device")
    const device = (await this.parts.follow()).find(({ publicKey }) => publicKey === identity)
    if (!device) throw new LinkRefused("no device of yours has published this key")
    await this.#sign(device)
  }

  async #mustBeLinked() {
    const { own, people } = this.parts
    const person = await people.known(own.keys.personId)
    if (!own.isLinkedTo(person)) throw new LinkRefused("this device is not linked itself: link it first")
  }

  /** Publish the link of that device. @param {PublishedKey} device */
  async #sign({ publicKey, deviceId, statement }) {
    const { use, own, http, now, follow } = this.parts
    const about = { personId: own.keys.personId, deviceId, algorithm: IDENTITY_ALGORITHM, publicKey }
    const link = await makeLink(use, about, own.keys.identity, now())
    const text = writtenStatement({ expiresAt: statement.expiresAt, signature: statement.signature, link })
    await http.putPublicKey(publicKey, IDENTITY_ALGORITHM, deviceId, text)
    await own.setLinking(undefined, this.#link())
    await follow()
  }

  // --- what is published -------------------------------------------------------------------------------------------

  /** Look at this person's keys as they are published now. @param {PublishedKey[]} rows */
  async look(rows) {
    const { own } = this.parts
    const identities = rows.filter(isIdentity)
    const linked = await this.#takeLink(identities)
    if (!linked && own.linking?.nonce) await this.#takeAnswer(identities)
  }

  /** Take the link that another device has published for this one. @param {PublishedKey[]} identities */
  async #takeLink(identities) {
    const { use, own, people, emit } = this.parts
    const { personId, deviceId, identity } = own.keys
    const { publicKey } = identity
    const link = identities.find((row) => row.publicKey === publicKey && row.deviceId === deviceId)?.statement.link
    const about = { personId, deviceId, algorithm: IDENTITY_ALGORITHM, publicKey }
    if (!link || sameLink(link, own.extras.link) || !(await goodLink(use, link, about))) return false
    const person = await people.known(personId)
    // The link counts if the device was in use when it made it.
    const signer = person?.devices.find((each) => each.identity === link.signer && mayHaveSent(each, link.at))
    const { answered, nonce } = own.linking ?? {}
    // After a code only the device that the code was made with; after a picture the first one.
    const expected = answered ? link.signer === answered.identity : nonce !== undefined || signer?.standing === "trusted"
    if (!signer || !expected) return false
    if (nonce && signer.removedAt === undefined) {
      await people.trustRoot(personId, rootOf(person, signer.identity), signer.tag, link.at)
    }
    await own.setLinking(undefined, { link })
    emit("encryption.linked", { by: signer.deviceId })
    return true
  }

  /** Show the code when an old device has answered; notice when it gives up. @param {PublishedKey[]} identities */
  async #takeAnswer(identities) {
    const { own, emit } = this.parts
    const { nonce, answered } = own.linking ?? {}
    const answers = identities.filter(({ statement }) => statement.answer?.device === own.keys.tag)
    if (answered) {
      if (answers.some(({ publicKey }) => publicKey === answered.identity)) return this.#showCode(identities)
      await own.setLinking(undefined, this.#link())
      return emit("encryption.link_ended", { why: "the other device has ended the attempt" })
    }
    const [first] = answers
    if (!first?.statement.answer || !nonce) return
    const old = { identity: first.publicKey, nonce: first.statement.answer.nonce, deviceId: first.deviceId }
    await own.setLinking({ nonce, answered: old }, { ...own.extras, nonce })
  }

  /** Show the code once, when this device's nonce is published. @param {PublishedKey[]} identities */
  async #showCode(identities) {
    const { use, own, emit } = this.parts
    const { linking, extras, keys } = own
    const { publicKey } = keys.identity
    const published = identities.some((row) => row.publicKey === publicKey && row.statement.nonce)
    if (!linking?.answered || !linking.nonce || linking.shown || !published) return
    await own.setLinking({ ...linking, shown: true }, extras)
    const code = await linkCode(use, keys.personId, linking.answered, { identity: publicKey, nonce: linking.nonce })
    emit("encryption.link_code", { code, by: linking.answered.deviceId })
  }

  /** What is left of the statement when no attempt is running. */
  #link() {
    const { link } = this.parts.own.extras
    return link ? { link } : {}
  }

  /** Return the identities among these keys, with their tags. @param {PublishedKey[]} rows */
  async #tagged(rows) {
    const { use, own } = this.parts
    const identities = rows.filter(isIdentity)
    return Promise.all(
      identities.map(async (row) => {
        return { ...row, tag: await deviceTag(use, own.keys.personId, row.deviceId, row.publicKey) }
      }),
    )
  }
}

/** Whether it is an identity in force. @param {PublishedKey} key */
function isIdentity({ algorithm, revokedAt }) {
  return algorithm === IDENTITY_ALGORITHM && revokedAt === undefined
}

/**
 * Return the identity from which this one is linked, as far as that is known.
 *
 * @param {KnownPerson | undefined} person
 * @param {string} identity
 */
function rootOf(person, identity) {
  const seen = new Set()
  for (let root = identity; ;) {
    seen.add(root)
    const by = person?.devices.find((each) => each.identity === root)?.linkedBy
    if (by === undefined || seen.has(by)) return root
    root = by
  }
}

/** @param {{ signer: string, at: number }} one @param {{ signer: string, at: number } | undefined} other */
function sameLink(one, other) {
  return one.signer === other?.signer && one.at === other.at
}
