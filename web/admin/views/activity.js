// What became of one activity: what each device of its sender and receiver has of it, and never its text.

import { get } from "../api.js";
import { run } from "../dialog.js";
import { el, table } from "../dom.js";
import * as format from "../format.js";
import * as ids from "../ids.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const STATES = {
  confirmed: ["good", "confirmed", "The device said that it has stored it."],
  written: ["good", "written", "It was written to the device’s socket; the device has not confirmed it yet."],
  behind: ["warn", "behind", "The device is connected and still reads older activities."],
  before: ["", "before its session", "Its session began after this activity: the device asked for nothing older, or said that it has it."],
  away: ["", "away", "The device has no session on this node and has not confirmed it. It gets it when it connects."],
};

export function activity() {
  const found = el("div", { class: "stack", "aria-live": "polite" });
  const status = el("p", { class: "outcome", role: "status" });
  const id = el("input", { id: "activity-id", inputmode: "numeric", required: true, autocomplete: "off" });
  const go = el("button", { type: "submit", class: "primary" }, "Explain");
  const look = (event) => {
    event.preventDefault();
    run(go, status, async () => {
      found.replaceChildren();
      const timeline = await get(`/admin/activities/${ids.typed(id.value, "An activity’s id")}/timeline`);
      await withNames(timeline);
      found.replaceChildren(facts(timeline), side("Sender", timeline.sender), side("Receiver", timeline.receiver));
    });
  };
  return {
    title: "Activity",
    seconds: 0,
    root: el("div", {},
      el("form", { class: "card", on: { submit: look } }, el("h2", {}, "What became of an activity"),
        el("p", { class: "soft" }, "Shows when it was stored, and what each device of both sides has of it. Its text is never shown."),
        el("div", { class: "inline" },
          el("div", { class: "field" }, el("label", { for: "activity-id" }, "Activity’s id"), id), go), status),
      found),
    load: async () => {},
  };
}

async function withNames({ sender, receiver }) {
  const people = [sender, receiver].flatMap((each) => each.devices.map((device) => device.person_id));
  const parties = [sender.party, receiver.party];
  await loadNames("people", [...people, ...parties.filter((each) => each.type === "person").map((each) => each.id)]);
  await loadNames("companies", parties.filter((each) => each.type === "company").map((each) => each.id));
}

function facts({ activity: one }) {
  const rows = [
    ["Id", one.id], ["Type", one.type.replaceAll("_", " ")], ["Stored", moment(one.stored_at)],
    ["About activity", one.about_id], ["Text", one.message_bytes === null ? "none, or emptied" : format.bytes(one.message_bytes)],
  ].filter(([, value]) => value !== null);
  return el("section", { class: "card" }, el("h2", {}, `Activity ${one.id}`),
    el("dl", { class: "facts" }, rows.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])));
}

function side(title, { party, in_directory: known, devices }) {
  const name = nameOf(party.type === "person" ? "people" : "companies", party.id);
  const list = table(`Devices of the ${title.toLowerCase()}`, [
    { title: "Person" }, { title: "Device" }, { title: "State" }, { title: "Connected" },
    { title: "Stored up to", numeric: true }, { title: "Last confirmed" },
  ]);
  list.body.append(...devices.map((each) => list.row(
    named(nameOf("people", each.person_id), each.person_id),
    each.device_id ?? "unnamed",
    el("span", { class: `tag ${STATES[each.state][0]}`, title: STATES[each.state][2] }, STATES[each.state][1]),
    moment(each.connected_at), each.received_id, moment(each.seen_at))));
  const present = [...new Set(devices.map((each) => each.state))];
  return el("section", { class: "stack" },
    el("h2", {}, `${title}: ${name ?? ""} (${party.type} ${party.id})`),
    known ? null : el("p", { class: "soft" }, `This ${party.type} is not in the directory.`),
    devices.length ? list.whole
      : el("p", { class: "empty" }, "No device is connected here, and none has ever confirmed an activity."),
    el("ul", { class: "soft small" }, present.map((state) => el("li", {}, `${STATES[state][1]}: ${STATES[state][2]}`))));
}
