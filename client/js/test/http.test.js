/** The HTTP methods: what they ask, repeat, and refuse. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { readAddress } from "../src/address.js"
import { BuzzHttp } from "../src/http.js"
import { HttpError, UnreadableAnswer } from "../src/index.js"
import { httpWhenNeeded } from "../src/later.js"
import { createTokens } from "../src/tokens.js"
import { row } from "./small-server.js"

/** A clock on which every wait ends at once, and is written down. */
class Waits {
  waits = []
  now = () => 0
  set = (callback, ms) => {
    if (ms < 30_000) {
      this.waits.push(ms)
      queueMicrotask(callback)
    }
  }
  clear = () => {}
}

function http(...answers) {
  const asked = []
  const clock = new Waits()
  let count = 0
  const tokens = createTokens(() => `t${++count}`, clock)
  const fetch = async (url, { method, body, headers }) => {
    asked.push({ url: url.replace("https://buzz.test/apps/buzz/", ""), method, body, headers })
    const [status, json, more] = answers.shift()
    return new Response(status === 204 ? null : typeof json === "string" ? json : JSON.stringify(json), {
      status,
      headers: more,
    })
  }
  return { api: new BuzzHttp(readAddress("wss://buzz.test/"), tokens, { fetch, clock, random: () => 1 }), asked, clock }
}

const urls = (asked) => asked.map(({ url }) => url)

test("each method asks its route", async () => {
  const data = { success: true, data: { a: 1 } }
  const calls = [
    [(api) => api.heartbeat(), "GET heartbeat", { number: null }],
    [(api) => api.me(), "GET me", { id: 7 }],
    [(api) => api.blocked(), "GET blocked", []],
    [(api) => api.conversations(), "GET conversations", []],
    [(api) => api.calls(), "GET calls", []],
    [(api) => api.devices(), "GET devices", []],
    [(api) => api.nameDevice("a/b", "Phone"), "PUT devices/a%2Fb", "", { name: "Phone" }],
    [(api) => api.signOutDevice("a b"), "DELETE devices/a%20b", ""],
    [(api) => api.encryption(), "GET encryption", data],
    [(api) => api.setEncryption("h", "e"), "PUT encryption", data, { hash: "h", e2e_id: "e" }],
    [
      (api) => api.putPublicKey("k", "x25519", "d"),
      "PUT public-key",
      data,
      { public_key: "k", algorithm: "x25519", device_id: "d" },
    ],
    [(api) => api.publicKeys(7), "GET public-key/7", []],
    [(api) => api.privacyRequest("a/b"), "GET privacy-requests/a%2Fb", {}],
    [(api) => api.updatePrivacyRequest("a", { completed: true }), "PATCH privacy-requests/a", {}, { completed: true }],
    [(api) => api.postActivity({ type: "x" }, "key"), "POST activity", data, { type: "x" }],
    [(api) => api.activitiesAfter(3, { party: "person:7" }), "GET activity/3?limit=500&party=person%3A7", []],
    [(api) => api.activitiesBefore(undefined, { limit: 9 }), "GET activity?limit=9", []],
  ]
  for (const [call, route, answer, body] of calls) {
    const { api, asked } = http([200, answer])
    await call(api)
    assert.equal(`${asked[0].method} ${asked[0].url}`, route)
    assert.deepEqual(asked[0].body && JSON.parse(asked[0].body), body)
    assert.equal(asked[0].headers.Authorization, "Bearer t1")
  }
})

test("a recording comes as it is", async () => {
  const { api, asked } = http([503, {}], [200, "an MP3"])
  assert.equal(await (await api.recording("a/b")).text(), "an MP3")
  assert.equal(asked[1].url, "privacy-requests/a%2Fb/recording.mp3")
  await assert.rejects(http([404, { error: { message: "no" } }]).api.recording("x"), /no \(HTTP 404\)/)
})

test("receipts are asked for, and turned on and off", async () => {
  const { api, asked } = http([200, { enabled: true }], [200, { enabled: false }])
  assert.equal(await api.receipts(), true)
  assert.equal(await api.setReceipts(false), undefined)
  assert.deepEqual([asked[1].method, asked[1].url, asked[1].body], ["PUT", "receipts", '{"enabled":false}'])
})

test("an export comes line by line, and is refused if it was cut off", async () => {
  const lines = (...kinds) => kinds.map((kind) => `{"kind":"${kind}"}\n`).join("")
  const kinds = async (text) => {
    const found = []
    for await (const { kind } of http([200, text]).api.export()) found.push(kind)
    return found
  }
  assert.deepEqual(await kinds(lines("person", "activity", "end")), ["person", "activity", "end"])
  for (const cut of ["", lines("person"), lines("person").slice(0, -3)]) await assert.rejects(kinds(cut), /cut off/)
})

test("an export that stops without an end is given up", async () => {
  const timers = new Set()
  const clock = {
    now: () => 0,
    set: (callback, ms) => {
      const timer = { callback, ms }
      timers.add(timer)
      return timer
    },
    clear: (timer) => timers.delete(timer),
  }
  const body = new ReadableStream({
    start: (stream) => stream.enqueue(new TextEncoder().encode('{"kind":"person"}\n')),
  })
  const fetch = async () => new Response(body)
  const api = new BuzzHttp("http://x", createTokens("t", clock), { fetch, clock })
  const lines = api.export()
  assert.deepEqual((await lines.next()).value, { kind: "person" })
  assert.equal(timers.size, 0, "while the app is busy no time runs")
  const next = lines.next()
  await new Promise((resolve) => setImmediate(resolve))
  const [timer] = timers
  assert.equal(timer.ms, 30_000)
  timer.callback()
  await assert.rejects(next, /nothing more in 30 s/)
})

test("a history goes on as long as there is a Link", async () => {
  const link = { Link: '</apps/buzz/activity/2?limit=500>; rel="next"' }
  const { api, asked } = http([200, [row(1), row(2)], link], [200, [row(3)]])
  const ids = []
  for await (const { id } of api.history()) ids.push(id)
  assert.deepEqual(ids, [1, 2, 3])
  assert.deepEqual(urls(asked), ["activity/0?limit=500", "activity/2?limit=500"])
})

test("lists of keys and of privacy requests follow Link", async () => {
  const link = { Link: '<https://buzz.test/apps/buzz/x?after=k1&limit=2>; rel="next"' }
  const keys = http([200, [{ fingerprint: "1" }], link], [200, [{ fingerprint: "2" }]])
  assert.deepEqual(
    (await keys.api.publicKeys(7)).map(({ fingerprint }) => fingerprint),
    ["1", "2"],
  )
  assert.equal(keys.asked[1].url, "public-key/7?after=k1&limit=2")
  const requests = http([200, [{ id: "1" }], link], [200, [{ id: "2" }]])
  const ids = []
  for await (const { id } of requests.api.privacyRequests("2024-07-05T12:14:45Z")) ids.push(id)
  assert.deepEqual([ids, requests.asked[0].url], [["1", "2"], "privacy-requests?since=2024-07-05T12%3A14%3A45Z"])
})

test("passing refusals are waited out, as long as the server asks", async () => {
  const { api, clock } = http([429, {}, { "Retry-After": "3" }], [503, {}], [200, []])
  await api.blocked()
  assert.deepEqual(clock.waits, [3_500, 1_000])
})

test("after four tries the refusal is thrown", async () => {
  const { api, asked } = http(
    ...Array(4).fill([503, { error: { code: "503", message: "busy" } }, { "Retry-After": "1" }]),
  )
  await assert.rejects(api.blocked(), {
    name: "HttpError",
    status: 503,
    retryAfterSeconds: 1,
    message: "busy (HTTP 503)",
  })
  assert.equal(asked.length, 4)
})

test("a stale token is renewed once", async () => {
  const { api, asked } = http([401, {}], [200, []])
  await api.blocked()
  assert.deepEqual(
    asked.map(({ headers }) => headers.Authorization),
    ["Bearer t1", "Bearer t2"],
  )
  const refused = http([401, {}], [401, { error: { message: "no" } }])
  await assert.rejects(refused.api.blocked(), HttpError)
})

test("errors in both forms, and in none, have a message", async () => {
  for (const [body, message] of [
    [{ error: true, message: "Missing required parameter: 'type'" }, "Missing required parameter: 'type'"],
    [{ error: { code: "404", message: "Not Found" } }, "Not Found"],
    ["<html>", "<html>"],
    ["", "the server gave no reason"],
    ["null", "the server gave no reason"],
  ]) {
    const { api } = http([404, body])
    await assert.rejects(api.encryption(), { message: `${message} (HTTP 404)` })
  }
})

test("what is no answer of Buzz is refused, and so is a number that would be rounded", async () => {
  await assert.rejects(http([200, "<html>"]).api.blocked(), UnreadableAnswer)
  await assert.rejects(http([200, { a: 1 }]).api.activitiesAfter(0), UnreadableAnswer)
  await assert.rejects(http([200, { success: true }]).api.encryption(), UnreadableAnswer)
  await assert.rejects(http([200, '[{"id": 9007199254740993}]']).api.blocked(), /beyond 2\^53 - 1/)
  await assert.rejects(http([200, "[]"]).api.publicKeys(2 ** 53), RangeError)
  await assert.rejects(async () => http([200, "[]"]).api.activitiesAfter(-1), RangeError)
})

test("each post has a key of its own", async () => {
  const { api, asked } = http([200, { data: {} }], [200, { data: {} }])
  await api.postActivity({})
  await api.postActivity({})
  const keys = asked.map(({ headers }) => headers["Idempotency-Key"])
  assert.equal(new Set(keys).size, 2)
  for (const key of keys) assert.match(key, /^[0-9a-f-]{36}$/)
})

test("a request without an answer is given up", async () => {
  const clock = { now: () => 0, set: (callback) => queueMicrotask(callback), clear() {} }
  const fetch = (url, { signal }) =>
    new Promise((resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
  const api = new BuzzHttp("http://x", createTokens("t", clock), { fetch, clock })
  await assert.rejects(api.blocked(), /no answer in 30 s/)
})

test("the methods are loaded when the first one is called, and a failed load is no end", async () => {
  const { api } = http([200, { id: 7 }], [200, [{ since: 1 }]])
  const loads = [Promise.reject(new TypeError("no network")), Promise.resolve(api), Promise.resolve(api)]
  loads[0].catch(() => {})
  const later = httpWhenNeeded(() => loads.shift())
  assert.equal(await later, later, "it is no promise")
  assert.equal(loads.length, 3)
  await assert.rejects(later.me(), TypeError)
  assert.deepEqual(await later.me(), { id: 7 })
  const rows = []
  for await (const row of later.changedKeys("2024-07-05T12:14:45Z")) rows.push(row)
  assert.deepEqual(rows, [{ since: 1 }])
})
