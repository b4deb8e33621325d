// Privacy requests of all companies, the most urgent first: three clocks run for each of them.

import { ask, get, media } from "../api.js";
import { confirm, run, show } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const PAGE = 50;
const SOON_DAYS = 7;
const WISHES = { tell_me: "tell me", send_me: "send me", delete_me: "delete me", do_not_sell: "do not sell" };
const STATES = [["open", "Open"], ["overdue", "Overdue"], ["completed", "Completed"]];

/** What is still due for a request: `[{what, due}]`, the answer first. */
export function clocks(request) {
  if (request.completed) return [];
  return [
    { what: "answer", due: request.deadline },
    !request.acknowledged && { what: "confirm", due: request.confirmation_due },
    request.opt_out_due && { what: "opt-out", due: request.opt_out_due },
  ].filter(Boolean).sort((one, other) => one.due.localeCompare(other.due));
}

export function privacy({ refresh, badges }) {
  const status = el("p", { class: "outcome", role: "status" });
  const tiles = el("dl", { class: "tiles" });
  const empty = el("p", { class: "empty" });
  const more = el("button", { type: "button", on: { click: () => { limit += PAGE; refresh(); } } }, "Show more");
  let which = "open";
  let limit = PAGE;
  let today = "";
  const choices = el("fieldset", { class: "choices" }, el("legend", { class: "unseen" }, "Which requests"),
    STATES.map(([value, text]) => el("label", {}, el("input", { type: "radio", name: "which", value, checked: value === which,
      on: { change: () => { which = value; limit = PAGE; refresh(); } } }), el("span", {}, text))));
  const list = table("Privacy requests by deadline", [
    { title: "Due" }, { title: "From" }, { title: "Wants" }, { title: "Company" }, { title: "State" }, { title: "Action" },
  ]);

  const change = (button, request, body, said) => run(button, status, async () => {
    await ask("PATCH", `/admin/privacy-requests/${request.id}`, { body });
    refresh();
    return said;
  });
  const button = (text, action, act) => el("button", { type: "button", data: { action }, on: { click: act } }, text);

  function actions(request) {
    return el("div", { class: "buttons" },
      !request.acknowledged && !request.completed && button("Acknowledge", "acknowledge",
        (event) => change(event.currentTarget, request, { acknowledged: true }, "Acknowledged.")),
      !request.extended && !request.completed && request.deadline >= today && button("Extend…", "extend", () => extend(request)),
      !request.completed && button("Complete…", "complete", () => complete(request)),
      button("Details…", "details", () => details(request, refresh)));
  }
  async function extend(request) {
    await confirm({
      title: `Extend the request of ${name(request)}?`,
      text: el("p", {}, "The deadline moves to 90 days after receipt. The company must tell the consumer within the first 45 days."),
      action: "Extend",
      act: () => ask("PATCH", `/admin/privacy-requests/${request.id}`, { body: { extended: true } }),
    });
    refresh();
  }
  async function complete(request) {
    await confirm({
      title: `Mark the request of ${name(request)} as completed?`,
      text: el("p", {}, nameOf("companies", request.company_id) ?? `Company ${request.company_id}`, " has answered it. Buzz notifies its members and its webhooks."),
      action: "Mark as completed",
      act: () => ask("PATCH", `/admin/privacy-requests/${request.id}`, { body: { completed: true, acknowledged: true } }),
    });
    refresh();
  }
  const row = ({ request, company }) => list.row(
    due(request, today), from(request), wants(request),
    el("span", {}, named(company, request.company_id), el("br"), el("span", { class: "soft small" }, request.service_code.name)),
    states(request), actions(request),
  );

  return {
    title: "Privacy requests",
    seconds: 15,
    root: el("div", {}, status, tiles, el("div", { class: "bar" }, el("h2", {}, "Requests"), choices), list.whole, empty,
      el("div", { class: "more" }, more)),
    async load(signal) {
      const { found, next } = await requestsOf(which, Math.min(limit, 500), signal);
      today = found.today;
      badges({ privacy: found.counts.overdue });
      fill(tiles, figures(found.counts));
      await loadNames("companies", found.requests.map((each) => each.company_id), signal);
      // A new day changes how a request looks, too.
      const shown = found.requests.map((request) => ({ request, today, company: nameOf("companies", request.company_id) }));
      keep(list.body, shown, (each) => each.request.id, row);
      list.whole.hidden = !found.requests.length;
      fill(empty, found.requests.length ? "" : { open: "No request is open.", overdue: "No request is overdue.",
        completed: "No request has been completed yet." }[which]);
      more.hidden = !next || limit >= 500;
    },
  };
}

/** The requests of one kind, from as many pages as it takes; `next`: whether there are more. */
async function requestsOf(which, limit, signal) {
  let { value: found, next } = await ask("GET", `/admin/privacy-deadlines?which=${which}&limit=${limit}`, { signal });
  while (next && found.requests.length < limit) {
    const more = await ask("GET", next, { signal });
    found = { ...more.value, requests: [...found.requests, ...more.value.requests].slice(0, limit) };
    next = more.next;
  }
  return { found, next };
}

function figures(counts) {
  const tile = (text, value, note, bad) => el("div", { class: `card tile${bad && value ? " bad" : ""}` },
    el("dt", {}, text), el("dd", {}, el("strong", {}, format.count(value)), el("span", { class: "soft" }, note)));
  return [
    tile("Open", counts.open, "not completed", false),
    tile("Answer overdue", counts.answer_overdue, "45 days, 90 once extended", true),
    tile("Confirmation overdue", counts.confirmation_overdue, "10 business days", true),
    tile("Opt-out overdue", counts.opt_out_overdue, "15 business days", true),
    tile("Completed", counts.completed, "kept as a record", false),
  ];
}

function due(request, today) {
  if (request.completed) return el("span", { class: "soft" }, "done");
  return el("ul", { class: "clocks" }, clocks(request).map(({ what, due: date }) => {
    const left = format.daysBetween(today, date);
    const kind = left < 0 ? "bad" : left <= SOON_DAYS ? "warn" : "";
    const words = left < 0 ? `${format.many(-left, "day")} late` : left === 0 ? "today" : `in ${format.many(left, "day")}`;
    return el("li", {}, el("span", { class: `tag ${kind}` }, `${what} ${words}`),
      " ", el("span", { class: "soft small nowrap" }, format.day(date)));
  }));
}

function name(request) {
  const form = request.web_form_session;
  if (request.erased_at) return "an erased person";
  if (form) return format.personName(form);
  return request.call_session?.caller_name || request.call_session?.caller_id || "an unknown caller";
}

function from(request) {
  const state = request.web_form_session?.state || request.call_session?.caller_state;
  const way = request.type === "Voicemail" ? "voicemail" : "web form";
  return el("span", {}, el("span", { class: "strong" }, name(request)), el("br"),
    el("span", { class: "soft small" }, [way, state].filter(Boolean).join(", "), ", ", moment(request.created_at)));
}

function wants(request) {
  const call = request.call_session;
  if (call) {
    const asked = { true: "do not sell", false: "not an opt-out" }[call.do_not_sell] ?? "see the recording";
    return el("span", { class: call.do_not_sell === true ? "" : "soft" }, asked);
  }
  const asked = Object.entries(WISHES).filter(([key]) => request.web_form_session[key]).map(([, text]) => text);
  return asked.join(", ") || "something else";
}

function states(request) {
  const all = ["acknowledged", "extended", "completed"].filter((each) => request[each]);
  if (request.erased_at) all.push("erased");
  const spam = request.web_form_session?.suspected_spam
    && el("span", { class: "tag warn", title: "A hidden field of the form was filled in" }, "suspected spam");
  if (!all.length) return [el("span", { class: "tag" }, "new"), spam];
  return [spam, ...all.map((each) => el("span", { class: `tag ${each === "completed" ? "good" : ""}` }, each))];
}

async function details(request, refresh) {
  const status = el("p", { class: "outcome", role: "status" });
  const content = el("div", {}, el("p", { class: "soft" }, "Loading…"));
  const urls = [];
  show(`Request of ${name(request)}`, [content, status], () => {
    urls.forEach((url) => URL.revokeObjectURL(url));
    refresh();
  });
  try {
    const found = await get(`/admin/privacy-requests/${encodeURIComponent(request.id)}`);
    content.replaceChildren(...described(found, status, urls));
  } catch (error) {
    content.replaceChildren(el("p", { class: "fault" }, error.message));
  }
}

function described(found, status, urls) {
  const form = found.web_form_session;
  const call = found.call_session;
  const facts = [
    ["Reference", found.id], ["Company", named(nameOf("companies", found.company_id), found.company_id)],
    ["Service code", `${found.service_code.code}, ${found.service_code.name}`],
    ...(form ? [["Email", form.email], ["Is a", form.requester_type], ["Wrote", form.other], ["Address", form.remote_ip]] : []),
    ...(call ? [["Called from", call.caller_id], ["Transcription", call.transcription_text || call.transcription_status]] : []),
    ["Answer by", format.day(found.deadline)], ["Confirm by", format.day(found.confirmation_due)],
    ["Opt-out by", found.opt_out_due && format.day(found.opt_out_due)],
  ].filter(([, value]) => value);
  const player = el("div", {});
  const play = call?.recording_status === "completed" && !found.erased_at && el("button", { type: "button", on: {
    click: (event) => run(event.currentTarget, status, async () => {
      const url = await media(`/admin/privacy-requests/${encodeURIComponent(found.id)}/recording.mp3`);
      urls.push(url);
      player.replaceChildren(el("audio", { controls: true, autoplay: true, src: url }));
    }) } }, "Play the recording");
  const say = (text, asked) => call && call.do_not_sell !== asked && el("button", { type: "button", on: {
    click: (event) => run(event.currentTarget, status, async () => {
      await ask("PATCH", `/admin/privacy-requests/${encodeURIComponent(found.id)}`, { body: { do_not_sell: asked } });
      return asked ? "Recorded: it asks to stop the sale of data." : "Recorded: it does not ask to stop the sale of data.";
    }) } }, text);
  const erase = !found.erased_at && el("button", { type: "button", class: "danger", on: { click: () => eraseFields(found) } },
    "Erase the personal data…");
  return [
    el("dl", { class: "facts" }, facts.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
    el("div", { class: "buttons" }, play, say("Asks for an opt-out", true), say("Asks for something else", false), erase), player,
    el("h3", {}, "History"),
    el("ol", { class: "trail" }, found.audit.map((each) => el("li", {}, moment(each.at),
      ` ${each.actor}: ${each.action}${each.detail ? `, ${each.detail}` : ""}`))),
  ];
}

function eraseFields(found) {
  confirm({
    title: `Erase the personal data of ${name(found)}?`,
    text: [
      el("p", {}, "Buzz deletes the name, email, text, phone number and recording. The request itself, its outcome and "
        + "its audit trail stay."),
      el("p", { class: "strong" }, "You cannot undo this."),
    ],
    type: name(found), typeLabel: `Type ${name(found)} to continue`,
    action: "Erase", danger: true,
    act: () => ask("POST", `/admin/privacy-requests/${encodeURIComponent(found.id)}/erase`),
  });
}
