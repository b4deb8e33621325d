// What the person can choose, and signing out.

import { Confirm } from "./confirm.js";
import { html, useEffect, useState, useTopics } from "./html.js";
import { Heading } from "./parts.js";
import { LANGUAGES, t, useLanguage } from "../state/language.js";
import { preferences, prefer } from "../state/preferences.js";

const THEMES = { "": "themeSystem", light: "themeLight", dark: "themeDark" };

/** Props: `session`, `redraw` (after the language has changed), `onHelp`. */
export function SettingsScreen({ session, redraw, onHelp }) {
  const [asks, setAsks] = useState(false);
  const [chosen, setChosen] = useState(preferences());
  const change = (changes) => {
    prefer(changes);
    setChosen(preferences());
  };
  const speak = async (language) => {
    change({ language });
    await useLanguage(language);
    redraw();
  };
  const notify = async (on) => {
    if (on) await session.notifications.ask();
    else session.notifications.decline();
    setChosen(preferences());
  };
  return html`<div class="screen"><${Heading} title=${t("settings")} />
    <div class="stack"><section class="card block"><h2>${session.name}</h2><p class="soft">${t("personNumber", { id: session.personId })}</p></section>
    <section class="card block form"><h2>${t("appearance")}</h2>
      <label class="field"><span>${t("language")}</span><select value=${chosen.language} onChange=${({ target }) => speak(target.value)}>
        <option value="">${t("languageSystem")}</option>${Object.entries(LANGUAGES).map(([code, name]) => html`<option key=${code} value=${code} lang=${code}>${name}</option>`)}</select></label>
      <fieldset class="choice"><legend>${t("colours")}</legend>${Object.entries(THEMES).map(([theme, name]) => html`
        <label key=${theme}><input type="radio" name="theme" checked=${chosen.theme === theme} onChange=${() => change({ theme })} />${t(name)}</label>`)}</fieldset></section>
    <section class="card block form"><h2>${t("notifications")}</h2>
      <${Switch} label=${t("notifyMe")} why=${t("notifyMeWhy")} on=${chosen.notifications === "on"} change=${notify} />
      <${Push} key=${chosen.notifications} session=${session} />
      <${Switch} label=${t("playSound")} on=${chosen.sound} change=${(sound) => change({ sound })} /></section>
    <section class="card block form"><h2>${t("keyboard")}</h2>
      <${Switch} label=${t("singleKeys")} why=${t("singleKeysWhy")} on=${chosen.singleKeys} change=${(singleKeys) => change({ singleKeys })} />
      <p><button type="button" class="button" onClick=${onHelp}>${t("shortcuts")}</button></p></section>
    <section class="card block"><h2>${t("signOut")}</h2><p class="soft">${t("signOutWhy")}</p>
      <p><button type="button" class="button danger" onClick=${() => setAsks(true)}>${t("signOut")}</button></p></section></div>
    ${asks && html`<${Confirm} title=${t("signOutAsk")} close=${() => setAsks(false)} label=${t("signOut")} act=${() => session.signOut()}>
      <p>${t("signOutWhy")}</p>${session.outgoing.all.length > 0 && html`<p class="fault">${t("signOutWaiting", { count: session.outgoing.all.length })}</p>`}<//>`}
  </div>`;
}

/** Being told when the app is closed. It is not shown if the server cannot do it. */
function Push({ session }) {
  useTopics(session, "connection");
  const [state, setState] = useState(null);
  const [failed, setFailed] = useState(false);
  const look = async () => setState(await (await session.push()).pushState(session));
  useEffect(() => void look(), [session.state.state === "live"]);
  if (!state || state === "unoffered") return null;
  const change = async (on) => {
    const { turnOffPush, turnOnPush } = await session.push();
    setFailed(false);
    await (on ? turnOnPush : turnOffPush)(session).catch((error) => {
      console.warn("Buzz is not woken by pushes:", error);
      setFailed(true);
    });
    await look();
  };
  return html`<div data-push=${state}><${Switch} label=${t("pushMe")} why=${t(`push_${state}`)} on=${state === "on"}
      disabled=${state === "denied" || state === "unsupported"} change=${change} />
    <div role="status">${failed && html`<p class="fault">${t("pushFailed")}</p>`}</div></div>`;
}

const Switch = ({ label, why, on, disabled, change }) => html`<label class="switch"><span>${label}${why && html`<small>${why}</small>`}</span>
  <input type="checkbox" role="switch" checked=${on} disabled=${disabled} onChange=${({ target }) => change(target.checked)} /></label>`;
