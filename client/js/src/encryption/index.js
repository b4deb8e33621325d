/** Sealed messages: end-to-end encryption between devices, as docs/encryption.md describes it. */

import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core"
import { XWing } from "@hpke/hybridkem-x-wing"
import { sealedMessagesWith } from "./sealed_messages.js"

export {
  KeysChanged,
  KeysInUse,
  LinkRefused,
  NoReaders,
  SealingRefused,
  TextTooLong,
  TooManyDevices,
} from "./errors.js"
export { SealedMessages } from "./sealed_messages.js"
export { indexedDBKeys } from "./stores/indexeddb.js"
export { memoryKeys, textKeys } from "./stores/text.js"

/** @typedef {import("./reasons.js").Unopened} Unopened */
/** @typedef {import("./sealed_messages.js").DeviceShown} DeviceShown */
/** @typedef {import("./sealed_messages.js").Me} Me */
/** @typedef {import("./sealed_messages.js").PersonShown} PersonShown */
/** @typedef {import("./stores/text.js").KeyStore} KeyStore */
/** @typedef {import("./sealed_messages.js").LoadSealing} LoadSealing */

/** Other people's libraries. This is the only module that imports them. @type {import("./primitives.js").Libraries} */
export const libraries = {
  hpke: { Aes256Gcm, CipherSuite, HkdfSha256 },
  xWing: { XWing },
  ed25519: () => import("@noble/ed25519"),
}

/**
 * Return what to pass to `connect` as `encryption`; one for each client.
 *
 * @param {{ keys: KeyStore, now?: () => number, loadSealing?: LoadSealing }} options where this device's keys are kept;
 *   `now` (Unix seconds) is for tests, `loadSealing` for service workers without a bundler
 */
export function sealedMessages(options) {
  return sealedMessagesWith(libraries, options)
}
