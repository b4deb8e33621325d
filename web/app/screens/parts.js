// Small parts that several screens use.

import { html, useEffect, useRef } from "./html.js";
import { Icon } from "./icons.js";
import { clockTime, dayName, fullTime, t } from "../state/language.js";

const HUES = 6;

/** A round picture with a person's initials, a square one for a company. */
export function Avatar({ party, name }) {
  const words = (name || "").split(/\s+/).filter(Boolean);
  const initials = [words[0], words.length > 1 && words.at(-1)].filter(Boolean).map((word) => [...word][0]).join("");
  const shape = party.type === "company" ? "square" : "round";
  return html`<span class="avatar ${shape} hue-${party.id % HUES}" aria-hidden="true">${initials.toUpperCase() || "?"}</span>`;
}

/** The name of a party: their own, or what they are when it is not known. */
export function nameOf({ name, party }) {
  if (name) return name;
  return t(party.type === "company" ? "companyNumber" : "personNumber", { id: party.id });
}

/** A button that is only an icon: its label is its name and its tooltip. */
export const IconButton = ({ icon, label, class: more = "", ...rest }) => html`
  <button type="button" class="icon-button ${more}" aria-label=${label} title=${label} ...${rest}><${Icon} name=${icon} /></button>`;

/** A time, with the whole date for those who want it. */
export const Time = ({ at }) => html`<time datetime=${new Date(at).toISOString()} title=${fullTime(at)}>${clockTime(at)}</time>`;

/** A day and a time, for lists. */
export const DayTime = ({ at }) => html`
  <time datetime=${new Date(at).toISOString()} title=${fullTime(at)}>${dayName(at)}, ${clockTime(at)}</time>`;

/** What a screen shows while there is nothing on it: what would be there, and what to do. */
export const Empty = ({ icon, title, children }) => html`
  <div class="empty"><span class="empty-icon"><${Icon} name=${icon} /></span><h2>${title}</h2><p>${children}</p></div>`;

/** A message box. `tone`: `bad`, `warn`, `good` or `soft`. */
export const Notice = ({ tone = "soft", icon, children, role }) => html`
  <div class="notice ${tone}" role=${role}>${icon && html`<${Icon} name=${icon} />`}<div class="notice-body">${children}</div></div>`;

/** The heading of a section's screen. */
export function Heading({ title, children }) {
  const heading = useRef();
  // Whoever opens the screen with the keyboard goes on from its beginning.
  useEffect(() => heading.current.focus({ preventScroll: true }), []);
  return html`<header class="screen-head"><h1 tabindex="-1" ref=${heading}>${title}</h1>${children}</header>`;
}

/** A modal window. The browser keeps the focus in it and closes it with Escape. */
export function Dialog({ title, close, children, wide }) {
  const place = useRef();
  useEffect(() => {
    const before = document.activeElement;
    place.current.showModal();
    return () => before?.focus?.();
  }, []);
  const outside = ({ target }) => target === place.current && close();
  return html`<dialog ref=${place} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${close} onClick=${outside}>
    <div class="dialog-body">
      <header class="dialog-head"><h2 id="dialog-title">${title}</h2>
        <${IconButton} icon="close" label=${t("close")} onClick=${close} /></header>
      ${children}
    </div></dialog>`;
}
