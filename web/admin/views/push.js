// Push: the services that wake devices, and the devices that do not wake.

import { ask, get } from "../api.js";
import { run } from "../dialog.js";
import { el, fill, keep, table } from "../dom.js";
import * as format from "../format.js";
import { loadNames, nameOf, named } from "../names.js";
import { moment } from "../times.js";

const KINDS = { webpush: "Web Push", apns: "Apple", apns_voip: "Apple, calls", fcm: "Firebase" };

const MEANINGS = {
  accepted: "the service has the push, and delivers it when the device is switched on and connected.",
  gone: "the device is not registered there any more, and Buzz has forgotten it. It registers again when its app is opened.",
  refused: "the service does not take this push.",
  unavailable: "the service was not reached, or asks to wait. Try again later.",
  unknown: "the service got the push and did not answer. The push may have arrived.",
};

export function push() {
  const tiles = el("dl", { class: "tiles" });
  const status = el("p", { class: "outcome", role: "status" });
  const empty = el("p", { class: "empty" });
  const silent = table("Devices that do not wake", [{ title: "Person" }, { title: "Device" }, { title: "Service" },
    { title: "Address" }, { title: "Pushed" }, { title: "Last result" }, { title: "" }]);

  const test = (each) => {
    const button = el("button", { type: "button", on: { click: () => run(button, status, async () => {
      const path = `/admin/people/${each.person_id}/push/test`;
      const { value } = await ask("POST", path, { body: { device_id: each.registration.device_id } });
      return value.results.map((one) => `${KINDS[one.kind]}: ${MEANINGS[one.result]} (${one.detail})`).join(" ");
    }) } }, "Test");
    return button;
  };
  const row = (each) => silent.row(
    named(each.name, each.person_id), el("span", { class: "code" }, each.registration.device_id),
    KINDS[each.registration.kind], el("span", { class: "code" }, each.registration.address),
    moment(each.registration.pushed_at), each.registration.last_result ?? "–", test(each),
  );
  const tile = (each) => el("div", { class: `card tile${each.refused ? " bad" : ""}` },
    el("dt", {}, KINDS[each.kind]),
    el("dd", {}, el("strong", {}, format.count(each.registrations)),
      el("span", { class: "soft" }, each.refused ? `refused: ${each.refused}` : each.configured ? "devices" : "not configured")));

  return {
    title: "Push",
    seconds: 15,
    root: el("div", {}, tiles, el("h2", {}, "Devices that do not wake"),
      el("p", { class: "soft" }, "They were pushed and have not connected since: they may be switched off, or their app may be gone or kept from running. "
        + "The one that has been silent longest is first."),
      silent.whole, empty, status),
    async load(signal) {
      const found = await get("/admin/push", { signal });
      fill(tiles, ...found.kinds.map(tile));
      await loadNames("people", found.silent.map((each) => each.person_id), signal);
      for (const each of found.silent) each.name = nameOf("people", each.person_id);
      keep(silent.body, found.silent,
        (each) => `${each.person_id} ${each.registration.device_id} ${each.registration.kind}`, row);
      silent.whole.hidden = !found.silent.length;
      const registered = found.kinds.some((each) => each.registrations);
      fill(empty, found.silent.length ? "" : registered ? "Every device that was pushed has connected since."
        : "No device is registered for push: a device registers when its user turns notifications on.");
    },
  };
}
