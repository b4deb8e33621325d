/**
 * What a device does, on any platform, for tests/end_to_end/test_js_platforms.py: it says on stdout what has happened.
 *
 *     node tour.js URL TOKEN TO FOLDER
 *
 * The test plays the other person and the server's operator, and answers with a line on stdin where it has to.
 */

import process from "node:process"
import { createInterface } from "node:readline"
import { connect } from "../src/index.js"
import { fileStore } from "../src/node.js"

const [url, token, to, folder] = process.argv.slice(2)
const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket // Node 20 has none
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const open = (/** @type {string} */ deviceId, /** @type {import("../src/index.js").Store} */ store) =>
  connect(url, { token, deviceId, store, since: 0, random: () => Math.random() / 10, WebSocket })

/** @param {string} step @param {unknown} [result] */
async function say(step, result = null) {
  console.log(JSON.stringify({ step, result }))
  await lines.next()
}

/** Return the data of the next event of that name. @param {import("../src/client.js").Buzz} buzz @param {string} name */
const next = (buzz, name) => new Promise((resolve) => buzz.on(name, resolve))

/** Take that many messages. @param {import("../src/client.js").Buzz} buzz @param {number} count */
async function take(buzz, count) {
  const texts = []
  for await (const { message } of buzz.activities()) if (texts.push(message) === count) return texts
}

const store = fileStore(`${folder}/first.json`)
let buzz = await open("tour", store)
await say("connected", buzz.welcome?.deviceId)
const receipt = next(buzz, "receipt")
await say("sent", (await buzz.sendMessage(to, "from the tour")).duplicate)
await say("caught up", await take(buzz, 3))
await say("receipt", await receipt)

await say("the server may die")
await say("sent without a server", (await buzz.sendMessage(to, "after the kill")).duplicate)
await say("reconnected", buzz.state.state)

const added = next(buzz, "device.added")
const other = await open("other", fileStore(`${folder}/other.json`))
await say("device added", (await added).device_id)
const removed = next(buzz, "device.removed")
await buzz.http.signOutDevice("other")
await say("device removed", (await removed).device_id)
await other.close()
await say("devices", (await buzz.http.devices()).map(({ device_id }) => device_id))

await buzz.close()
await store.close()
buzz = await open("tour", fileStore(`${folder}/first.json`))
// Leaving the loop did not count the last one as handled, so it comes again.
await say("goes on from its file", await take(buzz, 3))
await buzz.close()
process.exit(0)
