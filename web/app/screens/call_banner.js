// A call that rings, or was just turned away: above every screen.

import { blockedWords, hintWords } from "./blocked.js";
import { html, useEffect, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { Avatar } from "./parts.js";
import { trustWords } from "./trust.js";
import { t } from "../state/language.js";

/** Who calls, and whether and why they are trusted. Props: `session`, `section`: what is shown below. */
export function CallBanner({ session, section }) {
  useTopics(session, "calls");
  const { ringing } = session.calls;
  const call = session.calls.now;
  // A blocked call is the newest in the list of calls: whoever looks at that has been told.
  const listed = call && !ringing && section === "calls";
  useEffect(() => {
    if (listed) session.calls.dismiss();
  }, [listed]);
  if (!call || listed) return null;
  const { name, number } = session.calls.callerOf(call);
  const who = name ?? number ?? t("unknownCaller");
  const entry = call.contacts?.[0] ?? call.people?.[0] ?? call.companies?.[0];
  return html`<aside class="call-banner ${ringing ? "rings" : "blocked"}" role="alert" aria-label=${ringing ? t("callFrom", { name: who }) : t("callBlocked", { name: who })}>
    <${Avatar} party=${{ type: call.companies?.length ? "company" : "person", id: entry?.id ?? 0 }} name=${name} />
    <div><small>${t(ringing ? "rings" : "wasBlocked")}</small><b>${who}</b>${name && number && html`<span class="soft">${number}</span>`}
      <p class=${ringing ? "good" : "why"}><${Icon} name=${ringing ? "check" : "warning"} />${ringing ? trustWords(call) : blockedWords(call)}</p>
      ${!ringing && hintWords(call) && html`<p class="hint">${hintWords(call)}</p>`}
      <p class="soft">${ringing && t("answerElsewhere")}</p></div>
    <div class="row-end"><a class="button quiet" href="#/calls" onClick=${() => session.calls.dismiss()}>${t("showCalls")}</a>
      <button type="button" class="button" onClick=${() => session.calls.dismiss()}>${t("dismiss")}</button></div></aside>`;
}
