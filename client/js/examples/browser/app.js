/** A conversation in a page: it survives reloads, several tabs and a server that restarts. */

import { connect, displayName, indexedDBStore } from "buzz-client"

const [open, write] = /** @type {HTMLFormElement[]} */ ([...document.forms])
const list = document.querySelector("#messages")
const status = document.querySelector("#state")

open.addEventListener("submit", async (event) => {
  event.preventDefault()
  const { url, token, to } = Object.fromEntries(new FormData(open))
  open.hidden = true
  // One store and one device for each person who uses this browser.
  const name = `buzz-${token.split(".")[1] ?? token}`.slice(0, 60)
  // 0: do not wait for the first session, so that the page works without a network.
  const buzz = await connect(url, {
    token,
    deviceId: deviceId(name),
    store: indexedDBStore(name),
    openTimeoutSeconds: 0,
  })
  buzz.on("state", show)
  show(buzz.state)
  // What is newer than the beginning of the session arrives as activities, so the older ones are fetched after it.
  if (!buzz.connected) await new Promise((resolve) => buzz.on("welcome", resolve))
  const { activities } = await buzz.http.activitiesBefore(undefined, { party: `person:${to}`, limit: 20 })
  for (const activity of activities.reverse()) add(activity)
  write.hidden = false
  write.addEventListener("submit", (event) => {
    event.preventDefault()
    const field = write.elements.message
    // Not awaited: it is kept until it is sent, and shown when it arrives as an activity.
    buzz.send({ to: { type: "person", id: Number(to) }, message: field.value }).catch((error) => alert(error.message))
    field.value = ""
  })
  for await (const activity of buzz.activities()) add(activity)
})

function show({ state, until, error }) {
  status.textContent = state === "waiting" ? `waiting until ${until.toLocaleTimeString()}` : (error?.message ?? state)
}

function add({ id, type, message, senderName, raw }) {
  if (type !== "chat_message" || document.getElementById(`activity-${id}`)) return
  const line = document.createElement("li")
  line.id = `activity-${id}`
  line.textContent = `${senderName || displayName(raw.sendable) || "somebody"}: ${message ?? "(deleted)"}`
  list.append(line)
}

function deviceId(name) {
  const id = localStorage.getItem(name) ?? crypto.randomUUID()
  localStorage.setItem(name, id)
  return id
}
