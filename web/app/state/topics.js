// Who shows what: a screen follows a topic by its name, and is told once a frame at most that it has changed.

const FALLBACK_MS = 100;

/** Topics by name. What has changed is read from the model: a notice carries nothing. */
export class Topics {
  #followers = new Map();
  #changed = new Set();
  #timer;

  /** Call back after changes of that topic; returns a function that ends this. */
  follow(name, callback) {
    if (!this.#followers.has(name)) this.#followers.set(name, new Set());
    const followers = this.#followers.get(name);
    followers.add(callback);
    return () => followers.delete(callback);
  }

  /** Say that a topic has changed. */
  changed(...names) {
    for (const name of names) this.#changed.add(name);
    if (this.#timer !== undefined) return;
    // A hidden page gets no frames.
    this.#timer = setTimeout(() => this.#tell(), FALLBACK_MS);
    requestAnimationFrame(() => this.#tell());
  }

  #tell() {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const names = [...this.#changed];
    this.#changed.clear();
    for (const name of names) for (const callback of [...(this.#followers.get(name) ?? [])]) callback();
  }
}
