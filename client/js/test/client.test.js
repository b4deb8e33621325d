/** The client against a server in this process: what an app sees, under faults of every kind and in any order. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { BuzzError, connect, memoryStore } from "../src/index.js"
import { followPage } from "../src/page.js"
import { SmallServer, StillClock, settled } from "./small-server.js"

const open = (server, options = {}) =>
  connect("http://buzz.test", {
    token: "t",
    since: 0,
    random: () => 0,
    WebSocket: server.WebSocket,
    fetch: server.fetch,
    ...options,
  })

async function take(buzz, count) {
  const ids = []
  for await (const { id } of buzz.activities()) if (ids.push(id) === count) break
  return ids
}

/** A random number from 0 to 1 that depends on the seed alone (Park and Miller, 1988). */
function dice(seed) {
  let state = (seed % 2147483646) + 1
  return () => (state = (state * 16807) % 2147483647) / 2147483647
}

test("in any order of faults every activity arrives once and in order, and every send is stored once", async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = dice(seed * 7919)
    const server = new SmallServer()
    const clock = new StillClock()
    const buzz = await open(server, { clock, random, bufferSize: 3, openTimeoutSeconds: 0 })
    const ids = []
    const reading = (async () => {
      for await (const { id } of buzz.activities()) {
        ids.push(id)
        if (random() < 0.3) await settled()
      }
    })().catch(() => {})
    const sends = []
    const faults = [
      () => server.write(1 + Math.floor(random() * 5)),
      () => server.cut(),
      () => sends.push(buzz.send({ to: "person:8", message: `s${sends.length}` })),
      () => (server.loseAcks = 1),
      () =>
        [...server.sockets].forEach((each) =>
          each.say({ type: "reconnect", after_ms: 100 * random(), resume_id: "r" }),
        ),
      () =>
        [...server.sockets].forEach((each) =>
          each.end([1001, 1011, 1013, 4408][Math.floor(random() * 4)], "retry_after=1"),
        ),
      () => clock.next(),
      () => settled(),
      () => buzz.suspend(),
      () => buzz.resume(),
      () => buzz.wake(),
    ]
    for (let step = 0; step < 40; step++) await faults[Math.floor(random() * faults.length)]()
    buzz.resume()
    server.loseAcks = 0
    let unanswered = sends.length
    for (const sending of sends) void sending.then(() => unanswered--)
    for (let tries = 0; tries < 400 && (unanswered || ids.length < server.log.length); tries++) await clock.next()
    const acks = await Promise.all(sends)
    assert.deepEqual(
      ids,
      server.log.map(({ id }) => id),
      `seed ${seed}`,
    )
    assert.deepEqual(
      server.log.filter(({ message }) => message.startsWith("s")).map(({ message }) => message),
      sends.map((_, number) => `s${number}`),
      `seed ${seed}`,
    )
    assert.deepEqual(
      acks.map(({ id }) => id),
      server.log.filter(({ message }) => message.startsWith("s")).map(({ id }) => id),
    )
    await Promise.all([buzz.close(), reading])
    assert.equal(clock.timers.size, 0, "no timer is left")
  }
})

test("one timer at a time", async () => {
  const server = new SmallServer()
  const clock = new StillClock()
  const buzz = await open(server, { clock, openTimeoutSeconds: 0 })
  void take(buzz, 100).catch(() => {})
  for (let number = 0; number < 50; number++) {
    server.write(1)
    if (number % 10 === 9) server.cut()
    await clock.next()
    assert.ok(clock.timers.size <= 1)
  }
  await buzz.close()
})

test("activities that have arrived are handed out without running the state machine for each", async () => {
  const server = new SmallServer()
  const clock = new StillClock()
  let asked = 0
  const now = () => ++asked && clock.time
  server.write(400)
  const buzz = await open(server, { clock: { ...clock, now }, since: 0 })
  await take(buzz, 400)
  // 200 frames of two activities: the machine runs for each frame, and asks for the time four times.
  assert.ok(asked < 5 * 200, `the time was asked for ${asked} times`)
  await buzz.close()
})

test("an idle hour takes less than 200 timers", async () => {
  const server = new SmallServer()
  const clock = new StillClock()
  const buzz = await open(server, { clock, openTimeoutSeconds: 0 })
  await settled()
  let fired = 0
  while (clock.time < 3_600_000) {
    await clock.next()
    fired++
  }
  assert.ok(fired <= 200, `${fired} timers`)
  assert.equal(server.hellos.length, 1)
  await buzz.close()
})

test("activities({ since }) starts there if the store has no position, else at the position", async () => {
  const server = new SmallServer()
  const store = memoryStore()
  server.write(9)
  const buzz = await open(server, { store, since: undefined })
  server.write(1)
  const activities = buzz.activities({ since: 4 })
  const ids = []
  while (ids.length < 6) ids.push((await activities.next()).value.id)
  assert.deepEqual(ids, [5, 6, 7, 8, 9, 10])
  await buzz.close()
  server.write(1)
  const again = await open(server, { store, since: undefined })
  assert.equal((await again.activities({ since: 4 }).next()).value.id, 11)
  await again.close()
})

test("the callbacks of `activity` get everything, one after another", async () => {
  const server = new SmallServer()
  server.write(3)
  const buzz = await open(server)
  const seen = []
  await new Promise((resolve) =>
    buzz.on("activity", async ({ id }) => {
      seen.push(`begin ${id}`)
      await settled()
      seen.push(`end ${id}`)
      if (id === 3) resolve()
    }),
  )
  assert.deepEqual(seen, ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"])
  await buzz.close()
})

test("a later iteration takes over, and the earlier one is told", async () => {
  const server = new SmallServer()
  const buzz = await open(server)
  const first = buzz.activities().next()
  const second = buzz.activities().next()
  await assert.rejects(first, /another iteration/)
  server.write(1)
  assert.equal((await second).value.id, 1)
  await buzz.close()
})

test("leaving the loop does not count the last activity as handled", async () => {
  const server = new SmallServer()
  const store = memoryStore()
  server.write(3)
  const buzz = await open(server, { store })
  await assert.rejects(async () => {
    for await (const { id } of buzz.activities()) if (id === 2) throw new RangeError("the app failed")
  }, RangeError)
  await buzz.close()
  const again = await open(server, { store })
  assert.deepEqual(await take(again, 2), [2, 3])
  await again.close()
})

test("close stores and confirms what the app has taken", async () => {
  const server = new SmallServer()
  const store = memoryStore()
  server.write(3)
  const buzz = await open(server, { store, deviceId: "d", clock: new StillClock(), openTimeoutSeconds: 0 })
  const activities = buzz.activities()
  for (let number = 0; number < 3; number++) await activities.next()
  await buzz.close()
  await settled()
  assert.equal((await store.loadPosition()).lastActivityId, 3)
  assert.deepEqual(server.frames.at(-1), { type: "received", id: 3 })
})

test("close does not count what is being opened: the app was not given it", async () => {
  const server = new SmallServer()
  server.write(2)
  const store = memoryStore()
  let release = () => {}
  const encryption = {
    seal: (activity) => activity,
    open: (activity) => (activity.id === 1 ? activity : new Promise((resolve) => (release = () => resolve(activity)))),
  }
  const buzz = await open(server, { deviceId: "d", store, encryption })
  const arriving = buzz.activities()
  assert.equal((await arriving.next()).value.id, 1)
  assert.equal(buzz.allGiven, false, "the second one has arrived")
  const second = arriving.next()
  await settled()
  assert.equal(buzz.allGiven, false, "it is being opened")
  await buzz.close()
  release()
  await second
  assert.equal((await store.loadPosition()).lastActivityId, 1)
})

test("encryption seals before anything is kept, and opens before the app sees it", async () => {
  const server = new SmallServer()
  const store = memoryStore()
  const encryption = {
    seal: async (activity) => ({ ...activity, message: `sealed ${activity.message}` }),
    open: async (activity) => ({ ...activity, message: activity.message.replace("sealed ", "") }),
  }
  const buzz = await open(server, { store, encryption, openTimeoutSeconds: 0 })
  const sent = buzz.send({ to: { type: "person", id: 8 }, message: "secret" })
  await sent
  assert.equal(server.log[0].message, "sealed secret")
  assert.equal((await buzz.activities().next()).value.message, "secret")
  assert.ok(!JSON.stringify(await store.loadParcels()).includes("secret"))
  await buzz.close()
})

/** An encryption that cannot open the activity with this id, so many times. */
function failing(id, times) {
  const open = async (activity) => {
    if (activity.id === id && times--) throw new RangeError("the keys cannot be read now")
    return activity
  }
  return { seal: (activity) => activity, open }
}

test("an activity that cannot be opened is not lost: it comes again, and was not handled", async () => {
  const server = new SmallServer()
  const store = memoryStore()
  server.write(3)
  const buzz = await open(server, { store, encryption: failing(2, 2) })
  const activities = buzz.activities()
  assert.equal((await activities.next()).value.id, 1)
  await assert.rejects(activities.next(), RangeError)
  await assert.rejects(activities.next(), RangeError)
  await buzz.close()
  assert.equal((await store.loadPosition()).lastActivityId, 1)
  const again = await open(server, { store, encryption: failing(2, 1) })
  const rest = again.activities()
  await assert.rejects(rest.next(), RangeError)
  assert.deepEqual([(await rest.next()).value.id, (await rest.next()).value.id], [2, 3])
  await again.close()
})

test("callbacks that get nothing more are told why, and get the rest when they subscribe again", async (context) => {
  const server = new SmallServer()
  const logged = context.mock.method(console, "error", () => {})
  server.write(3)
  const buzz = await open(server, { encryption: failing(2, 1) })
  const seen = []
  const told = new Promise((resolve) => buzz.on("error", resolve))
  const stop = buzz.on("activity", ({ id }) => seen.push(id))
  const { code, message } = await told
  assert.equal(code, "delivery_stopped")
  assert.match(message, /the keys cannot be read now/)
  assert.equal(logged.mock.callCount(), 1)
  assert.deepEqual(seen, [1])
  stop()
  await new Promise((resolve) => buzz.on("activity", ({ id }) => seen.push(id) === 3 && resolve()))
  assert.deepEqual(seen, [1, 2, 3])
  await buzz.close()
  assert.equal(logged.mock.callCount(), 1, "the end of the session is no failure")
})

test("an activity that cannot be kept is not sent, and its caller is told", async () => {
  const server = new SmallServer()
  const store = { ...memoryStore(), saveParcel: () => Promise.reject(new Error("the disk is full")) }
  const buzz = await open(server, { store })
  await assert.rejects(buzz.send({ to: "person:8", message: "x" }), /the disk is full/)
  assert.deepEqual([server.log.length, buzz.outbox], [0, []])
  await buzz.close()
})

test("a position that cannot be stored does not stop the app, and is stored later", async (context) => {
  context.mock.method(console, "warn", () => {})
  const server = new SmallServer()
  const clock = new StillClock()
  const memory = memoryStore()
  let fails = true
  const store = {
    ...memory,
    savePosition: (position) => (fails ? Promise.reject(new Error("busy")) : memory.savePosition(position)),
  }
  const buzz = await open(server, { store, clock, openTimeoutSeconds: 0 })
  server.write(3)
  const activities = buzz.activities()
  for (let number = 0; number < 3; number++) await activities.next()
  fails = false
  for (let number = 0; number < 4; number++) await clock.next()
  assert.equal((await memory.loadPosition()).lastActivityId, 2)
  await buzz.close()
  assert.equal((await memory.loadPosition()).lastActivityId, 3)
})

for (const sealing of [false, true]) {
  test(`the app gets nothing before it is stored where the first session begins${sealing ? ", with encryption" : ""}`, async () => {
    const server = new SmallServer()
    server.write(5)
    const memory = memoryStore()
    let stored = () => {}
    const slow = { ...memory, savePosition: (place) => new Promise((end) => (stored = () => end(memory.savePosition(place)))) }
    const buzz = await open(server, { store: slow, since: undefined, encryption: sealing ? failing(0, 0) : undefined })
    const next = buzz.activities().next()
    server.write(1)
    await settled()
    const first = await Promise.race([next, "nothing yet"])
    stored()
    assert.deepEqual([first, (await next).value.id], ["nothing yet", 6])
    assert.equal((await memory.loadPosition()).lastActivityId, 5)
    const closed = buzz.close()
    await settled()
    stored()
    await closed
  })
}

test("a callback that throws is reported, and the next one is called", async (context) => {
  const said = context.mock.method(console, "error", () => {})
  const server = new SmallServer()
  const buzz = await open(server)
  const seen = []
  buzz.on("typing", () => {
    throw new Error("mine")
  })
  const off = buzz.on("typing", (data) => seen.push(data))
  for (const socket of server.sockets) socket.say({ type: "event", name: "typing", data: { a: 1 } })
  await settled()
  off()
  for (const socket of server.sockets) socket.say({ type: "event", name: "typing", data: { a: 2 } })
  await settled()
  assert.deepEqual(seen, [{ a: 1 }])
  assert.equal(said.mock.callCount(), 2)
  await buzz.close()
})

test("an event of the server with the name of one of ours is not passed off as ours", async () => {
  const server = new SmallServer()
  const buzz = await open(server)
  const seen = []
  buzz.on("activity", () => seen.push("activity"))
  buzz.on("refused", () => seen.push("refused"))
  for (const socket of server.sockets)
    for (const name of ["activity", "refused", "state"]) socket.say({ type: "event", name, data: {} })
  await settled()
  assert.deepEqual(seen, [])
  await buzz.close()
})

test("bad arguments are refused with a reason, before anything is sent", async () => {
  const server = new SmallServer()
  const buzz = await open(server)
  await assert.rejects(buzz.send({ to: "nobody", message: "x" }), /is no party/)
  await assert.rejects(buzz.send({ to: { type: "person", id: 2 ** 53 }, message: "x" }), /2\^53/)
  await assert.rejects(buzz.send({ to: "person:8", message: "x".repeat(1000) }), { code: "frame_too_large" })
  assert.throws(() => buzz.received(1), BuzzError)
  assert.throws(() => buzz.activities({ since: -1 }), RangeError)
  assert.throws(() => buzz.typing("person:x"), RangeError)
  await assert.rejects(connect("ftp://x", { token: "t" }), /no server address/)
  await assert.rejects(connect("http://x", {}), /pass a token/)
  await assert.rejects(connect("http://x", { token: "t", since: 2 ** 53, WebSocket: server.WebSocket }), RangeError)
  assert.equal(server.frames.length, 0)
  await buzz.close()
  await assert.rejects(buzz.send({ to: "person:8", message: "x" }), { code: "client_closed" })
})

test("a service worker passes the module of the HTTP methods, because it may not load it later", async () => {
  const server = new SmallServer()
  const loadHttp = async () => ({ BuzzHttp: class { me = async () => "me" } })
  const buzz = await open(server, { loadHttp })
  assert.equal(await buzz.http.me(), "me")
  await buzz.close()
})

test("connect says once why it has no session yet", async (context) => {
  const { mock } = context.mock.method(console, "error", () => {})
  const server = new SmallServer()
  let refusals = 2
  const broken = class {
    constructor(...place) {
      if (refusals-- > 0) throw new Error("Mixed Content")
      return new server.WebSocket(...place)
    }
  }
  const clock = new StillClock()
  const opening = connect("http://buzz.test", { token: "t", WebSocket: broken, clock })
  for (let failures = 0; failures < 2; failures++) {
    await settled()
    await clock.next()
  }
  const buzz = await opening
  assert.deepEqual(mock.calls.map((call) => call.arguments.join(" ")), [
    "buzz-client: session with http://buzz.test failed the connection broke: Error: Mixed Content",
  ])
  await buzz.close()
})

test("connect gives up after its time, and can return at once", async () => {
  const silent = class {
    close() {}
  }
  const clock = new StillClock()
  const late = connect("http://buzz.test", { token: "t", WebSocket: silent, clock, openTimeoutSeconds: 5 })
  const rejected = assert.rejects(late, /no session with http:\/\/buzz.test in 5 s/)
  await settled()
  await clock.next()
  await rejected
  const buzz = await connect("http://buzz.test", {
    token: "t",
    WebSocket: silent,
    clock: new StillClock(),
    openTimeoutSeconds: 0,
  })
  assert.equal(buzz.state.state, "connecting")
  await buzz.close()
  assert.deepEqual([buzz.state.state, buzz.state.why], ["ended", "client_closed"])
})

test("the page's events reach the client, until the session ends", async (context) => {
  const document = new EventTarget()
  document.visibilityState = "visible"
  const page = new EventTarget()
  globalThis.document = document
  context.after(() => delete globalThis.document)
  const told = []
  let end
  const client = Object.fromEntries(["wake", "check", "suspend", "resume"].map((name) => [name, () => told.push(name)]))
  followPage({ ...client, ended: new Promise((resolve) => (end = resolve)) }, page)
  const say = (target, name, fields) => target.dispatchEvent(Object.assign(new Event(name), fields))
  say(page, "online")
  say(page, "offline")
  say(page, "pagehide", { persisted: false })
  say(page, "pagehide", { persisted: true })
  say(page, "pageshow", { persisted: true })
  say(document, "freeze")
  say(document, "resume")
  say(document, "visibilitychange")
  document.visibilityState = "hidden"
  say(document, "visibilitychange")
  assert.deepEqual(told, ["wake", "check", "suspend", "resume", "suspend", "resume", "wake"])
  end()
  await settled()
  say(page, "online")
  assert.equal(told.length, 7)
})

test("the hello asks for frames of 128 KiB, and the client's own frames have the size that welcome names", async () => {
  const server = new SmallServer()
  const buzz = await open(server)
  assert.equal(server.hellos[0].max_frame_bytes, 131_072)
  await assert.rejects(buzz.sendMessage("person:8", "x".repeat(1000)), { code: "frame_too_large" })
  await buzz.close()
})

test("a token function that never settles is called again after 30 seconds, and everybody who waited is told", async () => {
  const server = new SmallServer()
  const clock = new StillClock()
  let calls = 0
  const token = () => (++calls === 1 ? new Promise(() => {}) : "t2")
  const buzz = await open(server, { clock, token, openTimeoutSeconds: 0 })
  const states = []
  buzz.on("state", ({ state, reason }) => states.push(reason ?? state))
  const asked = assert.rejects(buzz.http.heartbeat(), /the token function has returned none in 30 s/)
  await settled()
  assert.deepEqual([calls, buzz.state.state], [1, "connecting"])
  await clock.next()
  assert.equal(clock.time, 30_000)
  await asked
  for (let tries = 0; tries < 5 && !buzz.connected; tries++) await clock.next()
  assert.deepEqual([calls, server.hellos[0].token], [2, "t2"])
  assert.match(states.join(), /no token: BuzzError: the token function has returned none in 30 s/)
  await buzz.close()
  assert.equal(clock.timers.size, 0, "no timer is left")
})

test("a refresh whose token never comes does not stop the next one", async () => {
  const server = new SmallServer()
  const clock = new StillClock()
  const tokens = ["t1", new Promise(() => {}), "t3"]
  const buzz = await open(server, { clock, token: () => tokens.shift(), openTimeoutSeconds: 0 })
  await settled()
  const late = assert.rejects(buzz.refresh(), { code: "buzz_error" })
  while (clock.time < 30_000) await clock.next()
  await late
  await buzz.refresh()
  await settled()
  assert.deepEqual(
    server.frames.filter(({ type }) => type === "refresh").map(({ token }) => token),
    ["t3"],
  )
  await buzz.close()
})
