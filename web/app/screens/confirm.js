// A question before something that cannot be taken back here.

import { html } from "./html.js";
import { Dialog } from "./parts.js";
import { t } from "../state/language.js";

/** Props: `title`, `close`, `tone` and `label` of the button that does it, `act`; the children say what it does. */
export const Confirm = ({ title, close, tone = "danger", label, act, children }) => html`<${Dialog} title=${title} close=${close}>
  ${children}
  <div class="row-end"><button type="button" class="button quiet" onClick=${close}>${t("cancel")}</button>
    <button type="button" class=${`button ${tone}`} onClick=${act}>${label}</button></div><//>`;
