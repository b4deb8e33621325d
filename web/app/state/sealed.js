// The client's encryption, with the libraries that this page keeps copies of.

import { sealedMessagesWith } from "/client/js/encryption/sealed_messages.js";
import { indexedDBKeys } from "/client/js/encryption/stores/indexeddb.js";
import * as hpke from "/vendor/hpke/hpke.js";
import { keysName } from "./keys.js";

const libraries = {
  hpke,
  xWing: hpke,
  // Only for browsers that have no Ed25519 of their own.
  ed25519: () => import("/vendor/noble-ed25519/noble-ed25519.js"),
};

/**
 * Open the keys of this device. `log` has what devices have sent that were not trusted: it is opened before anything that
 * they sent later, because the client opens the messages of a device in their order. `reopen()` looks at all of it again.
 */
export async function openSealed(deviceId, log, { loadReopening = () => import("./reopening.js"), ...options } = {}) {
  const sealed = await sealedMessagesWith(libraries, { keys: indexedDBKeys(keysName(deviceId)), ...options });
  const open = sealed.open.bind(sealed);
  const reopen = async (before) => {
    if (log.untrusted.size) await (await loadReopening()).reopen(log, open, before);
  };
  return Object.assign(sealed, {
    reopen,
    async open(activity) {
      await reopen(activity);
      return open(activity);
    },
  });
}
