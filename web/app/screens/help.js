// The keyboard's shortcuts: what each does, and the screen that lists them.

import { touches } from "./composer.js";
import { html } from "./html.js";
import { Dialog } from "./parts.js";
import { t } from "../state/language.js";

/** Groups of `[text, …keys]`. docs/web-app.md has the same list. */
export const SHORTCUTS = {
  everywhere: [["keyHelp", "?"], ["keySearch", "/"], ["keyNew", "n"], ["keySection", "g m", "g c", "g p", "g d", "g s"],
    ["keyNext", "Alt ↓"], ["keyPrevious", "Alt ↑"], ["keyClose", "Esc"]],
  writing: [["keySend", ...(touches() ? ["Ctrl Enter"] : ["Enter", "Ctrl Enter"])], ["keyLine", touches() ? "Enter" : "Shift Enter"], ["keyToMessages", "↑"]],
  reading: [["keyMove", "↑", "↓"], ["keyFar", "Page Up", "Page Down"], ["keyEnds", "Home", "End"], ["keyReply", "r"], ["keyReact", "e"], ["keyCopy", "c"], ["keyWrite", "Esc"]],
};

export const Help = ({ close }) => html`<${Dialog} title=${t("shortcuts")} close=${close} wide>
  <div class="shortcuts">${Object.entries(SHORTCUTS).map(([group, keys]) => html`<section key=${group}><h3>${t(`keys_${group}`)}</h3>
    <dl>${keys.map(([text, ...strokes]) => html`<div key=${text}><dt>${t(text)}</dt><dd>${strokes.map((stroke) => html`
      <span class="stroke" key=${stroke}>${stroke.split(" ").map((each) => html`<kbd key=${each}>${each}</kbd>`)}</span>`)}</dd></div>`)}</dl></section>`)}</div>
  <p class="soft">${t("singleKeysWhy")}</p><//>`;
