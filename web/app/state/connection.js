// The state of the connection in words that a person understands.

import { t } from "./language.js";

/** Return `{ tone, text }` of the client's state; null while all is well. `quiet`: no word yet, it is usually short. */
export function connectionNotice(state, { online, sinceMs, now }) {
  if (state.state === "live") return null;
  if (state.state === "ended") return { tone: "bad", text: ended(state.why), end: true };
  if (!online) return { tone: "soft", text: t("offline") };
  if (state.state === "behind") return { tone: "soft", text: t("catchingUp"), quiet: true };
  if (state.state === "connecting" && now - sinceMs < 3_000) return { tone: "soft", text: t("connecting"), quiet: true };
  if (state.state === "connecting") return { tone: "soft", text: t("connecting") };
  const seconds = Math.max(1, Math.round((state.until - now) / 1000));
  return { tone: "soft", text: now - sinceMs < 3_000 ? t("reconnecting") : t("reconnectingIn", { seconds }) };
}

function ended(why) {
  if (why === "token_refused") return t("endedToken");
  if (why === "device_replaced") return t("endedReplaced");
  return t("endedOther");
}
