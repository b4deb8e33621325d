// The person's own devices: names, linking a new one, signing one out.

import { Confirm } from "./confirm.js";
import { html, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { Linking } from "./linking.js";
import { DayTime, Dialog, Empty, Heading } from "./parts.js";
import { t } from "../state/language.js";

/** The section of devices. */
export function DevicesScreen({ session }) {
  useTopics(session, "keys", "connection");
  const { devices } = session.keys;
  const own = devices.filter(({ device_id: id }) => id === session.deviceId);
  const others = devices.filter(({ device_id: id }) => id !== session.deviceId);
  return html`<div class="screen"><${Heading} title=${t("devices")} />
    <div class="stack"><p class="soft">${t("devicesWhy")}</p>
    <${Linking} session=${session} />
    ${devices.length === 0 ? html`<${Empty} icon="devices" title=${t("noDevices")}>${t("needsNetwork")}<//>`
      : html`<ul class="cards">${[...own, ...others].map((device) => html`<${Device} key=${device.device_id} session=${session} device=${device} />`)}</ul>`}
    </div></div>`;
}

function Device({ session, device }) {
  const [asks, setAsks] = useState(null);
  const [failed, setFailed] = useState(null);
  const here = device.device_id === session.deviceId;
  const state = session.keys.stateOf(device.device_id);
  const name = session.keys.nameOf(device.device_id) ?? t("unnamedDevice");
  const act = async (what) => {
    setAsks(null);
    try {
      await what();
      setFailed(null);
    } catch (error) {
      setFailed(error.status === 429 ? t("slowDown") : t("needsNetwork"));
    }
  };
  return html`<li class="card"><span class="card-icon"><${Icon} name="devices" /></span>
    <div class="card-main"><b dir="auto">${name}</b>
      <p>${[here && t("thisDevice"), device.live && !here && t("connectedNow"), state && t(`device_${state}`)].filter(Boolean).join(" · ")}</p>
      <p class="soft">${t("lastSeen")} <${DayTime} at=${Date.parse(device.seen_at)} /></p>
      ${failed && html`<p class="fault" role="alert">${failed}</p>`}</div>
    <div class="card-actions"><button type="button" class="button quiet" onClick=${() => setAsks("name")} aria-label=${t("renameDevice", { name })}>${t("rename")}</button>
      ${!here && html`<button type="button" class="button danger" onClick=${() => setAsks("out")} aria-label=${t("signOutDevice", { name })}>${t("signOutShort")}</button>`}</div>
    ${asks === "name" && html`<${Rename} name=${device.name ?? ""} close=${() => setAsks(null)} save=${(given) => act(() => session.keys.rename(device.device_id, given))} />`}
    ${asks === "out" && html`<${Confirm} title=${t("signOutDevice", { name })} close=${() => setAsks(null)} label=${t("signOutShort")}
      act=${() => act(() => session.keys.signOutDevice(device.device_id))}><p>${t("signOutDeviceWhy")}</p><//>`}
  </li>`;
}

function Rename({ name, close, save }) {
  const [value, setValue] = useState(name);
  return html`<${Dialog} title=${t("rename")} close=${close}><form class="form" onSubmit=${(event) => { event.preventDefault(); save(value.trim()); }}>
    <label class="field"><span>${t("deviceName")}</span><input value=${value} maxlength="64" autofocus onInput=${({ target }) => setValue(target.value)} /></label>
    <div class="row-end"><button type="button" class="button quiet" onClick=${close}>${t("cancel")}</button><button class="button primary">${t("save")}</button></div></form><//>`;
}
