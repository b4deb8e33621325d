/**
 * Runs the client for the conformance scripts: a command on each line of stdin, a report on each line of stdout.
 *
 * client/conformance/README.md lists them. One process plays any number of scripts, one after another.
 */

import { createInterface } from "node:readline"
import { WebSocket as Ws } from "ws"
import { connect, memoryStore } from "../src/index.js"
import { msgpack } from "../src/msgpack.js"

/** A clock that the script moves: real time passes on it as well. */
class ScriptClock {
  offset = 0
  timers = new Set()

  now = () => performance.now() + this.offset

  set = (callback, ms) => {
    const timer = { callback, at: this.now() + ms }
    timer.real = setTimeout(() => this.#fire(timer), Math.min(ms, 2 ** 31 - 1))
    this.timers.add(timer)
    return timer
  }

  clear = (timer) => {
    if (!timer) return
    clearTimeout(timer.real)
    this.timers.delete(timer)
  }

  /** Move forward, and fire every timer at its time; of a frozen clock all fire at the end. */
  advance(ms, frozen) {
    const end = this.now() + ms
    if (frozen) this.offset += ms
    for (let next; (next = this.#next(end)); this.#fire(next)) this.offset += Math.max(0, next.at - this.now())
    this.offset += Math.max(0, end - this.now())
  }

  #next(end) {
    const due = [...this.timers].filter((timer) => timer.at <= end)
    return due.sort((a, b) => a.at - b.at)[0]
  }

  #fire(timer) {
    this.clear(timer)
    timer.callback()
  }
}

// `global` plays the scripts with the platform's own WebSocket, which does not show the status of a refused upgrade.
const WebSocket = process.argv[2] === "global" ? globalThis.WebSocket : Ws
const report = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`)
const turn = () => new Promise((resolve) => setImmediate(resolve))
const why = (error) => error.code ?? String(error)

/** One client, and what is left of it after a restart. */
class Run {
  clock = new ScriptClock()
  store = memoryStore()
  aborts = new Map()
  buzz = undefined
  iteration = undefined
  ended = false

  async open({ url, encoding, token, tokens, device_id, since, random = 0, mark_received, buffer, on = [] }) {
    this.ended = false
    const store = (this.guarded = guard(this.store))
    try {
      const buzz = await connect(url, {
        token: tokens ? () => next(tokens) : token,
        deviceId: device_id,
        store,
        since,
        codec: encoding === "msgpack" ? msgpack : undefined,
        markReceived: mark_received,
        bufferSize: buffer,
        clock: this.clock,
        random: () => random,
        WebSocket,
        openTimeoutSeconds: 0,
      })
      this.#listen(buzz, on)
    } catch (error) {
      this.#end(error)
    }
  }

  #listen(buzz, names) {
    this.buzz = buzz
    buzz.on("state", (state) => {
      if (state.state === "ended") this.#end(state.error)
      else report({ saw: "state", state: state.state, seconds: state.seconds })
    })
    buzz.on("epoch_changed", ({ epoch }) => report({ saw: "epoch_changed", epoch }))
    buzz.on("caught_up", ({ id }) => report({ saw: "caught_up", id }))
    buzz.on("error", ({ code }) => report({ saw: "error", code }))
    for (const name of names) buzz.on(name, (data) => report({ saw: "event", name, data }))
  }

  #end(error) {
    if (this.ended || why(error) === "client_closed") return
    this.ended = true
    report({ saw: "ended", why: why(error) })
  }

  async take({ count }) {
    this.iteration ??= this.buzz.activities()
    try {
      for (let number = 0; number < count; number++) {
        const { value } = await this.iteration.next()
        report({
          saw: "activity",
          id: value.id,
          message: value.message,
          from: `${value.sender.type}:${value.sender.id}`,
        })
      }
    } catch (error) {
      this.#end(error)
    }
  }

  async send({ name, to, message, message_id, type, from }) {
    const abort = new AbortController()
    this.aborts.set(name, abort)
    try {
      const draft = { to, message, messageId: message_id, type, from }
      const ack = await this.buzz.send(draft, { signal: abort.signal })
      report({ saw: "ack", name, id: ack.id, duplicate: ack.duplicate })
    } catch (error) {
      if (abort.signal.aborted) report({ saw: "cancelled", name })
      else if (!this.killed && why(error) !== "client_closed") report({ saw: "refused", name, code: why(error) })
    }
  }

  cancel = ({ name }) => this.aborts.get(name).abort()
  typing = ({ to }) => this.buzz.typing(to)
  received = ({ id }) => this.buzz.received(id)
  refresh = () => this.buzz.refresh()
  wake = () => this.buzz.wake()
  suspend = () => this.buzz.suspend()
  resume = () => this.buzz.resume()

  async advance({ seconds, frozen }) {
    this.clock.advance(seconds * 1000, frozen)
  }

  async sync() {
    for (let number = 0; number < 5; number++) await turn()
    report({ saw: "synced" })
  }

  /** End the client normally; the store stays. */
  async stop() {
    await this.buzz?.close()
    this.buzz = this.iteration = undefined
  }

  /** End the client as a crash would: nothing more is stored. */
  async kill() {
    this.killed = true
    this.guarded.dead = true
    this.buzz.suspend()
    await this.buzz.close()
    this.buzz = this.iteration = undefined
    this.killed = false
  }
}

function next(tokens) {
  const token = tokens.shift()
  if (token === undefined) throw new Error("the script has no more tokens")
  if (token === null) throw new TypeError("the identity provider cannot be reached")
  if (token === false) return new Promise(() => {})
  return token
}

/** A store that forgets to write when its process is dead. */
function guard(store) {
  const guarded = { dead: false }
  for (const name of Object.keys(store)) {
    guarded[name] = (...values) =>
      guarded.dead ? undefined : store[name](...values.map((each) => structuredClone(each)))
  }
  return guarded
}

let run = new Run()
process.on("unhandledRejection", (error) => report({ saw: "broken", error: String(error?.stack ?? error) }))
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...fields } = JSON.parse(line)
  if (name === "close") {
    await run.stop()
    report({ saw: "closed" })
    run = new Run()
  } else if (name === "sync" || name === "advance") await run[name](fields)
  else if (name === "stop" || name === "kill") await run[name]()
  else if (name === "open") await run.open(fields)
  else Promise.resolve(run[name](fields)).catch((error) => report({ saw: "broken", error: String(error.stack) }))
}
