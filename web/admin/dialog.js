// One dialog for everything that wants a second thought.

import { el } from "./dom.js";

const dialog = () => document.getElementById("dialog");

/**
 * Ask before doing. `type`: a text that must be typed first (a name, say). `act` is awaited with the dialog open: if it
 * fails the dialog says why and stays. Resolves to what `act` gave, or to null if the reader went back.
 */
export function confirm({ title, text, type = null, typeLabel = "", action, danger = false, act }) {
  return new Promise((resolve) => {
    const fault = el("p", { class: "fault", role: "alert" });
    const input = type === null ? null : el("input", { id: "dialog-type", autocomplete: "off", spellcheck: "false" });
    const go = el("button", { type: "submit", class: danger ? "danger" : "primary", disabled: type !== null }, action);
    const back = el("button", { type: "button", on: { click: () => dialog().close() } }, "Cancel");
    input?.addEventListener("input", () => { go.disabled = input.value.trim() !== type; });
    let result = null;
    const submit = async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      fault.textContent = "";
      go.disabled = back.disabled = true;
      go.setAttribute("aria-busy", "true");
      try {
        result = (await act()) ?? true;
        dialog().close();
      } catch (error) {
        fault.textContent = error.message;
        go.disabled = back.disabled = false;
      }
      go.removeAttribute("aria-busy");
    };
    open(title, () => resolve(result), el("form", { class: "dialog", on: { submit } },
      el("div", { class: "text" }, text),
      input && el("div", { class: "field" }, el("label", { for: "dialog-type" }, typeLabel), input),
      fault, el("div", { class: "buttons" }, back, go)));
    (input ?? back).focus();
  });
}

/** Show something to read; `whenClosed` is called when it is put away. */
export function show(title, content, whenClosed = () => {}) {
  const close = el("button", { type: "button", class: "primary", on: { click: () => dialog().close() } }, "Close");
  open(title, whenClosed, el("div", { class: "dialog" }, content, el("div", { class: "buttons" }, close)));
  close.focus();
}

/** Close whatever is open. */
export function dismiss() {
  if (dialog().open) dialog().close();
}

let closed = null;

/** Show this in the dialog, in place of what it may show now. `whenClosed` is called once, however it ends. */
function open(title, whenClosed, content) {
  const before = closed;
  closed = whenClosed;
  dialog().replaceChildren(el("h2", { id: "dialog-title" }, title), content);
  if (!dialog().open) dialog().showModal();
  before?.();
}

dialog().addEventListener("close", () => {
  // The event comes a moment later: by then something else may have been opened.
  if (dialog().open) return;
  const ended = closed;
  closed = null;
  dialog().replaceChildren();
  ended?.();
});
dialog().addEventListener("cancel", (event) => {
  if (dialog().querySelector("[aria-busy=true]")) event.preventDefault();
});

/** Run an action of a button: busy meanwhile; what came of it is said in `status`, an element of that role. */
export async function run(button, status, act) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  status.className = "outcome";
  status.textContent = "";
  try {
    const said = await act();
    if (said) status.textContent = said;
  } catch (error) {
    status.classList.add("bad");
    status.textContent = error.message;
  } finally {
    button.removeAttribute("aria-busy");
  }
}
