// What a search finds: messages that this device has opened. Loaded at the first search.

import { moveInList } from "./conversations.js";
import { html, useEffect, useState } from "./html.js";
import { Avatar, nameOf } from "./parts.js";
import { listTime, t } from "../state/language.js";
import { conversationPlace } from "../state/place.js";
import { around, Search } from "../state/search.js";

const SEARCH_AFTER_MS = 120;

/** Messages that were found, newest first. */
export function Found({ session, words, none }) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    const search = (session.search ??= new Search(session));
    setFound(null);
    const timer = setTimeout(() => search.messages(words, (rows, all) => setFound({ rows, all })), SEARCH_AFTER_MS);
    return () => {
      clearTimeout(timer);
      search.stop();
    };
  }, [words]);
  const rows = found?.rows ?? [];
  const said = !found?.all ? t("searching") : t("foundMessages", { count: rows.length });
  return html`<div role="status"><h2 class="list-part">${said}</h2></div>
    <ul class="found" onKeyDown=${moveInList}>${rows.map((row) => {
      const known = session.log.conversations.get(row.conversation);
      const [before, match, after] = around(row.text, words);
      return html`<li key=${`${row.conversation} ${row.id}`}><a href=${conversationPlace(row.conversation, row.id)}>
        <${Avatar} party=${known?.party ?? { id: 0 }} name=${known?.name} /><span class="item-name">${known ? nameOf(known) : ""}</span>
        <span class="item-time">${listTime(row.at)}</span><span class="item-text" dir="auto">${before}<mark>${match}</mark>${after}</span></a></li>`;
    })}</ul>
    ${none && found?.all && rows.length === 0 && html`<p class="soft pad">${t("searchHere")}</p>`}`;
}
