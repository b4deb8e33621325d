// The list of conversations, and searching in it.

import { html, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { lazy } from "./lazy.js";
import { Avatar, Empty, IconButton, nameOf } from "./parts.js";
import { count, listTime, t } from "../state/language.js";
import { conversationPlace } from "../state/place.js";
import { callOutcome, folded, inOrder, isCall, splitQuote } from "../state/rows.js";

const NewConversation = lazy(async () => (await import("./new_conversation.js")).NewConversation);
const Found = lazy(async () => (await import("./found.js")).Found);

/** Props: `session`, `current` (the key of the open conversation), `alone` (nothing else is shown). */
export function Conversations({ session, current, alone }) {
  useTopics(session, "conversations", "connection");
  const [words, setWords] = useState("");
  const [begins, setBegins] = useState(false);
  const wanted = folded(words.trim());
  const shown = inOrder([...session.log.conversations.values()].filter(({ name }) => !wanted || folded(name ?? "").includes(wanted)));
  return html`<section class="list" role=${alone ? "main" : undefined} aria-label=${t("conversations")}>
    <header class="list-head"><h1>${t("messages")}</h1>
      <${IconButton} icon="plus" label=${t("newConversation")} data-action="new" onClick=${() => setBegins(true)} /></header>
    <label class="search"><${Icon} name="search" /><span class="unseen">${t("search")}</span>
      <input type="search" value=${words} placeholder=${t("search")} autocomplete="off" data-action="search"
        onInput=${({ target }) => setWords(target.value)} onKeyDown=${(event) => {
          if (event.key === "Escape" && words) { event.stopPropagation(); setWords(""); }
          if (event.key === "ArrowDown") { event.preventDefault(); document.querySelector(".list li a")?.focus(); }
        }} /></label>
    <div class="list-body">
      ${shown.length > 0 && html`<ul onKeyDown=${moveInList}>${shown.map((each) => html`<${Item} key=${each.key}
        session=${session} conversation=${each} current=${each.key === current} typing=${session.typing.is(each.key)} />`)}</ul>`}
      ${words.trim() && html`<${Found} session=${session} words=${words.trim()} none=${shown.length === 0} />`}
      ${!words.trim() && shown.length === 0 && html`<${Empty} icon="messages" title=${t("noConversations")}>${t("noConversationsWhy")}<//>
        <p class="center"><button type="button" class="button" onClick=${() => setBegins(true)}>${t("newConversation")}</button></p>`}
    </div>
    ${begins && html`<${NewConversation} session=${session} close=${() => setBegins(false)} />`}
  </section>`;
}

/** The arrow keys go through the list. */
export function moveInList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.altKey) return;
  const links = [...event.currentTarget.querySelectorAll("a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function Item({ session, conversation, current, typing }) {
  const { key, party, unread, closedId, last, as, asName } = conversation;
  const draft = session.drafts.of(key);
  const time = last?.at ?? conversation.at;
  return html`<li><a href=${conversationPlace(key)} aria-current=${current ? "page" : undefined} class=${unread || closedId ? "unread" : ""}>
    <${Avatar} party=${party} name=${conversation.name} />
    <span class="item-name" dir="auto">${nameOf(conversation)}</span>
    <span class="item-time">${time ? listTime(time) : ""}</span>
    <span class="item-text" dir="auto">${as && html`<small class="tag">${asName ?? t("company")}</small>`}${
      typing ? html`<i class="typing-word">${t("typing")}</i>`
      : draft.text && !current ? html`<i class="draft">${t("draft")}</i> ${draft.text.slice(0, 120)}`
      : preview(session, conversation)}</span>
    ${unread > 0 && html`<span class="badge"><span aria-hidden="true">${count(unread)}</span><span class="unseen">${t("unread", { count: unread })}</span></span>`}
  </a></li>`;
}

/** The newest line of a conversation, in a few words. */
function preview(session, { key, last }) {
  const waiting = session.outgoing.of(key).at(-1);
  if (waiting?.state === "failed") return html`<span class="fault">${t("state_failed")}: ${waiting.text.slice(0, 120)}</span>`;
  if (waiting) return `${t("youSaid")} ${splitQuote(waiting.text).rest}`;
  if (!last) return "";
  if (isCall(last.type)) return t(callOutcome(last.type) === "missed" ? "callMissedShort" : "callShort");
  if (last.text === null) return t(`problem_${last.problem ?? "damaged"}`);
  const { rest } = splitQuote(last.text);
  return last.mine ? `${t("youSaid")} ${rest}` : rest;
}
