// Calls: one that rings, those that were blocked, and the latest.

import { Repeater } from "./repeater.js";

const RINGS_MS = 45_000;

/** The person's calls. The lists are kept, so that they can be read without a network. */
export class Calls {
  /** The call that rings now, or null. */
  ringing = null;
  /** The newest call that was blocked since the page was opened and not looked at, or null. */
  blockedNow = null;
  latest = [];
  blocked = [];
  #byMessage = new Map();
  /** The calls that were shown, by id: each is shown once. */
  #told = new Set();
  /** The names of callers by their numbers: the server tells them while it rings, and not in its lists. */
  #names = new Map();
  #timer;

  #repeater = new Repeater(() => this.session.state.state === "live");

  constructor(session) {
    this.session = session;
  }

  async load() {
    const kept = await this.session.database.get("lists", "calls");
    if (!kept) return;
    this.#names = new Map(kept.names);
    this.#show(kept);
  }

  follow(buzz) {
    const fresh = ({ call_id: id }) => !this.#told.has(id) && this.#told.add(id);
    buzz.on("call.ringing", (call) => fresh(call) && this.#ring(call));
    buzz.on("call.blocked", (call) => {
      if (!fresh(call)) return;
      this.blockedNow = call;
      this.blocked = [call, ...this.blocked.filter((each) => each.call_id !== call.call_id)];
      this.session.topics.changed("calls");
      this.#refreshNow();
    });
    buzz.on("directory.changed", () => this.#refreshNow());
  }

  /** Something has changed: if the server does not say what, it is asked again. */
  #refreshNow() {
    void this.#repeater.run(() => this.refresh());
  }

  /** Ask the server for both lists. */
  async refresh() {
    const { http } = this.session.buzz;
    const [latest, blocked] = await Promise.all([http.calls(), http.blocked()]);
    this.#show({ latest, blocked });
    await this.session.database.put("lists", { latest, blocked, names: [...this.#names] }, "calls");
  }

  /** Who calls, or has called: `{ name, number }`. A call whose number was forged has no name. */
  callerOf(call) {
    const told = callerOf(call);
    if (call.reason === "failed_verification") return { ...told, name: null };
    const { recorded_from: from } = call;
    const known = from && this.session.log.conversations.get(`${from.type}:${from.id}`)?.name;
    return { ...told, name: entryOf(call) ? told.name : known || this.#names.get(call.number) || told.name };
  }

  /** What is known of the call that an activity records. */
  of(messageId) {
    return this.#byMessage.get(messageId);
  }

  /** The call to show above every screen, or null. */
  get now() {
    return this.ringing ?? this.blockedNow;
  }

  dismiss() {
    clearTimeout(this.#timer);
    this.ringing = this.blockedNow = null;
    this.session.topics.changed("calls");
  }

  /** A call is in the history: it has ended. */
  recorded(messageId) {
    if (this.ringing?.message_id === messageId) this.dismiss();
    if (this.session.state.state === "live") this.#refreshNow();
  }

  #ring(call) {
    this.dismiss();
    this.ringing = call;
    const { name, number } = callerOf(call);
    if (name && number) this.#names.set(number, name);
    this.#byMessage.set(call.message_id, call);
    this.session.notifications.rings(call);
    // A call of somebody who is in nobody's history ends without a word.
    this.#timer = setTimeout(() => {
      this.dismiss();
      this.#refreshNow();
    }, RINGS_MS);
    this.session.topics.changed("calls");
  }

  #show({ latest, blocked }) {
    Object.assign(this, { latest, blocked });
    for (const call of latest) this.#byMessage.set(call.message_id, call);
    if (this.ringing && !["ringing", undefined].includes(this.of(this.ringing.message_id)?.outcome)) this.ringing = null;
    this.session.topics.changed("calls");
  }
}

const entryOf = (call) => call.contacts?.[0] ?? call.people?.[0] ?? call.companies?.[0];
// What the server gives for a caller whose name nobody knows.
const NOBODY = "Unknown Caller";

/** The caller's name in a call, from the look-up that came with it; the number, or null if it was withheld. */
export function callerOf(call) {
  const entry = entryOf(call);
  const name = entry && (entry.name || [entry.first_name, entry.last_name].filter(Boolean).join(" "));
  const shown = call.caller_id === NOBODY ? null : call.caller_id;
  return { name: name || shown || null, number: call.number ?? null };
}
