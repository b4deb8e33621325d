// Beginning a conversation with a person or a company, by their number.

import { html, useState } from "./html.js";
import { Dialog } from "./parts.js";
import { t } from "../state/language.js";
import { conversationKey } from "../state/parties.js";
import { conversationPlace, go } from "../state/place.js";

const LARGEST = Number.MAX_SAFE_INTEGER;

/** Props: `session`, `close`. */
export function NewConversation({ session, close }) {
  const companies = session.me?.companies ?? [];
  const [type, setType] = useState("person");
  const [number, setNumber] = useState("");
  const [as, setAs] = useState("");
  const id = /^\d{1,16}$/.test(number.trim()) ? Number(number) : 0;
  const good = id > 0 && id <= LARGEST;
  const begin = (event) => {
    event.preventDefault();
    if (!good) return;
    const party = { type, id };
    const company = companies.find((each) => String(each.id) === as);
    const key = conversationKey(party, company ? { id: company.id } : null);
    session.log.begin({ key, party, as: company ? { type: "company", id: company.id } : null }, "", company?.name ?? null);
    close();
    go(conversationPlace(key));
  };
  return html`<${Dialog} title=${t("newConversation")} close=${close}><form class="form" onSubmit=${begin}>
    <p class="soft">${t("newConversationWhy")}</p>
    <fieldset class="choice"><legend>${t("withWhom")}</legend>${["person", "company"].map((each) => html`
      <label key=${each}><input type="radio" name="type" checked=${type === each} onChange=${() => setType(each)} />${t(each)}</label>`)}</fieldset>
    <label class="field"><span>${t("theirNumber")}</span>
      <input inputmode="numeric" autocomplete="off" value=${number} autofocus onInput=${({ target }) => setNumber(target.value)} /></label>
    ${companies.length > 0 && html`<label class="field"><span>${t("writeAs")}</span>
      <select value=${as} onChange=${({ target }) => setAs(target.value)}><option value="">${t("yourself")}</option>
        ${companies.map((each) => html`<option key=${each.id} value=${each.id}>${each.name}</option>`)}</select></label>`}
    <div class="row-end"><button type="button" class="button quiet" onClick=${close}>${t("cancel")}</button>
      <button class="button primary" disabled=${!good}>${t("begin")}</button></div></form><//>`;
}
