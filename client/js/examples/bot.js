/**
 * A bot for Node: it answers every message that its person gets. It goes on after a crash where it was.
 *
 *     BUZZ_URL=http://127.0.0.1:8080 BUZZ_TOKEN=… node bot.js bot-state.json
 *
 * Node 22 and later has a WebSocket of its own; Node 20 needs the package ws.
 */

import { connect, SessionEnded } from "buzz-client"
import { fileStore } from "buzz-client/node"

const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket

const buzz = await connect(process.env.BUZZ_URL ?? "http://127.0.0.1:8080", {
  token: process.env.BUZZ_TOKEN ?? "",
  deviceId: "bot",
  store: fileStore(process.argv[2] ?? "bot-state.json"),
  WebSocket,
})
const me = buzz.welcome?.personId
buzz.on("state", ({ state }) => console.error(state))
console.log(`person ${me} is listening`)

process.once("SIGTERM", () => buzz.close())
try {
  for await (const { type, sender, message, messageId } of buzz.activities()) {
    if (type !== "chat_message" || (sender.type === "person" && sender.id === me)) continue
    // The same id for the same message: after a crash between the answer and the next activity it is stored once.
    await buzz.send({ to: sender, message: `you wrote: ${message}`, messageId: answerTo(String(messageId)) })
    await buzz.markRead(sender, String(messageId))
  }
} catch (error) {
  if (!(error instanceof SessionEnded) && buzz.over === undefined) throw error
}

/** Return another UUID that depends only on this one. @param {string} id */
function answerTo(id) {
  return id.replace(/^./, (digit) => ((parseInt(digit, 16) + 1) % 16).toString(16))
}
