// Offered on a device that is not linked when none of its person's devices could link it: to be the first one itself.

import { html, useState } from "./html.js";
import { whyOf } from "./linking.js";
import { t } from "../state/language.js";

/** What it means, and the button. Props: `session`, `tell`: says how it has ended, in the name of a text. */
export function NewRoot({ session, tell }) {
  const [busy, setBusy] = useState(false);
  const { keys, personId, deviceId } = session;
  const person = keys.person(personId);
  if (!person || person.devices.some((device) => device.trusted && device.deviceId !== deviceId)) return null;
  const become = async () => {
    setBusy(true);
    tell(null);
    try {
      await keys.encryption.linking.becomeRoot();
      tell("newRootDone");
    } catch (error) {
      tell(whyOf(error, "newRootRefused"));
    }
    await keys.refresh().catch(() => {});
    setBusy(false);
  };
  return html`<section class="card block"><h2>${t("newRoot")}</h2><p class="soft">${t("newRootWhy")}</p>
    <p><button type="button" class="button" disabled=${busy} onClick=${become}>${t("newRootDo")}</button></p></section>`;
}
