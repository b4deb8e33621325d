/**
 * Sealed messages for a client: pass what `sealedMessages` returns to `connect` as `encryption`.
 *
 * Sends are sealed where the socket is (`Line`, `Outgoing`): in the tab that holds it, when it is open, in the order of
 * the log. What arrives is opened where the app takes it (`Incoming`). Keys are published and followed whenever a
 * connection begins, and when the server says that they changed (`People`, `OwnDevice`).
 */

import { pause } from "../clock.js"
import { createBackoff } from "../core/backoff.js"
import { BuzzError, SendRefused } from "../errors.js"
import { toBase64 } from "./encoding.js"
import { KeysChanged, NoReaders, SealingRefused, TextTooLong, TooManyDevices, isFinal } from "./errors.js"
import { Incoming } from "./incoming.js"
import { SEALING_KEY_SECONDS } from "./keys.js"
import { Line } from "./line.js"
import { OwnDevice } from "./own_device.js"
import { People, named } from "./people.js"
import { Primitives } from "./primitives.js"
import { unopened } from "./reasons.js"
import { reads, waiting } from "./trust.js"

/** @import { Outgoing } from "./outgoing.js" */
/** @import { Activity } from "../activity.js" */
/** @import { Clock } from "../clock.js" */
/** @import { Codec, Frame } from "../codec.js" */
/** @import { BuzzHttp } from "../http.js" */
/** @import { Connector, SocketEvents } from "../sockets.js" */
/** @import { Store } from "../store/memory.js" */
/** @import { PersonChange } from "./people.js" */
/** @import { Libraries } from "./primitives.js" */
/** @import { Unopened } from "./reasons.js" */
/** @import { KeyStore } from "./stores/text.js" */
/** @import { KnownDevice, KnownPerson, PublishedKey } from "./trust.js" */

/**
 * A device, as an app shows it. `state`: `new` waits for the user, `unlinked` was refused. `linkedBy`: the device id of
 * the one that has linked it.
 *
 * @typedef {object} DeviceShown
 * @property {string} deviceId
 * @property {string} tag
 * @property {string} identity base64
 * @property {boolean} trusted
 * @property {"trusted" | "new" | "removed" | "unlinked"} state
 * @property {Date} since
 * @property {string | null} linkedBy
 */

/**
 * A person, as an app shows them. `waits`: the user must look at a device before anything is sealed for this person.
 *
 * @typedef {object} PersonShown
 * @property {number} id
 * @property {string} root base64
 * @property {boolean} compared
 * @property {DeviceShown[]} devices
 * @property {boolean} waits
 */

/**
 * This device. `linked`: whether it is the person's first device, or the one that is has linked it.
 *
 * @typedef {{ personId: number, deviceId: string, tag: string, identity: string, linked: boolean }} Me
 */

/**
 * What the client passes to its encryption.
 *
 * @typedef {object} Place
 * @property {BuzzHttp} http
 * @property {Clock} clock
 * @property {Codec} codec
 * @property {string | undefined} deviceId
 * @property {() => Promise<number>} personId
 * @property {(name: string, data: any) => void} emit tell the app
 * @property {(name: string, callback: (data: any) => void) => () => void} on hear what the app is told
 * @property {() => BuzzError | undefined} over what has ended the client
 */

/**
 * `outgoing` loads what seals: a page that only reads does without it.
 *
 * @typedef {{ own: OwnDevice, people: People, outgoing: () => Promise<Outgoing>, incoming: Incoming }} Parts
 */

/** @typedef {() => Promise<typeof import("./outgoing.js")>} LoadSealing */

// Told to the other tabs: this one has asked whose keys have changed.
const LOOKED = "encryption.looked"
// A server that does not give back what was published must not keep this device publishing.
const MAX_ROUNDS = 4
/** The types of activities whose `message` is sealed. */
const SEALED_TYPES = ["chat_message", "chat_reaction_emoji"]

/** Seals and opens the messages of one device. */
export class SealedMessages {
  /** @type {Place | undefined} */
  #place
  /** @type {Promise<Parts> | undefined} */
  #parts
  /** @type {Line | undefined} */
  #line
  /** @type {(value?: undefined) => void} */
  #isReady = () => {}
  /** @type {Me | undefined} */
  #me
  /** Settles when this tab has asked what changed, on its latest connection. @type {Promise<unknown>} */
  #synced = Promise.resolve()
  /** @type {(value?: unknown) => void} */
  #hasSynced = () => {}
  /** Settles when the tab that holds the socket has asked, on the latest connection. @type {Promise<unknown>} */
  #holderLooked = Promise.resolve()
  /** @type {(value?: unknown) => void} */
  #looked = () => {}
  /** The session of the latest connection. @type {unknown} */
  #session
  /** @type {Promise<unknown>} */
  #following = Promise.resolve()
  /** Whether this device was signed out from another one. */
  #removed = false

  /**
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {() => number} [now] Unix seconds
   * @param {LoadSealing} [loadSealing]
   */
  constructor(use, store, now = () => Math.floor(Date.now() / 1000), loadSealing = () => import("./outgoing.js")) {
    this.use = use
    this.store = store
    this.now = now
    this.loadSealing = loadSealing
    /** Settles when this device's keys are published. @type {Promise<void>} */
    this.ready = new Promise((resolve) => (this.#isReady = resolve))
  }

  // --- what the client calls ---------------------------------------------------------------------------------------

  /** Learn whose device this is, and how to reach the server. @param {Place} place */
  attach(place) {
    if (place.deviceId === undefined) throw new TypeError("sealed messages need a deviceId: pass one to connect()")
    if (this.#place) throw new TypeError("this encryption is used by another client: make one for each")
    this.#place = place
    // In a tab that does not hold the socket.
    const look = () => void this.#lookAtMe().catch(() => {})
    place.on("encryption.ready", look)
    place.on("welcome", look)
  }

  /**
   * Learn whether the tab that holds the socket still asks what has changed. The app's callbacks come later: one of them
   * may wait for something to be opened. What waits when a connection ends waits for the next one, of whichever tab.
   *
   * @param {string} name
   * @param {any} data
   */
  heard(name, data) {
    if (name === "welcome") {
      const before = this.#looked
      this.#session = data.raw.session_id
      this.#holderLooked = new Promise((resolve) => (this.#looked = resolve))
      before(this.#holderLooked)
      if (!data.raw.looks_at_keys) this.#looked()
      // Another tab holds the socket now.
      if (!this.#line?.open) this.#hasSynced()
    } else if (name === "state" && data.state === "ended") {
      this.#looked()
      this.#hasSynced()
    } else if (name === LOOKED && data.session === this.#session) this.#looked()
  }

  /** Return a connector whose sockets seal what is sent. @param {Connector} connect @returns {Connector} */
  connector(connect) {
    return (events) => {
      const line = new Line(connect, events, {
        begun: (line, welcome) => this.#begun(line, welcome),
        sealedSend: (line, frame) => this.#send(line, frame),
        event: (name, data) => this.#event(line, name, data),
      })
      return line.socket
    }
  }

  /** Return a store whose position is never ahead of the keys. @param {Store} store @returns {Store} */
  keeping(store) {
    return {
      loadPosition: () => store.loadPosition(),
      loadParcels: () => store.loadParcels(),
      saveParcel: (parcel) => store.saveParcel(parcel),
      deleteParcel: (key) => store.deleteParcel(key),
      clear: () => store.clear(),
      savePosition: async (position) => {
        await this.store.flush()
        await store.savePosition(position)
        const parts = await this.#parts
        await parts?.incoming.handled(position.lastActivityId)
      },
    }
  }

  /**
   * Return the activity as the outbox keeps it: without its text, which is sealed when it is sent.
   *
   * @param {Record<string, any>} activity
   */
  async seal({ message, ...activity }) {
    if (message === undefined || !SEALED_TYPES.includes(activity.type)) {
      return message === undefined ? activity : { ...activity, message }
    }
    if (typeof message !== "string") throw new TypeError("a text is a string")
    const { own } = await this.#open()
    return { ...activity, draft: toBase64(await own.vault.wrapText(message)) }
  }

  /**
   * Return the activity with its text, or why it can't be read.
   *
   * @param {Activity} activity
   * @param {number} [asOf] the id of a later activity, if the sender's keys are to be those that it would be opened with
   */
  async open(activity, asOf) {
    if (activity.message === null || !SEALED_TYPES.includes(activity.type)) {
      return { ...activity, text: null, unopened: null }
    }
    const { over } = this.#needed()
    const opened = await this.#again(
      async () => {
        const { incoming } = await this.#open()
        await this.#synced
        await this.#holderLooked
        return over() ? undefined : incoming.open(activity, asOf)
      },
      () => !over(),
    )
    if (opened === undefined) throw over()
    if (typeof opened === "string") return { ...activity, text: null, unopened: unopened(opened) }
    return { ...activity, text: opened.text, unopened: null }
  }

  /**
   * Return the error for a send that was refused: one of this library's, if it was refused here.
   *
   * @param {SendRefused} error
   */
  refusal({ code, reason, details = {} }) {
    switch (code) {
      case "keys_changed":
        return new KeysChanged(details.personId, details.devices)
      case "too_many_devices":
        return new TooManyDevices(details.devices, details.most)
      case "text_too_long":
        return new TextTooLong(details.characters, details.most, details.devices)
      case "no_readers":
        return new NoReaders(reason)
      case "sealing_refused":
        return new SealingRefused(reason)
    }
  }

  // --- what an app uses --------------------------------------------------------------------------------------------

  /** This device; undefined before `ready`. */
  get me() {
    return this.#me
  }

  /** Return everybody whose keys are known. @returns {Promise<PersonShown[]>} */
  async people() {
    const { people } = await this.#open()
    return (await people.everybody()).map(shown)
  }

  /**
   * Return what is known of a person; undefined if nothing is.
   *
   * @param {number} personId
   * @returns {Promise<PersonShown | undefined>}
   */
  async person(personId) {
    const { people } = await this.#open()
    const person = await people.known(personId)
    return person && shown(person)
  }

  /**
   * Return the 60 digits that both people see, in groups of five.
   *
   * @param {number} personId
   * @returns {Promise<string>}
   * @throws {BuzzError} for a person who has published no keys
   */
  async safetyNumber(personId) {
    const { own, people } = await this.#open()
    const me = own.keys.personId
    const [mine, theirs] = await Promise.all([this.#known(people, me), this.#known(people, personId)])
    const { safetyNumber } = await import("./safety.js")
    return safetyNumber(this.use, [me, mine.root], [personId, theirs.root])
  }

  /**
   * Remember that the user has compared the safety number; until the person's root changes.
   *
   * @param {number} personId
   */
  async markCompared(personId) {
    const { people } = await this.#open()
    await this.#known(people, personId)
    this.#decided(await people.markCompared(personId))
  }

  /**
   * The user has looked at a device and accepts it: it can read and write from now on.
   *
   * @param {number} personId
   * @param {string} tag
   */
  async accept(personId, tag) {
    await this.#decide(personId, tag, true)
  }

  /**
   * The user has looked at a device and refuses it: nothing is sealed for it.
   *
   * @param {number} personId
   * @param {string} tag
   */
  async refuse(personId, tag) {
    await this.#decide(personId, tag, false)
  }

  /** Linking a further device of this person: the new device's side and the old one's. */
  linking = {
    start: async () => (await this.#linking()).start(),
    cancel: async () => (await this.#linking()).cancel(),
    offers: async () => (await this.#linking()).offers(),
    answer: async (/** @type {string} */ tag) => (await this.#linking()).answer(tag),
    confirm: async (/** @type {string} */ tag, /** @type {string} */ code) => (await this.#linking()).confirm(tag, code),
    scan: async (/** @type {string} */ text) => (await this.#linking()).scan(text),
    isAlone: async () => (await this.#linking()).isAlone(),
    becomeRoot: async () => (await this.#linking()).becomeRoot(),
  }

  // -----------------------------------------------------------------------------------------------------------------

  /** @returns {Promise<Parts>} */
  #open() {
    const opening = (this.#parts ??= this.#load())
    // The next call tries again.
    opening.catch(() => (this.#parts = undefined))
    return opening
  }

  /** @returns {Promise<Parts>} */
  async #load() {
    const { use, store, now } = this
    const place = this.#place
    if (!place) throw new BuzzError("pass this encryption to connect() first")
    const { http, clock, codec, deviceId = "" } = place
    const own = await OwnDevice.open(use, store, await place.personId(), deviceId, now())
    const people = new People(use, store, own, http, now, (change) => this.#changed(change, own.keys))
    const maintain = () => this.#maintain(own)
    /** @type {Promise<Outgoing> | undefined} */
    let loading
    const outgoing = () => {
      loading ??= this.loadSealing().then(
        ({ Outgoing }) => new Outgoing({ use, store, own, people, clock, codec, now, maintain }),
        (error) => {
          // The network may be back at the next send.
          loading = undefined
          throw error
        },
      )
      return loading
    }
    const incoming = new Incoming(use, store, own, people, now)
    await incoming.load()
    return { own, people, outgoing, incoming }
  }

  /** Linking is rare: its code is loaded when it is needed. */
  async #linking() {
    const { use, now } = this
    const { own, people } = await this.#open()
    const { http, on } = this.#needed()
    const { Linking } = await import("./linking_devices.js")
    const emit = (/** @type {string} */ name, /** @type {any} */ data) => this.#tell(name, data)
    return new Linking({ use, own, people, http, now, emit, on, follow: () => this.#follow() })
  }

  /** @param {People} people @param {number} personId */
  async #known(people, personId) {
    const person = await people.find(personId)
    if (!person) throw new BuzzError(`person ${personId} has published no keys`)
    return person
  }

  /** @param {number} personId @param {string} tag @param {boolean} good */
  async #decide(personId, tag, good) {
    const { people } = await this.#open()
    const person = await this.#known(people, personId)
    if (!person.devices.some((device) => device.tag === tag)) {
      throw new BuzzError(`person ${personId} has no device with the tag ${tag}`)
    }
    this.#decided(await people.decide(personId, tag, good))
  }

  /** @param {KnownPerson | undefined} person */
  #decided(person) {
    if (!person) return
    const { personId } = person
    this.#tell("encryption.person", { personId, waits: waiting(person).length > 0, added: [], removed: [] })
  }

  // --- connections -------------------------------------------------------------------------------------------------

  /** @param {Line} line @param {Frame} welcome */
  #begun(line, welcome) {
    this.#line = line
    line.ready = this.#begin(line, welcome)
    line.ready.catch((error) => console.warn("buzz-client: cannot publish this device's keys", error))
  }

  /**
   * Publish this device's keys, and learn what has changed; again and again while that may help.
   *
   * @param {Line} line
   * @param {Frame} welcome the other tabs are given a copy of it, so that they know whether this one still asks
   */
  async #begin(line, welcome) {
    const before = this.#hasSynced
    this.#synced = new Promise((resolve) => (this.#hasSynced = resolve))
    before(this.#synced)
    const hasSynced = this.#hasSynced
    welcome.looks_at_keys = true
    const tried = () => {
      // If it has ended, the next connection asks.
      if (!welcome.looks_at_keys || !line.open) return
      welcome.looks_at_keys = false
      hasSynced()
      line.pass({ type: "event", name: LOOKED, data: { session: welcome.session_id } })
    }
    try {
      await this.#again(
        async () => {
          await this.#catchUp(welcome.head_id).finally(tried)
        },
        () => line.open,
      )
    } finally {
      tried()
    }
  }

  /** @param {number} headId */
  async #catchUp(headId) {
    const { people } = await this.#open()
    people.seen = Math.max(people.seen, headId)
    await this.#follow()
    await people.sync()
    this.#tell("encryption.ready", {})
  }

  /**
   * Do it until it succeeds, or while that may help.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @param {() => boolean} goesOn
   * @returns {Promise<T | undefined>}
   */
  async #again(work, goesOn) {
    const { clock } = this.#needed()
    const backoff = createBackoff()
    while (goesOn()) {
      try {
        return await work()
      } catch (error) {
        if (isFinal(error)) throw error
        console.warn("buzz-client: the encryption tries again", error)
        await pause(clock, backoff.nextMs())
      }
    }
  }

  /** Fetch this person's keys, look at them, and publish what the server does not have. One after another. */
  #follow() {
    const following = this.#following.catch(() => {}).then(() => this.#followNow())
    this.#following = following
    return following
  }

  async #followNow() {
    const { own, people } = await this.#open()
    await own.rotate(this.now())
    for (let round = 1; ; round++) {
      const rows = await people.refresh(own.keys.personId)
      const { publicKey } = own.keys.identity
      const linked = rows.some((row) => row.publicKey === publicKey && row.statement.link)
      if (own.linking || (linked && !own.extras.link)) await (await this.#linking()).look(rows)
      // What was published is looked at once more.
      if (round < MAX_ROUNDS && (await this.#publish(own, people, rows))) continue
      await this.#lookAtMe()
      return rows
    }
  }

  /** @param {OwnDevice} own @param {People} people @param {PublishedKey[]} rows what the server has */
  async #publish(own, people, rows) {
    const { http } = this.#needed()
    let updatedAt
    for (const { publicKey, algorithm, deviceId, statement } of await own.publications()) {
      const there = rows.some((row) => {
        return row.publicKey === publicKey && row.deviceId === deviceId && !row.revokedAt && row.text === statement
      })
      // A device that is signed out hears first that its keys were revoked: it must not publish them again.
      if (this.#removed || this.#needed().over()) return false
      if (!there) updatedAt = (await http.putPublicKey(publicKey, algorithm, deviceId, statement)).updated_at
    }
    if (updatedAt) await people.beginAt(updatedAt)
    return updatedAt !== undefined
  }

  /** Replace the sealing key when it is old. @param {OwnDevice} own */
  #maintain(own) {
    if (this.now() - own.keys.sealing[0].createdAt < SEALING_KEY_SECONDS) return
    this.#follow().catch((error) => console.warn("buzz-client: cannot publish a new key yet", error))
  }

  /** See whether this device's keys are published, and linked. */
  async #lookAtMe() {
    const { own, people } = await this.#open()
    const { personId, deviceId, tag, identity } = own.keys
    const person = await people.known(personId)
    if (!person?.devices.some((device) => device.tag === tag && reads(device))) return
    this.#me = { personId, deviceId, tag, identity: identity.publicKey, linked: own.isLinkedTo(person) }
    this.#isReady()
  }

  /** @param {Line} line @param {Frame} frame */
  #send(line, frame) {
    const refuse = (/** @type {string} */ code) => (/** @type {unknown} */ error) =>
      line.pass({ type: "error", ref: frame.ref, code, message: String(error) })
    this.#open().then(
      ({ outgoing }) => outgoing().then((found) => found.add(line, frame), refuse("unavailable")),
      refuse("sealing_refused"),
    )
  }

  /** @param {Line} line @param {string} name @param {any} data */
  #event(line, name, data) {
    if (!["key.changed", "device.added", "device.removed"].includes(name)) return
    if (name === "device.removed" && data?.device_id === this.#place?.deviceId) return void (this.#removed = true)
    this.#again(
      () => this.#keysChanged(data?.person_id),
      () => line.open,
    ).catch((error) => console.warn("buzz-client: cannot fetch keys", error))
  }

  /** @param {number} [of] the person; undefined: this device's own */
  async #keysChanged(of) {
    const { own, people } = await this.#open()
    const me = own.keys.personId
    const personId = of ?? me
    people.haveChanged(personId)
    if (personId === me) await this.#follow()
    else if (await people.known(personId)) await people.refresh(personId)
    this.#tell("encryption.keys", { personId })
  }

  #needed() {
    if (!this.#place) throw new BuzzError("pass this encryption to connect() first")
    return this.#place
  }

  // --- what the app is told ----------------------------------------------------------------------------------------

  /** @param {PersonChange} change @param {{ personId: number, tag: string }} me */
  #changed({ before, person, alarms, ...changes }, me) {
    const { personId } = person
    const own = personId === me.personId
    const [added, removed] = [changes.added, changes.removed].map((list) => list.filter(({ tag }) => tag !== me.tag))
    for (const { deviceId, tag, changed, returned } of own ? alarms : []) {
      this.#tell("encryption.own_device", { deviceId, tag, changed, returned })
    }
    const waits = waiting(person).length > 0
    const turned = waits !== Boolean(before && waiting(before).length)
    if ((turned && !own) || (before && (added.length || removed.length))) {
      this.#tell("encryption.person", { personId, waits, added: added.map(named), removed: removed.map(named) })
    }
  }

  /** Tell the app: in all tabs, if this one holds the socket. @param {string} name @param {any} data */
  #tell(name, data) {
    if (this.#line?.open) this.#line.pass({ type: "event", name, data })
    else this.#place?.emit(name, data)
  }
}

/** @param {KnownPerson} person @returns {PersonShown} */
function shown(person) {
  const { personId, root, compared, devices } = person
  return {
    id: personId,
    root,
    compared,
    devices: devices.map((device) => deviceShown(device, devices)),
    waits: waiting(person).length > 0,
  }
}

const STATES = /** @type {const} */ ({ trusted: "trusted", waiting: "new", refused: "unlinked" })

/** @param {KnownDevice} device @param {KnownDevice[]} others @returns {DeviceShown} */
function deviceShown(device, others) {
  const { deviceId, tag, identity, standing, since, removedAt, linkedBy } = device
  return {
    deviceId,
    tag,
    identity,
    trusted: reads(device),
    state: removedAt === undefined ? STATES[standing] : "removed",
    since: new Date(1000 * since),
    linkedBy: others.find((other) => other.identity === linkedBy)?.deviceId ?? null,
  }
}

/**
 * Return what to pass to `connect` as `encryption`, on these copies of the libraries.
 *
 * @param {Libraries} libraries
 * @param {object} options
 * @param {KeyStore} options.keys where this device's keys are kept
 * @param {() => number} [options.now] Unix seconds, for tests
 * @param {LoadSealing} [options.loadSealing] for service workers, where `import()` is not allowed: returns the module
 *   `outgoing.js`, which the worker imports itself
 * @param {typeof Primitives} [functions] those of a platform that has faster ones than WebCrypto
 */
export async function sealedMessagesWith(libraries, { keys, now, loadSealing }, functions = Primitives) {
  return new SealedMessages(await functions.on(libraries), keys, now, loadSealing)
}
