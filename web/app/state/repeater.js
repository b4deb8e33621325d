// Asks the server again for what it did not answer.

const AGAIN_MS = 2_000;
const AGAIN_MOST_MS = 60_000;
// Of the refusals: request timeout, too early, too many requests.
const PASSING = [408, 425, 429];

/** Does things that may fail for a while. Whoever begins anew takes the place of what was begun before. */
export class Repeater {
  #round = 0;

  /** `goesOn`: whether it makes sense to try again. `random` and `wait` are for tests. */
  constructor(goesOn, { random = Math.random, wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = {}) {
    Object.assign(this, { goesOn, random, wait });
  }

  /**
   * Do each of these, and again what has failed: at first after one to two seconds, then twice as late each time. What
   * the server has refused for good is not repeated. Returns after the first try of each.
   */
  async run(...works) {
    const round = ++this.#round;
    const failed = await failing(works);
    void this.#again(round, failed);
  }

  async #again(round, works) {
    for (let mostMs = AGAIN_MS; works.length; mostMs = Math.min(2 * mostMs, AGAIN_MOST_MS)) {
      await this.wait(mostMs * (0.5 + this.random() / 2));
      if (round !== this.#round || !this.goesOn()) return;
      works = await failing(works);
    }
  }
}

/** Do each, and return those that may succeed later. */
async function failing(works) {
  const tried = await Promise.allSettled(works.map((work) => work()));
  return works.filter((_, index) => {
    const { status, reason } = tried[index];
    const final = reason?.status >= 400 && reason.status < 500 && !PASSING.includes(reason.status);
    return status === "rejected" && !final;
  });
}
