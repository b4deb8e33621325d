/** Why a message could not be opened. */

const WORDS = {
  not_sealed: "it is not encrypted, or not by this method",
  newer_version: "it was sealed by a newer version of this software",
  damaged: "it is damaged",
  unknown_device: "it is not signed by a known device of its sender",
  untrusted_device: "it is from a device that has not been accepted yet",
  removed_device: "it is from a device that its owner had removed",
  bad_signature: "its signature is wrong: somebody changed it, or moved it from another place",
  not_for_this_device: "it was sent before this device was added, or not to this device",
  key_gone: "this device no longer has the key, or somebody damaged the message",
  repeated: "this device has opened it before and deleted its key",
  too_far_ahead: "more than 2,000 messages before it are missing",
}

/** @typedef {keyof typeof WORDS} ReasonCode */

/**
 * Why a message could not be opened: a fixed name, and the same in words for people.
 *
 * @typedef {{ reason: ReasonCode, explanation: string }} Unopened
 */

/** @param {ReasonCode} reason @returns {Readonly<Unopened>} */
export function unopened(reason) {
  return Object.freeze({ reason, explanation: WORDS[reason] })
}
