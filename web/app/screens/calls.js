// Calls: the latest, and those that were blocked.

import { blockedWords, hintWords } from "./blocked.js";
import { html, useEffect, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { DayTime, Empty, Heading } from "./parts.js";
import { certaintyWords, trustWords } from "./trust.js";
import { duration, t } from "../state/language.js";

const TABS = ["latest", "blocked"];

/** The section of calls. */
export function CallsScreen({ session }) {
  useTopics(session, "calls");
  const [tab, setTab] = useState("latest");
  const calls = session.calls[tab];
  useEffect(() => void session.calls.refresh().catch(() => {}), []);
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS[(TABS.indexOf(tab) + step + 2) % 2];
    setTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return html`<div class="screen"><${Heading} title=${t("calls")} />
    <div class="tabs" role="tablist" aria-label=${t("calls")} onKeyDown=${turn}>${TABS.map((each) => html`
      <button type="button" key=${each} role="tab" id=${`tab-${each}`} aria-controls="calls-panel" aria-selected=${tab === each} tabindex=${tab === each ? 0 : -1}
        onClick=${() => setTab(each)}>${t(`calls_${each}`)}${each === "blocked" && session.calls.blocked.length > 0 && html` <span class="soft">${session.calls.blocked.length}</span>`}</button>`)}</div>
    <div role="tabpanel" id="calls-panel" aria-labelledby=${`tab-${tab}`} tabindex="0">
      ${calls.length > 0 ? html`<ul class="cards">${calls.map((call) => html`<${Entry} key=${`${tab} ${call.call_id}`} session=${session} call=${call} />`)}</ul>`
        : html`<${Empty} icon=${tab === "blocked" ? "blocked" : "calls"} title=${t(`noCalls_${tab}`)}>${t(`noCalls_${tab}Why`)}<//>`}
    </div></div>`;
}

function Entry({ session, call }) {
  const { name, number } = session.calls.callerOf(call);
  const blocked = (call.outcome ?? "blocked") === "blocked";
  const hint = blocked && hintWords(call);
  const outcome = blocked ? t("outcome_blocked") : t(`outcome_${call.outcome}`);
  return html`<li class="card call-card ${blocked ? "blocked" : ""}">
    <span class="card-icon"><${Icon} name=${blocked ? "blocked" : call.outcome === "missed" ? "missed" : "calls"} /></span>
    <div class="card-main"><b>${name ?? number ?? t("unknownCaller")}</b>
      <p>${[name && number, outcome, blocked && certaintyWords(call), call.call_time !== null && call.call_time !== undefined && duration(call.call_time)].filter(Boolean).join(" · ")}</p>
      <p class=${blocked ? "why" : "good"}><${Icon} name=${blocked ? "warning" : "check"} />${blocked ? blockedWords(call) : trustWords(call)}</p>
      ${hint && html`<p class="hint">${hint}</p>`}</div>
    <${DayTime} at=${Date.parse(call.created_at)} /></li>`;
}
