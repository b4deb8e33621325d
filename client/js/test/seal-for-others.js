/** Prints messages that this client has sealed with the keys of the test vectors: other clients must open them. */

import { toHex } from "../src/encryption/encoding.js"
import { delivered, seal } from "../src/encryption/sealing.js"
import { FILE, PLACE, device, readersOf, use } from "./sealed-scene.js"

const phone = await device("phone")
const readers = readersOf([await device("laptop"), await device("bob")])
const messages = []
let chain
for (const text of ["hello", "Grüße 👋", "x".repeat(500)]) {
  const sealed = await seal(use, text, PLACE, phone, chain, readers, FILE.now)
  const { own, message } = sealed
  messages.push({ text, message, own: own && { id: own.id, key: toHex(own.key), counter: own.counter } })
  chain = delivered(sealed.chain, sealed.introduces)
}
console.log(JSON.stringify({ place: { ...PLACE, message_id: PLACE.messageId, messageId: undefined }, messages }))
