// Whose conversation an activity belongs to, as this person sees it.

/** The text of a party: `person:7`. */
export const partyText = ({ type, id }) => `${type}:${id}`;

/** The key of a conversation. `as`: the company that the person writes for, if any. */
export const conversationKey = (party, as) => (as ? `as:${as.id}/` : "") + partyText(party);

/** Read a key: `{ party, as }`, or null if it is none. */
export function readKey(key) {
  const found = /^(?:as:(\d+)\/)?(person|company):(\d+)$/.exec(key ?? "");
  if (!found) return null;
  const [, company, type, id] = found;
  return { party: { type, id: Number(id) }, as: company ? { type: "company", id: Number(company) } : null };
}

/**
 * Return the conversation of something between two parties: `{ key, party, as, mine }`.
 * If neither is the person, they see it as a member of a company: `companies` are those known so far, by id.
 */
export function conversationOf(sender, receiver, me, companies) {
  const own = (party) => party.type === "person" && party.id === me;
  if (own(sender)) return described(receiver, null, true);
  if (own(receiver)) return described(sender, null, false);
  const ours = (party) => party.type === "company" && companies.has(party.id);
  const mine = ours(sender) || (!ours(receiver) && sender.type === "company" && receiver.type === "person");
  return mine ? described(receiver, sender, true) : described(sender, receiver, false);
}

const described = (party, as, mine) => ({ key: conversationKey(party, as), party, as, mine });
