// Takes the activities of the log: they are seen at once, and stored in one transaction with the place in the log.

import { History } from "./history.js";
import { conversationOf, partyText } from "./parties.js";
import { counts, isRow, merged, newConversation, reacted, rowOf, withLook, withRead, withRow } from "./rows.js";
import { UNTRUSTED } from "./sealing.js";

const NAMES = ["rows", "conversations", "outgoing", "position", "untrusted"];
// What is kept of devices that are not trusted: a stranger must not fill this device.
const MOST_UNTRUSTED = 500;
const MOST_UNTRUSTED_CHARACTERS = 2_000_000;

/** The person's conversations, as this device knows them. */
export class Log {
  /** By key. */
  conversations = new Map();
  /** The companies that the person writes for. */
  companies = new Set();
  /** Called with each new row of the other side, and with each row of one's own. */
  onRow = () => {};
  /** Called with rows that were just stored. */
  onStored = () => {};
  /** By id, in order: the activities of devices that are not trusted yet. They are opened when that changes. */
  untrusted = new Map();
  #pending = [];
  /** What was taken, for each history that is being read. */
  #beside = new Set();
  #histories = new Map();
  #counted = Promise.resolve();
  #windows;

  constructor({ database, personId, topics }) {
    this.database = database;
    this.me = personId;
    this.topics = topics;
    this.#windows = new BroadcastChannel(`buzz-app-${personId}`);
    this.#windows.onmessage = () => this.#otherWindow();
  }

  /** Read what is stored. */
  async load() {
    for (const conversation of await this.database.all("conversations")) this.#keep(conversation);
    for (const activity of await this.database.all("untrusted")) this.untrusted.set(activity.id, activity);
  }

  /** The rows of a conversation, for a screen. */
  history(key) {
    if (!this.#histories.has(key)) {
      const history = new History(this.database, key, () => this.topics.changed(`history ${key}`));
      this.#histories.set(key, history);
      // What is pending may not be in the database yet when it is read, nor what comes meanwhile.
      const taken = [...this.#pending];
      this.#beside.add(taken);
      history.opened = history.open().then(() => taken.forEach((each) => putTaken(history, each)))
        .finally(() => this.#beside.delete(taken));
    }
    return this.#histories.get(key);
  }

  /** Forget the rows of a conversation that no screen shows, so that memory does not grow. */
  leave(key) {
    this.#histories.delete(key);
  }

  #add(taken) {
    this.#pending.push(taken);
    for (const each of this.#beside) each.push(taken);
  }

  // --- what arrives ------------------------------------------------------------------------------------------------

  /** Take one activity. `opened`: `{ text, problem }`. `reopened`: it could not be opened before. */
  take(activity, opened, reopened) {
    const where = conversationOf(activity.sender, activity.receiver, this.me, this.companies);
    const known = this.#known(where, activity);
    if (isRow(activity.type)) this.#takeRow(rowOf(activity, where, opened), known, reopened);
    else if (activity.type === "chat_reaction_emoji") this.#takeReaction(activity, where, opened);
    else if (activity.type === "chat_read_indicator") this.#takeRead(activity, where);
    if (opened.problem === UNTRUSTED) this.#keepUntrusted(activity);
  }

  #keepUntrusted(activity) {
    const { id } = activity;
    this.untrusted.set(id, activity);
    this.#add({ id, untrusted: activity });
    for (const oldest of surplus(this.untrusted.values())) this.#dropUntrusted(oldest, id);
  }

  /** `at`: the activity with which this is stored. */
  #dropUntrusted(id, at) {
    this.untrusted.delete(id);
    this.#pending = this.#pending.filter(({ untrusted }) => untrusted?.id !== id);
    this.#add({ id: at, dropped: id });
  }

  /** Take what could not be opened before: its device is trusted now, or it can never be opened. */
  async reopened(activity, opened) {
    const { key } = conversationOf(activity.sender, activity.receiver, this.me, this.companies);
    const stored = await this.database.get("rows", [key, activity.id]);
    // Another window may have opened it.
    const now = stored?.text ? stored : opened;
    this.take(activity, now, now.text !== null);
    this.#dropUntrusted(activity.id, activity.id);
    await this.#write(undefined);
  }

  #known({ key, party, as, mine }, activity) {
    const [theirs, ours] = mine ? [activity.receiverName, activity.senderName]
      : [activity.senderName, activity.receiverName];
    const known = this.conversations.get(key) ?? newConversation({ key, party, as }, theirs, as && ours);
    return { ...known, name: theirs || known.name, asName: as && (ours || known.asName) };
  }

  #takeRow(row, known, reopened) {
    const history = this.#histories.get(row.conversation);
    const fresh = reopened || row.id > known.appliedId;
    const kept = merged(history?.get(row.id), row);
    this.#add({ id: row.id, row: kept });
    this.#keep(withRow(known, kept, fresh));
    history?.put(kept);
    this.topics.changed("conversations");
    if (fresh) this.onRow(kept);
  }

  #takeReaction(activity, { key, mine }, { text }) {
    const by = { by: partyText(activity.sender), name: activity.senderName, mine, emoji: text, id: activity.id };
    if (!text) return;
    const { messageId } = activity;
    const taken = { id: activity.id, conversation: key, messageId, reaction: by };
    this.#add(taken);
    const history = this.#histories.get(key);
    if (history) putTaken(history, taken);
  }

  #takeRead(activity, { key, mine }) {
    const { messageId } = activity;
    const known = this.conversations.get(key);
    const row = this.#histories.get(key)?.byMessage(messageId);
    const last = [known?.lastOther, known?.last, row].find((each) => each?.messageId === messageId);
    if (last) void this.#readBy(key, mine, last.id);
    this.#add({ id: activity.id, messageId, read: { key, mine } });
  }

  /** A call that was recorded as missed turned out to be connected. */
  async amend(activity) {
    const where = conversationOf(activity.sender, activity.receiver, this.me, this.companies);
    const stored = await this.database.get("rows", [where.key, activity.id]);
    const names = { senderName: stored?.byName ?? "", receiverName: "" };
    this.#takeRow(rowOf({ ...activity, ...names }, where, { text: null, problem: null }), this.#known(where, { ...activity, ...names }));
    await this.#write(undefined);
  }

  /** Take what the server says of a conversation: names, and what the other side has read and received. */
  merge({ party, as, read_id: readId, delivered_id: deliveredId }, nameOf) {
    if (as) this.companies.add(as.id);
    // With a company of one's own, a person talks as themselves.
    if (as && party.type === "person" && party.id === this.me) return;
    const key = (as ? `as:${as.id}/` : "") + partyText(party);
    const known = this.conversations.get(key) ?? newConversation({ key, party: { type: party.type, id: party.id },
      as: as ? { type: "company", id: as.id } : null }, "", null);
    this.#change({ ...known, name: nameOf(party) || known.name, asName: as ? nameOf(as) : null,
      otherReadId: Math.max(known.otherReadId, readId ?? 0), deliveredId: Math.max(known.deliveredId, deliveredId ?? 0) });
  }

  /** Everything up to `id` has reached a device of that party. */
  delivered(key, id) {
    const known = this.conversations.get(key);
    if (known && id > known.deliveredId) this.#change({ ...known, deliveredId: id });
  }

  /** This person has read a conversation up to a message, on this device. */
  read(key, id) {
    return this.#readBy(key, true, id);
  }

  /** One after another: each counts the messages from where the one before has ended. */
  #readBy(key, mine, id) {
    const known = this.conversations.get(key);
    if (!known || !(id > (mine ? known.readId : known.otherReadId))) return undefined;
    if (mine && id < known.lastOther?.id) return (this.#counted = this.#counted.then(() => this.#readSome(key, id)).catch(() => {}));
    return this.#change(withRead(known, mine, id));
  }

  /** Some messages are read, and newer ones are not. */
  async #readSome(key, id) {
    const after = this.conversations.get(key)?.readId;
    // What is pending now may be stored, and not pending any more, when the database answers.
    const rows = this.#pending.flatMap(({ row }) => (row?.conversation === key ? row : []));
    rows.push(...await this.database.between(key, after + 1, id));
    const read = rows.filter((row) => row.id > after && row.id <= id && counts(row));
    const known = this.conversations.get(key);
    if (known) this.#change(withRead(known, true, id, new Set(read.map((row) => row.id)).size));
  }

  /** This person has seen the rows up to `id`: also those that could not be opened. */
  look(key, id) {
    const known = this.conversations.get(key);
    const seen = known && withLook(known, id);
    if (seen !== known) this.#change(seen);
  }

  /** Begin a conversation that has no activity yet. */
  begin({ key, party, as }, name, asName) {
    if (!this.conversations.has(key)) this.#change({ ...newConversation({ key, party, as }, name, asName), at: Date.now() });
  }

  // --- what is stored ----------------------------------------------------------------------------------------------

  /** Where the client keeps its place in the log and what is not sent yet: see `Store` of the client. */
  get store() {
    const { database } = this;
    return {
      loadPosition: () => database.get("position", 0),
      savePosition: (position) => this.#write(position),
      loadParcels: () => database.all("parcels"),
      saveParcel: (parcel) => database.put("parcels", parcel),
      deleteParcel: (key) => database.delete("parcels", key),
      clear: () => this.forget(),
    };
  }

  /** Delete the history: the log has a new one, or the person signs out. */
  async forget() {
    this.#pending = [];
    this.conversations.clear();
    this.untrusted.clear();
    await this.database.change(NAMES, (store) => {
      for (const name of ["rows", "conversations", "untrusted"]) store(name).clear();
    });
    for (const history of this.#histories.values()) history.clear();
    this.topics.changed("conversations");
  }

  /** Store what was taken up to a position, and the position, or nothing of it. */
  async #write(position) {
    const due = this.#pending.filter(({ id }) => !position || id <= position.lastActivityId);
    const keys = new Set(due.map(({ row, read }) => (row ? row.conversation : read?.key)).filter(Boolean));
    const resolved = await this.database.change(NAMES, async (store) => {
      const reads = [];
      for (const each of due) {
        if (each.row) await putRow(store, each.row);
        else if (each.reaction) await putReaction(store, each);
        else if (each.untrusted) store("untrusted").put(each.untrusted);
        else if (each.dropped) store("untrusted").delete(each.dropped);
        else reads.push({ ...each.read, id: (await rowAbout(store, each.read.key, each.messageId))?.id });
      }
      for (const key of keys) await putConversation(store, this.conversations.get(key));
      if (position) await putPosition(store, position);
      return reads;
    });
    this.#pending = this.#pending.filter((each) => !due.includes(each));
    // A read mark was about a message that only the database knew.
    for (const { key, mine, id } of resolved) await this.#readBy(key, mine, id);
    this.onStored(due.flatMap(({ row }) => row ?? []));
    if (due.length) this.#windows.postMessage("stored");
  }

  #change(conversation) {
    this.#keep(conversation);
    this.topics.changed("conversations", `history ${conversation.key}`);
    this.database.change(["conversations"], (store) => putConversation(store, conversation)).catch(() => {});
  }

  #keep(conversation) {
    if (conversation.as) this.companies.add(conversation.as.id);
    this.conversations.set(conversation.key, conversation);
  }

  #otherWindow() {
    for (const history of this.#histories.values()) void history.refresh();
  }

  close() {
    this.#windows.close();
    this.database.close();
  }
}

/** Show a row or a reaction in its history. */
function putTaken(history, { row, conversation, messageId, reaction }) {
  if (row?.conversation === history.key) history.put(merged(history.get(row.id), row));
  const about = conversation === history.key && history.byMessage(messageId);
  if (about) history.put({ ...about, reactions: reacted(about.reactions, reaction) });
}

const got = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function putRow(store, row) {
  store("rows").put(merged(await got(store("rows").get([row.conversation, row.id])), row));
  if (row.mine && row.messageId) store("outgoing").delete(row.messageId);
}

/** The stored row of a message. In another conversation there may be one with the same id: whoever sends a message chooses it. */
const rowAbout = async (store, key, messageId) =>
  (await got(store("rows").index("message").getAll(messageId))).find(({ conversation }) => conversation === key);

async function putReaction(store, { conversation, messageId, reaction }) {
  const row = await rowAbout(store, conversation, messageId);
  if (row) store("rows").put({ ...row, reactions: reacted(row.reactions, reaction) });
}

/** Another window may have counted more. */
async function putConversation(store, conversation) {
  const stored = await got(store("conversations").get(conversation.key));
  if (!stored || stored.appliedId <= conversation.appliedId) store("conversations").put(conversation);
}

async function putPosition(store, position) {
  const stored = await got(store("position").get(0));
  const same = stored?.epoch === position.epoch && stored.personId === position.personId;
  if (!same || stored.lastActivityId < position.lastActivityId) store("position").put(position, 0);
}

/** The ids to drop of activities that are too many: the oldest of whoever takes the most, who can't push out others'. */
function surplus(activities) {
  const bySender = new Map();
  let count = 0;
  let characters = 0;
  for (const { id, sender, message: { length } } of activities) {
    const who = `${sender.type}:${sender.id}`;
    const theirs = bySender.get(who) ?? { share: 0, all: [] };
    const share = 1 / MOST_UNTRUSTED + length / MOST_UNTRUSTED_CHARACTERS;
    bySender.set(who, theirs);
    theirs.share += share;
    theirs.all.push({ id, length, share });
    count++;
    characters += length;
  }
  const ids = [];
  while (count > MOST_UNTRUSTED || characters > MOST_UNTRUSTED_CHARACTERS) {
    const most = [...bySender.values()].reduce((one, other) => other.share > one.share ? other : one);
    const { id, length, share } = most.all.shift();
    most.share -= share;
    count--;
    characters -= length;
    ids.push(id);
  }
  return ids;
}
