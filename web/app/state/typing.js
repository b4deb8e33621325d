// Who is typing, and telling others that this person is.

const TELL_EVERY_MS = 3_000;

export class Typing {
  #until = new Map();
  #told = new Map();

  constructor(topics) {
    this.topics = topics;
  }

  /** The other side of a conversation is typing for so long. */
  heard(key, ms) {
    clearTimeout(this.#until.get(key));
    this.#until.set(key, setTimeout(() => this.stop(key), ms));
    this.topics.changed(`typing ${key}`, "conversations");
  }

  stop(key) {
    clearTimeout(this.#until.get(key));
    if (this.#until.delete(key)) this.topics.changed(`typing ${key}`, "conversations");
  }

  is(key) {
    return this.#until.has(key);
  }

  /** This person has sent a message, which ends what the other side shows: what is typed next is told at once. */
  sent(key) {
    this.#told.delete(key);
  }

  /** Whether it is time to tell the other side again. */
  mayTell(key, now = Date.now()) {
    if (now - (this.#told.get(key) ?? 0) < TELL_EVERY_MS) return false;
    this.#told.set(key, now);
    return true;
  }
}
