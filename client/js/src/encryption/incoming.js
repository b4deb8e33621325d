/**
 * Opens what arrives: each message once, whichever tab sees it first.
 *
 * The chain's next state and the opened text are stored in one step. The text stays there until the app has handled the
 * activity: after a crash it is given again, although its key is deleted.
 */

import { OWN_CHAIN } from "./chains.js"
import { toBase64 } from "./encoding.js"
import { conversationOf, read } from "./message.js"
import { unopened } from "./reasons.js"
import { openSealed } from "./sealing.js"
import { mayHaveSent } from "./trust.js"

/** @import { Activity, Party } from "../activity.js" */
/** @import { Container, Place } from "./message.js" */
/** @import { OwnDevice } from "./own_device.js" */
/** @import { People } from "./people.js" */
/** @import { Primitives } from "./primitives.js" */
/** @import { ReasonCode } from "./reasons.js" */
/** @import { Change, KeyStore } from "./stores/text.js" */
/** @import { KnownDevice } from "./trust.js" */

export const OPENED = "opened/"
const RECEIVING = "receiving/"
// Other tabs may be a little behind: they get the text from here.
const SHARED_SECONDS = 60

/** What arrives. */
export class Incoming {
  /**
   * What was opened and not forgotten, as row keys: when, and by which activity.
   *
   * @type {Map<string, { id: number, at: number }>}
   */
  #kept = new Map()

  /**
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {OwnDevice} own
   * @param {People} people
   * @param {() => number} now Unix seconds
   */
  constructor(use, store, own, people, now) {
    this.use = use
    this.store = store
    this.own = own
    this.people = people
    this.now = now
  }

  /** Take note of what earlier runs have left. */
  async load() {
    for (const { key, value } of await this.store.list(OPENED)) this.#kept.set(key, { id: value.id, at: value.at })
  }

  /**
   * Return the text, or why it can't be read.
   *
   * @param {Activity} activity
   * @param {number} [asOf] the activity up to which the sender's keys are looked up
   * @returns {Promise<{ text: string } | ReasonCode>}
   */
  async open(activity, asOf = activity.id) {
    const container = read(activity.message)
    if (typeof container === "string") return container
    const row = OPENED + toBase64(container.signature)
    const before = await this.#before(row, activity)
    if (before) return before
    const opened = await this.#openNew(activity, container, row, asOf)
    // Another tab may have opened it in this moment.
    return (typeof opened === "string" && this.store.shared && (await this.#before(row, activity))) || opened
  }

  /**
   * Return the text if this very activity was opened before. Elsewhere it is a repetition, which the chain refuses.
   *
   * @param {string} row
   * @param {Activity} activity
   */
  async #before(row, activity) {
    const { value } = (await this.store.get(row)) ?? {}
    if (value?.id !== activity.id || value.where !== whereOf(activity)) return undefined
    return { text: await this.own.vault.unwrapText(value.text) }
  }

  /**
   * @param {Activity} activity
   * @param {Container} container
   * @param {string} row
   * @param {number} asOf
   * @returns {Promise<{ text: string } | ReasonCode>}
   */
  async #openNew(activity, container, row, asOf) {
    const { use, store, own } = this
    const device = await this.#device(activity, container.sender, asOf)
    if (!device) return "unknown_device"
    const doubt = doubtOf(device, activity)
    if (doubt && device.standing !== "waiting") return doubt
    const place = placeOf(activity)
    const at = `${RECEIVING}${conversationOf(place)}/${container.sender}`
    const ownRow = `${OWN_CHAIN}${conversationOf(place)}/${container.chain}`
    for (;;) {
      const [chain, first] = await Promise.all([
        store.get(at),
        container.sender === own.keys.tag ? store.get(ownRow) : undefined,
      ])
      const known = first && first.value.id !== chain?.value.id ? first.value : chain?.value
      const { tag } = own.keys
      const opened = await openSealed(use, container, place, device.identity, known, tag, own.seeds)
      if (typeof opened === "string") return doubt ?? opened
      if (doubt) {
        // The user may accept it later, and it does not give its chain again: that is kept, and not the text.
        const row = { key: at, value: opened.start, version: chain?.version ?? 0 }
        if (opened.start === known || (await store.commit([row], { lazy: true }))) return doubt
        continue
      }
      const { id } = activity
      /** @type {Change[]} */
      const changes = [
        { key: at, value: opened.chain, version: chain?.version ?? 0 },
        { key: row, value: { id, where: whereOf(activity), at: this.now(), text: await own.vault.wrapText(opened.text) } },
      ]
      if (first) changes.push({ key: ownRow })
      if (await store.commit(changes, { lazy: true })) {
        this.#kept.set(row, { id, at: this.now() })
        return { text: opened.text }
      }
      const other = await this.#before(row, activity)
      if (other) return other
    }
  }

  /** Return the sender's device with this tag. @param {Activity} activity @param {string} tag @param {number} asOf */
  async #device({ sender, createdAt }, tag, asOf) {
    for (const personId of await this.people.peopleOf(partyText(sender))) {
      const device = await this.people.sender(personId, tag, asOf, secondsOf(createdAt))
      if (device) return device
    }
  }

  /** Forget the texts that the app has handled. @param {number} lastActivityId */
  async handled(lastActivityId) {
    const before = this.now() - (this.store.shared ? SHARED_SECONDS : -1)
    const old = [...this.#kept].filter(([, { id, at }]) => id <= lastActivityId && at < before).map(([key]) => key)
    if (!old.length) return
    for (const key of old) this.#kept.delete(key)
    await this.store.commit(
      old.map((key) => ({ key })),
      { lazy: true },
    )
  }
}

/**
 * Return why nothing of this device is opened; undefined if there is no reason.
 *
 * @param {KnownDevice} device
 * @param {Activity} activity
 * @returns {ReasonCode | undefined}
 */
function doubtOf(device, { createdAt }) {
  if (device.standing !== "trusted") return "untrusted_device"
  return mayHaveSent(device, secondsOf(createdAt)) ? undefined : "removed_device"
}

/** Return the Unix seconds of a time. @param {Date} time */
function secondsOf(time) {
  return Math.floor(time.getTime() / 1000)
}

/** Return the place of an activity as one text. @param {Activity} activity */
function whereOf(activity) {
  return Object.values(placeOf(activity)).join(" ")
}

/** @param {Party} party */
function partyText({ type, id }) {
  return `${type}:${id}`
}

/** @param {Activity} activity @returns {Place} */
function placeOf({ sender, receiver, type, messageId }) {
  return { sender: partyText(sender), receiver: partyText(receiver), type, messageId: messageId ?? "" }
}
