// Keys have changed: nothing is sent until the person has looked.

import { html } from "./html.js";
import { Notice } from "./parts.js";
import { dateTime, t } from "../state/language.js";

/** Props: `session`, `conversation`, `changed` (what `keys.waits` returns). */
export function Changed({ session, conversation, changed }) {
  const { personId, devices } = changed;
  return html`<${Notice} tone="bad" icon="warning" role="alert">
    <p><b>${t("keysChanged", { name: conversation.name })}</b> ${t("keysChangedWhy")}</p>
    <ul class="plain-list">${devices.map(({ tag, since }) => html`<li key=${tag}>
      <span>${t("newDeviceOf", { time: dateTime(since) })}</span><span class="row-end">
      <button type="button" class="button small" onClick=${() => session.keys.decide(personId, tag, true)}>${t("acceptDevice")}</button>
      <button type="button" class="button small quiet" onClick=${() => session.keys.decide(personId, tag, false)}>${t("refuseDevice")}</button></span></li>`)}</ul><//>`;
}
