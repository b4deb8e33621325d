/**
 * Plays a Buzz server and a Centrifugo server that have the same history: so many activities, prepared as bytes.
 *
 *     node played_server.js COUNT
 *
 * A client of Buzz that says hello at 0 gets them as frames `activities` of 32 KiB at most, or of as many bytes as it
 * asks for in its hello, as the real server sends them. A client of Centrifugo gets them by `history`, page by page, or all in the answer to a `subscribe` that asks to
 * recover. What the server computes in advance costs neither client anything.
 */

import { createServer } from "node:http"
import { WebSocketServer } from "ws"

const COUNT = Number(process.argv[2])
const FRAME_BYTES = 32 * 1024 // unless the hello asks for other ones
const MAX_FRAME_BYTES = 128 * 1024
const ENVELOPE_BYTES = 64
const HIGH_WATER_BYTES = 1024 * 1024
const BODY_BYTES = 300
const EPOCH = "bench"
const PAGE = 300 // Centrifugo's `client.history_max_publication_limit`, unless it is configured

/** Return an activity as Buzz's server encodes it. */
function activity(id) {
  return JSON.stringify({
    id,
    type: "chat_message",
    sendable_type: "AppModelsPerson",
    sendable_id: 2 + (id % 20),
    receivable_type: "AppModelsPerson",
    receivable_id: 1,
    call_time: null,
    message: Buffer.alloc(BODY_BYTES * 0.75, `message ${id} `).toString("base64"),
    message_id: `00000000-0000-4000-8000-${String(id).padStart(12, "0")}`,
    created_at: new Date(1_700_000_000_000 + id * 61_007).toISOString().replace(/\.\d+Z/, "Z"),
    sendable: { id: 2 + (id % 20), first_name: `First${id % 20}`, middle_name: null, last_name: `Last${id % 20}` },
    receivable: { id: 1, first_name: "Jane", middle_name: null, last_name: "Doe" },
  })
}

const activities = Array.from({ length: COUNT }, (_, index) => activity(index + 1))
const publications = activities.map((data, index) => `{"data":${data},"offset":${index + 1}}`)

/** Return the history in frames of so many bytes at most. */
function inFrames(frameBytes) {
  const found = []
  let first = 0
  let bytes = 0
  const end = (next) => {
    found.push(Buffer.from(`{"type":"activities","activities":[${activities.slice(first, next).join()}]}`))
    first = next
    bytes = 0
  }
  activities.forEach((text, index) => {
    if (bytes + text.length + 1 > frameBytes - ENVELOPE_BYTES) end(index)
    bytes += text.length + 1
  })
  end(COUNT)
  return found
}

const batches = new Map([FRAME_BYTES, MAX_FRAME_BYTES].map((bytes) => [bytes, inFrames(bytes)]))

/** Write one frame after another; a slow reader is waited for. */
async function writeAll(socket, parts) {
  for (const part of parts) {
    if (socket.bufferedAmount < HIGH_WATER_BYTES) socket.send(part, { binary: false })
    else await new Promise((sent) => socket.send(part, { binary: false }, sent))
  }
}

/** Answer a client of Buzz. */
async function buzz(socket, frame) {
  if (frame.type !== "hello") return
  const welcome = { session_id: "s", person_id: 1, device_id: null, head_id: COUNT, epoch: EPOCH, max_send_bytes: 131_072 }
  socket.send(JSON.stringify({ type: "welcome", ...welcome }))
  await writeAll(socket, batches.get(frame.max_frame_bytes ?? FRAME_BYTES))
  socket.send(JSON.stringify({ type: "caught_up", id: COUNT }))
}

/** Return the answers to `history`, a page each, without their start: the id of the request. */
function inPages() {
  const found = []
  for (let after = 0; after < COUNT; after += PAGE) {
    const page = publications.slice(after, after + PAGE).join()
    found.push(Buffer.from(`,"history":{"epoch":"${EPOCH}","offset":${COUNT},"publications":[${page}]}}`))
  }
  return found
}

const pages = inPages()
const place = `"recoverable":true,"positioned":true,"epoch":"${EPOCH}","offset":${COUNT}`
const recovered = Buffer.from(`,"subscribe":{${place},"recovered":true,"was_recovering":true,"publications":[${publications.join()}]}}`)

/** Answer a client of Centrifugo, in its JSON protocol. */
function centrifugo(socket, { id, connect, subscribe, history }) {
  const answer = (rest) => socket.send(Buffer.concat([Buffer.from(`{"id":${id}`), rest]), { binary: false })
  if (connect) answer(Buffer.from(',"connect":{"client":"c","version":"played"}}'))
  else if (history) answer(pages[history.since.offset / PAGE])
  else if (subscribe) answer(recovered)
}

const http = createServer()
const server = new WebSocketServer({ server: http, perMessageDeflate: false })
server.on("connection", (socket, { url }) => {
  const answer = url.endsWith("/apps/buzz/socket") ? buzz : centrifugo
  socket.on("message", (data) => {
    for (const line of data.toString().split("\n")) answer(socket, JSON.parse(line))
  })
})
http.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${http.address().port}`))
process.on("SIGTERM", () => process.exit(0))
