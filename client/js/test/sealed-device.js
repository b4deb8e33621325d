/**
 * One device that seals, for end-to-end tests: a command on each line of stdin, a report on each line of stdout.
 *
 *     node sealed-device.js URL TOKEN DEVICE FOLDER
 *
 * A command is [number, name, …arguments], where the name is a method of the client such as `send`, `encryption.person`
 * or `encryption.linking.start`. Its report is { number, value } or { number, error }. Other reports are { event, data }.
 */

import { createInterface } from "node:readline"
import WebSocket from "ws"
import { fileKeys, sealedMessages } from "../src/encryption/node.js"
import { connect } from "../src/index.js"
import { fileStore } from "../src/node.js"

const [url, token, deviceId, folder] = process.argv.slice(2)
const EVENTS = ["encryption.person", "encryption.own_device", "encryption.linked", "encryption.link_code", "encryption.link_ended"]

const report = (said) => console.log(JSON.stringify(said))
const encryption = await sealedMessages({ keys: fileKeys(`${folder}/${deviceId}.keys`) })
const buzz = await connect(url, {
  token,
  deviceId,
  store: fileStore(`${folder}/${deviceId}.state`),
  since: 0,
  encryption,
  random: () => Math.random() / 10,
  WebSocket,
})
for (const name of EVENTS) buzz.on(name, (data) => report({ event: name, data }))
buzz.on("activity", ({ id, type, sender, messageId, text, unopened }) => {
  report({ event: "activity", data: { id, type, sender, messageId, text, reason: unopened?.reason ?? null } })
})
await buzz.encryption.ready
report({ event: "ready", data: buzz.encryption.me })

async function run(number, name, values) {
  const path = name.split(".")
  const method = path.pop()
  const target = path.reduce((object, part) => object[part], buzz)
  try {
    const value = typeof target[method] === "function" ? await target[method](...values) : target[method]
    report({ number, value: value?.code instanceof Promise ? { picture: value.picture } : value })
  } catch (error) {
    const { code, message, personId, devices } = error
    report({ number, error: { code, message, personId, devices } })
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [number, name, ...values] = JSON.parse(line)
  void run(number, name, values)
}
await buzz.close()
process.exit(0)
