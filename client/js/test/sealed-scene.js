/** Devices with the keys of the test vectors, for the tests, the fuzz and the costs of sealed messages. */

import { readFileSync } from "node:fs"
import { fromHex, toBase64 } from "../src/encryption/encoding.js"
import { libraries } from "../src/encryption/index.js"
import { NodePrimitives } from "../src/encryption/node_primitives.js"

export const FILE = JSON.parse(readFileSync(new URL("../../conformance/sealed-vectors.json", import.meta.url), "utf8"))
export const use = await NodePrimitives.on(libraries)
export const MESSAGE_ID = "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11"
export const PLACE = { sender: "person:456", receiver: "person:7", type: "chat_message", messageId: MESSAGE_ID }

/** Return what a device of the vectors seals and opens with. */
export async function device(name) {
  const { tag, identity_seed, sealing_seed, sealing } = FILE.devices[name]
  const identity = await use.identityOf(fromHex(identity_seed))
  return { tag, identity, seeds: async () => [fromHex(sealing_seed)], sealing: toBase64(fromHex(sealing)) }
}

/** Return these devices as the readers of a message. */
export function readersOf(devices) {
  const sealing = new Map(devices.map((each) => [each.tag, each.sealing]))
  return { members: new Set(sealing.keys()), sealing }
}
