/** A small Buzz server in this process, behind a WebSocket constructor: a log in memory, and every way to fail. */

const T = "2024-07-05T12:14:45Z"

/** Return an activity as the server shows it. */
export function row(id, fields = {}) {
  return {
    id,
    type: "chat_message",
    sendable_type: "AppModelsPerson",
    sendable_id: 8,
    receivable_type: "AppModelsPerson",
    receivable_id: 7,
    call_time: null,
    message: `m${id}`,
    message_id: `id-${id}`,
    created_at: T,
    sendable: { id: 8, first_name: "Bob", middle_name: null, last_name: "Doe" },
    receivable: { id: 7, first_name: "Jane", middle_name: null, last_name: "Doe" },
    ...fields,
  }
}

/** It keeps its promises: stored before acknowledged, everything newer than the cursor in order, idempotent sends. */
export class SmallServer {
  log = []
  keys = new Map()
  sockets = new Set()
  hellos = []
  frames = []
  epoch = "e1"
  loseAcks = 0

  /** Write so many messages to the log. */
  write(count) {
    for (let number = 0; number < count; number++) this.log.push(row(this.log.length + 1))
    this.push()
  }

  push() {
    for (const socket of this.sockets) socket.deliver()
  }

  cut() {
    for (const socket of [...this.sockets]) socket.end(1006)
  }

  /** The constructor that a client opens sockets with. */
  get WebSocket() {
    const server = this
    return class extends ServerSocket {
      constructor() {
        super(server)
      }
    }
  }

  /** Answers the page requests of a client. */
  fetch = async (url) => {
    const after = Number(/activity\/(\d+)/.exec(url)[1])
    const headers = new Headers({ "Buzz-Log-Epoch": this.epoch })
    return new Response(JSON.stringify(this.log.filter(({ id }) => id > after).slice(0, 3)), { headers })
  }
}

class ServerSocket {
  readyState = 0
  cursor = Infinity

  constructor(server) {
    this.server = server
    server.sockets.add(this)
    queueMicrotask(() => {
      if (this.readyState) return
      this.readyState = 1
      this.onopen()
    })
  }

  send(text) {
    const frame = JSON.parse(text)
    queueMicrotask(() => this.readyState === 1 && this.#on(frame))
  }

  say(frame) {
    queueMicrotask(() => this.readyState === 1 && this.onmessage({ data: JSON.stringify(frame) }))
  }

  close() {
    this.end(1000)
  }

  end(code, reason = "") {
    if (this.readyState === 3) return
    this.readyState = 3
    this.server.sockets.delete(this)
    queueMicrotask(() => this.onclose({ code, reason }))
  }

  deliver() {
    const rows = this.server.log.filter(({ id }) => id > this.cursor)
    if (!rows.length) return
    this.cursor = rows.at(-1).id
    for (let start = 0; start < rows.length; start += 2)
      this.say({ type: "activities", activities: rows.slice(start, start + 2) })
  }

  #on(frame) {
    const { server } = this
    if (frame.type === "hello") {
      server.hellos.push(frame)
      this.say({
        type: "welcome",
        session_id: `s${server.hellos.length}`,
        person_id: 7,
        device_id: frame.device_id ?? null,
        head_id: server.log.length,
        epoch: server.epoch,
        max_send_bytes: 1000,
      })
      this.cursor =
        frame.epoch !== undefined && frame.epoch !== server.epoch ? 0 : (frame.last_activity_id ?? server.log.length)
      this.deliver()
      if (frame.last_activity_id !== undefined) this.say({ type: "caught_up", id: this.cursor })
    } else if (frame.type === "ping") this.say({ type: "pong" })
    else if (frame.type === "send") this.#store(frame)
    if (!["hello", "ping"].includes(frame.type)) server.frames.push(frame)
  }

  #store({ ref, activity }) {
    const { server } = this
    const key = activity.idempotency_key ?? activity.message_id
    const duplicate = server.keys.has(key)
    if (!duplicate) {
      const stored = row(server.log.length + 1, {
        message: activity.message,
        message_id: key,
        sendable_id: 7,
        receivable_id: 8,
      })
      server.log.push(stored)
      server.keys.set(key, stored.id)
      server.push()
    }
    if (server.loseAcks) {
      server.loseAcks--
      return this.end(1006)
    }
    this.say({ type: "ack", ref, id: server.keys.get(key), created_at: T, duplicate })
  }
}

/** Let everything happen that can happen without time. */
export async function settled() {
  for (let number = 0; number < 8; number++) await new Promise((resolve) => setImmediate(resolve))
}

/** A clock that stands still until it is moved. */
export class StillClock {
  time = 0
  timers = new Set()
  now = () => this.time
  set = (callback, ms) => {
    const timer = { callback, at: this.time + ms }
    this.timers.add(timer)
    return timer
  }
  clear = (timer) => this.timers.delete(timer)

  /** Move to the next timer, and fire it. */
  async next() {
    const timer = [...this.timers].sort((a, b) => a.at - b.at)[0]
    if (!timer) return
    this.timers.delete(timer)
    this.time = Math.max(this.time, timer.at)
    timer.callback()
    await settled()
  }
}
