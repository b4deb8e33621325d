// Messages to somebody who has no device yet that can read them: they wait, and are sent when there is one.

import { conversationKey, readKey } from "./parties.js";

// The server tells of new keys only those who have talked with the person.
const LOOK_AGAIN_MS = 30_000;
export const WHY = "waitsForKeys";
const waits = ({ state, why }) => state === "waiting" && why === WHY;

export class Keyless {
  #trying = new Set();
  /** Conversations that are to be tried once more: keys were told of while the try before was under way. */
  #once = new Set();
  #timer;
  /** How often keys were told of. */
  news = 0;

  constructor(session) {
    this.session = session;
  }

  follow(buzz) {
    for (const name of ["encryption.keys", "encryption.person"]) buzz.on(name, ({ personId }) => void this.#keysOf(personId));
  }

  /** The messages of a conversation that wait, the oldest first. */
  of(conversation) {
    return this.session.outgoing.of(conversation).filter(waits);
  }

  /**
   * Nobody can read a message: keep it until somebody can, or as failed. `news`: how often keys had been told of when it
   * was sent.
   */
  async refused(message, news) {
    const { messageId, conversation } = message;
    const { outgoing } = this.session;
    const why = await this.#whyOf(readKey(conversation));
    if (!outgoing.get(messageId)) return;
    await outgoing.put({ ...message, state: why === WHY ? "waiting" : "failed", why });
    if (why !== WHY) return;
    // Keys that were told of meanwhile found nothing that waits for them.
    if (this.news === news) this.#lookLater();
    else await this.sendAll(conversation);
  }

  /**
   * Return why a message failed that nobody can read, or that it waits. It does not wait for somebody whom the server
   * does not know, nor for a device that this person has refused.
   */
  async #whyOf({ party }) {
    const { keys, buzz } = this.session;
    if (party.type === "person" && keys.person(party.id)?.devices.some(({ state }) => state === "unlinked")) return "failedReaders";
    try {
      await (party.type === "person" ? buzz.http.publicKeys(party.id) : buzz.http.companyMembers(party.id));
    } catch (error) {
      if (error?.status === 404) return "failedUnknown";
    }
    return WHY;
  }

  /** Try again to send what waits. */
  async again() {
    clearTimeout(this.#timer);
    if (this.session.state.state !== "live") return; // that is told, and then it is tried
    const waiting = new Set(this.session.outgoing.all.filter(waits).map(({ conversation }) => conversation));
    await Promise.all([...waiting].map((conversation) => this.sendAll(conversation)));
  }

  /** Try again in one conversation: one after another, so that the order is kept. */
  async sendAll(conversation) {
    if (this.#trying.has(conversation)) return void this.#once.add(conversation);
    this.#trying.add(conversation);
    try {
      do {
        this.#once.delete(conversation);
        for (let next; (next = this.of(conversation)[0]); ) if (!(await this.session.post(next))) break;
      } while (this.#once.has(conversation));
    } finally {
      this.#trying.delete(conversation);
    }
    if (this.of(conversation).length) this.#lookLater();
  }

  async #keysOf(personId) {
    this.news++;
    await this.sendAll(conversationKey({ type: "person", id: personId }, null));
    await this.again();
  }

  #lookLater() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.again(), LOOK_AGAIN_MS);
  }
}
