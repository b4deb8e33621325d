// One conversation: who it is with, the messages, and where one writes.

import { html, useRef, useState, useTopics } from "./html.js";
import { Composer } from "./composer.js";
import { Icon } from "./icons.js";
import { lazy } from "./lazy.js";
import { Messages } from "./messages.js";
import { Avatar, IconButton, nameOf } from "./parts.js";
import { t } from "../state/language.js";
import { readKey } from "../state/parties.js";
import { preferences, prefer } from "../state/preferences.js";
import { newConversation } from "../state/rows.js";

const Details = lazy(async () => (await import("./details.js")).Details);
const Changed = lazy(async () => (await import("./changed.js")).Changed);
const Asks = lazy(async () => (await import("./asks.js")).Asks);
const Readers = lazy(async () => (await import("./readers.js")).Readers);
const Reacting = lazy(async () => (await import("./reacting.js")).Reacting);

/** Props: `session`, `id` (the conversation's key), `at` (a message to jump to). */
export function Conversation({ session, id, at }) {
  useTopics(session, "conversations", "keys", `typing ${id}`, "me", "connection", "notifications");
  const [details, setDetails] = useState(preferences().details);
  const [reacting, setReacting] = useState(null);
  const list = useRef();
  const known = session.log.conversations.get(id) ?? newConversation({ key: id, ...readKey(id) }, "", null);
  const conversation = { ...known, name: nameOf(known) };
  const toggle = () => {
    prefer({ details: !details });
    setDetails(!details);
  };
  const reply = (row) => session.drafts.put({ ...session.drafts.of(id), key: id,
    quote: { text: row.text, name: row.mine ? t("yourself") : row.byName || conversation.name } });
  const changed = session.keys.waits(conversation);
  return html`<div class="conversation ${details ? "with-details" : ""}">
    <section class="talk" aria-label=${t("conversationWith", { name: conversation.name })}>
      <h1 class="unseen alone">${conversation.name}</h1>
      <header class="talk-head">
        <a class="icon-button back" href="#/messages" aria-label=${t("backToList")}><${Icon} name="back" /></a>
        <button type="button" class="who" aria-expanded=${details} onClick=${toggle}>
          <${Avatar} party=${conversation.party} name=${known.name} />
          <span class="who-text"><b dir="auto">${conversation.name}</b><${Under} session=${session} conversation=${conversation} /></span></button>
        <${IconButton} icon="details" label=${t("details")} aria-expanded=${details} onClick=${toggle} />
      </header>
      ${changed && html`<${Changed} session=${session} conversation=${conversation} changed=${changed} />`}
      <${Messages} key=${id} mounted=${(messages) => (list.current = messages)} session=${session} conversation=${conversation} at=${at} onReply=${reply} onReact=${setReacting} />
      ${session.notifications.asks && html`<${Asks} session=${session} />`}
      ${!known.last && html`<${Readers} session=${session} conversation=${conversation} />`}
      <${Composer} key=${`write ${id}`} session=${session} conversation=${conversation} blocked=${changed} onUp=${() => list.current?.focusRow(-1)} onSent=${() => list.current?.toEnd()} />
    </section>
    ${details && html`<${Details} session=${session} conversation=${conversation} close=${toggle} />`}
    ${reacting && html`<${Reacting} row=${reacting} session=${session} close=${() => setReacting(null)} />`}
  </div>`;
}

/** The line below the name: who is typing, for whom one writes, and whether it is encrypted. */
function Under({ session, conversation }) {
  if (session.typing.is(conversation.key)) return html`<small class="typing-word">${t("typing")}</small>`;
  const lock = session.keys.lockOf(conversation);
  return html`<small>${conversation.as && html`<span>${t("asCompany", { name: conversation.asName ?? "" })} · </span>`}
    <span class="lock ${lock.tone}"><${Icon} name=${lock.icon} />${lock.text}</span></small>`;
}
