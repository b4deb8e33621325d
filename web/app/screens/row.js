// One line of the history: a message, or a call; and one's own messages that wait.

import { Component, html } from "./html.js";
import { Icon } from "./icons.js";
import { IconButton, Time } from "./parts.js";
import { trustWords } from "./trust.js";
import { clockTime, dayName, duration, fullTime, t } from "../state/language.js";
import { callOutcome, isCall, shownReactions, splitQuote, withLinks } from "../state/rows.js";

const BIG = /^(?:\p{RGI_Emoji}\s*){1,3}$/v;

/** A message's text: its quote, its links, each line in its own direction. */
export function Text({ text }) {
  const { quote, rest } = splitQuote(text);
  return html`${quote && html`<blockquote class="quote" dir="auto">${quote}</blockquote>`}
    <p class="text" dir="auto">${withLinks(rest).map((piece) => (piece.href
      ? html`<a href=${piece.href} target="_blank" rel="noopener noreferrer">${piece.text}</a>` : piece.text))}</p>`;
}

/** A line of the history. It is drawn again only if something of it has changed. */
export class Row extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => name !== "total" && next[name] !== this.props[name]);
  }

  render({ row, session, position, total, day, isNew, begins, ends, state, name, call, onReply, onReact }) {
    const kind = isCall(row.type) ? "call-row" : row.mine ? "mine" : "theirs";
    return html`<article class="row ${kind} ${begins ? "begins" : ""} ${ends ? "ends" : ""}" data-id=${row.id} tabindex="-1"
      aria-posinset=${position} aria-setsize=${total} aria-label=${labelOf(row, name)}
      onKeyDown=${(event) => this.#onKey(event)}>
      ${day && html`<h2 class="day"><span>${dayName(row.at)}</span></h2>`}
      ${isNew && html`<div class="new-line"><span>${t("newLine")}</span></div>`}
      ${isCall(row.type) ? html`<${Call} row=${row} name=${name} call=${call} />`
        : html`<${Message} row=${row} session=${session} ends=${ends} state=${state} onReply=${onReply} onReact=${onReact} />`}
    </article>`;
  }

  #onKey(event) {
    const { row, onReply, onReact } = this.props;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget || !row.text) return;
    const actions = { r: () => onReply(row), e: () => onReact(row), Enter: () => onReply(row), c: () => copy(row.text) };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }
}

function labelOf(row, name) {
  const who = row.mine ? t("you") : row.byName || name;
  return `${who}, ${clockTime(row.at)}`;
}

const copy = (text) => navigator.clipboard?.writeText(splitQuote(text).rest);

function Message({ row, session, ends, state, onReply, onReact }) {
  const opened = row.text !== null;
  const reactions = shownReactions(row.reactions);
  return html`<div class="line">
      <div class="bubble ${opened ? "" : "closed"} ${opened && BIG.test(row.text) ? "big" : ""}">
        <span class="unseen">${row.mine ? t("you") : row.byName}: </span>
        ${opened ? html`<${Text} text=${row.text} />` : html`<${Closed} problem=${row.problem} />`}
      </div>
      ${opened && html`<div class="actions">
        <${IconButton} icon="react" label=${t("react")} onClick=${() => onReact(row)} />
        <${IconButton} icon="reply" label=${t("reply")} onClick=${() => onReply(row)} />
      </div>`}
    </div>
    ${reactions.length > 0 && html`<ul class="reactions">${reactions.map(({ emoji, count, mine, names }) => html`
      <li key=${emoji}><button type="button" aria-pressed=${mine} title=${names.join(", ")}
        aria-label=${t("reactionBy", { emoji, names: names.join(", ") })}
        onClick=${() => session.react(row, emoji)}><span>${emoji}</span>${count > 1 && html`<b>${count}</b>`}</button></li>`)}</ul>`}
    ${(ends || row.problem === "plain") && html`<p class="meta" title=${fullTime(row.at)}>
      ${row.problem === "plain" && html`<span class="plain"><${Icon} name="open" />${t("notEncrypted")}</span>`}
      <${Time} at=${row.at} />${state && html`<span class="state ${state}"><${Icon} name=${state === "sent" ? "check" : "checks"} />${t(`state_${state}`)}</span>`}</p>`}`;
}

/** A message that can't be read on this device, and why. */
function Closed({ problem }) {
  return html`<p class="text"><${Icon} name=${problem === "gone" ? "close" : "lock"} />${t(`problem_${problem ?? "damaged"}`)}</p>
    ${problem !== "gone" && html`<p class="why">${t(`why_${problem ?? "damaged"}`)}</p>`}`;
}

/** A call, in words: who called whom, what became of it, and why the caller was trusted. */
function Call({ row, name, call }) {
  const outcome = callOutcome(row.type);
  const missed = outcome === "missed";
  const who = row.mine ? "youCalled" : "theyCalled";
  const what = missed ? t(`${who}Missed`, { name }) : t(who, { name });
  const secure = !missed && t(outcome === "connected_secure" ? "callSecure" : "callInsecure");
  const details = [row.seconds !== null && !missed && duration(row.seconds), secure, call && trustWords(call)];
  return html`<div class="call ${missed && !row.mine ? "missed" : ""}"><${Icon} name=${missed ? "missed" : "calls"} />
    <p><b>${what}</b><span>${details.filter(Boolean).join(" · ")}</span></p><${Time} at=${row.at} /></div>`;
}

/** One's own message that is not in the log yet. */
export function Waiting({ message, session, name }) {
  const { state, why, messageId } = message;
  const keyless = state === "waiting" && why;
  const failed = state === "failed";
  return html`<article class="row mine begins ends ${failed ? "failed" : "waiting"}" tabindex="-1" aria-label=${t("you")}>
    <div class="line"><div class="bubble"><${Text} text=${message.text} /></div></div>
    <p class="meta"><${Time} at=${message.at} /><span class="state ${state}"><${Icon} name=${failed ? "warning" : state === "sent" ? "check" : "clock"} />
      ${t(failed ? "state_failed" : state === "sent" ? "state_sent" : "state_waiting")}</span></p>
    ${keyless && html`<div class="failure calm" role="status"><span dir="auto">${t(why, { name })}</span>
      <button type="button" class="link" onClick=${() => session.outgoing.drop(messageId)}>${t("discard")}</button></div>`}
    ${failed && html`<div class="failure" role="alert"><span>${t(why)}</span>
      <button type="button" class="link" onClick=${() => session.again(messageId)}>${t("again")}</button>
      <button type="button" class="link" onClick=${() => session.outgoing.drop(messageId)}>${t("discard")}</button></div>`}
  </article>`;
}

/** The other side is typing. */
const Typing = ({ name }) => html`<div class="row theirs typing"><div class="bubble"><span class="unseen">${t("isTyping", { name })}</span>
  <i aria-hidden="true" /><i aria-hidden="true" /><i aria-hidden="true" /></div></div>`;

export const Own = { Typing };
