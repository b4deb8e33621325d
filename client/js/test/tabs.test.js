/** Tabs that share a socket, with locks that tests hold: frozen holders, stolen locks, different people. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { createBuzz } from "../src/client.js"
import { json } from "../src/codec.js"
import { BuzzHttp } from "../src/http.js"
import { readAddress } from "../src/address.js"
import { memoryStore } from "../src/index.js"
import { socketConnector } from "../src/sockets.js"
import { Tabs } from "../src/tabs.js"
import { createTokens } from "../src/tokens.js"
import { SealedMessages } from "../src/encryption/sealed_messages.js"
import { memoryKeys } from "../src/encryption/stores/text.js"
import { BOB, Device, JANE, Scene, until } from "./key-server.js"
import { use } from "./sealed-scene.js"
import { SmallServer, StillClock, row, settled } from "./small-server.js"

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

  async tab({ token = "t", since = 0, store = memoryStore(), encryption, routes } = {}) {
    const { server, clock } = this
    const base = readAddress("http://buzz.test")
    const tokens = createTokens(token, clock)
    const sockets = socketConnector(base, json, server.WebSocket)
    const tabs = new Tabs(encryption?.connector(sockets) ?? sockets, "test", this)
    const http = routes ?? new BuzzHttp(base, tokens, { fetch: server.fetch, clock })
    let made = 0
    const number = this.tabs.length
    const newId = () => `${number}-${made++}`
    const { open: connector, leave } = tabs
    const rest = { deviceId: "d", since, store, clock, codec: json, newId, random: () => 0 }
    const buzz = createBuzz({ http, tokens, connector, leave, encryption, ...rest })
    tabs.follow(buzz)
    buzz.got = []
    buzz.on("activity", ({ id, text, unopened }) => buzz.got.push(encryption ? (unopened?.reason ?? text) : id))
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

test("a page that is put away while it asks for the lock does not wait for it any more", async () => {
  const browser = new Browser()
  const first = await browser.tab()
  const { request } = browser.locks
  let isAsked
  const asked = new Promise((resolve) => (isAsked = resolve))
  let go
  const mayAnswer = new Promise((resolve) => (go = resolve))
  browser.locks.request = async (...values) => {
    isAsked()
    await mayAnswer
    return request(...values)
  }
  const second = await browser.tab()
  await asked
  second.suspend()
  go()
  await settled()
  await first.close()
  await settled()
  assert.equal(browser.locks.held.size, 0)
  second.resume()
  await settled()
  assert.ok(second.connected)
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

/**
 * Two tabs of Bob that have reconnected, and the first one's question whose keys have changed is not answered. Meanwhile
 * Jane's tablet was removed, and writes.
 */
async function removedMeanwhile() {
  const browser = new Browser()
  const { server, clock } = browser
  const scene = new Scene()
  const phone = await scene.device("phone", JANE)
  const tablet = await scene.device("tablet", JANE)
  await phone.sealed.linking.scan((await tablet.sealed.linking.start()).picture)
  await tablet.hear()
  const keys = memoryKeys()
  const device = new Device(scene, BOB, "d", keys)
  const tab = async () => {
    const encryption = new SealedMessages(use, keys, () => scene.now)
    const opened = await browser.tab({ encryption, routes: device.http() })
    await encryption.ready
    return opened
  }
  const says = async (text) => {
    const { message, messageId, createdAt } = await tablet.send(BOB, text)
    const fields = { message, message_id: messageId, sendable_id: JANE, created_at: createdAt.toISOString() }
    server.log.push(row(server.log.length + 1, fields))
    server.push()
    await settled()
  }
  const tabs = [await tab(), await tab()]
  await says("before")
  for (const { got } of tabs) await until(() => got.length)

  server.cut()
  await settled()
  scene.now += 10
  scene.remove(JANE, "tablet")
  scene.now += 10
  /** What answers each question that was asked and has no answer yet. */
  let questions = []
  device.before = () => new Promise((answer) => questions.push(answer))
  const asked = () => until(() => questions.length)
  const answer = () => {
    device.before = () => {}
    for (const each of questions) each()
  }
  /** Let something happen after which there is another question; the ones before it are answered, too late. */
  const asksAgain = async (happens) => {
    const late = questions
    questions = []
    await happens()
    for (const each of late) each()
  }
  while (!tabs.every(({ connected }) => connected)) await clock.next()
  await asked()
  await says("by the thief")
  return { browser, tabs, answer, asked, asksAgain, last: scene.log.at(-1) }
}

test("a tab without the socket opens nothing before the holder has looked at changed keys", async () => {
  const { browser, tabs, answer } = await removedMeanwhile()
  answer()
  for (const { got } of tabs) await until(() => got.length > 1)
  for (const { got } of tabs) assert.deepEqual(got, ["before", "removed_device"])
  await browser.close()
})

test("a tab whose holder is gone before it has looked opens nothing before it has looked itself", async () => {
  const { browser, tabs, answer, asked, asksAgain } = await removedMeanwhile()
  const [holder, other] = tabs
  await asksAgain(() => holder.close())
  while (!other.connected) await browser.passes(0)
  await asked()
  await settled()
  assert.deepEqual(other.got, ["before"])
  answer()
  await until(() => other.got.length > 1)
  assert.deepEqual(other.got, ["before", "removed_device"])
  await browser.close()
})

test("a connection that ends before changed keys were looked at lets no tab open anything", async () => {
  const { browser, tabs, answer, asked, asksAgain } = await removedMeanwhile()
  await asksAgain(async () => {
    browser.server.cut()
    await settled()
  })
  for (const { got, connected } of tabs) assert.deepEqual([got, connected], [["before"], false])
  while (!tabs.every(({ connected }) => connected)) await browser.clock.next()
  await asked()
  await settled()
  for (const { got } of tabs) assert.deepEqual(got, ["before"])
  answer()
  for (const { got } of tabs) await until(() => got.length > 1)
  for (const { got } of tabs) assert.deepEqual(got, ["before", "removed_device"])
  await browser.close()
})

test("a tab that has held the socket waits for the look of the tab that holds it now", async () => {
  const { browser, tabs, answer, asked, asksAgain } = await removedMeanwhile()
  const [holder, other] = tabs
  await asksAgain(() => holder.suspend())
  while (!other.connected) await browser.passes(0)
  await asked()
  holder.resume()
  while (!holder.connected) await browser.passes(0)
  await settled()
  for (const { got } of tabs) assert.deepEqual(got, ["before"])
  answer()
  for (const { got } of tabs) await until(() => got.length > 1)
  for (const { got } of tabs) assert.deepEqual(got, ["before", "removed_device"])
  await browser.close()
})

test("what waits for a look when the client is closed is not opened, and says why", async () => {
  const { browser, tabs, answer, last } = await removedMeanwhile()
  const [, other] = tabs
  const waiting = assert.rejects(other.encryption.open(last), { code: "client_closed" })
  await settled()
  await other.close()
  await waiting
  answer()
  await browser.close()
})

test("a callback that opens something does not keep a tab from hearing that the holder has looked", async () => {
  const { browser, tabs, answer, last } = await removedMeanwhile()
  const [, other] = tabs
  const opened = []
  other.on("typing", async () => opened.push(await other.encryption.open(last)))
  for (const socket of browser.server.sockets) socket.say({ type: "event", name: "typing", data: {} })
  await settled()
  answer()
  await until(() => opened.length)
  assert.equal(opened[0].unopened.reason, "removed_device")
  await until(() => other.got.length > 1)
  await browser.close()
})
