// The messages of a conversation: of a history of any length, only the rows near the visible part are in the page.

import { Component, html } from "./html.js";
import { Heights } from "./heights.js";
import { Icon } from "./icons.js";
import { Own, Row, Waiting } from "./row.js";
import { indexOf } from "../state/history.js";
import { sameDay, t } from "../state/language.js";
import { isReadable } from "../state/rows.js";

const ROW_PX = 56;
const MARGIN_ROWS = 14;
const NEAR_END_PX = 48;
const GROUP_MS = 5 * 60_000;
const JUMP_SECONDS = 2;

/** Props: `session`, `conversation`, `at` (the id of a message to jump to), `onReply`, `onReact`, `mounted`. */
export class Messages extends Component {
  #heights = new Heights(ROW_PX);
  #known = new Map();
  #ids = [];
  #ends = [];
  #from = 0;
  #to = 0;
  #atEnd = true;
  #placed = false;
  #target = null;
  #scroller = null;
  #resized = new ResizeObserver(() => this.#afterResize());

  constructor(props) {
    super(props);
    this.log = props.session.log;
    this.key = props.conversation.key;
    this.history = this.log.history(this.key);
    /** The row with the line "New messages" above it. */
    this.newId = 0;
  }

  componentDidMount() {
    this.props.mounted(this);
    const { session } = this.props;
    const follow = (name, callback) => this.#ends.push(session.topics.follow(name, callback));
    for (const name of [`outgoing ${this.key}`, `typing ${this.key}`, "keys", "calls"]) follow(name, () => this.forceUpdate());
    follow(`history ${this.key}`, () => this.#news());
    follow("caught up", () => this.#atEnd && this.#conversation.unread && this.#place());
    this.#resized.observe(this.#scroller);
    void this.history.opened.then(() => this.#place(this.props.at));
    this.componentDidUpdate(null, null, null);
    session.show(this);
  }

  componentWillUnmount() {
    for (const end of this.#ends) end();
    this.#resized.disconnect();
    this.props.session.show(null);
    this.log.leave(this.key);
  }

  // --- where the list is -------------------------------------------------------------------------------------------

  get #conversation() {
    return this.log.conversations.get(this.key) ?? this.props.conversation;
  }

  /** Go to where reading goes on: the message that was asked for, the first that is unread, or the newest. */
  async #place(at) {
    const { unread, readId } = this.#conversation;
    const from = indexOf(this.history.ids, readId + 1);
    if (unread) await this.history.load(from, from + 1);
    if (!this.#scroller) return;
    this.#placed = true;
    if (unread) this.newId = this.#firstUnread();
    if (at) this.jumpTo(at);
    // Whoever has scrolled before that stays there.
    else if (this.newId && this.#atEnd) this.#aim(this.newId, false);
    else this.forceUpdate();
  }

  /** The first message of the other side that was not read, and can be; undefined if none is here. */
  #firstUnread() {
    let index = indexOf(this.history.ids, this.#conversation.readId + 1);
    while (isClosed(this.history.at(index))) index += 1;
    return this.history.ids[index];
  }

  /** What comes to the end while the person looks at it is read at once. For the rest there is the line. */
  #news() {
    const { session } = this.props;
    const { unread, readId } = this.#conversation;
    const looks = session.looksAt(this.key);
    if (this.#placed && unread && !(this.#atEnd && (looks || !session.caughtUp))) {
      if (looks ? !this.newId : this.newId <= readId) this.newId = this.#firstUnread();
      if (this.newId && this.#atEnd) this.#aim(this.newId, false);
    }
    this.forceUpdate();
  }

  /** What was seen: `{ id, row }`, of the newest row that is in view to its end, and the newest of the other side up to it. */
  seen() {
    if (!this.#placed || performance.now() < this.#target?.until) return {};
    const { bottom } = this.#scroller.getBoundingClientRect();
    const rows = [...this.#scroller.querySelectorAll(".row[data-id]:not([data-empty])")];
    const last = rows.findLast((row) => row.getBoundingClientRect().bottom < bottom + 1);
    const id = Number(last?.dataset.id);
    let index = last ? indexOf(this.history.ids, id) : -1;
    while (isClosed(this.history.at(index))) index -= 1;
    return { id, row: this.history.at(index) };
  }

  componentWillReceiveProps({ at }) {
    if (at && at !== this.props.at && this.#placed) this.jumpTo(at);
  }

  jumpTo(id) {
    // A link may name a message that this device does not have.
    if (this.history.ids[indexOf(this.history.ids, id)] === id) this.#aim(id, true);
    else this.forceUpdate();
  }

  #aim(id, mark) {
    this.#target = { id, mark, until: performance.now() + JUMP_SECONDS * 1000 };
    this.#atEnd = false;
    this.forceUpdate();
  }

  /** Lead to what is new. What begins just below the view is at the end as well as here. */
  #toNew() {
    const [, , , last] = this.#range();
    const id = this.#conversation.unread && this.#firstUnread();
    if (id && indexOf(this.history.ids, id) > last + 1) this.#aim(id, false);
    else this.toEnd();
  }

  toEnd() {
    this.#target = null;
    this.#atEnd = true;
    this.forceUpdate(() => this.#stick());
  }

  #stick() {
    if (this.#scroller) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #afterResize() {
    if (this.#atEnd) this.#stick();
    this.#onScroll();
  }

  /** Bring the heights into step with the ids. */
  #sync() {
    const { ids } = this.history;
    const appended = ids === this.#ids && ids.length >= this.#heights.count;
    if (appended && ids.length - this.#heights.count < 500) while (this.#heights.count < ids.length) this.#heights.push();
    else this.#heights.reset(ids.length, (index) => this.#known.get(ids[index]));
    this.#ids = ids;
  }

  #range() {
    const { ids } = this.history;
    const scroller = this.#scroller;
    const height = scroller?.clientHeight || 800;
    let top = scroller?.scrollTop ?? 0;
    // Where it will be, once these rows are drawn.
    if (this.#target) top = this.#heights.above(indexOf(ids, this.#target.id)) - height / 2;
    else if (this.#atEnd) top = this.#heights.above(ids.length) - height;
    const first = this.#heights.at(Math.max(0, top));
    const last = this.#heights.at(Math.max(0, top + height));
    return [Math.max(0, first - MARGIN_ROWS), Math.min(ids.length, last + 1 + MARGIN_ROWS), first, last];
  }

  #onScroll = () => {
    const scroller = this.#scroller;
    if (!scroller) return;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
    const [, , first, last] = this.#range();
    const near = MARGIN_ROWS / 2;
    const missing = first - near < this.#from || last + near > this.#to;
    const more = (missing && (this.#from > 0 || this.#to < this.history.ids.length));
    if (atEnd !== this.#atEnd || more) {
      this.#atEnd = atEnd;
      this.forceUpdate();
    }
    this.props.session.readSoon();
  };

  // --- drawing -----------------------------------------------------------------------------------------------------

  getSnapshotBeforeUpdate() {
    const scroller = this.#scroller;
    if (!scroller || this.#atEnd) return null;
    const top = scroller.getBoundingClientRect().top;
    for (const row of scroller.querySelectorAll(".row[data-id]")) {
      const box = row.getBoundingClientRect();
      if (box.bottom > top) return { id: row.dataset.id, offset: box.top - top };
    }
    return null;
  }

  componentDidUpdate(before, state, anchor) {
    const changed = this.#measure();
    if (changed) this.#setSpacers();
    if (this.#target) this.#settle();
    else if (this.#atEnd) this.#stick();
    else if (anchor) this.#holdAt(anchor);
    void this.history.load(this.#from - MARGIN_ROWS, this.#to + MARGIN_ROWS);
    if (changed) requestAnimationFrame(() => this.#onScroll());
    this.props.session.readSoon();
  }

  #measure() {
    let changed = false;
    for (const row of this.#scroller.querySelectorAll(".row[data-id]")) {
      if (row.dataset.empty) continue;
      const id = Number(row.dataset.id);
      const height = row.getBoundingClientRect().height;
      const index = indexOf(this.history.ids, id);
      changed = this.#heights.set(index, height, this.#known.has(id)) || changed;
      this.#known.set(id, height);
    }
    return changed;
  }

  #setSpacers() {
    const [above, below] = this.#scroller.querySelectorAll(":scope > .spacer");
    above.style.height = `${this.#heights.above(this.#from)}px`;
    below.style.height = `${this.#heights.above(this.history.ids.length) - this.#heights.above(this.#to)}px`;
  }

  #element(id) {
    return this.#scroller.querySelector(`.row[data-id="${id}"]`);
  }

  #holdAt({ id, offset }) {
    const row = this.#element(id);
    if (!row) return;
    const moved = row.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top - offset;
    if (Math.abs(moved) > 0.5) this.#scroller.scrollTop += moved;
  }

  /** Bring the target into view; its neighbours may still have to be read and measured. */
  #settle() {
    const { id, mark, until } = this.#target;
    const row = this.#element(id);
    if (!row) return;
    row.scrollIntoView({ block: mark ? "center" : "start" });
    if (row.dataset.empty && performance.now() < until) return;
    this.#target = null;
    if (mark) row.classList.add("found");
    if (mark) row.focus({ preventScroll: true });
  }

  render({ session, conversation, onReply, onReact }) {
    this.#sync();
    const { ids } = this.history;
    const [from, to] = this.#range();
    this.#from = from;
    this.#to = to;
    const rows = [];
    for (let index = from; index < to; index += 1) rows.push(this.#row(index));
    const outgoing = session.outgoing.of(this.key);
    const { unread } = conversation;
    return html`<div class="messages-frame">
      <div class="messages" role="feed" aria-label=${t("messagesWith", { name: conversation.name })} tabindex="0"
        ref=${(element) => (this.#scroller = element)} onScroll=${this.#onScroll} onKeyDown=${this.#onKey}>
        <div class="spacer" style=${{ height: `${this.#heights.above(from)}px` }} aria-hidden="true" />
        ${rows}
        <div class="spacer" style=${{ height: `${this.#heights.above(ids.length) - this.#heights.above(to)}px` }} aria-hidden="true" />
        ${outgoing.map((message) => html`<${Waiting} key=${message.messageId} message=${message} session=${session} name=${conversation.name} />`)}
        ${session.typing.is(this.key) && html`<${Own.Typing} key="typing" name=${conversation.name} />`}
      </div>
      ${!this.#atEnd && html`<button type="button" class="to-end ${unread ? "" : "icon-button"}" onClick=${() => this.#toNew()}><${Icon} name="down" />
        <span class=${unread ? "" : "unseen"}>${unread ? t("jumpToNew", { count: unread }) : t("jumpToNewest")}</span></button>`}
    </div>`;
  }

  #row(index) {
    const { ids } = this.history;
    const { session, conversation, onReply, onReact } = this.props;
    const [before, row, after] = [this.history.at(index - 1), this.history.at(index), this.history.at(index + 1)];
    const id = ids[index];
    if (!row) return html`<div class="row blank" key=${id} data-id=${id} data-empty="1" style=${{ height: `${this.#known.get(id) ?? this.#heights.estimate}px` }} aria-hidden="true"><i /></div>`;
    const isNew = id === this.newId;
    return html`<${Row} key=${id} row=${row} session=${session} position=${index + 1} total=${ids.length}
      day=${!(before && sameDay(before.at, row.at)) && (index === 0 || before)} isNew=${isNew}
      begins=${isNew || !together(before, row)} ends=${ids[index + 1] === this.newId || !together(row, after)}
      state=${row.mine ? stateKey(row, conversation) : ""} name=${conversation.name}
      call=${session.calls.of(row.messageId)} onReply=${onReply} onReact=${onReact} />`;
  }

  // --- the keyboard ------------------------------------------------------------------------------------------------

  #onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("button, a, input")) {
      if (event.key !== "Escape") return;
    }
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.focusRow(step);
  };

  /** Move the focus by so many rows; from outside, to the newest row. */
  focusRow(step) {
    const { ids } = this.history;
    const focused = document.activeElement?.closest?.(".row[data-id]");
    const [, , , last] = this.#range();
    const at = focused ? indexOf(ids, Number(focused.dataset.id)) : last + 1;
    const index = Math.max(0, Math.min(ids.length - 1, at + step));
    if (!ids.length) return;
    const row = this.#element(ids[index]);
    if (row && Math.abs(step) < Infinity) {
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
      return;
    }
    this.#aim(ids[index], true);
  }
}

/** Whether a row is one's own, or can't be read here. */
const isClosed = (row) => row && !isReadable(row);

/** Whether two rows are one group: of the same side, soon after one another, on the same day. */
function together(one, other) {
  if (!one || !other || one.type !== "chat_message" || other.type !== "chat_message") return false;
  return one.by === other.by && other.at - one.at < GROUP_MS && sameDay(one.at, other.at);
}

function stateKey({ id }, { otherReadId, deliveredId }) {
  if (id <= otherReadId) return "read";
  return id <= deliveredId ? "delivered" : "sent";
}
