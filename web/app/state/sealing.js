// What this device can read of an activity, and what it sends: with the client's encryption, or without.

// The client's own words are English and for developers; the app has texts for each of these.
const REASONS = ["newer_version", "damaged", "unknown_device", "untrusted_device", "removed_device", "bad_signature",
  "repeated", "not_for_this_device", "key_gone", "too_far_ahead"];
/** The problem that can end: the device may be linked or accepted. */
export const UNTRUSTED = "untrusted_device";

/**
 * Return `{ text, problem }` of an activity. `problem`: null, `gone` (its text was deleted), `plain` (it was not
 * encrypted), or why it can't be opened.
 */
export function openedText(activity, encrypted) {
  const { message, text, unopened } = activity;
  if (!encrypted) return { text: message, problem: message === null && hasText(activity) ? "gone" : null };
  if (typeof text === "string") return { text, problem: null };
  if (message === null || message === undefined) return { text: null, problem: hasText(activity) ? "gone" : null };
  if (!unopened || unopened.reason === "not_sealed") return { text: message, problem: "plain" };
  return { text: null, problem: REASONS.includes(unopened.reason) ? unopened.reason : "damaged" };
}

const hasText = ({ type }) => type === "chat_message" || type === "chat_reaction_emoji";

/** Why a message could not be sent, as the name of a text. */
export function failureOf(error) {
  const { code = "", name = "" } = error ?? {};
  if (code === "keys_changed" || name === "KeysChanged") return "failedKeys";
  if (code === "too_many_devices" || name === "TooManyDevices") return "failedDevices";
  if (code === "text_too_long" || name === "TextTooLong" || code === "frame_too_large") return "failedLong";
  if (code === "no_readers" || name === "NoReaders") return "failedReaders";
  if (code === "not_found") return "failedUnknown";
  if (code === "forbidden") return "failedForbidden";
  return "failedOther";
}
