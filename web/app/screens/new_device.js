// A device of this person was added: was it them?

import { html, useTopics } from "./html.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** Shown until the person has looked. */
export function NewDevice({ session }) {
  useTopics(session, "keys");
  const added = session.keys.added;
  if (!added) return null;
  return html`<${Notice} tone="warn" icon="warning" role="alert"><p><b>${t("deviceAdded")}</b> ${t("deviceAddedWhy", { name: added.client ?? added.device_id })}</p>
    <p class="row-start"><a class="button small" href="#/devices" onClick=${() => session.keys.seenAdded()}>${t("lookAtDevices")}</a>
      <button type="button" class="button small quiet" onClick=${() => session.keys.seenAdded()}>${t("itWasMe")}</button></p><//>`;
}
