/**
 * One side of a conversation, for end-to-end tests: sends COUNT messages, takes everybody's, and reports on stdout.
 *
 *     node talk.js URL TOKEN NAME TO COUNT ENCODING
 */

import WebSocket from "ws"
import { connect } from "../src/index.js"
import { msgpack } from "../src/msgpack.js"

const [url, token, name, to, count, encoding] = process.argv.slice(2)
const AT_ONCE = 10

const buzz = await connect(url, {
  token,
  deviceId: name,
  since: 0,
  codec: encoding === "msgpack" ? msgpack : undefined,
  random: () => Math.random() / 10,
  WebSocket,
})
const acks = []
const taken = []

async function take() {
  for await (const activity of buzz.activities()) {
    taken.push([activity.id, activity.message])
    if (taken.length === 2 * Number(count)) return
  }
}

let next = 0
async function send() {
  while (next < Number(count)) {
    const ack = await buzz.sendMessage(`person:${to}`, `${name} ${next++}`)
    acks.push(ack.id)
    console.log(JSON.stringify({ acked: acks.length }))
  }
}

await Promise.all([take(), ...Array.from({ length: AT_ONCE }, send)])
console.log(JSON.stringify({ acks, taken }))
await buzz.close()
