// Where a message is written: several lines, a draft that stays, and what it answers.

import { html, useEffect, useLayoutEffect, useRef, useTopics } from "./html.js";
import { IconButton, Notice } from "./parts.js";
import { t } from "../state/language.js";
import { splitQuote, withQuote } from "../state/rows.js";

/** Whether one writes with the screen's keyboard, which has no Shift for a new line: Enter makes one then. */
export const touches = () => matchMedia("(pointer: coarse)").matches;
const MOST_BYTES = 30_000;

const bytesOf = (text) => new TextEncoder().encode(text).length;

/** Props: `session`, `conversation`, `blocked` (whose keys have changed, so that nothing is sent, or null), `onUp` (to the messages), `onSent`. */
export function Composer({ session, conversation, blocked, onUp, onSent }) {
  const { key, name } = conversation;
  const field = useRef();
  useTopics(session, `draft ${key}`);
  const draft = session.drafts.of(key);
  const tooLong = bytesOf(draft.text) > MOST_BYTES;
  // Keys come faster than frames: what is drawn may be older than what was typed.
  const now = () => session.drafts.of(key);
  const change = (changes) => session.drafts.put({ ...now(), ...changes });

  useLayoutEffect(() => {
    const { style } = field.current;
    style.height = "auto";
    style.height = `${field.current.scrollHeight + 2}px`;
  }, [draft.text, key]);
  useEffect(() => {
    // On a phone the keyboard would cover what is to be read.
    if (matchMedia("(hover: hover)").matches) field.current.focus({ preventScroll: true });
  }, [key]);
  useEffect(() => {
    if (draft.quote) field.current.focus();
  }, [draft.quote]);

  // The button takes every click: with `disabled`, one that came before the next frame was lost, and the text not sent.
  const send = async () => {
    // Whoever has just said that a device is theirs writes on at once.
    await session.keys.decided?.catch(() => {});
    const { text, quote } = now();
    if (!text.trim() || bytesOf(text) > MOST_BYTES || session.keys.waits(conversation)) return;
    // It is stored as a message first, and then no longer as a draft: a page can be closed at any moment.
    void session.send(key, withQuote(quote?.text, text.trim()));
    session.drafts.put({ key, text: "", quote: null });
    onSent();
  };
  const onKey = (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || !(event.shiftKey || event.altKey || touches()))) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && !now().text) {
      event.preventDefault();
      onUp();
    } else if (event.key === "Escape" && now().quote) {
      event.stopPropagation();
      change({ quote: null });
    }
  };
  return html`<form class="composer" onSubmit=${(event) => { event.preventDefault(); send(); }}>
    ${draft.quote && html`<div class="answering">
      <blockquote class="quote" dir="auto"><b>${t("answering", { name: draft.quote.name })}</b>${splitQuote(draft.quote.text).rest.slice(0, 200)}</blockquote>
      <${IconButton} icon="close" label=${t("answerNot")} onClick=${() => change({ quote: null })} /></div>`}
    ${tooLong && html`<${Notice} tone="warn" role="alert">${t("tooLong")}<//>`}
    <div class="write">
      <textarea ref=${field} rows="1" dir="auto" value=${draft.text} placeholder=${t("messageTo", { name })}
        aria-label=${t("messageTo", { name })} enterkeyhint=${touches() ? "enter" : "send"} onKeyDown=${onKey}
        onInput=${({ target }) => { change({ text: target.value }); session.types(key); }} />
      <button type="submit" class="send" aria-label=${t("send")} title=${t("send")} aria-disabled=${!draft.text.trim() || Boolean(blocked)}>
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 19V5.500M6 11l6-6 6 6" /></svg></button>
    </div></form>`;
}
