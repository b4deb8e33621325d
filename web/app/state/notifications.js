// Telling the person that something has happened: the title of the window, notifications, and a sound if they want it.
// While no page is open the service worker does it (woken.js).

import { callerOf } from "./calls.js";
import { t } from "./language.js";
import { readKey } from "./parties.js";
import { conversationPlace } from "./place.js";
import { preferences, prefer } from "./preferences.js";
import { ICON, noticeOf, SHARED } from "./unread.js";

export class Notifications {
  /** Whether to ask the person now: after they have written for the first time, so that they know what for. */
  asks = false;

  constructor(session) {
    this.session = session;
    session.topics.follow("conversations", () => {
      this.showCount();
      void this.#takeAway();
    });
  }

  /** The conversations with something unread, when it was looked last. */
  #told = null;

  /** Show the number of unread messages in the title. */
  showCount() {
    const { unread } = this.session;
    const title = unread ? `(${unread > 99 ? "99+" : unread}) Buzz` : "Buzz";
    if (document.title !== title) document.title = title;
    navigator.setAppBadge?.(unread).catch?.(() => {});
  }

  /** Take away the notifications of conversations that were read, here or on another device. */
  async #takeAway() {
    const unread = [...this.session.log.conversations.values()].filter(noticeOf).map(({ key }) => key).join(" ");
    if (unread === this.#told || !globalThis.Notification || Notification.permission !== "granted") return;
    this.#told = unread;
    const worker = await navigator.serviceWorker?.getRegistration();
    for (const shown of await worker?.getNotifications() ?? []) {
      const key = shown.tag.startsWith(SHARED) && shown.tag.slice(SHARED.length);
      const known = readKey(key) && this.session.log.conversations.get(key);
      if (known && !noticeOf(known)) shown.close();
    }
  }

  /** Whether the browser can show notifications, and the person has not been asked. */
  get open() {
    return "Notification" in globalThis && Notification.permission === "default" && preferences().notifications === "unasked";
  }

  get on() {
    return "Notification" in globalThis && Notification.permission === "granted" && preferences().notifications === "on";
  }

  /** The person has written something: now they may want to hear of the answer. */
  wrote() {
    if (!this.open || this.asks) return;
    this.asks = true;
    this.session.topics.changed("notifications");
  }

  /** Ask the browser for its permission. Returns whether it was given. */
  async ask() {
    this.asks = false;
    const answer = "Notification" in globalThis ? await Notification.requestPermission() : "denied";
    prefer({ notifications: answer === "granted" ? "on" : "off" });
    this.session.topics.changed("notifications");
    if (answer === "granted") await this.#askPush().catch((error) => console.warn("Buzz is not woken by pushes:", error));
    return answer === "granted";
  }

  /** Whoever wants to be told wants it also when the app is closed, if this server and this browser can. */
  async #askPush() {
    const { pushState, turnOnPush } = await this.session.push();
    if (await pushState(this.session) === "off") await turnOnPush(this.session);
  }

  decline() {
    this.asks = false;
    prefer({ notifications: "off" });
    this.session.topics.changed("notifications");
  }

  /** A message or a call has arrived. `seen`: its conversation is looked at. */
  arrived(row, conversation, seen) {
    if (seen || row.id <= (conversation?.readId ?? 0) || this.session.state.state !== "live") return;
    if (row.type !== "chat_message") return;
    this.#beep();
    this.#show(conversation.name, { body: row.text ?? t("newMessage"), tag: conversation.key, icon: ICON },
      conversationPlace(conversation.key));
  }

  rings(call) {
    const { name, number } = callerOf(call);
    this.#beep();
    this.#show(t("callFrom", { name: name ?? number ?? t("unknownCaller") }), { tag: call.call_id, icon: ICON }, "#/calls");
  }

  async #show(title, options, place) {
    if (!this.on || (document.visibilityState === "visible" && document.hasFocus())) return;
    const worker = await navigator.serviceWorker?.getRegistration();
    if (worker) return worker.showNotification(title, { ...options, tag: SHARED + options.tag, data: { url: `/${place}` } });
    const shown = new Notification(title, options);
    shown.onclick = () => {
      focus();
      location.hash = place;
      shown.close();
    };
  }

  #beep() {
    if (!preferences().sound) return;
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    volume.gain.setValueAtTime(0.08, audio.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.25);
    tone.frequency.value = 660;
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.25);
    tone.onended = () => audio.close();
  }
}
