// The service worker's part: woken by a push, it opens a session, stores what is new, and shows what is unread.

import * as sealing from "/client/js/encryption/outgoing.js";
import * as http from "/client/js/http.js";
import { connect } from "/client/js/index.js";
import { wakeOnPush } from "/client/js/push.js";
import { keptWoken } from "../signin/kept.js";
import * as openid from "../signin/openid.js";
import { open as openPerson } from "../signin/session.js";
import { en } from "../texts/en.js";
import { es } from "../texts/es.js";
import { callerOf } from "./calls.js";
import { openDatabase } from "./database.js";
import { t, useTexts } from "./language.js";
import { Log } from "./log.js";
import * as reopening from "./reopening.js";
import { openSealed } from "./sealed.js";
import { openedText } from "./sealing.js";
import { ICON, noticeOf } from "./unread.js";

const TEXTS = { en, es };
const RINGS_MS = 45_000;
// Nobody looks at the screen here.
const NO_TOPICS = { changed() {} };

/** Follow pushes. Call it when the worker begins: browsers want to know at once whom to wake. */
export function followPushes(scope) {
  let routes = null;
  wakeOnPush(scope, {
    isApp: (url) => new URL(url).pathname === "/",
    async open() {
      const session = await openSession();
      routes = session.http;
      return session;
    },
    notices: (news, reason) => noticesOf(reason, routes),
    // Without a connection nobody knows more than this.
    fallback: { tag: "news", title: "Buzz", body: en.newMessage, icon: ICON, data: { url: "/" } },
  });
}

/** Open the session of this device. What arrives in it is stored as the page stores it. */
async function openSession() {
  const woken = await keptWoken();
  if (!woken) throw new Error("nobody is to be woken on this device");
  const { personId } = woken.person;
  const database = await openDatabase(personId);
  const log = new Log({ database, personId, topics: NO_TOPICS });
  await log.load();
  const buzz = await connect(location.origin, {
    token: openPerson(woken.person, async () => openid).token, deviceId: woken.deviceId, store: log.store, since: 0,
    // A worker may not load code later.
    loadHttp: async () => http, encryption: await openSealed(woken.deviceId, log, { loadSealing: async () => sealing, loadReopening: async () => reopening }),
  });
  return {
    http: buzz.http,
    get state() {
      return buzz.state;
    },
    get allGiven() {
      return buzz.allGiven;
    },
    // It is stored with the place in the log, so it must be taken before the next one is asked for.
    async *activities() {
      for await (const activity of buzz.activities({ since: 0 })) {
        log.take(activity, openedText(activity, true));
        yield activity;
      }
    },
    async close() {
      await buzz.close();
      log.close();
    },
  };
}

/** Return everything that is to be shown now: what is unread, and a call that rings. */
async function noticesOf(reason, http) {
  const woken = await keptWoken();
  if (!woken) return [];
  useTexts(woken.language, TEXTS[woken.language]);
  const database = await openDatabase(woken.person.personId);
  const conversations = await database.all("conversations");
  database.close();
  const notices = conversations.flatMap((each) => noticeOf(each) ?? []);
  if (reason === "call") notices.push(...await ringing(http));
  if (reason === "test") notices.push({ tag: "test", title: "Buzz", body: t("pushTest"), icon: ICON, data: { url: "/#/settings" } });
  return notices;
}

async function ringing(http) {
  const calls = await http?.calls().catch(() => []) ?? [];
  const now = calls.filter(({ outcome, created_at: at }) => outcome === "ringing" && Date.now() - Date.parse(at) < RINGS_MS);
  return now.map((call) => {
    const { name, number } = callerOf(call);
    return { tag: call.call_id, title: t("callFrom", { name: name ?? number ?? t("unknownCaller") }), icon: ICON,
      requireInteraction: true, data: { url: "/#/calls" } };
  });
}
