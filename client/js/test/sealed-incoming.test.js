/** What arrives is opened once, and given again only as the same activity, until it was handled. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { Incoming } from "../src/encryption/incoming.js"
import { seal } from "../src/encryption/sealing.js"
import { memoryKeys } from "../src/encryption/stores/text.js"
import { PLACE, device, readersOf, use } from "./sealed-scene.js"

const NOW = 1_767_225_600
const phone = await device("phone")
const bob = await device("bob")
const { message } = await seal(use, "hello", PLACE, phone, undefined, readersOf([bob]), NOW)
const ACTIVITY = {
  id: 7,
  type: PLACE.type,
  sender: { type: "person", id: 456 },
  receiver: { type: "person", id: 7 },
  messageId: PLACE.messageId,
  createdAt: new Date(1000 * NOW),
  message,
}

function incoming() {
  const vault = { wrapText: async (text) => text, unwrapText: async (text) => text }
  const own = { keys: bob, vault, seeds: bob.seeds }
  const people = {
    peopleOf: async () => [456],
    sender: async () => ({ standing: "trusted", identity: phone.identity.publicKey }),
  }
  return new Incoming(use, memoryKeys(), own, people, () => NOW)
}

test("a text is given again for the same activity until it was handled", async () => {
  const bobs = incoming()
  for (let times = 0; times < 2; times++) assert.deepEqual(await bobs.open(ACTIVITY), { text: "hello" })
  await bobs.handled(ACTIVITY.id)
  assert.equal(await bobs.open(ACTIVITY), "repeated")
})

test("a text is not given again in another place", async () => {
  const bobs = incoming()
  assert.deepEqual(await bobs.open(ACTIVITY), { text: "hello" })
  assert.equal(await bobs.open({ ...ACTIVITY, id: 8 }), "repeated")
  assert.equal(await bobs.open({ ...ACTIVITY, messageId: "another" }), "bad_signature")
  assert.equal(await bobs.open({ ...ACTIVITY, receiver: { type: "person", id: 9 } }), "bad_signature")
})
