/**
 * Seals what is sent, when there is a connection to send it, and in the order in which the log gets it.
 *
 * A receiver refuses a counter from the past, so in each conversation one message is sealed and answered before the next
 * one is sealed. What was sealed is kept with the chain, in one step: if the answer is lost, the same bytes are sent
 * again, also by another tab and in the next run.
 */

import { pause } from "../clock.js"
import { FrameTooLarge } from "../errors.js"
import { OWN_CHAIN } from "./chains.js"
import { fromBase64 } from "./encoding.js"
import { NoReaders, SealingRefused, isFinal } from "./errors.js"
import { conversationOf } from "./message.js"
import { delivered, seal } from "./sealing.js"

/** @import { Clock } from "../clock.js" */
/** @import { Codec, Frame } from "../codec.js" */
/** @import { SendingChain } from "./chains.js" */
/** @import { Line } from "./line.js" */
/** @import { Place } from "./message.js" */
/** @import { OwnDevice } from "./own_device.js" */
/** @import { AllReaders, People } from "./people.js" */
/** @import { Primitives } from "./primitives.js" */
/** @import { Change, KeyStore, Row } from "./stores/text.js" */

/**
 * What was sealed: the activity as it is sent, whom its chain was introduced to, and whether it is answered.
 *
 * @typedef {object} Sent
 * @property {string} conversation
 * @property {Record<string, any>} activity
 * @property {string} chain
 * @property {string[]} introduces
 * @property {string} order of the messages of this device in a conversation
 * @property {number} at Unix seconds
 * @property {boolean} answered
 */

/** @typedef {{ line: Line, frame: Frame }} Entry */

/**
 * @typedef {object} OutgoingParts
 * @property {Primitives} use
 * @property {KeyStore} store
 * @property {OwnDevice} own
 * @property {People} people
 * @property {Clock} clock
 * @property {Codec} codec
 * @property {() => number} now Unix seconds
 * @property {() => unknown} maintain replace the sealing key if it is old, and publish it
 */

export const SENT = "sent/"
export const SENDING = "sending/"
// Errors after which the server may accept the same activity later.
const PASSING = ["rate_limited", "unavailable", "internal"]
const PASSING_PAUSE_MS = 500
const MAX_INTERNAL_ERRORS = 5
// What is answered is kept for a while: another tab may not have heard of the answer, and sends it again.
const MAX_ANSWERED = 200
const ANSWERED_SECONDS = 600

/** The sends of all lines, by conversation. */
export class Outgoing {
  /** @type {Map<string, Entry[]>} */
  #queues = new Map()
  /** Sealed in this run, and not answered yet: the conversation of each. @type {Map<string, string>} */
  #unanswered = new Map()
  /** How far each conversation's chain was when what was sealed before was last looked at. @type {Map<string, string>} */
  #seen = new Map()
  /** So many were answered since the old ones were last looked for; at first those of earlier runs are. */
  #answers = MAX_ANSWERED

  /** @param {OutgoingParts} parts */
  constructor(parts) {
    this.parts = parts
  }

  /** Seal and send, after what was to be sent before in this conversation. @param {Line} line @param {Frame} frame */
  add(line, frame) {
    const conversation = conversationOf(placeOf(frame.activity))
    const queue = this.#queues.get(conversation)
    if (queue) return void queue.push({ line, frame })
    const started = [{ line, frame }]
    this.#queues.set(conversation, started)
    void this.#run(conversation, started)
  }

  /** @param {string} conversation @param {Entry[]} queue */
  async #run(conversation, queue) {
    for (let entry; (entry = queue[0]); queue.shift()) {
      const { line, frame } = entry
      try {
        const answer = line.open ? await this.#deliver(line, frame) : undefined
        if (answer && line.open) line.pass(answer)
      } catch (error) {
        if (line.open) line.pass(refusal(frame.ref, error))
      }
    }
    this.#queues.delete(conversation)
  }

  /** Return the server's answer; undefined if the line ends before. @param {Line} line @param {Frame} frame */
  async #deliver(line, frame) {
    await Promise.race([line.ready, line.ended])
    if (!line.open) return undefined
    const key = keyOf(frame.activity)
    const sent = await this.#sent(key)
    if (!sent) await this.#deliverOlder(line, frame)
    if (!line.open) return undefined
    const { activity } = sent ?? (await this.#seal(key, frame.activity))
    if (!line.takes(this.parts.codec, { ...frame, activity })) {
      await this.#answered(key, false)
      throw new FrameTooLarge(`the sealed activity takes more than ${line.maxSendBytes} bytes, the server's limit`)
    }
    return this.#ask(line, key, { ...frame, activity })
  }

  /**
   * Send what was sealed before in this conversation and is not answered: by another tab, or refused for the moment.
   *
   * @param {Line} line
   * @param {Frame} frame
   */
  async #deliverOlder(line, frame) {
    const { store } = this.parts
    const conversation = conversationOf(placeOf(frame.activity))
    const sending = await store.get(SENDING + conversation)
    const far = sending ? farOf(sending.value) : ""
    // The list has all messages of the last minutes: it is read only if another tab has sealed here, or one was refused.
    if (far === (this.#seen.get(conversation) ?? "") && ![...this.#unanswered.values()].includes(conversation)) return
    const rows = (await store.list(SENT)).filter(({ key, value }) => {
      const ours = store.shared || this.#unanswered.has(key.slice(SENT.length))
      return ours && !value.answered && value.conversation === conversation
    })
    rows.sort((a, b) => (a.value.order < b.value.order ? -1 : 1))
    for (const { key, value } of rows) {
      const sealed = key.slice(SENT.length)
      await this.#ask(line, sealed, { type: "send", ref: `sealed ${sealed}`, activity: value.activity })
    }
    if (line.open) this.#seen.set(conversation, far)
  }

  /**
   * Write a sealed activity until the server takes or refuses it.
   *
   * @param {Line} line
   * @param {string} key
   * @param {Frame} frame
   */
  async #ask(line, key, frame) {
    for (let internal = 0; ;) {
      const answer = await line.ask(frame)
      if (!answer) return undefined
      if (answer.type === "error" && PASSING.includes(answer.code)) {
        if (answer.code !== "internal" || ++internal < MAX_INTERNAL_ERRORS) {
          await pause(this.parts.clock, 1000 * answer.retry_after || PASSING_PAUSE_MS)
          continue
        }
      }
      await this.#answered(key, answer.type === "ack")
      return answer
    }
  }

  /** @param {string} key @returns {Promise<Sent | undefined>} */
  async #sent(key) {
    return (await this.parts.store.get(SENT + key))?.value
  }

  /**
   * Seal an activity and store the result with the chain.
   *
   * @param {string} key
   * @param {Record<string, any>} activity
   * @returns {Promise<Sent>}
   */
  async #seal(key, { draft, ...activity }) {
    const { use, store, own, people, now, maintain } = this.parts
    maintain()
    const text = await own.vault.unwrapText(fromBase64(draft))
    const place = placeOf(activity)
    const conversation = conversationOf(place)
    for (;;) {
      const row = await store.get(SENDING + conversation)
      const readers = await people.readers(place, !row)
      checkReaders(place, readers, row?.value)
      const linkedAt = own.extras.link?.at
      // A device that was removed and linked again has perhaps introduced its chain with a message that readers refused.
      const before = row && row.value.linkedAt !== linkedAt ? { ...row.value, startedAt: 0 } : row?.value
      const sealed = await seal(use, text, place, own.keys, before, readers, now())
      const chain = { ...sealed.chain, linkedAt }
      const { id, counter } = chain.chain
      const sent = {
        conversation,
        activity: { ...activity, message: sealed.message },
        chain: id,
        order: `${id} ${String(counter).padStart(6, "0")}`,
        introduces: sealed.introduces,
        at: now(),
        answered: false,
      }
      /** @type {Change[]} */
      const changes = [
        { key: SENDING + conversation, value: chain, version: row?.version ?? 0 },
        { key: SENT + key, value: sent, version: 0 },
      ]
      if (sealed.own) changes.push({ key: `${OWN_CHAIN}${conversation}/${sealed.own.id}`, value: sealed.own })
      if (await store.commit(changes)) {
        this.#unanswered.set(key, conversation)
        this.#seen.set(conversation, farOf(chain))
        return sent
      }
      // Another tab has sealed in this conversation, perhaps the same activity.
      const other = await this.#sent(key)
      if (other) return other
    }
  }

  /** The server has stored the activity (`good`), or refused it for good. @param {string} key @param {boolean} good */
  async #answered(key, good) {
    const { store } = this.parts
    this.#unanswered.delete(key)
    const row = await store.get(SENT + key)
    if (!row) return
    if (!good) return void (await store.commit([{ key: row.key }], { lazy: true }))
    await this.#introduced(row.value)
    await store.commit([{ key: row.key, value: { ...row.value, answered: true } }], { lazy: true })
    await this.#forgetOld()
  }

  /** Note that these devices have the chain. @param {Sent} sent */
  async #introduced({ conversation, chain, introduces }) {
    const { store } = this.parts
    while (introduces.length) {
      const row = await store.get(SENDING + conversation)
      /** @type {SendingChain | undefined} */
      const sending = row?.value
      if (!row || sending?.chain.id !== chain) return
      const value = delivered(sending, introduces)
      if (await store.commit([{ key: row.key, value, version: row.version }], { lazy: true })) return
    }
  }

  async #forgetOld() {
    if (++this.#answers < MAX_ANSWERED) return
    this.#answers = 0
    const { store, now } = this.parts
    const answered = (await store.list(SENT)).filter(({ value }) => value.answered)
    if (answered.length < 2 * MAX_ANSWERED) return
    const before = now() - ANSWERED_SECONDS
    answered.sort((a, b) => b.value.at - a.value.at)
    const old = answered.filter(({ value }, place) => value.at < before || place >= MAX_ANSWERED)
    await store.commit(
      old.map(({ key }) => ({ key })),
      { lazy: true },
    )
  }
}

/** Return where an activity in the protocol's fields belongs. @param {Record<string, any>} activity @returns {Place} */
export function placeOf({ sendable_type, sendable_id, receivable_type, receivable_id, type, message_id }) {
  return {
    sender: `${sendable_type}:${sendable_id}`,
    receiver: `${receivable_type}:${receivable_id}`,
    type,
    messageId: message_id ?? "",
  }
}

/** Return which message is the next one of a chain. @param {SendingChain} sending */
function farOf({ chain }) {
  return `${chain.id} ${chain.counter}`
}

/** Return what identifies an activity in the outbox. @param {Record<string, any>} activity */
function keyOf({ type, message_id, idempotency_key }) {
  return type === "chat_message" ? message_id : idempotency_key
}

/** @param {Place} place @param {AllReaders} readers @param {SendingChain | undefined} sending */
function checkReaders({ sender, receiver }, readers, sending) {
  const reached = readers.receiver.some((tag) => readers.sealing.has(tag) || sending?.introduced.includes(tag))
  if (reached || sender === receiver) return
  throw new NoReaders(`${receiver} has no device that can read sealed messages, or none that was accepted`)
}

/** Return the frame that refuses a send for this reason. @param {any} ref @param {unknown} error @returns {Frame} */
function refusal(ref, error) {
  if (error instanceof SealingRefused) {
    const { code, message, name, stack, ...details } = /** @type {any} */ (error)
    return { type: "error", ref, code: error.code, message: error.message, details }
  }
  if (error instanceof FrameTooLarge) return { type: "error", ref, code: error.code, message: error.message }
  if (isFinal(error)) {
    return { type: "error", ref, code: "sealing_refused", message: /** @type {Error} */ (error).message }
  }
  // The network, or the key store: later it may work.
  console.warn("buzz-client: cannot seal yet", error)
  return { type: "error", ref, code: "unavailable", message: String(error) }
}
