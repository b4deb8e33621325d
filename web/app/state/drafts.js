// What is written in a conversation and not sent yet. It stays over a reload.

/** Drafts by conversation: `{ key, text, quote }`. */
export class Drafts {
  #drafts = new Map();
  #saving = new Set();
  #changed = new Set();

  constructor({ database, topics }) {
    this.database = database;
    this.topics = topics;
  }

  async load() {
    for (const draft of await this.database.all("drafts")) this.#drafts.set(draft.key, draft);
  }

  of(key) {
    return this.#drafts.get(key) ?? { key, text: "", quote: null };
  }

  put(draft) {
    const { key, text, quote } = draft;
    if (text || quote) this.#drafts.set(key, draft);
    else this.#drafts.delete(key);
    this.topics.changed("conversations", `draft ${key}`);
    this.#changed.add(key);
    void this.#save(key);
  }

  /** Save at once, because a page that is closed has no time left; what is typed meanwhile is saved after it. */
  async #save(key) {
    if (this.#saving.has(key)) return;
    this.#saving.add(key);
    while (this.#changed.delete(key)) {
      const draft = this.#drafts.get(key);
      const saved = draft ? this.database.put("drafts", draft) : this.database.delete("drafts", key);
      // The text is still on the screen; the next change tries again.
      await saved.catch(() => {});
    }
    this.#saving.delete(key);
  }
}
