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

/** Open the keys of this device. */
export const openSealed = (deviceId, options) => sealedMessagesWith(libraries, { keys: indexedDBKeys(keysName(deviceId)), ...options });
