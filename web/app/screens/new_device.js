// A device of this person was added: was it them?

import { html } from "./html.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** Shown until the person has looked. Props: `session`, `added` (the device). */
export function NewDevice({ session, added }) {
  return html`<${Notice} tone="warn" icon="warning" role="alert"><p><b>${t("deviceAdded")}</b> ${t("deviceAddedWhy", { name: session.keys.nameOf(added.device_id) ?? added.client ?? t("unnamedDevice") })}</p>
    <p class="row-start"><a class="button small" href="#/devices" onClick=${() => session.keys.seenAdded()}>${t("lookAtDevices")}</a>
      <button type="button" class="button small quiet" onClick=${() => session.keys.seenAdded()}>${t("itWasMe")}</button></p><//>`;
}
