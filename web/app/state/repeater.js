// Asks the server again for what it did not answer.

const AGAIN_MS = 2_000;
const AGAIN_MOST_MS = 60_000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Does what may fail for a while. What is begun takes the place of what was begun before. */
export class Repeater {
  #round = 0;

  /** `goesOn`: whether it makes sense to try again. `random` and `wait` are for tests. */
  constructor(goesOn, { random = Math.random, wait = pause } = {}) {
    Object.assign(this, { goesOn, random, wait });
  }

  /** Do each of these, and again what has failed, unless the server has refused it for good: later each time. */
  async run(...works) {
    const round = ++this.#round;
    for (let mostMs = AGAIN_MS; ; mostMs = Math.min(2 * mostMs, AGAIN_MOST_MS)) {
      const tried = await Promise.allSettled(works.map((work) => work()));
      works = works.filter((_, index) => tried[index].reason && !isFinal(tried[index].reason));
      if (!works.length) return;
      await this.wait(mostMs * (0.5 + this.random() / 2));
      if (round !== this.#round || !this.goesOn()) return;
    }
  }
}

const isFinal = ({ status }) => status < 500 && status !== 429;
