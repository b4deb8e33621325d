// The encryption of the client, for the screens: whom to trust, which devices there are, linking one.

import { t } from "./language.js";

const EVENTS = ["encryption.person", "encryption.own_device", "encryption.linked"];
const DEVICE_EVENTS = ["device.added", "device.removed", "key.changed"];
// After these a device may be trusted that was not.
const TRUST_EVENTS = ["encryption.ready", "encryption.keys", "encryption.person", "encryption.linked"];

/** Open the client's encryption for a person's device on this origin. */
export async function openEncryption(deviceId, log) {
  const { openSealed } = await import("./sealed.js");
  return openSealed(deviceId, log);
}

/** The name of a device's key store: a device that is signed out and in again is a new one. */
export const keysName = (deviceId) => `buzz-keys-${deviceId}`;

const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "Mac"],
  ["CrOS", "ChromeOS"], ["Linux", "Linux"]];

/** What a device is called until its person gives it a name: `Firefox, Linux`. */
export function browserName(agent) {
  const found = (names) => names.find(([part]) => agent.includes(part))?.[1];
  return [found(BROWSERS) ?? "Buzz", found(SYSTEMS)].filter(Boolean).join(", ");
}

/** The same, with a number if another device is called so. */
export function freeName(name, devices) {
  let free = name;
  for (let number = 2; devices.some((device) => device.name === free); number += 1) free = `${name} ${number}`;
  return free;
}

/** The database in which the client's encryption keeps it. */
export const keyDatabase = (deviceId) => `${keysName(deviceId)} keys`;

/** Devices, safety numbers and changed keys. What the client tells is kept here, because screens can't wait. */
export class Keys {
  devices = [];
  /** Devices of this person that wait to be linked: `{ deviceId, tag }`. */
  offers = [];
  /** A device of this person that was added while the app was open, or null. */
  added = null;
  /** Settles when what the person has decided last is stored. */
  decided;
  /** Whether this device's keys are published. */
  ready = false;
  /** The locks of conversations in which nobody can read what is written, by key: see screens/readers.js. */
  unreadable = new Map();
  #people = new Map();
  #asked = 0;

  constructor(session) {
    this.session = session;
  }

  get encryption() {
    return this.session.encrypted ? this.session.buzz?.encryption : null;
  }

  /** This device: `{ linked, tag, … }`, or null before its keys are published. */
  get me() {
    return this.encryption?.me ?? null;
  }

  follow(buzz) {
    buzz.on("device.added", (device) => {
      if (device.device_id === this.session.deviceId) void this.#checkOwn(device).catch((error) => console.warn(error));
      else this.added = device;
    });
    // A device that reconnects while it is being signed out has a session for a moment, and hears of it itself.
    buzz.on("device.removed", ({ device_id: id }) => {
      if (id === this.session.deviceId) void this.session.signOut(t("signedOutElsewhere"));
    });
    for (const name of [...DEVICE_EVENTS, ...EVENTS]) buzz.on(name, () => void this.refresh().catch(() => {}));
    for (const name of TRUST_EVENTS) buzz.on(name, () => void this.encryption?.reopen().catch((error) => console.warn(error)));
    this.encryption?.ready.then(() => {
      this.ready = true;
      this.session.topics.changed("keys");
      return this.learn();
    }).catch(() => {});
  }

  /** Ask the server for this person's devices, and the client for everybody's keys. */
  async refresh() {
    const { added } = this;
    const [devices] = await Promise.all([this.session.buzz.http.devices(), this.learn()]);
    this.devices = devices;
    // One that was added meanwhile may not be in this list.
    if (added === this.added && !devices.some(({ device_id: id }) => id === added?.device_id)) this.added = null;
    this.session.topics.changed("keys");
    const own = devices.find(({ device_id: id }) => id === this.session.deviceId);
    if (own?.added_at) await this.#checkOwn(own);
    if (own && !own.name) await this.rename(own.device_id, freeName(browserName(navigator.userAgent), devices));
  }

  /**
   * If this device was signed out from another one, leave: with a new token it would come back as a new device. It is
   * noticed by the time at which the server saw it first.
   */
  async #checkOwn({ added_at: addedAt }) {
    const { database } = this.session;
    const known = await database.get("lists", "addedAt");
    if (!known) await database.put("lists", addedAt, "addedAt");
    else if (known !== addedAt) await this.session.signOut(t("signedOutElsewhere"));
  }

  /** Learn from the client what it knows now. */
  async learn() {
    const { encryption } = this;
    if (!encryption) return;
    await this.#learnPeople();
    // Asking loads the code of linking, which is needed when there is a device to link.
    const unlinked = this.person(this.session.personId)?.devices.some(({ state }) => state === "new" || state === "unlinked");
    const asked = ++this.#asked;
    const offers = this.me?.linked && unlinked ? await encryption.linking.offers().catch(() => this.offers) : [];
    // An answer that is older than another one may lack an offer.
    if (asked === this.#asked) this.offers = offers;
    this.session.topics.changed("keys");
  }

  async #learnPeople() {
    for (const person of await this.encryption.people()) this.#people.set(person.id, person);
    if (this.stateOf(this.added?.device_id) === "trusted") this.added = null;
    this.session.topics.changed("keys");
  }

  /** Learn the keys of somebody with whom this person has just begun to talk. */
  meet({ party }) {
    if (party.type === "person" && this.encryption && !this.#people.has(party.id)) void this.learn().catch(() => {});
  }

  seenAdded() {
    this.added = null;
    this.session.topics.changed("keys");
  }

  async rename(deviceId, name) {
    await this.session.buzz.http.nameDevice(deviceId, name || null);
    await this.refresh();
  }

  async signOutDevice(deviceId) {
    await this.session.buzz.http.signOutDevice(deviceId);
    await this.refresh();
  }

  /** What is known of a person's keys; null if nothing is. */
  person(id) {
    return this.encryption ? this.#people.get(id) ?? null : null;
  }

  /** What one of this person's own devices is called; undefined if it has no name, or there is none with this id. */
  nameOf(deviceId) {
    const device = this.devices.find(({ device_id: id }) => id === deviceId);
    return device?.name ?? device?.client;
  }

  /** The state of one of this person's own devices: "trusted", "unlinked", …; null if it is not known. */
  stateOf(deviceId) {
    // A device trusts itself, also while the others do not.
    if (deviceId === this.session.deviceId && this.me && !this.me.linked) return "unlinked";
    return this.person(this.session.personId)?.devices.find((device) => device.deviceId === deviceId)?.state ?? null;
  }

  /** Whose new devices stop sending in a conversation: `{ personId, devices }`, or null. */
  waits({ party }) {
    const person = party.type === "person" ? this.person(party.id) : null;
    const devices = person?.waits ? person.devices.filter(({ state }) => state === "new") : [];
    return devices.length ? { personId: party.id, devices } : null;
  }

  /** The state of the lock of a conversation: `{ tone, icon, name, text }`. */
  lockOf(conversation) {
    const { party } = conversation;
    const lock = (tone, icon, name) => ({ tone, icon, name, text: t(name) });
    if (this.session.buzz && !this.encryption) return lock("off", "open", "lockOff");
    if (!this.ready && !this.person(party.id)) return lock("off", "lock", "lockStarting");
    const unreadable = !conversation.last && this.unreadable.get(conversation.key);
    if (unreadable) return lock("warn", "warning", unreadable);
    if (this.waits(conversation)) return lock("bad", "warning", "lockChanged");
    if (this.me && !this.me.linked) return lock("warn", "lock", "lockUnlinked");
    if (party.type === "person" && this.person(party.id)?.compared) return lock("good", "lock", "lockCompared");
    return lock("on", "lock", "lockOn");
  }

  /** The digits to compare, in groups. */
  async safetyNumber(personId) {
    return (await this.encryption.safetyNumber(personId)).split(" ");
  }

  async markCompared(personId) {
    await this.encryption.markCompared(personId);
    await this.learn();
  }

  /** The person has looked at a new device of somebody: is it theirs? */
  decide(personId, tag, good) {
    const { encryption } = this;
    const deciding = good ? encryption.accept(personId, tag) : encryption.refuse(personId, tag);
    this.decided = deciding.then(() => this.#learnPeople());
    this.decided.then(() => this.session.sendKeptBack()).catch((error) => console.warn(error));
    return this.decided;
  }
}
