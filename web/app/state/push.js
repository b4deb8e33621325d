// Being told on this device when the app is closed. One person of a browser can be woken: it has one subscription.

import { answerMessage, subscribe, unsubscribe } from "/client/js/push.js";
import { forgetWoken, keepWoken, keptPerson, keptWoken } from "../signin/kept.js";
import { language } from "./language.js";
import { go } from "./place.js";
import { prefer } from "./preferences.js";

/** What push is on this device: `unoffered` by the server, `unsupported` by the browser, `denied`, `off` or `on`. */
export async function pushState(session) {
  try {
    await session.buzz.http.pushKey();
  } catch (error) {
    if (error?.status === 404) return "unoffered";
  }
  if (!("serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  return Notification.permission === "granted" && await isWoken(session) ? "on" : "off";
}

// One after another: a subscription that is still being made would outlive a sign-out that did not wait for it.
let turn = Promise.resolve();
const inTurn = (work) => (turn = turn.catch(() => {}).then(work));

const isWoken = async ({ personId }) => (await keptWoken())?.person.personId === personId;

/** Ask the person for the browser's permission, and subscribe. Throws what the browser or the server says. */
export async function turnOnPush(session) {
  if (await Notification.requestPermission() === "granted") await inTurn(() => register(session));
}

export const turnOffPush = (session) => inTurn(async () => {
  if (!await isWoken(session)) return;
  await forget();
  await unsubscribe(session.buzz.http, await options(session));
});

/** This person signs out: the browser is woken for them no more. The server forgets it together with the device. */
export const forgetPush = (session) => inTurn(async () => {
  if (!await isWoken(session)) return;
  await forget();
  const worker = await navigator.serviceWorker.getRegistration();
  await (await worker?.pushManager.getSubscription())?.unsubscribe();
  for (const shown of await worker?.getNotifications() ?? []) shown.close();
});

/** Subscribe again after a start: the browser may have another subscription by now. */
export const resumePush = (session) => inTurn(async () => {
  if (await isWoken(session) && Notification.permission === "granted") await register(session);
});

/** Answer the service worker, which was woken: it shows nothing that this page shows. */
export async function answerWorker(session, event) {
  const mine = await isWoken(session);
  answerMessage(event, mine ? session.buzz : null, (url) => go(new URL(url, location.origin).hash));
}

async function register(session) {
  const first = !await isWoken(session);
  // The worker may be woken before the answer is here.
  await keepWoken({ person: await keptPerson(), deviceId: session.deviceId, language: language() });
  prefer({ push: session.personId });
  try {
    await subscribe(session.buzz.http, await options(session));
  } catch (error) {
    if (first) await forget();
    throw error;
  }
}

async function forget() {
  prefer({ push: null });
  await forgetWoken();
}

async function options({ deviceId }) {
  return { deviceId, worker: await navigator.serviceWorker.ready };
}
