/** Wake-ups of a service worker that is played here: two at once, pages that open, tokens that end, no subscription. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { connect, memoryStore } from "../src/index.js"
import { unsubscribe, wakeOnPush } from "../src/push.js"
import { SmallServer } from "./small-server.js"

/** A service worker's global scope: events, windows, a subscription, and the notifications that are shown. */
class Scope {
  #listeners = {}
  windows = []
  shown = new Map()
  subscribed = true
  asked = 0

  addEventListener(name, listener) {
    this.#listeners[name] = listener
  }

  /** A push that wakes the worker. Returns when the worker may sleep again. */
  push(wake) {
    let end
    this.#listeners.push({ data: { json: () => ({ v: 1, wake }) }, waitUntil: (work) => (end = work) })
    return end
  }

  /** A click on a notification about this address. */
  click(url) {
    let end
    this.#listeners.notificationclick({ notification: { close() {}, data: { url } }, waitUntil: (work) => (end = work) })
    return end
  }

  clients = {
    matchAll: async () => this.windows.map((visibility) => ({
      url: "https://app.test/",
      postMessage: (data, [port]) => visibility && port.postMessage(visibility),
    })),
  }

  registration = {
    pushManager: {
      getSubscription: async () => (this.subscribed ? { unsubscribe: async () => (this.subscribed = false) } : null),
    },
    getNotifications: async () => [...this.shown.keys()].map((tag) => ({ tag, close: () => this.shown.delete(tag) })),
    showNotification: async (title, { tag }) => void this.shown.set(tag, title),
  }
}

/** A worker with its app: what it has stored, and what it shows of it. */
function app(scope, server, options = {}) {
  const stored = []
  const store = memoryStore()
  const reasons = []
  const opened = []
  const open = () => {
    const opening = connect("http://buzz.test", {
      token: "t", since: 0, deviceId: "d", store, random: () => 0, WebSocket: server.WebSocket, fetch: server.fetch,
    })
    opened.push(opening)
    return opening
  }
  wakeOnPush(scope, {
    open,
    notices: (news, reason) => {
      reasons.push(reason)
      stored.push(...news.map(({ id }) => id))
      return stored.map((id) => ({ tag: `${id}`, title: `message ${id}` }))
    },
    fallback: { tag: "new", title: "something is new" },
    ...options,
  })
  return { stored, reasons, opened, open }
}

const titles = ({ shown }) => [...shown.values()].sort()

test("wake-ups that come together are merged by their reason, and a call is looked at first", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(1)
  const { reasons, opened } = app(scope, server)
  await Promise.all([scope.push("message"), scope.push("message"), scope.push("call"), scope.push("message")])
  assert.deepEqual(reasons, ["message", "call", "message"])
  assert.equal(opened.length, 3)
  assert.equal(server.sockets.size, 0, "no session is left open")
  await scope.push("message")
  assert.equal(reasons.length, 4)
})

test("a wake-up whose notices fail does not take those that came meanwhile with it", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  const seen = []
  app(scope, server, {
    notices: (news, reason) => {
      seen.push(reason)
      if (seen.length === 1) throw new Error("the app's")
      return [{ tag: "x", title: reason }]
    },
  })
  const ends = await Promise.allSettled([scope.push("message"), scope.push("call")])
  assert.deepEqual(ends.map(({ status }) => status), ["rejected", "rejected"])
  assert.deepEqual(seen, ["message", "call"])
  assert.deepEqual(titles(scope), ["call"])
})

test("what has arrived reaches the app, also if a page was opened meanwhile, and then nothing is shown", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(3)
  const { stored } = app(scope, server, {
    notices: (news) => {
      stored.push(...news.map(({ id }) => id))
      return stored.map((id) => ({ tag: `${id}`, title: `message ${id}` }))
    },
    open: async () => {
      scope.windows = ["visible"]
      return connect("http://buzz.test", {
        token: "t", since: 0, deviceId: "d", random: () => 0, WebSocket: server.WebSocket, fetch: server.fetch,
      })
    },
  })
  await scope.push("message")
  assert.deepEqual(stored, [1, 2, 3])
  assert.deepEqual(titles(scope), [])
})

test("a page that takes the session from the worker does not lose what the worker has taken", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(2)
  const stored = []
  app(scope, server, {
    open: async () => {
      const buzz = await connect("http://buzz.test", {
        token: "t", since: 0, deviceId: "d", random: () => 0, WebSocket: server.WebSocket, fetch: server.fetch,
      })
      // It is still behind when the page comes: nothing says that everything has arrived.
      const replace = () => {
        scope.windows = ["hidden"]
        for (const socket of [...server.sockets]) socket.end(4409)
      }
      const iterate = buzz.activities.bind(buzz)
      buzz.activities = () => {
        const inner = iterate()
        let taken = 0
        return { next: () => (taken++ === 2 ? (replace(), inner.next()) : inner.next()) }
      }
      return buzz
    },
    notices: (news) => {
      stored.push(...news.map(({ id }) => id))
      return stored.map((id) => ({ tag: `${id}`, title: `message ${id}` }))
    },
  })
  await scope.push("message")
  assert.deepEqual(stored, [1, 2])
  assert.deepEqual(titles(scope), ["message 1", "message 2"])
})

test("a connection that was lost while it caught up is waited for", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(4)
  let first = true
  const { stored } = app(scope, server, {
    open: async () => {
      const buzz = await connect("http://buzz.test", {
        token: "t", since: 0, deviceId: "d", random: () => 0, WebSocket: server.WebSocket, fetch: server.fetch,
      })
      const off = buzz.on("welcome", () => {
        if (!first) return
        first = false
        off()
        server.cut()
      })
      return buzz
    },
    notices: (news) => {
      stored.push(...news.map(({ id }) => id))
      return []
    },
  })
  await scope.push("message")
  assert.deepEqual(stored, [1, 2, 3, 4])
})

test("a token that has ended shows the fallback, and a later one takes it away", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  let refused = true
  const { open, stored } = app(scope, server, {
    open: () => (refused ? Promise.reject(new Error("the token was refused")) : open()),
  })
  await scope.push("message")
  assert.deepEqual(titles(scope), ["something is new"])
  server.write(1)
  refused = false
  await scope.push("message")
  assert.deepEqual(titles(scope), ["message 1"])
  assert.deepEqual(stored, [1])
})

test("a session that opens too late is closed, and leaves the device to who comes next", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  let answer
  const { open } = app(scope, server, { seconds: 0.05, open: () => new Promise((resolve) => (answer = resolve)) })
  await scope.push("message")
  assert.deepEqual(titles(scope), ["something is new"])
  const buzz = await open()
  answer(buzz)
  await new Promise((resolve) => buzz.on("state", ({ state }) => state === "ended" && resolve()))
  assert.equal(server.sockets.size, 0)
})

test("who unsubscribes during a wake-up sees nothing of it, and nothing of earlier ones", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(1)
  const { open } = app(scope, server, {
    open: async () => {
      const buzz = await open()
      if (server.log.length === 2) {
        await unsubscribe({ removePush: async () => {} }, { deviceId: "d", worker: scope.registration })
        assert.deepEqual(titles(scope), [])
      }
      return buzz
    },
  })
  await scope.push("message")
  assert.deepEqual(titles(scope), ["message 1"])
  server.write(1)
  await scope.push("message")
  assert.deepEqual(titles(scope), [])
})

test("a hidden page keeps its session, and one that does not answer leaves only the fallback", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  const { opened, reasons } = app(scope, server)
  scope.windows = ["hidden"]
  await scope.push("call")
  assert.deepEqual([opened.length, reasons], [0, ["call"]])
  scope.windows = [undefined]
  await scope.push("message")
  assert.deepEqual(titles(scope), ["something is new"])
  assert.equal(opened.length, 0)
})

test("a page of another person is not counted: the worker connects, and shows what is new", async () => {
  const scope = new Scope()
  const server = new SmallServer()
  server.write(1)
  const { opened } = app(scope, server)
  scope.windows = ["another"]
  await scope.push("message")
  assert.equal(opened.length, 1)
  assert.deepEqual(titles(scope), ["message 1"])
})

test("a click tells the page that is open what to show, or opens a window", async () => {
  for (const open of [true, false]) {
    const scope = new Scope()
    const said = []
    const page = { url: "https://app.test/", postMessage: (data) => said.push(data), focus: async () => said.push("focus") }
    scope.clients = { matchAll: async () => (open ? [page] : []), openWindow: async (url) => said.push(url) }
    wakeOnPush(scope, {})
    await scope.click("/#/calls")
    assert.deepEqual(said, open ? [{ type: "buzz.open", url: "/#/calls" }, "focus"] : ["/#/calls"])
  }
})
