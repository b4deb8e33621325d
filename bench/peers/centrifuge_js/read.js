/**
 * Reads a history several times, with one client in a process of its own, and prints what each reading took.
 *
 *     node read.js HOW URL COUNT REPEATS
 *
 * HOW is `buzz` (client/js), `history` (centrifuge-js, page by page) or `recovery` (centrifuge-js, all in the answer to
 * `subscribe`). The app does the same with each: it looks at every message and its sender. A first reading, in which
 * Node compiles the code, is not counted. Prints milliseconds, processor time of the process (all threads), and the
 * peak of its resident memory.
 */

import { readFileSync } from "node:fs"
import { Centrifuge } from "centrifuge"
import { WebSocket } from "ws"
import { connect } from "./buzz-client/src/index.js"

const PAGE = 300 // as in played_server.js
const [how, url] = process.argv.slice(2)
const [count, repeats] = process.argv.slice(4).map(Number)
const options = { websocket: WebSocket }
const socketUrl = url.replace("http", "ws")
const START = { offset: 0, epoch: "bench" }

/** The app: what it has seen of one reading. */
class App {
  taken = 0
  characters = 0
  senders = 0

  take(message, senderId) {
    this.taken++
    this.characters += message.length
    this.senders += senderId
  }
}

const WAYS = {
  async buzz(app) {
    const buzz = await connect(url, { token: "t", WebSocket, since: 0 })
    for await (const { message, sender } of buzz.activities()) {
      app.take(message, sender.id)
      if (app.taken === count) break
    }
    await buzz.close()
  },

  async history(app) {
    const centrifuge = new Centrifuge(socketUrl, options)
    centrifuge.connect()
    await centrifuge.ready()
    for (let since = START; app.taken < count;) {
      const { publications } = await centrifuge.history("person:1", { since, limit: PAGE })
      for (const { data } of publications) app.take(data.message, data.sendable_id)
      since = { ...since, offset: publications.at(-1).offset }
    }
    centrifuge.disconnect()
  },

  async recovery(app) {
    const centrifuge = new Centrifuge(socketUrl, options)
    const subscription = centrifuge.newSubscription("person:1", { since: START })
    await new Promise((all) => {
      subscription.on("publication", ({ data }) => {
        app.take(data.message, data.sendable_id)
        if (app.taken === count) all()
      })
      subscription.subscribe()
      centrifuge.connect()
    })
    centrifuge.disconnect()
  },
}

const readings = []
for (let number = 0; number <= repeats; number++) {
  const app = new App()
  const before = process.cpuUsage()
  const startedAt = performance.now()
  await WAYS[how](app)
  const { user, system } = process.cpuUsage(before)
  if (number) readings.push({ ...app, milliseconds: performance.now() - startedAt, processor_ms: (user + system) / 1000 })
}
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1])
console.log(JSON.stringify({ readings, peak_mib: peak / 1024 }))
