// One signed-in person: the client, what it brings, and what the person does.

import { connect, displayName } from "/client/js/index.js";
import { signInAgain } from "../signin/index.js";
import { openDatabase } from "./database.js";
import { Calls } from "./calls.js";
import { Drafts } from "./drafts.js";
import { Keyless, WHY } from "./keyless.js";
import { browserName, keyDatabase, Keys, openEncryption } from "./keys.js";
import { deleteDatabase } from "./leftovers.js";
import { Log } from "./log.js";
import { Notifications } from "./notifications.js";
import { Outgoing } from "./outgoing.js";
import { conversationOf, conversationKey, readKey } from "./parties.js";
import { deviceIdOf, forgetDevice, preferences } from "./preferences.js";
import { Privacy } from "./privacy.js";
import { Repeater } from "./repeater.js";
import { isCall } from "./rows.js";
import { failureOf, openedText } from "./sealing.js";
import { Topics } from "./topics.js";
import { Typing } from "./typing.js";

const READ_AFTER_MS = 400;
const TAKE_AGAIN_MS = 2_000;
const TAKE_AGAIN_MOST_MS = 60_000;
// Signing out does not wait longer for the server.
const PATIENCE_MS = 2_000;

/**
 * Open the session of a person: what `signedIn()` returns. It shows what this device has at once, without a network;
 * `begin` connects.
 */
export async function openSession(person) {
  const database = await openDatabase(person.personId);
  const session = new Session(person, database);
  await Promise.all([session.log.load(), session.outgoing.load(), session.drafts.load(), session.calls.load(),
    session.privacy.load()]);
  return session;
}

/** What the screens use. */
export class Session {
  topics = new Topics();
  state = { state: "connecting" };
  stateSince = Date.now();
  me = null;
  useNewVersion = null;
  /** What looks through the messages, once something was searched. */
  search = null;
  /** Whether everything is here that came while there was no connection. */
  caughtUp = false;
  /** The messages that are on the screen: see `Messages.seen`; or null. */
  #shown = null;
  #reading;

  constructor({ token, personId, name, signOut }, database) {
    this.personId = personId;
    this.name = name;
    this.deviceId = deviceIdOf(personId);
    this.database = database;
    this.#token = token;
    this.#signOut = signOut;
    const parts = { database, personId, topics: this.topics };
    this.log = new Log(parts);
    this.outgoing = new Outgoing(parts);
    this.drafts = new Drafts(parts);
    this.typing = new Typing(this.topics);
    this.calls = new Calls(this);
    this.privacy = new Privacy(this);
    this.keys = new Keys(this);
    this.keyless = new Keyless(this);
    this.notifications = new Notifications(this);
  }

  #token;
  #signOut;
  #leaves = false;
  #forgotten = false;
  #pendingToken;
  #posting = new Set();
  #wasLive = false;
  // When it is live again, everything is asked for again.
  #repeater = new Repeater(() => this.state.state === "live");

  #hasBegun;
  /** Settles when there is a client: its encryption is a third of the app, and loaded when something is to be seen. */
  begun = new Promise((resolve) => (this.#hasBegun = resolve));

  #isSettled;
  /** Settles when the connection is live for the first time, or will never be. */
  settled = new Promise((resolve) => (this.#isSettled = resolve));

  /** Connect, and go on for as long as the page lives. */
  async begin() {
    const left = this.outgoing.all.filter(({ state, why }) => state === "waiting" && why !== WHY);
    const encryption = await openEncryption(this.deviceId, this.log);
    this.encrypted = Boolean(encryption);
    this.buzz = await connect(location.origin, {
      token: () => this.#freshToken(), deviceId: this.deviceId, client: browserName(navigator.userAgent), store: this.log.store, since: 0, openTimeoutSeconds: 0,
      ...(encryption && { encryption }),
    });
    this.#follow();
    this.keys.follow(this.buzz);
    this.keyless.follow(this.buzz);
    this.#hasBegun();
    this.topics.changed("keys");
    void this.#take();
    void this.#resume(left);
  }

  /** A token that arrives after the person was forgotten would sign them in again. */
  #freshToken() {
    if (this.#forgotten) return Promise.reject(new Error("signed out"));
    this.#pendingToken = this.#token();
    return this.#pendingToken;
  }

  #follow() {
    const { buzz, topics } = this;
    buzz.on("state", (state) => this.#stateIs(state));
    buzz.on("sent", ({ key, ack }) => void this.#sent(key, ack));
    buzz.on("refused", ({ key, error }) => {
      // What is posted in this run hears of it itself.
      if (!this.#posting.has(key)) void this.#failed(key, error);
    });
    buzz.on("epoch_changed", () => this.log.forget());
    buzz.on("typing", ({ from, to, expires_in_ms: ms }) => this.typing.heard(this.#conversation(from, to), ms));
    buzz.on("receipt", ({ by, id }) => this.log.delivered(conversationKey(by, null), id));
    buzz.on("activity.changed", (data) => void this.log.amend(fromEvent(data)));
    this.calls.follow(buzz);
    this.privacy.follow(buzz);
    addEventListener("online", () => topics.changed("connection"));
    addEventListener("offline", () => topics.changed("connection"));
    for (const name of ["focus", "visibilitychange"]) addEventListener(name, () => this.readSoon());
    navigator.serviceWorker?.addEventListener("message", (event) => void this.#workerSays(event));
    this.log.onRow = (row) => this.#arrived(row);
    this.log.onStored = (rows) => this.search?.stored(rows);
    this.#stateIs(buzz.state);
  }

  #conversation(from, to) {
    return conversationOf(from, to, this.personId, this.log.companies).key;
  }

  /** Take every activity, in order, until the session ends. One that can't be opened now comes again. */
  async #take() {
    for (let waitMs = TAKE_AGAIN_MS; !this.buzz.over; waitMs = Math.min(2 * waitMs, TAKE_AGAIN_MOST_MS)) {
      try {
        for await (const activity of this.buzz.activities({ since: 0 })) {
          this.#takeOne(activity);
          this.#catchUp();
          waitMs = TAKE_AGAIN_MS;
        }
      } catch (error) {
        // What ended the session is shown as its state.
        if (this.buzz.over) return;
        console.error(error);
        await pause(waitMs);
      }
    }
  }

  #takeOne(activity) {
    const opened = openedText(activity, this.encrypted);
    const waiting = this.outgoing.get(activity.messageId);
    // Somebody else can use the same id in another conversation.
    const own = waiting?.conversation === this.#conversation(activity.sender, activity.receiver) && waiting;
    if (opened.text === null && own && activity.type === "chat_message") Object.assign(opened, { text: own.text, problem: null });
    this.log.take(activity, opened);
    if (own) void this.outgoing.drop(activity.messageId);
  }

  #arrived(row) {
    this.keys.meet(readKey(row.conversation));
    if (isCall(row.type)) this.calls.recorded(row.messageId);
    if (row.mine) return;
    this.typing.stop(row.conversation);
    this.topics.changed("arrived");
    this.lastArrived = row;
    this.notifications.arrived(row, this.log.conversations.get(row.conversation), this.looksAt(row.conversation));
  }

  #stateIs(state) {
    if (state.state !== this.state.state) this.stateSince = Date.now();
    const live = state.state === "live" && this.state.state !== "live";
    this.state = state;
    this.topics.changed("connection");
    if (/connecting|behind/.test(state.state)) this.caughtUp = false;
    this.#catchUp();
    if (state.state === "ended") this.#isSettled();
    if (!live) return;
    if (!this.#wasLive) performance.mark("live");
    this.#isSettled();
    if (!this.#wasLive && preferences().push === this.personId) void this.push().then(({ resumePush }) => resumePush(this));
    this.#wasLive = true;
    void this.keyless.again();
    void this.refresh();
  }

  /** What has come is given after the connection is live: it is opened one by one. */
  #catchUp() {
    if (this.caughtUp || /connecting|behind/.test(this.state.state) || !this.buzz.allGiven) return;
    this.caughtUp = true;
    this.topics.changed("caught up");
    this.readSoon();
  }

  /** The service worker was woken by a push, or a notification was clicked on. Until it was live, a page has nothing. */
  async #workerSays(event) {
    if (this.#wasLive && event.data?.type) (await this.push()).answerWorker(this, event);
  }

  /** Being told when the app is closed: see push.js, which few starts need. */
  push = () => import("./push.js");

  /** Ask the server for what it does not send by itself; again for what it does not answer. */
  refresh() {
    const parts = [this.calls, this.privacy, this.keys].map((part) => () => part.refresh());
    return this.#repeater.run(() => this.#refreshMe(), () => this.#refreshConversations(), ...parts);
  }

  async #refreshMe() {
    this.me = await this.buzz.http.me();
    this.name = displayName(this.me) || this.name;
    for (const { id } of this.me.companies) this.log.companies.add(id);
    this.topics.changed("me");
  }

  async #refreshConversations() {
    for (const conversation of await this.buzz.http.conversations()) this.log.merge(conversation, displayName);
  }

  // --- what the person does ----------------------------------------------------------------------------------------

  /** Send a text; it is on the screen at once. */
  async send(key, text) {
    // What was written before to somebody who has no keys yet is sent before.
    const why = this.keyless.of(key).length ? WHY : null;
    const message = { messageId: crypto.randomUUID?.() ?? uuid(), conversation: key, text, at: Date.now(), state: "waiting", why };
    await this.outgoing.put(message);
    this.typing.sent(key);
    this.notifications.wrote();
    void (why ? this.keyless.sendAll(key) : this.post(message));
  }

  /** Send a message again that has failed. */
  async again(messageId) {
    const failed = this.outgoing.get(messageId);
    if (!failed) return;
    // First the new one: a page can be closed at any moment.
    await this.send(failed.conversation, failed.text);
    await this.outgoing.drop(messageId);
  }

  /** The person has looked at changed keys: send what was kept back because of them. */
  async sendKeptBack() {
    for (const { messageId, conversation, why } of this.outgoing.all.sort((a, b) => a.at - b.at)) {
      if (why === "failedKeys" && !this.keys.waits(readKey(conversation))) await this.again(messageId);
    }
  }

  /** Give a message to the client. Returns whether it was sent. */
  async post(message) {
    const { party, as } = readKey(message.conversation);
    const { news } = this.keyless;
    const draft = { to: party, messageId: message.messageId, ...(as && { from: as }) };
    await this.begun;
    this.#posting.add(message.messageId);
    try {
      await this.buzz.send({ ...draft, ...(this.encrypted ? { text: message.text } : { message: message.text }) });
      return true;
    } catch (error) {
      if (!this.buzz.over) await this.#failed(message.messageId, error, news);
      return false;
    } finally {
      this.#posting.delete(message.messageId);
    }
  }

  async #failed(messageId, error, news = this.keyless.news) {
    const message = this.outgoing.get(messageId);
    if (!message) return;
    const why = failureOf(error);
    if (why === "failedReaders") await this.keyless.refused(message, news);
    else await this.outgoing.put({ ...message, state: "failed", why });
  }

  async #sent(messageId, { id }) {
    const message = this.outgoing.get(messageId);
    // Its row may have come first, or it is of an earlier run.
    if (message && message.state !== "sent") await this.outgoing.put({ ...message, state: "sent", why: null, id });
  }

  /** After a reload: what was written and never came to the client's outbox is sent now, with the same id. */
  async #resume(left) {
    const waiting = new Set(this.buzz.outbox.map(({ message_id: messageId }) => messageId));
    for (const parcel of await this.database.all("parcels")) waiting.add(parcel.key);
    for (const message of left.sort((a, b) => a.at - b.at)) if (!waiting.has(message.messageId)) void this.post(message);
  }

  /** React to a message, or take the same reaction back. */
  async react(row, emoji) {
    const { party, as } = readKey(row.conversation);
    const options = as ? { from: as } : {};
    await this.begun;
    await this.buzz.react(party, row.messageId, emoji, options);
  }

  /** Say which messages are on the screen: see `Messages.seen`; null: none. */
  show(messages) {
    this.#shown = messages;
    if (messages) this.keys.meet(readKey(messages.key));
  }

  /** Whether the person looks at a conversation. */
  looksAt(key) {
    return this.#shown?.key === key && document.visibilityState === "visible" && document.hasFocus();
  }

  /** What is on the screen may have changed. */
  readSoon() {
    this.#reading ??= setTimeout(() => this.#read(), READ_AFTER_MS);
  }

  /** What is on the screen now is read. */
  #read() {
    this.#reading = undefined;
    const key = this.#shown?.key;
    if (!key || !this.caughtUp || !this.looksAt(key)) return;
    const { id, row } = this.#shown.seen();
    this.log.look(key, id);
    if (!row || row.id <= (this.log.conversations.get(key)?.readId ?? 0)) return;
    const { party, as } = readKey(key);
    this.log.read(key, row.id);
    this.buzz.markRead(party, row.messageId, as ? { from: as } : {}).catch(() => {});
  }

  /** Tell the other side that this person is typing. */
  types(key) {
    if (this.typing.mayTell(key)) this.buzz?.typing(readKey(key).party);
  }

  /** A new version of the app is here. `use` reloads every window with it. */
  newVersionIs(use) {
    this.useNewVersion = use;
    this.topics.changed("version");
  }

  /** All unread messages, of all conversations. */
  get unread() {
    let sum = 0;
    for (const { unread } of this.log.conversations.values()) sum += unread;
    return sum;
  }

  /** Sign out: this device forgets everything that it has of the person. `why`: what the sign-in screen says then. */
  async signOut(why) {
    if (this.#leaves) return;
    this.#leaves = true;
    await this.begun;
    const forgotten = preferences().push === this.personId && this.push().then(({ forgetPush }) => forgetPush(this)).catch(() => {});
    await Promise.race([forgotten, pause(PATIENCE_MS)]);
    // While it is connected, a device that is signed out would come back with its next token.
    await this.buzz.close();
    await Promise.race([this.buzz.http.signOutDevice(this.deviceId).catch(() => {}), pause(PATIENCE_MS)]);
    this.#forgotten = true;
    await Promise.allSettled([this.#pendingToken]);
    this.log.close();
    // The keys are in a database of the client's encryption; the device's name goes with them.
    await Promise.all([`buzz-app-${this.personId}`, keyDatabase(this.deviceId)].map(deleteDatabase));
    forgetDevice(this.personId);
    if (why) await signInAgain(why);
    else await this.#signOut();
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An activity in the fields of `POST activity`, as the client gives one. */
function fromEvent(data) {
  const party = (side) => ({ type: data[`${side}_type`], id: data[`${side}_id`] });
  return { id: data.id, type: data.type, sender: party("sendable"), receiver: party("receivable"), senderName: "",
    receiverName: "", createdAt: new Date(data.created_at), messageId: data.message_id, callTimeSeconds: data.call_time };
}

/** Pages without https have no `randomUUID`. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
