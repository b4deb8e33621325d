// Why a call was blocked, in words.

import { t } from "../state/language.js";

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
