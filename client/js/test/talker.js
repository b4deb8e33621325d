/**
 * An app for the drill of both clients (tests/drill/clients.py); tests/drill/talker.py is the same in Python.
 *
 *     node talker.js URL TOKEN PERSON TO FOLDER [forgets]
 *
 * It sends numbered messages until a line arrives on stdin, takes everything, and says on stdout what it has kept, what
 * was acknowledged and what it took. FOLDER has what it keeps between its lives: the store of the client, and the
 * numbers that were given out. With `forgets` its outbox is lost with the process, as without a store.
 */

import { appendFileSync, existsSync, readFileSync } from "node:fs"
import WebSocket from "ws"
import { connect } from "../src/index.js"
import { fileStore } from "../src/node.js"

const [url, token, person, to, folder, forgets] = process.argv.slice(2)
const EVERY_MS = 100
const numbers = `${folder}/numbers`

const say = (/** @type {object} */ report) => process.stdout.write(`${JSON.stringify(report)}\n`)

/** A store that says what it has kept. */
function tellingStore() {
  const store = fileStore(`${folder}/store.json`)
  return {
    ...store,
    loadParcels: async () => (forgets ? [] : store.loadParcels()),
    saveParcel: async (/** @type {any} */ parcel) => {
      await store.saveParcel(parcel)
      say({ kept: parcel.activity.message })
    },
  }
}

/** @type {Promise<unknown>[]} */
const sends = []
let sending = true
process.stdin.once("data", () => (sending = false))
process.stdin.on("end", () => process.exit(0))

const buzz = await connect(url, {
  token,
  deviceId: `talker-${person}`,
  store: tellingStore(),
  since: 0,
  random: () => Math.random() / 10,
  openTimeoutSeconds: 0,
  WebSocket,
})
buzz.on("state", ({ state, why }) => state === "ended" && say({ ended: why }))
buzz.on("activity", ({ id }) => void say({ took: id }))

const idle = () => new Promise((resolve) => (buzz.outbox.length ? buzz.on("sent", () => buzz.outbox.length || resolve(0)) : resolve(0)))

let next = existsSync(numbers) ? readFileSync(numbers, "utf8").split("\n").length : 1
while (sending) {
  const text = `${person} ${next++}`
  appendFileSync(numbers, `${text}\n`)
  sends.push(buzz.sendMessage(`person:${to}`, text).catch(() => {}))
  await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
}
await Promise.all(sends)
await idle()
say({ idle: true })
