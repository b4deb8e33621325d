/** What is sealed and sent: how often the list of what was sent is read, and what is sent again before a new message. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { toBase64, utf8 } from "../src/encryption/encoding.js"
import { memoryKeys } from "../src/encryption/stores/text.js"
import { Outgoing } from "../src/encryption/outgoing.js"
import { device, readersOf, use } from "./sealed-scene.js"

const phone = await device("phone")
const bob = await device("bob")

/** A store that counts what is asked of it. */
function counting(store) {
  const counts = { list: 0, get: 0 }
  const count = (name) => (argument) => (counts[name]++, store[name](argument))
  return { ...store, list: count("list"), get: count("get"), counts }
}

/** One tab of Jane's phone. `answers` says what the server answers; by default it stores everything. */
function tab(store, answers = async ({ ref }) => ({ type: "ack", ref })) {
  const written = []
  const passed = []
  const readers = { ...readersOf([bob]), receiver: [bob.tag] }
  /** @type {{ link?: { at: number } }} */
  const extras = {}
  const outgoing = new Outgoing({
    use,
    store,
    own: { keys: phone, extras, vault: { unwrapText: async (bytes) => new TextDecoder().decode(bytes) } },
    people: { readers: async () => readers },
    clock: { now: () => 0 },
    codec: {},
    now: () => 1_767_225_600,
    maintain: () => {},
  })
  const line = {
    open: true,
    ready: Promise.resolve(),
    ended: new Promise(() => {}),
    takes: () => true,
    pass: (frame) => passed.push(frame),
    ask: (frame) => (written.push(frame.activity.message_id), answers(frame)),
  }
  const send = async (id, draft = toBase64(utf8(`text ${id}`))) => {
    const parties = { sendable_type: "person", sendable_id: 456, receivable_type: "person", receivable_id: 7 }
    outgoing.add(line, { type: "send", ref: id, activity: { type: "chat_message", message_id: id, draft, ...parties } })
    while (!passed.some(({ ref }) => ref === id) && line.open) await new Promise((resolve) => setImmediate(resolve))
  }
  return { send, written, line, extras }
}

test("the list of what was sent is read seldom", async () => {
  const store = counting(memoryKeys())
  const { send, written } = tab(store)
  for (let number = 0; number < 100; number++) await send(`message ${number}`)
  assert.equal(written.length, 100)
  assert.ok(store.counts.list <= 2, `it was read ${store.counts.list} times`)
})

test("a device that was linked again begins a new chain", async () => {
  const store = memoryKeys()
  const { send, extras } = tab(store)
  const chain = async () => (await store.list("sending/"))[0].value.chain
  const ids = []
  for (const at of [undefined, undefined, 1_767_225_000, 1_767_225_000, 1_767_225_100]) {
    extras.link = at && { at }
    await send(`message ${ids.length}`)
    ids.push((await chain()).id)
  }
  assert.equal(ids[0], ids[1])
  assert.equal(ids[2], ids[3])
  assert.equal(new Set(ids).size, 3)
  assert.deepEqual(ids, [...ids].sort(), "a later chain has a higher id")
})

test("what another tab has sealed and not sent goes first", async () => {
  const store = { ...memoryKeys(), shared: true }
  const one = tab(store)
  await one.send("first")
  const other = tab(store, async () => ((other.line.open = false), undefined))
  await other.send("sealed by the other")
  await one.send("last")
  assert.deepEqual(one.written, ["first", "sealed by the other", "last"])
})

test("what was sealed and not answered goes first, in the same tab as well", async () => {
  let lost = true
  const { send, written, line } = tab(memoryKeys(), async ({ ref }) => {
    if (lost) line.open = lost = false
    return lost || line.open ? { type: "ack", ref } : undefined
  })
  await send("lost")
  line.open = true
  await send("next")
  assert.deepEqual(written, ["lost", "lost", "next"])
})
