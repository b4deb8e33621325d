// Opens what devices have sent that were not trusted then, and are now.

import { read } from "/client/js/encryption/message.js";
import { openedText, UNTRUSTED } from "./sealing.js";

const devices = new WeakMap();

/** The device that has sent an activity, as its message names it; undefined if it names none. */
function deviceOf(activity) {
  if (!devices.has(activity)) devices.set(activity, activity.message ? read(activity.message).sender : undefined);
  return devices.get(activity);
}

/**
 * Try to open what `log` keeps, in its order. `open`: the client's. With `before`, only what the device has sent that sent
 * this activity, and with the keys that this one will be opened with: nobody may have told that they have changed. One
 * after another: each message of a device can be opened once, and in its turn.
 */
export function reopen(log, open, before) {
  const run = (log.reopening ?? Promise.resolve()).catch(() => {}).then(() => reopenNow(log, open, before));
  log.reopening = run;
  return run;
}

async function reopenNow(log, open, before) {
  const untrusted = new Set();
  for (const activity of [...log.untrusted.values()]) {
    const device = deviceOf(activity);
    if (untrusted.has(device) || (before && device !== deviceOf(before))) continue;
    const opened = openedText(await open(activity, before?.id), true);
    if (opened.problem === UNTRUSTED) untrusted.add(device);
    else await log.reopened(activity, opened);
  }
}
