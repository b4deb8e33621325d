// Who the other side is: encryption, the safety number, their devices, and how to begin to trust.

import { html, useEffect, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { Avatar, IconButton } from "./parts.js";
import { dateTime, longDate, t } from "../state/language.js";

/** Props: `session`, `conversation`, `close`. */
export function Details({ session, conversation, close }) {
  useTopics(session, "keys");
  const lock = session.keys.lockOf(conversation);
  const person = conversation.party.type === "person" ? session.keys.person(conversation.party.id) : null;
  // Only their owner gives devices names.
  const own = person?.id === session.personId;
  // Those in use first, and the newest first.
  const devices = [...(person?.devices ?? [])].sort((one, other) => (one.state === "removed") - (other.state === "removed") || other.since - one.since);
  return html`<aside class="details" aria-label=${t("details")} onKeyDown=${({ key }) => key === "Escape" && close()}>
    <header><h2>${t("details")}</h2><${IconButton} icon="close" label=${t("close")} onClick=${close} /></header>
    <div class="details-who"><${Avatar} party=${conversation.party} name=${conversation.name} />
      <b dir="auto">${conversation.name}</b>
      <small>${t(conversation.party.type === "company" ? "companyNumber" : "personNumber", { id: conversation.party.id })}</small></div>
    <section><h3 class="lock ${lock.tone}"><${Icon} name=${lock.icon} />${lock.text}</h3><p>${t(`${lock.name}Why`, { name: conversation.name })}</p>
      ${lock.name === "lockUnlinked" && html`<p><a class="button small" href="#/devices">${t("lookAtDevices")}</a></p>`}</section>
    ${person && html`<${SafetyNumber} session=${session} conversation=${conversation} person=${person} />`}
    ${devices.length > 0 && html`<section><h3>${t("theirDevices", { name: conversation.name })}</h3>
      <ul class="device-list">${devices.map((device) => html`<li key=${device.tag}><${Icon} name="devices" />
        <span><b>${own ? session.keys.nameOf(device.deviceId) ?? t("unnamedDevice") : t("deviceSince", { time: dateTime(device.since) })}</b><small>${t(`device_${device.state}`)}</small></span></li>`)}</ul></section>`}
  </aside>`;
}

/** The number that both sides compare: the same on both, or somebody is between them. */
function SafetyNumber({ session, conversation, person }) {
  const [number, setNumber] = useState(null);
  useEffect(() => {
    let current = true;
    session.keys.safetyNumber(person.id).then((found) => current && setNumber(found), () => current && setNumber(null));
    return () => { current = false; };
  }, [person.id, person.root]);
  if (!number) return null;
  return html`<section class="safety"><h3>${t("safetyNumber")}</h3>
    <p class="number" aria-label=${number.join(" ")}>${number.map((group, index) => html`<span key=${index}>${group}</span>`)}</p>
    <p>${t("safetyHow", { name: conversation.name })}</p>
    ${person.compared ? html`<p class="good"><${Icon} name="check" />${person.compared === true ? t("compared") : t("comparedOn", { day: longDate(person.compared) })}</p>`
      : html`<button type="button" class="button" onClick=${() => session.keys.markCompared(person.id)}>${t("markCompared")}</button>`}
  </section>`;
}
