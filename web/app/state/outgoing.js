// One's own messages that are not in the log yet: waiting, or failed and why.

/** The messages that wait, in the order in which they were written. */
export class Outgoing {
  #messages = new Map();

  constructor({ database, topics }) {
    this.database = database;
    this.topics = topics;
  }

  async load() {
    for (const message of await this.database.all("outgoing")) this.#messages.set(message.messageId, message);
  }

  /** Those of one conversation. */
  of(conversation) {
    return [...this.#messages.values()].filter((message) => message.conversation === conversation)
      .sort((a, b) => a.at - b.at);
  }

  get all() {
    return [...this.#messages.values()];
  }

  get(messageId) {
    return this.#messages.get(messageId);
  }

  /** Add a message, or change it: `{ messageId, conversation, text, at, state, why }`. */
  async put(message) {
    this.#messages.set(message.messageId, message);
    this.topics.changed(`outgoing ${message.conversation}`, "conversations");
    await this.database.put("outgoing", message);
  }

  /** It is in the log, or not to be sent. */
  async drop(messageId) {
    const message = this.#messages.get(messageId);
    if (!this.#messages.delete(messageId)) return;
    this.topics.changed(`outgoing ${message.conversation}`, "conversations");
    await this.database.delete("outgoing", messageId);
  }
}
