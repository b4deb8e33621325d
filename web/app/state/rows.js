// The rules by which activities become what a person reads. Pure: no database, no clock.

import { partyText } from "./parties.js";

const CALL = /^(outgoing|incoming)_call_(missed|connected_insecure|connected_secure)$/;

export const isCall = (type) => CALL.test(type);
/** Whether an activity is a line of its own in the history. Reactions and read marks belong to a message. */
export const isRow = (type) => type === "chat_message" || isCall(type);

/** What became of a call: `missed`, `connected_insecure` or `connected_secure`. */
export const callOutcome = (type) => CALL.exec(type)?.[2];

/** Return the row of an activity in a conversation. `opened`: `{ text, problem }`, what this device can read of it. */
export function rowOf(activity, { key, mine }, opened) {
  return {
    conversation: key,
    id: activity.id,
    type: activity.type,
    mine,
    by: partyText(activity.sender),
    byName: activity.senderName,
    at: activity.createdAt.getTime(),
    text: opened.text,
    problem: opened.problem,
    messageId: activity.messageId,
    seconds: activity.callTimeSeconds,
    reactions: [],
  };
}

/** Return the row to keep when one of the same id is stored already: what was opened once stays open. */
export function merged(before, row) {
  if (!before) return row;
  const opened = row.text === null && before.text !== null && row.problem !== "gone" ? before : row;
  return { ...row, text: opened.text, problem: opened.problem, reactions: before.reactions };
}

/**
 * Return a row's reactions after one more. A person has one reaction to a message: another emoji replaces it, and the
 * same one again takes it back. `id` is the reaction's own, so that the same activity counts once.
 */
export function reacted(reactions, { by, name, mine, emoji, id }) {
  const before = reactions.find((each) => each.by === by);
  if (before && before.id >= id) return reactions;
  const now = { by, name, mine, id, emoji: before?.emoji === emoji ? null : emoji };
  return [...reactions.filter((each) => each !== before), now];
}

/** The reactions to show: `{ emoji, count, mine, names }`, the oldest first. */
export function shownReactions(reactions) {
  const groups = new Map();
  for (const { emoji, mine, name } of reactions) {
    if (!emoji) continue;
    const group = groups.get(emoji) ?? { emoji, count: 0, mine: false, names: [] };
    groups.set(emoji, group);
    group.count += 1;
    group.mine ||= mine;
    group.names.push(name);
  }
  return [...groups.values()];
}

/**
 * An empty conversation. `appliedId`: the newest activity that is counted in it. `lastOther`: the newest one of the other
 * side that can be read here. `closedId`: the newest one that can't, until it was looked at.
 */
export const newConversation = ({ key, party, as }, name, asName) => ({
  key, party, as, name, asName, last: null, lastOther: null, unread: 0, readId: 0, otherReadId: 0, deliveredId: 0,
  appliedId: 0, closedId: 0,
});

/** What the list shows of a row. */
const lastOf = ({ id, at, type, mine, text, problem, seconds, messageId }) =>
  ({ id, at, type, mine, text: text?.slice(0, 200) ?? null, problem, seconds, messageId });

/** Whether this person can read a row of the other side here. What could not be opened is neither unread nor read. */
export const isReadable = ({ mine, type, text }) => !mine && (type !== "chat_message" || text !== null);

/** Whether a row is counted until it is read. */
export const counts = (row) => isReadable(row) && row.type === "chat_message";

/** Return the conversation after a row. `fresh`: it is new, or it could not be opened before. */
export function withRow(conversation, row, fresh = row.id > conversation.appliedId) {
  const next = { ...conversation, appliedId: Math.max(conversation.appliedId, row.id) };
  if (row.id >= (conversation.last?.id ?? 0)) next.last = lastOf(row);
  if (!fresh || row.mine) return next;
  if (!isReadable(row)) return row.problem === "gone" ? next : { ...next, closedId: row.id };
  if (row.id > (next.lastOther?.id ?? 0)) next.lastOther = { id: row.id, messageId: row.messageId };
  if (counts(row) && row.id > conversation.readId) next.unread += 1;
  return next;
}

/** Return the conversation after this person has seen its rows up to `id`, also those that could not be opened. */
export function withLook(conversation, id) {
  // At the end nothing is left, whatever was counted: the first version counted what could not be opened, too.
  const unread = id >= conversation.last?.id ? 0 : conversation.unread;
  const closedId = conversation.closedId <= id ? 0 : conversation.closedId;
  return unread === conversation.unread && closedId === conversation.closedId ? conversation : { ...conversation, unread, closedId };
}

/** Return the conversation after one side has read up to `id`; this person has read `count` more messages with it. */
export function withRead(conversation, mine, id, count) {
  if (!mine) return { ...conversation, otherReadId: Math.max(conversation.otherReadId, id) };
  if (id <= conversation.readId) return conversation;
  const unread = id < conversation.lastOther?.id ? Math.max(0, conversation.unread - count) : 0;
  return { ...withLook(conversation, id), readId: id, unread };
}

/** Conversations in the order of the list: the newest first. */
export const inOrder = (conversations) =>
  [...conversations].sort((a, b) => (b.last?.at ?? b.at ?? 0) - (a.last?.at ?? a.at ?? 0) || (a.key < b.key ? -1 : 1));

const QUOTE = /^((?:> ?.*\n)+)\n?/;

/** Split a text into what it quotes at its beginning and the rest. A quote is lines that begin with `>`. */
export function splitQuote(text) {
  const found = QUOTE.exec(text);
  const rest = found ? text.slice(found[0].length) : "";
  if (!rest.trim()) return { quote: null, rest: text };
  return { quote: found[1].replace(/^> ?/gm, "").trimEnd(), rest };
}

/** A text that answers another one: every client shows the quoted lines, also one that does not know of quotes. */
export function withQuote(quote, text) {
  if (!quote) return text;
  const lines = splitQuote(quote).rest.split("\n");
  const short = lines.length > 3 ? [...lines.slice(0, 3), "…"] : lines;
  return `${short.map((line) => `> ${line.slice(0, 200)}`).join("\n")}\n\n${text}`;
}

const LINK = /\bhttps?:\/\/[^\s<>"]+/g;

/** Split a text into pieces `{ text, href? }`: only http and https become links. */
export function withLinks(text) {
  const pieces = [];
  let from = 0;
  for (const found of text.matchAll(LINK)) {
    const address = found[0].replace(/[.,;:!?)\]}'’”]+$/, "");
    if (found.index > from) pieces.push({ text: text.slice(from, found.index) });
    pieces.push(URL.canParse(address) ? { text: address, href: address } : { text: address });
    from = found.index + address.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from) });
  return pieces;
}

/** Text without case and accents, so that "cafe" finds "Café". */
export const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
