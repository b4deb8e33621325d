// What a device that has signed out may have left behind.

import { keyDatabase } from "./keys.js";

/** Delete a database. Another window that still has it open closes it when it is told to. */
export const deleteDatabase = (name) => new Promise((resolve) => {
  const request = indexedDB.deleteDatabase(name);
  request.onsuccess = request.onerror = request.onblocked = resolve;
});

/** Delete the keys of devices that no longer exist: work that was under way may have written them once more. */
export async function deleteLeftovers() {
  const names = Object.keys(localStorage).filter((name) => name.startsWith("buzz-device-"));
  const kept = new Set(names.map((name) => keyDatabase(localStorage.getItem(name))));
  for (const { name } of await indexedDB.databases?.() ?? []) {
    if (name.startsWith("buzz-keys-") && !kept.has(name)) await deleteDatabase(name);
  }
}
