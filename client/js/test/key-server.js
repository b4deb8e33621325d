/** Devices with the encryption and no server: everybody's keys and messages are in memory, and faults are asked for. */

import { json } from "../src/codec.js"
import { HttpError } from "../src/errors.js"
import { toBase64 } from "../src/encryption/encoding.js"
import { SealedMessages } from "../src/encryption/sealed_messages.js"
import { memoryKeys } from "../src/encryption/stores/text.js"
import { createEvents } from "../src/events.js"
import { use } from "./sealed-scene.js"

export const [JANE, BOB] = [456, 7]

/** What the server has of keys and messages, and the time. */
export class Scene {
  now = 1_767_225_600
  keys = []
  members = new Map()
  log = []

  put(person, publicKey, algorithm, deviceId, statement) {
    const row = {
      person_id: person,
      public_key: publicKey,
      algorithm,
      device_id: deviceId,
      statement,
      updated_at: rfc3339(this.now),
      revoked_at: null,
    }
    const old = this.keys.find((key) => key.revoked_at === null && slot(key) === slot(row))
    if (old?.public_key === publicKey) {
      if (old.statement !== statement) Object.assign(old, row)
      return old
    }
    if (old) old.revoked_at = row.updated_at
    this.keys.push(row)
    return row
  }

  /** The person signs a device out. */
  remove(person, deviceId) {
    for (const key of this.keys) {
      if (key.person_id === person && key.device_id === deviceId) key.revoked_at ??= rfc3339(this.now)
    }
  }

  /** Those in force first, then the newest first. */
  of(person) {
    const rank = ({ revoked_at, updated_at }) => (revoked_at === null ? 1e12 : 0) + Date.parse(updated_at) / 1000
    const found = this.keys.filter((key) => key.person_id === person)
    return found.sort((one, other) => rank(other) - rank(one)).map((key) => ({ ...key }))
  }

  store(activity, at) {
    const { sendable_type, sendable_id, receivable_type, receivable_id, type, message_id, message } = activity
    this.log.push({
      id: this.log.length + 1,
      type,
      sender: { type: sendable_type, id: sendable_id },
      receiver: { type: receivable_type, id: receivable_id },
      createdAt: new Date(1000 * at),
      messageId: message_id,
      message,
    })
    return this.log.length
  }

  /** A device that is connected and has published its keys. */
  async device(name, person = BOB, keys = memoryKeys()) {
    this.now++
    const device = new Device(this, person, name, keys)
    await device.connect()
    return device
  }
}

/**
 * One device. It hears of changed keys by `hear` or `event`. `before` and `after` are awaited around a look at keys.
 * While `hold` is set, what is sent is not answered.
 */
export class Device {
  #answers = new Map()
  #refs = 0
  #told = []
  fetches = 0
  hold = false
  before = () => {}
  after = () => {}

  constructor(scene, person, name, keys) {
    Object.assign(this, { scene, person, name, keys })
    this.sealed = new SealedMessages(use, keys, () => scene.now)
    const events = createEvents()
    this.events = events
    this.sealed.attach({
      http: this.http(),
      clock: { now: () => 0, set: (callback) => setImmediate(callback), clear: clearImmediate },
      codec: json,
      deviceId: name,
      personId: async () => person,
      emit: (event, data) => this.#tell(event, data),
      on: (event, callback) => events.on(event, callback),
      over: () => undefined,
    })
  }

  get tag() {
    return this.sealed.me.tag
  }

  /** The routes that the encryption uses. */
  http() {
    const { scene, person } = this
    const device = this
    return {
      putPublicKey: async (...key) => scene.put(person, ...key),
      publicKeys: async (other) => {
        device.fetches++
        await device.before(other)
        const rows = scene.of(other)
        await device.after(other)
        return rows
      },
      async *changedKeys(since) {
        const changed = (key) => Math.max(Date.parse(key.updated_at), Date.parse(key.revoked_at ?? key.updated_at))
        yield* scene.keys.filter((key) => changed(key) > Date.parse(since))
      },
      companyMembers: async (company) => {
        if (!scene.members.has(company)) throw new HttpError(404, "Not Found")
        return scene.members.get(company)
      },
    }
  }

  /** Settles when the encryption has asked what has changed. */
  connect() {
    const { scene } = this
    const connect = (real) => {
      this.real = real
      return {
        write: ({ ref, activity }) => {
          const answer = () => real.frame({ type: "ack", ref, id: scene.store(activity, scene.now) })
          if (this.hold) this.held = answer
          else queueMicrotask(answer)
        },
        close: () => {},
      }
    }
    const frame = (said) => {
      this.#answers.get(said.ref)?.(said)
      if (said.type === "event") this.#tell(said.name, said.data)
    }
    this.socket = this.sealed.connector(connect)({ opened() {}, closed() {}, frame })
    const ready = new Promise((resolve) => {
      const off = this.events.on("encryption.ready", () => (off(), resolve()))
    })
    this.real.frame({ type: "welcome", head_id: scene.log.length })
    return ready
  }

  lose() {
    this.held = undefined
    this.real.closed(1006, "")
  }

  /** Answer what was sent while `hold` was set. */
  release() {
    this.hold = false
    this.held()
  }

  event(name, data) {
    this.real.frame({ type: "event", name, data })
  }

  #tell(name, data) {
    this.#told.push({ name, data })
    this.events.emit(name, data)
  }

  /** What the app was told under this name. */
  heard(name) {
    return this.#told.filter((each) => each.name === name).map(({ data }) => data)
  }

  /** Look at the own person's keys and go on with what was found, as after the event `key.changed`. */
  async hear() {
    await this.sealed.linking.offers()
  }

  /** Send a text; returns the activity as the log has it, or rejects with the refusal. */
  async send(to, text) {
    const [type, id] = typeof to === "string" ? to.split(":") : ["person", to]
    const ref = ++this.#refs
    const activity = await this.sealed.seal({
      type: "chat_message",
      sendable_type: "person",
      sendable_id: this.person,
      receivable_type: type,
      receivable_id: Number(id),
      message_id: `${this.name} ${this.person} ${ref}`,
      message: text,
    })
    for (;;) {
      const answer = new Promise((resolve) => this.#answers.set(ref, resolve))
      this.socket.write({ type: "send", ref, activity })
      const { type: kind, id: stored, code } = await answer
      if (kind === "ack") return this.scene.log[stored - 1]
      if (code !== "unavailable") throw new Error(code)
    }
  }

  /** Return the text, or why it can't be read. */
  async open(activity) {
    const { text, unopened } = await this.sealed.open(activity)
    return unopened?.reason ?? text
  }

  /** Return what is known of a person's device. */
  async known(person, deviceId) {
    const found = await this.sealed.person(person)
    return found?.devices.find((each) => each.deviceId === deviceId && each.state !== "removed")
  }
}

/** Wait until it is so. */
export async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
}

function slot({ person_id, device_id, algorithm }) {
  return `${person_id} ${device_id} ${algorithm}`
}

function rfc3339(seconds) {
  return new Date(1000 * seconds).toISOString()
}
