/** What this device knows of people: it fetches their keys, decides whom to trust, and remembers it. */

import { HttpError } from "../errors.js"
import { KeysChanged } from "./errors.js"
import { IDENTITY_ALGORITHM } from "./statements.js"
import { accept, mayHaveSent, publishedKey, reads, refuse, review, unixSeconds, waiting } from "./trust.js"

/** @import { BuzzHttp } from "../http.js" */
/** @import { Place } from "./message.js" */
/** @import { OwnDevice } from "./own_device.js" */
/** @import { Primitives } from "./primitives.js" */
/** @import { KeyStore } from "./stores/text.js" */
/** @import { Alarm, KnownDevice, KnownPerson, PublishedKey } from "./trust.js" */

/**
 * What a look at a person's keys has changed.
 *
 * @typedef {object} PersonChange
 * @property {KnownPerson | undefined} before
 * @property {KnownPerson} person
 * @property {KnownDevice[]} added
 * @property {KnownDevice[]} removed
 * @property {Alarm[]} alarms
 */

/**
 * A person's row: who they are, and the newest activity that existed when their keys were fetched.
 *
 * @typedef {{ person?: KnownPerson, seen: number }} Value
 */

/**
 * The devices that should read a message; `receiver`: those of the other side.
 *
 * @typedef {{ members: Set<string>, sealing: Map<string, string>, receiver: string[] }} AllReaders
 */

const PREFIX = "person/"
const SYNC = "sync"
// For how long the keys of a company's members are believed.
const MEMBERS_SECONDS = 60
// A change gets its time before it is stored: one with an earlier time may be stored after one that is known already.
const OVERLAP_MS = 60_000

/** The people. */
export class People {
  /** @type {Map<number, Promise<PublishedKey[]>>} */
  #running = new Map()
  /** @type {Map<number, Promise<PublishedKey[]>>} */
  #queued = new Map()
  /** When each person's keys were fetched. @type {Map<number, number>} */
  #fetchedAt = new Map()
  /** Of whom the server said that their keys have changed, and that was not looked at. @type {Map<number, {}>} */
  #changes = new Map()
  /** The newest activity that is known to exist. */
  seen = 0

  /**
   * @param {Primitives} use
   * @param {KeyStore} store
   * @param {OwnDevice} own
   * @param {BuzzHttp} http
   * @param {() => number} now Unix seconds
   * @param {(change: PersonChange) => void} changed
   */
  constructor(use, store, own, http, now, changed) {
    this.use = use
    this.store = store
    this.own = own
    this.http = http
    this.now = now
    this.changed = changed
  }

  /** Return what is known of a person. @param {number} personId @returns {Promise<KnownPerson | undefined>} */
  async known(personId) {
    return (await this.store.get(PREFIX + personId))?.value.person
  }

  /** Return everybody that is known. @returns {Promise<KnownPerson[]>} */
  async everybody() {
    return (await this.store.list(PREFIX)).flatMap(({ value }) => value.person ?? [])
  }

  /** Return what is known of a person, or can be found out. @param {number} personId */
  async find(personId) {
    const known = await this.known(personId)
    if (known) return known
    await this.refresh(personId)
    return this.known(personId)
  }

  /**
   * Return the device of a person that has sent this activity; undefined if it is not theirs.
   *
   * A device that is not known, that nobody has vouched for yet, or that had been removed by then is looked for on the
   * server, once for all activities that exist by then: somebody may have linked it since.
   *
   * @param {number} personId
   * @param {string} tag
   * @param {number} activityId
   * @param {number} at when it was sent (Unix seconds)
   */
  async sender(personId, tag, activityId, at) {
    const { value } = (await this.store.get(PREFIX + personId)) ?? {}
    const known = deviceOf(value?.person, tag)
    const isDecided = known && known.standing !== "waiting" && mayHaveSent(known, at)
    if (isDecided || value?.seen >= activityId) return known
    this.seen = Math.max(this.seen, activityId)
    await this.refresh(personId)
    return deviceOf(await this.known(personId), tag)
  }

  /**
   * Return the devices that should read a message, other than this one.
   *
   * @param {Place} place
   * @param {boolean} first whether it is this device's first message to them
   * @returns {Promise<AllReaders>}
   * @throws {KeysChanged} if the user has to look at a device of one of them first
   */
  async readers({ sender, receiver }, first) {
    const own = this.own.keys
    const [mine, theirs] = await Promise.all([this.#devices(sender, first), this.#devices(receiver, first)])
    const devices = [...mine, ...theirs].filter(({ tag }) => tag !== own.tag)
    const now = this.now()
    const usable = devices.filter(({ sealing, sealingExpiresAt = 0 }) => sealing && now < sealingExpiresAt)
    return {
      members: new Set(devices.map(({ tag }) => tag)),
      sealing: new Map(usable.map(({ tag, sealing = "" }) => [tag, sealing])),
      receiver: theirs.map(({ tag }) => tag),
    }
  }

  /** @param {string} party @param {boolean} first @returns {Promise<KnownDevice[]>} */
  async #devices(party, first) {
    const devices = []
    for (const personId of await this.peopleOf(party)) {
      const told = this.#isToldOf(personId, party, first)
      if (!told) await this.refresh(personId)
      const person = await (told ? this.find(personId) : this.known(personId))
      if (!person) continue
      const asked = waiting(person)
      // Of the person's own devices the user is told; they may write meanwhile, since nothing is sealed for it.
      if (asked.length && personId !== this.own.keys.personId) throw new KeysChanged(personId, asked.map(named))
      devices.push(...person.devices.filter(reads))
    }
    return devices
  }

  /**
   * Whether the keys that are known of this person can be believed.
   *
   * The server tells of changes to those who have talked with the person, not with a company that they work for.
   *
   * @param {number} personId
   * @param {string} party
   * @param {boolean} first
   */
  #isToldOf(personId, party, first) {
    if (this.#changes.has(personId)) return false
    if (personId === this.own.keys.personId) return true
    if (party === `person:${personId}`) return !first
    return Math.abs(this.now() - (this.#fetchedAt.get(personId) ?? NaN)) < MEMBERS_SECONDS
  }

  /**
   * The server says that this person's keys have changed: nothing is sealed for them before that was looked at.
   *
   * @param {number} personId
   */
  haveChanged(personId) {
    this.#changes.set(personId, {})
  }

  /** Return the people behind a party. @param {string} party as in `person:7` @returns {Promise<number[]>} */
  async peopleOf(party) {
    const [type, id] = party.split(":")
    return type === "person" ? [Number(id)] : this.#membersOf(Number(id))
  }

  /** @param {number} companyId @returns {Promise<number[]>} */
  async #membersOf(companyId) {
    try {
      return await this.http.companyMembers(companyId)
    } catch (error) {
      if (error instanceof HttpError && error.status === 404) return []
      throw error
    }
  }

  /** Remember the user's decision about a device. @param {number} personId @param {string} tag @param {boolean} good */
  decide(personId, tag, good) {
    return this.#change(personId, (person) => (good ? accept(person, tag, this.now()) : refuse(person, tag)))
  }

  /** Remember whether the user has compared the safety number. @param {number} personId */
  markCompared(personId, compared = true) {
    return this.#change(personId, (person) => ({ ...person, compared }))
  }

  /**
   * Trust a device as it was at that time, and take this identity for the person's root.
   *
   * The time is that of its link: if the device was removed since, that counts.
   *
   * @param {number} personId
   * @param {string} root
   * @param {string} tag
   * @param {number} at
   */
  trustRoot(personId, root, tag, at) {
    return this.#change(personId, (person) => {
      const { standing } = deviceOf(person, tag) ?? {}
      const trusting = standing === "trusted" ? person : accept(person, tag, Math.min(at, this.now()))
      return { ...trusting, root, compared: person.compared && person.root === root }
    })
  }

  /** @param {number} personId @param {(person: KnownPerson) => KnownPerson} change */
  async #change(personId, change) {
    for (;;) {
      const row = await this.store.get(PREFIX + personId)
      if (!row?.value.person) return undefined
      const person = change(row.value.person)
      const value = { ...row.value, person }
      if (await this.store.commit([{ key: row.key, value, version: row.version }])) return person
    }
  }

  /**
   * Fetch a person's keys and review them. A call while another one runs waits for a fetch that begins later.
   *
   * @param {number} personId
   * @returns {Promise<PublishedKey[]>} what is published
   */
  refresh(personId) {
    const queued = this.#queued.get(personId)
    if (queued) return queued
    const before = this.#running.get(personId) ?? Promise.resolve([])
    const run = before
      .catch(() => [])
      .then(() => {
        this.#queued.delete(personId)
        this.#running.set(personId, run)
        return this.#review(personId)
      })
      .finally(() => this.#running.get(personId) === run && this.#running.delete(personId))
    this.#queued.set(personId, run)
    return run
  }

  /** @param {number} personId */
  async #review(personId) {
    const { use, store, own } = this
    for (;;) {
      const row = await store.get(PREFIX + personId)
      const { seen } = this
      const at = this.now()
      const change = this.#changes.get(personId)
      const published = (await this.#fetch(personId)).flatMap((key) => publishedKey(use, key) ?? [])
      const before = row?.value.person
      const found = await this.#reviewed(personId, before, published)
      const value = { person: found.person, seen: Math.max(seen, row?.value.seen ?? 0) }
      if (!(await store.commit([{ key: PREFIX + personId, value, version: row?.version ?? 0 }]))) continue
      if (found.person) this.#tell(before, found.person, found.alarms)
      await own.reload()
      this.#fetchedAt.set(personId, at)
      // What was fetched may be from before a change of which the server told meanwhile.
      if (this.#changes.get(personId) !== change) continue
      this.#changes.delete(personId)
      return published
    }
  }

  /** @param {number} personId @param {KnownPerson | undefined} before @param {PublishedKey[]} published */
  async #reviewed(personId, before, published) {
    const { use, own } = this
    const now = this.now()
    if (personId !== own.keys.personId) return review(use, personId, before, published, now)
    const { deviceId, tag, identity } = own.keys
    const root = identity.publicKey
    // An earlier identity of this device is replaced by the one of now: only what it has linked may be in use.
    const others = published.map((key) => {
      const own = key.algorithm === IDENTITY_ALGORITHM && key.deviceId === deviceId
      return own && !before && key.publicKey !== root ? { ...key, revokedAt: key.revokedAt ?? now } : key
    })
    const found = await review(use, personId, before, others, now, tag)
    // The person's first device is their root.
    const first = { personId, root, devices: [], compared: false }
    return found.person ? found : review(use, personId, first, others, now, tag)
  }

  /** @param {number} personId */
  async #fetch(personId) {
    try {
      return await this.http.publicKeys(personId)
    } catch (error) {
      if (error instanceof HttpError && error.status === 404) return []
      throw error
    }
  }

  /** @param {KnownPerson | undefined} before @param {KnownPerson} person @param {Alarm[]} alarms */
  #tell(before, person, alarms) {
    const was = new Map(before?.devices.map((device) => [device.tag, device]))
    const added = person.devices.filter(({ tag, removedAt }) => {
      const earlier = was.get(tag)
      return removedAt === undefined && (!earlier || earlier.removedAt !== undefined)
    })
    const removed = person.devices.filter(({ tag, removedAt }) => {
      const earlier = was.get(tag)
      return removedAt !== undefined && earlier && earlier.removedAt === undefined
    })
    this.changed({ before, person, added, removed, alarms })
  }

  /**
   * Look at the keys that have changed since the last time, of everybody that is known.
   *
   * @throws {HttpError} if the server can't tell now
   */
  async sync() {
    const row = await this.store.get(SYNC)
    const since = row?.value.since
    if (since === undefined) return
    const changed = new Set()
    let newest = since
    const from = new Date(Date.parse(since) - OVERLAP_MS).toISOString()
    for await (const { person_id, updated_at, revoked_at } of this.http.changedKeys(from)) {
      changed.add(person_id)
      for (const time of [updated_at, revoked_at]) {
        if (time && (unixSeconds(time) ?? 0) > (unixSeconds(newest) ?? 0)) newest = time
      }
    }
    for (const { personId } of await this.everybody()) if (changed.has(personId)) await this.refresh(personId)
    await this.#syncedAt(newest)
  }

  /** Remember when this device has begun, by the server's clock, if it is the first time. @param {string} since */
  async beginAt(since) {
    if (!(await this.store.get(SYNC))) await this.#syncedAt(since)
  }

  /** Remember the server's time up to which all changes are known. @param {string} since */
  async #syncedAt(since) {
    await this.store.commit([{ key: SYNC, value: { since } }], { lazy: true })
  }
}

/** @param {KnownPerson | undefined} person @param {string} tag */
function deviceOf(person, tag) {
  return person?.devices.find((device) => device.tag === tag)
}

/** @param {{ deviceId: string, tag: string }} device */
export function named({ deviceId, tag }) {
  return { deviceId, tag }
}
