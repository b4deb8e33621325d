// The notifications that tell of unread messages, by a page and by the service worker: they have the same tags, so that one
// replaces the other, and either can take it away.

import { t } from "./language.js";
import { conversationPlace } from "./place.js";
import { callOutcome, isCall } from "./rows.js";

/** What the client puts before the tags of its notifications. */
export const SHARED = "buzz:";

export const ICON = "/app/icons/buzz-192.png";

/** Return the notification of a conversation: `{ tag, title, body, data }`, or null if everything in it is read or looked at. */
export function noticeOf({ key, name, last, readId, unread, closedId }) {
  const missed = last && !last.mine && last.id > readId && isCall(last.type) && callOutcome(last.type) === "missed";
  if (!unread && !missed && !closedId) return null;
  const body = missed ? t("callMissedShort") : (!last.mine && last.text) || t("newMessage");
  return { tag: key, title: name || t("newMessage"), body, icon: ICON, data: { url: `/${conversationPlace(key)}` } };
}
