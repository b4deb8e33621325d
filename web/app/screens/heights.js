// The heights of a long list's rows: measured where a row was shown, estimated elsewhere.

/** Sums of row heights in logarithmic time (a Fenwick tree). */
export class Heights {
  #tree = new Float64Array(1);
  #heights = new Float64Array(0);
  #measured = 0;
  #measuredSum = 0;
  count = 0;

  constructor(estimate) {
    this.first = estimate;
  }

  /** The height that is assumed of a row that was never shown. */
  get estimate() {
    return this.#measured > 20 ? this.#measuredSum / this.#measured : this.first;
  }

  /** Begin again with so many rows. `known(index)`: a height that was measured, or undefined. */
  reset(count, known) {
    const room = Math.max(64, count * 2);
    this.#heights = new Float64Array(room);
    const { estimate } = this;
    for (let index = 0; index < count; index += 1) this.#heights[index] = known(index) ?? estimate;
    this.count = count;
    this.#build(room);
  }

  #build(room) {
    this.#tree = new Float64Array(room + 1);
    for (let index = 1; index <= room; index += 1) {
      this.#tree[index] += this.#heights[index - 1];
      const parent = index + (index & -index);
      if (parent <= room) this.#tree[parent] += this.#tree[index];
    }
  }

  /** Add one row at the end. */
  push() {
    const { count } = this;
    if (count >= this.#heights.length) this.reset(count, (index) => this.#heights[index]);
    this.count += 1;
    this.#add(count, this.estimate);
  }

  /** Set a measured height. Returns whether it is another one. `again`: this row was measured before. */
  set(index, height, again) {
    const more = height - this.#heights[index];
    if (!again) {
      this.#measured += 1;
      this.#measuredSum += height;
    }
    if (Math.abs(more) < 0.01) return false;
    this.#add(index, more);
    return true;
  }

  #add(index, more) {
    this.#heights[index] += more;
    for (let each = index + 1; each < this.#tree.length; each += each & -each) this.#tree[each] += more;
  }

  /** The height of the first `count` rows together. */
  above(count) {
    let sum = 0;
    for (let each = Math.min(count, this.count); each > 0; each -= each & -each) sum += this.#tree[each];
    return sum;
  }

  /** The row at a distance from the top. */
  at(distance) {
    let index = 0;
    let left = distance;
    for (let step = 2 ** Math.floor(Math.log2(this.#tree.length)); step > 0; step /= 2) {
      const next = index + step;
      if (next < this.#tree.length && next <= this.count && this.#tree[next] <= left) {
        index = next;
        left -= this.#tree[next];
      }
    }
    return Math.min(index, Math.max(0, this.count - 1));
  }
}
