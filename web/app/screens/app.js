// The frame: notices, sections, the list, and what is open.

import { html, useEffect, useLayoutEffect, useReducer, useState, useTopics, announce } from "./html.js";
import { Conversation } from "./conversation.js";
import { Conversations } from "./conversations.js";
import { Icon } from "./icons.js";
import { followKeys } from "./keyboard.js";
import { lazy } from "./lazy.js";
import { Empty, nameOf, Notice } from "./parts.js";
import { connectionNotice } from "../state/connection.js";
import { count, t } from "../state/language.js";
import { conversationPlace, readPlace, sectionPlace } from "../state/place.js";
import { inOrder, splitQuote } from "../state/rows.js";

const NewDevice = lazy(async () => (await import("./new_device.js")).NewDevice);
const CallBanner = lazy(async () => (await import("./call_banner.js")).CallBanner);
const CallsScreen = lazy(async () => (await import("./calls.js")).CallsScreen);
const PrivacyScreen = lazy(async () => (await import("./privacy.js")).PrivacyScreen);
const DevicesScreen = lazy(async () => (await import("./devices.js")).DevicesScreen);
const SettingsScreen = lazy(async () => (await import("./settings.js")).SettingsScreen);
const Help = lazy(async () => (await import("./help.js")).Help);
const WIDE = "(min-width: 47.5rem)";

/** Props: `session`. */
export function App({ session }) {
  const [place, setPlace] = useState(() => readPlace(location.hash));
  const [help, setHelp] = useState(false);
  const [, redraw] = useReducer((number) => number + 1, 0);
  useLayoutEffect(() => {
    const moved = () => setPlace(readPlace(location.hash));
    addEventListener("hashchange", moved);
    const ends = [followKeys({ session, openHelp: () => setHelp(true) }), followArrivals(session)];
    return () => {
      removeEventListener("hashchange", moved);
      ends.forEach((end) => end());
    };
  }, [session]);
  useTopics(session, "calls", "keys");
  useEffect(() => openNewest(session, place), [place]);
  const { section, key } = place;
  const wide = useMedia(WIDE);
  return html`<div class="app ${key || section !== "messages" ? "opened" : ""} in-${section}">
    <a class="skip" href="#content" onClick=${toContent}>${t("skip")}</a>
    <aside class="notices">
      ${session.calls.now && html`<${CallBanner} session=${session} section=${section} />`}
      <${Connection} session=${session} />
      <${NewVersion} session=${session} />
      ${session.keys.added && html`<${NewDevice} session=${session} added=${session.keys.added} />`}
    </aside>
    <${Rail} session=${session} section=${section} />
    ${section === "messages" && html`<${Conversations} session=${session} current=${key} alone=${!key && !wide} />`}
    <main id="content" tabindex="-1">
      ${section === "messages" && (key ? html`<${Conversation} key=${key} session=${session} id=${key} at=${place.at} />` : html`<${Nothing} />`)}
      ${section === "calls" && html`<${CallsScreen} session=${session} />`}
      ${section === "privacy" && html`<${PrivacyScreen} session=${session} id=${place.id} />`}
      ${section === "devices" && html`<${DevicesScreen} session=${session} />`}
      ${section === "settings" && html`<${SettingsScreen} session=${session} redraw=${redraw} onHelp=${() => setHelp(true)} />`}
    </main>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}
  </div>`;
}

/** Whether the window is like this; the screen follows. */
function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const changed = () => setMatches(list.matches);
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [query]);
  return matches;
}

/** With room for both, the newest conversation is open beside the list: not before it is known which one that is. */
function openNewest(session, { section, key }) {
  if (section !== "messages" || key || !matchMedia(WIDE).matches) return undefined;
  const open = () => {
    const [newest] = inOrder(session.log.conversations.values());
    if (newest && session.caughtUp && !readPlace(location.hash).key && matchMedia(WIDE).matches) location.replace(conversationPlace(newest.key));
  };
  open();
  const ends = ["conversations", "caught up"].map((name) => session.topics.follow(name, open));
  return () => ends.forEach((end) => end());
}

function toContent(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

/** Say new messages to those who do not see them. */
function followArrivals(session) {
  return session.topics.follow("arrived", () => {
    const row = session.lastArrived;
    if (session.state.state !== "live" || row?.type !== "chat_message") return;
    const from = session.log.conversations.get(row.conversation);
    announce(t("saidBy", { name: nameOf(from), text: row.text === null ? t("newMessage") : splitQuote(row.text).rest }));
  });
}

function Rail({ session, section }) {
  useTopics(session, "conversations", "privacy", "me", "calls");
  const counts = { messages: session.unread, privacy: session.privacy.open };
  const member = session.privacy.all.length > 0 || session.me?.companies.length > 0;
  const sections = ["messages", "calls", ...(member ? ["privacy"] : []), "devices", "settings"];
  return html`<nav class="rail" aria-label=${t("sections")}><p class="brand" aria-hidden="true">Buzz</p><ul>${sections.map((each) => html`
    <li key=${each}><a href=${sectionPlace(each)} aria-current=${section === each ? "page" : undefined}><${Icon} name=${each} />
      <span>${t(`section_${each}`)}</span>${counts[each] > 0 && html`<span class="badge"><span aria-hidden="true">${counts[each] > 99 ? "99+" : count(counts[each])}</span>
      <span class="unseen">${t(`open_${each}`, { count: counts[each] })}</span></span>`}</a></li>`)}</ul></nav>`;
}

/** What the connection is doing, if it is not simply there. */
function Connection({ session }) {
  useTopics(session, "connection", "keys");
  const [, again] = useReducer((number) => number + 1, 0);
  const notice = connectionNotice(session.state, { online: navigator.onLine, sinceMs: session.stateSince, now: Date.now() });
  useEffect(() => {
    if (!notice || notice.end) return undefined;
    const timer = setInterval(again, 1_000);
    return () => clearInterval(timer);
  }, [Boolean(notice), notice?.end]);
  const spoken = notice && !notice.quiet ? notice.text.replace(/\d+/, "") : "";
  return html`<div class="connection" data-state=${session.state.state} data-keys=${session.keys.ready ? "ready" : "none"}><span class="unseen" role="status">${spoken && t("connectionSpoken", { text: spoken })}</span>
    ${notice && !(notice.quiet && Date.now() - session.stateSince < 800) && html`<${Notice} tone=${notice.tone} icon=${notice.end ? "warning" : "clock"}>
      <p>${notice.text}</p>${notice.end && html`<button type="button" class="button small" onClick=${() => location.reload()}>${t("reload")}</button>`}<//>`}</div>`;
}

/** A newer version of the app is on this device. Drafts and what waits to be sent stay. */
function NewVersion({ session }) {
  useTopics(session, "version");
  if (!session.useNewVersion) return null;
  return html`<${Notice} icon="details" role="status"><p>${t("newVersion")}</p>
    <button type="button" class="button small" onClick=${() => session.useNewVersion()}>${t("newVersionUse")}</button><//>`;
}

const Nothing = () => html`<${Empty} icon="messages" title=${t("chooseConversation")}>${t("chooseConversationWhy")}<//>`;
