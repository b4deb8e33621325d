// Why a call was trusted, in words.

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
