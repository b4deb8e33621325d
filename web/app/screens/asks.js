// After the first message: does the person want to hear of answers?

import { html } from "./html.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** Two buttons. */
export function Asks({ session }) {
  return html`<${Notice} icon="messages"><p>${t("askNotifications")}</p><p class="row-start">
    <button type="button" class="button small primary" onClick=${() => session.notifications.ask()}>${t("turnOn")}</button>
    <button type="button" class="button small quiet" onClick=${() => session.notifications.decline()}>${t("notNow")}</button></p><//>`;
}
