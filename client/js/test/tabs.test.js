/** Tabs that share a socket, with locks that tests hold: frozen holders, stolen locks, different people. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { Buzz } from "../src/client.js"
import { json } from "../src/codec.js"
import { Backoff } from "../src/core/backoff.js"
import { Session } from "../src/core/session.js"
import { BuzzHttp } from "../src/http.js"
import { Address } from "../src/address.js"
import { memoryStore } from "../src/index.js"
import { socketConnector } from "../src/sockets.js"
import { Tabs } from "../src/tabs.js"
import { Tokens } from "../src/tokens.js"
import { SmallServer, StillClock, settled } from "./small-server.js"

/** The browser's locks (https://w3c.github.io/web-locks/), for all tabs of a test. */
class Locks {
  held = new Map()
  waiting = []
  steals = 0

  query = async () => ({ held: [...this.held.keys()].map((name) => ({ name })) })

  request = (name, { ifAvailable, steal, signal } = {}, callback) => {
    if (steal) {
      this.steals++
      this.held.get(name)?.reject(new DOMException("stolen", "AbortError"))
      return this.#grant(name, callback)
    }
    if (!this.held.has(name)) return this.#grant(name, callback)
    if (ifAvailable) return Promise.resolve(callback(null))
    return new Promise((resolve, reject) => {
      const entry = { name, callback, resolve, reject }
      this.waiting.push(entry)
      signal?.addEventListener("abort", () => {
        this.waiting = this.waiting.filter((each) => each !== entry)
        reject(signal.reason)
      })
    })
  }

  #grant(name, callback) {
    return new Promise((resolve, reject) => {
      const holder = { reject }
      this.held.set(name, holder)
      Promise.resolve(callback({ name })).then(() => {
        if (this.held.get(name) === holder) this.#release(name)
        resolve()
      })
    })
  }

  #release(name) {
    this.held.delete(name)
    const next = this.waiting.find((each) => each.name === name)
    if (!next) return
    this.waiting = this.waiting.filter((each) => each !== next)
    this.#grant(name, next.callback).then(next.resolve, next.reject)
  }
}

/** The browser's channels; a frozen tab gets its messages when it is awake again. */
function channels() {
  const all = new Set()
  return class {
    frozen = []
    isFrozen = false
    constructor(name) {
      this.name = name
      all.add(this)
    }
    postMessage(data) {
      for (const other of all) {
        if (other === this || other.name !== this.name) continue
        const copy = structuredClone(data)
        queueMicrotask(() => (other.isFrozen ? other.frozen.push(copy) : other.onmessage?.({ data: copy })))
      }
    }
    close() {
      all.delete(this)
    }
    static all = all
  }
}

class Browser {
  locks = new Locks()
  Channel = channels()
  clock = new StillClock()
  server = new SmallServer()
  tabs = []

  async tab({ token = "t", since = 0, store = memoryStore() } = {}) {
    const { server, clock } = this
    const address = new Address("http://buzz.test")
    const tokens = new Tokens(token)
    const tabs = new Tabs(socketConnector(address.socketUrl, json, server.WebSocket), "test", this)
    const session = new Session({
      backoff: new Backoff({ random: () => 0 }),
      renewable: tokens.renewable,
      deviceId: "d",
      markReceived: true,
      since,
    })
    const http = new BuzzHttp(address, tokens, { fetch: server.fetch, clock })
    let made = 0
    const number = this.tabs.length
    const newId = () => `${number}-${made++}`
    const buzz = new Buzz({ session, http, tokens, store, clock, codec: json, newId, fresh: true }, tabs.open, () =>
      tabs.leave(),
    )
    tabs.follow(buzz)
    buzz.got = []
    buzz.on("activity", ({ id }) => buzz.got.push(id))
    this.tabs.push(buzz)
    buzz.resume()
    await settled()
    buzz.channel = [...this.Channel.all].at(-1)
    return buzz
  }

  async passes(ms) {
    await settled()
    const end = this.clock.time + ms
    while (Math.min(Infinity, ...[...this.clock.timers].map(({ at }) => at)) <= end) await this.clock.next()
    this.clock.time = end
    await settled()
  }

  async close() {
    for (const tab of this.tabs) await tab.close()
    await settled()
    assert.equal(this.clock.timers.size, 0)
  }
}

test("tabs share one session: each gets everything, each sends, and only one socket is open", async () => {
  const browser = new Browser()
  browser.server.write(2)
  const tabs = [await browser.tab(), await browser.tab(), await browser.tab()]
  browser.server.write(2)
  await settled()
  const acks = await Promise.all(tabs.map((tab) => tab.send({ to: "person:8", message: "x" })))
  await settled()
  assert.deepEqual(acks.map(({ id }) => id).sort(), [5, 6, 7])
  for (const tab of tabs) {
    assert.deepEqual(tab.got, [1, 2, 3, 4, 5, 6, 7])
    assert.equal(tab.state.state, "live")
  }
  assert.deepEqual([browser.server.sockets.size, browser.server.hellos.length], [1, 1])
  await browser.close()
})

test("when the holder ends another tab takes over, and nothing is lost", async () => {
  const browser = new Browser()
  const [first, second, third] = [await browser.tab(), await browser.tab(), await browser.tab()]
  browser.server.loseAcks = 1
  const sending = second.send({ to: "person:8", message: "x" })
  await settled()
  await first.close()
  await settled()
  browser.server.write(1)
  await browser.passes(100)
  assert.equal((await sending).duplicate, true)
  for (const tab of [second, third]) assert.deepEqual(tab.got, [1, 2])
  assert.equal(browser.server.sockets.size, 1)
  await browser.close()
})

test("a holder that dies without a word is replaced as well", async () => {
  const browser = new Browser()
  const [first, second, third] = [await browser.tab(), await browser.tab(), await browser.tab()]
  const lock = [...browser.locks.held.keys()][0]
  // What a browser does when it kills a page: the channel, the socket and the lock are gone, in any order.
  browser.Channel.all.delete(first.channel)
  browser.server.cut()
  first.suspend = () => {}
  browser.server.write(3)
  browser.locks.held.get(lock).reject(new DOMException("gone", "AbortError"))
  browser.locks.held.delete(lock)
  const next = browser.locks.waiting.shift()
  void browser.locks.request(lock, {}, next.callback)
  await browser.passes(1000)
  for (const tab of [second, third]) assert.deepEqual(tab.got, [1, 2, 3])
  browser.tabs = [second, third]
  await Promise.all(browser.tabs.map((tab) => tab.close()))
})

test("a frozen holder loses its lock, and does not end when it is awake again", async () => {
  const browser = new Browser()
  const [first, second] = [await browser.tab(), await browser.tab()]
  first.channel.isFrozen = true
  const frozenSocket = [...browser.server.sockets][0]
  frozenSocket.onmessage = () => {}
  // The second tab asks for a sign of life, gets none, tries twice, and takes the lock.
  for (let number = 0; number < 8 && !browser.locks.steals; number++) await browser.passes(10_000)
  await browser.passes(100)
  assert.equal(browser.locks.steals, 1)
  browser.server.write(1)
  await settled()
  assert.deepEqual(second.got, [1])
  // Awake: the server has closed its socket with 4409, because the device has a newer session.
  frozenSocket.end(4409)
  first.channel.isFrozen = false
  for (const data of first.channel.frozen.splice(0)) first.channel.onmessage({ data })
  await browser.passes(1_000)
  assert.equal(first.over, undefined)
  assert.deepEqual(first.got, [1])
  await browser.close()
})

test("4409 from another browser ends every tab", async () => {
  const browser = new Browser()
  const tabs = [await browser.tab(), await browser.tab()]
  for (const socket of browser.server.sockets) socket.end(4409)
  await settled()
  assert.deepEqual(
    tabs.map((tab) => tab.over?.code),
    ["device_replaced", "device_replaced"],
  )
})

test("a tab that is behind is told so, and fetches what it missed", async () => {
  const browser = new Browser()
  const first = await browser.tab()
  browser.server.write(7)
  await settled()
  const second = await browser.tab()
  await browser.passes(100)
  browser.server.write(1)
  await settled()
  for (const tab of [first, second]) assert.deepEqual(tab.got, [1, 2, 3, 4, 5, 6, 7, 8])
  await browser.close()
})

test("tabs of different people share nothing", async () => {
  const browser = new Browser()
  const token = (sub) => `h.${Buffer.from(JSON.stringify({ sub })).toString("base64url")}.s`
  await browser.tab({ token: token("person:7") })
  await browser.tab({ token: token("person:9") })
  assert.equal(browser.server.hellos.length, 2)
  await browser.close()
})

test("the token is refreshed by the holder alone", async () => {
  const browser = new Browser()
  let fetched = 0
  const token = () => `t${fetched++}`
  const [, second] = [await browser.tab({ token }), await browser.tab({ token })]
  for (const socket of browser.server.sockets)
    socket.say({ type: "event", name: "token.expiring", data: { seconds: 60 } })
  await settled()
  await second.refresh()
  await settled()
  assert.deepEqual(browser.server.frames.filter(({ type }) => type === "refresh").length, 1)
  await browser.close()
})

test("a server that asks to wait is obeyed by every tab", async () => {
  const browser = new Browser()
  const tabs = [await browser.tab(), await browser.tab(), await browser.tab()]
  for (const socket of browser.server.sockets) socket.end(1013, "retry_after=60")
  await settled()
  assert.deepEqual(
    tabs.map((tab) => tab.state.state),
    ["waiting", "waiting", "waiting"],
  )
  await browser.passes(59_000)
  assert.equal(browser.server.hellos.length, 1)
  await browser.passes(2_000)
  assert.equal(browser.server.hellos.length, 2)
  await browser.passes(31_000)
  assert.deepEqual(
    tabs.map((tab) => tab.state.state),
    ["live", "live", "live"],
  )
  await browser.close()
})

test("a page that is put away gives the socket to another tab", async () => {
  const browser = new Browser()
  const [first, second] = [await browser.tab(), await browser.tab()]
  first.suspend()
  await browser.passes(1_000)
  browser.server.write(1)
  await settled()
  assert.deepEqual([first.got, second.got], [[], [1]])
  first.resume()
  await browser.passes(100)
  assert.deepEqual(first.got, [1])
  assert.equal(browser.server.sockets.size, 1)
  await browser.close()
})
