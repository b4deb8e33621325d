// Privacy requests: the list for a company's members, and one of them.

import { Confirm } from "./confirm.js";
import { html, useEffect, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { DayTime, Empty, Heading, Notice } from "./parts.js";
import { duration, longDate, t } from "../state/language.js";
import { sectionPlace } from "../state/place.js";
import { consumerOf, daysLeft, wishesOf } from "../state/privacy.js";

/** Props: `session`, `id`: the request to show, or undefined for the list. */
export function PrivacyScreen({ session, id }) {
  useTopics(session, "privacy", "me");
  const request = id && session.privacy.get(id);
  if (request) return html`<${OneRequest} key=${id} session=${session} request=${request} />`;
  const requests = session.privacy.all;
  return html`<div class="screen"><${Heading} title=${t("privacyRequests")} />
    ${requests.length === 0 ? html`<${Empty} icon="privacy" title=${t("noRequests")}>${t("noRequestsWhy")}<//>`
      : html`<ul class="cards">${requests.map((each) => html`<li key=${each.id}><a class="card" href=${sectionPlace("privacy", each.id)}>
        <span class="card-icon"><${Icon} name=${each.type === "WebForm" ? "privacy" : "calls"} /></span>
        <span class="card-main"><b dir="auto">${consumerOf(each) ?? t("unknownConsumer")}</b>
          <span>${wishesOf(each).map((wish) => t(wish)).join(", ") || each.web_form_session?.other || t("wishUnknown")}</span></span>
        <${Due} request=${each} /></a></li>`)}</ul>`}</div>`;
}

/** How long there is left. */
function Due({ request }) {
  if (request.completed) return html`<span class="chip good"><${Icon} name="check" />${t("completed")}</span>`;
  const days = daysLeft(request.deadline);
  const tone = days < 0 ? "bad" : days < 8 ? "warn" : "soft";
  return html`<span class="chip ${tone}"><${Icon} name="clock" />${days < 0 ? t("overdue", { count: -days }) : t("daysLeft", { count: days })}</span>`;
}

/** What a person is to the company: one of the form's choices, or what they wrote themselves. */
function requesterOf({ requester_type: type }) {
  const text = type && t(`requester_${type.replaceAll(" ", "_")}`);
  return text?.startsWith("requester_") ? type : text;
}

/** What can be said of a request: the field that is set, and the texts for it, for having done it, and of what it means. */
const ACTIONS = [["acknowledged", "acknowledge", "acknowledgeDone", "acknowledgeWhy"], ["extended", "extend", "extendDone", "extendWhy"],
  ["completed", "complete", "completeDone", "completeWhy"]];

function OneRequest({ session, request }) {
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState(null);
  const [asked, ask] = useState(null);
  const change = async (field) => {
    ask(null);
    setBusy(field);
    setFailed(null);
    try {
      await session.privacy.change(request.id, { [field]: true });
    } catch (error) {
      setFailed(error.status === 409 ? t("extendTooLate") : error.status ? error.message : t("needsNetwork"));
    }
    setBusy(null);
  };
  const { web_form_session: form, call_session: call } = request;
  const company = session.me?.companies.find(({ id }) => id === request.company_id)?.name;
  const facts = [
    [t("company"), company ?? t("companyNumber", { id: request.company_id })],
    [t("received"), html`<${DayTime} at=${Date.parse(request.created_at)} />`],
    [t("confirmBy"), `${longDate(Date.parse(request.confirmation_due))}${request.acknowledged ? ` · ${t("done")}` : ""}`],
    request.opt_out_due && [t("stopBy"), longDate(Date.parse(request.opt_out_due))],
    [t("answerBy"), `${longDate(Date.parse(request.deadline))}${request.extended ? ` · ${t("wasExtended")}` : ""}`],
    form && [t("email"), form.email], form && [t("state"), form.state], form?.requester_type && [t("requester"), requesterOf(form)],
    call && [t("phoneNumber"), call.caller_id],
  ].filter((fact) => fact && fact[1]);
  return html`<div class="screen"><${Heading} title=${consumerOf(request) ?? t("unknownConsumer")}>
      <a class="button quiet" href="#/privacy"><${Icon} name="back" />${t("privacyRequests")}</a><//>
    <div class="stack">
    <p><${Due} request=${request} /></p>
    ${request.erased_at && html`<${Notice}>${t("erased")}<//>`}
    ${form?.suspected_spam && html`<${Notice} tone="warn" icon="warning">${t("maybeSpam")}<//>`}
    <section class="card block"><h2>${t("whatTheyAsk")}</h2>
      <ul class="wishes">${wishesOf(request).map((wish) => html`<li key=${wish}><${Icon} name="check" />${t(wish)}</li>`)}</ul>
      ${form?.other && html`<p class="said" dir="auto">${form.other}</p>`}
      ${call && html`<${Voicemail} session=${session} request=${request} call=${call} />`}</section>
    <section class="card block"><h2>${t("deadlines")}</h2><dl>${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>
    ${failed && html`<${Notice} tone="bad" icon="warning" role="alert">${failed}<//>`}
    <div class="actions-row">${ACTIONS.map(([field, name, past, why]) => html`<button type="button" key=${field}
      class="button ${field === "completed" ? "primary" : ""}" disabled=${request[field] || busy !== null || (request.completed && field !== "completed")}
      onClick=${() => ask([field, name, why])}>${request[field] && html`<${Icon} name="check" />`}${t(request[field] ? past : name)}</button>`)}</div>
    </div>
    ${asked && html`<${Confirm} title=${t(asked[1])} close=${() => ask(null)} tone="primary" label=${t(asked[1])} act=${() => change(asked[0])}>
      <p>${t(asked[2])}</p><p class="soft">${t("notTakenBack")}</p><//>`}</div>`;
}

/** A voicemail: play it, and read it. */
function Voicemail({ session, request, call }) {
  const [address, setAddress] = useState(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => () => address && URL.revokeObjectURL(address), [address]);
  const play = async () => {
    setFailed(false);
    try {
      setAddress(await session.privacy.recording(request.id));
    } catch {
      setFailed(true);
    }
  };
  const length = call.ended_at && Math.round((Date.parse(call.ended_at) - Date.parse(call.created_at)) / 1000);
  return html`<div class="voicemail">
    ${address ? html`<audio controls autoplay src=${address} aria-label=${t("voicemail")} />`
      : call.recording_status === "completed" && html`<button type="button" class="button" onClick=${play}><${Icon} name="play" />${t("playVoicemail")}${length > 0 && ` · ${duration(length)}`}</button>`}
    ${call.recording_status !== "completed" && html`<p class="soft">${t(call.recording_status ? "recordingComing" : "noRecording")}</p>`}
    ${failed && html`<p class="fault" role="alert">${t("recordingFailed")}</p>`}
    <h3>${t("transcription")}</h3>
    ${call.transcription_text ? html`<p class="said" dir="auto">${call.transcription_text}</p>` : html`<p class="soft">${t("noTranscription")}</p>`}</div>`;
}
