// The way in: a token, tried before it is kept.

import { get, token } from "./api.js";
import { el } from "./dom.js";

/** The form. `entered()` is called when a token was good; `why` says why one is asked for again. */
export function signIn(entered, why = "") {
  const fault = el("p", { class: "fault", role: "alert" }, why);
  // No name: a form that is sent by mistake would send nothing.
  const input = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": "token-note" });
  const go = el("button", { type: "submit", class: "primary" }, "Go on");
  const submit = async (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!typed || go.disabled) return;
    if (!/^[\x21-\x7e]+$/.test(typed)) {
      fault.textContent = "A token is one word of letters, digits and dots: something else was typed.";
      return;
    }
    fault.textContent = "";
    go.disabled = true;
    try {
      await get("/admin/log-level", { using: typed });
      token.set(typed);
      entered();
    } catch (error) {
      fault.textContent = said(error);
      input.select();
      go.disabled = false;
    }
  };
  const page = el("main", { class: "sign-in", id: "content" },
    el("form", { class: "card", on: { submit } },
      el("h1", {}, "Buzz: operations"),
      el("div", { class: "field" }, el("label", { for: "token" }, "Admin token"), input), fault,
      el("div", { class: "buttons" }, go),
      el("p", { id: "token-note", class: "soft" }, "It is kept until this tab is closed. A new one, good for an hour:"),
      el("pre", { tabindex: "0" }, "run.py token create --service ops --scope admin --ttl 3600")));
  return { root: page, focus: () => input.focus() };
}

function said(error) {
  if (error.status === 401) return "This token is not valid: it may have expired, been revoked, or lost a character.";
  if (error.status === 403) return "This token is good, but it is no admin token.";
  return error.message;
}
