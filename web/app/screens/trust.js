// Why a call was trusted or blocked, in words.

import { t } from "../state/language.js";

const ATTESTED = { "passed-a": "verifiedA", "passed-b": "verifiedB", "passed-c": "verifiedC", failed: "verifiedFailed" };

/** Why a caller was trusted, and how sure it is who they are: one line. */
export function trustWords(call) {
  const by = (call.trusted_by ?? []).map(({ type }) => t(`trustedBy_${type}`));
  return [...new Set(by), certaintyWords(call)].filter(Boolean).join(" · ");
}

/** How sure it is who a caller is. */
export function certaintyWords({ certainty, verified }) {
  if (certainty === "app") return t("certaintyApp");
  return t(ATTESTED[verified] ?? "verifiedNone");
}

/** Why a call did not ring. */
export const blockedWords = ({ reason }) => t(`blocked_${reason ?? "unknown"}`);

/** What the person can do so that this caller rings the next time; null if nothing. */
export function hintWords({ reason, number }) {
  if (!number || reason === "no_number") return t("hintNoNumber");
  if (reason === "failed_verification") return t("hintFailed");
  if (reason === "not_verified") return t("hintNotVerified");
  if (reason === "own_number" || reason === "late") return null;
  return t(reason === "untrusted_contact" ? "hintTrustContact" : "hintTrust", { number });
}
