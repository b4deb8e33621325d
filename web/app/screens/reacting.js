// Choosing a reaction to a message.

import { html, useState } from "./html.js";
import { Dialog } from "./parts.js";
import { t } from "../state/language.js";

const USUAL = ["👍", "❤️", "😂", "😮", "😢", "🙏", "🎉", "👋"];
const EMOJI = /^\p{RGI_Emoji}$/v;

/** Props: `row`, `session`, `close`. */
export function Reacting({ row, session, close }) {
  const [own, setOwn] = useState("");
  const choose = (emoji) => {
    close();
    void session.react(row, emoji).catch(() => {});
  };
  const given = row.reactions.find(({ mine, emoji }) => mine && emoji)?.emoji;
  const good = EMOJI.test(own.trim());
  return html`<${Dialog} title=${t("react")} close=${close}>
    <div class="emoji" role="group" aria-label=${t("react")}>${USUAL.map((emoji) => html`
      <button type="button" key=${emoji} aria-pressed=${given === emoji} onClick=${() => choose(emoji)}>${emoji}</button>`)}</div>
    <form class="inline" onSubmit=${(event) => { event.preventDefault(); if (good) choose(own.trim()); }}>
      <label class="field"><span>${t("otherEmoji")}</span>
        <input value=${own} maxlength="20" autocomplete="off" onInput=${({ target }) => setOwn(target.value)} /></label>
      <button class="button" disabled=${!good}>${t("react")}</button></form>
    ${given && html`<p class="soft">${t("reactAgain")}</p>`}<//>`;
}
