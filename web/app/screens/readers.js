// Can anybody read what is written in a conversation that has no messages yet? The server is asked when it is opened.

import { html, useEffect } from "./html.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** Says why nobody can. Props: `session`, `conversation`. */
export function Readers({ session, conversation }) {
  const { key, party } = conversation;
  const live = session.state.state === "live";
  const known = session.keys.person(party.id);
  useEffect(() => void (live && look(session, key, party).catch(() => {})), [key, live, known]);
  const { name } = session.keys.lockOf(conversation);
  if (session.keys.unreadable.get(key) !== name) return null;
  return html`<${Notice} tone="warn" icon="warning" role="status"><p>${t(`${name}Why`, { name: conversation.name })}</p><//>`;
}

/** Ask for the keys of the other side, and keep what its lock is then. */
async function look({ buzz, encrypted, keys, topics }, key, { type, id }) {
  let lock;
  try {
    const found = await (type === "person" ? buzz.http.publicKeys(id) : buzz.http.companyMembers(id));
    if (type === "person" && encrypted && found.every(({ revoked_at: revokedAt }) => revokedAt)) lock = "lockNoKeys";
  } catch (error) {
    if (error.status !== 404) throw error;
    lock = "lockUnknown";
  }
  if (keys.unreadable.get(key) === lock) return;
  keys.unreadable.set(key, lock);
  topics.changed("keys");
}
