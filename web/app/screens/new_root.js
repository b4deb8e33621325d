// Offered on a device that is not linked when none of its person's devices could link it: to be the first one itself.

import { html, useState } from "./html.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** What it means, and the button. */
export function NewRoot({ session }) {
  const [failed, setFailed] = useState(false);
  const { keys, personId, deviceId } = session;
  const person = keys.person(personId);
  if (!person || person.devices.some((device) => device.trusted && device.deviceId !== deviceId)) return null;
  const become = async () => {
    setFailed(false);
    await keys.encryption.linking.becomeRoot().catch(() => setFailed(true));
    await keys.refresh().catch(() => {});
  };
  return html`<section class="card block"><h2>${t("newRoot")}</h2><p class="soft">${t("newRootWhy")}</p>
    ${failed && html`<${Notice} tone="bad" icon="warning" role="alert">${t("needsNetwork")}<//>`}
    <p><button type="button" class="button" onClick=${become}>${t("newRootDo")}</button></p></section>`;
}
