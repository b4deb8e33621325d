/**
 * A bot for Node: it answers every message that its person gets. It goes on after a crash where it was.
 *
 *     BUZZ_URL=http://127.0.0.1:8080 BUZZ_TOKEN=… node bot.js bot-state
 *     BUZZ_URL=http://127.0.0.1:8080 BUZZ_TOKEN=… node bot.js bot-state --encrypted
 *
 * The folder has the position in the log, and with `--encrypted` the device's keys. `--accept` accepts new devices of
 * those who write: a bot has nobody who looks at them. Without it a message from such a device is not answered.
 * Node 22 and later has a WebSocket of its own; Node 20 needs the package ws.
 */

import { join } from "node:path"
import { parseArgs } from "node:util"
import { connect, SessionEnded } from "buzz-client"
import { fileStore } from "buzz-client/node"

/** @import { Activity } from "buzz-client" */

const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket
const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: { encrypted: { type: "boolean" }, accept: { type: "boolean" } },
})
const folder = positionals[0] ?? "bot-state"
// The libraries of the encryption are loaded only if it is wanted.
const library = options.encrypted ? await import("buzz-client/encryption/node") : undefined
const sealed = await library?.sealedMessages({ keys: library.fileKeys(join(folder, "keys")) })

const buzz = await connect(process.env.BUZZ_URL ?? "http://127.0.0.1:8080", {
  token: process.env.BUZZ_TOKEN ?? "",
  deviceId: "bot",
  store: fileStore(join(folder, "position.json")),
  encryption: sealed,
  WebSocket,
})
const me = buzz.welcome?.personId
buzz.on("state", ({ state }) => console.error(state))
await sealed?.ready
if (sealed?.me?.linked === false) {
  console.error("this device is not linked: link it on another one, or others have to accept it")
}
console.log(`person ${me} is listening`)

process.once("SIGTERM", () => buzz.close())
try {
  for await (const activity of buzz.activities()) {
    const { type, sender, receiver } = activity
    // What the bot sends is in its own log too. What is for a company of this person is left to others.
    const mine = sender.type === "person" && sender.id === me
    if (type === "chat_message" && receiver.type === "person" && !mine) await answer(await opened(activity))
  }
} catch (error) {
  if (!(error instanceof SessionEnded) && buzz.over === undefined) throw error
}

/** @param {Activity} activity */
async function answer({ id, sender, messageId, message, text, unopened }) {
  if (sealed && unopened) return console.error(`message ${id} is not answered: ${unopened.explanation}`)
  const said = `you wrote: ${sealed ? text : message}`
  try {
    // The same id for the same message: after a crash between the answer and the next activity it is stored once.
    const draft = { to: sender, messageId: answerTo(String(messageId)) }
    await buzz.send(sealed ? { ...draft, text: said } : { ...draft, message: said })
  } catch (error) {
    if (!library || !(error instanceof library.SealingRefused)) throw error
    return console.error(`message ${id} is not answered: ${error.message}`)
  }
  await buzz.markRead(sender, String(messageId))
}

/**
 * Return the activity, with its text if it can be read once the sender's new devices are accepted.
 *
 * @param {Activity} activity
 */
async function opened(activity) {
  if (!sealed || !options.accept || activity.sender.type !== "person") return activity
  const { id } = activity.sender
  const waiting = ((await sealed.person(id))?.devices ?? []).filter(({ state }) => state === "new")
  for (const { deviceId, tag } of waiting) {
    await sealed.accept(id, tag)
    console.log(`accepted ${deviceId} of person ${id}`)
  }
  return waiting.length && activity.unopened ? sealed.open(activity) : activity
}

/** Return another UUID that depends only on this one. @param {string} id */
function answerTo(id) {
  return id.replace(/^./, (digit) => ((parseInt(digit, 16) + 1) % 16).toString(16))
}
