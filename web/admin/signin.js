// The sign-in form: it tries a token before it keeps it.

import { get, token } from "./api.js";
import { el } from "./dom.js";

/** The form. Calls `entered()` after a valid token; `why` says why a new token is needed. */
export function signIn(entered, why = "") {
  const fault = el("p", { class: "fault", role: "alert" }, why);
  // No name: a form that is sent by mistake would send nothing.
  const input = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": "token-note" });
  const go = el("button", { type: "submit", class: "primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!typed || go.disabled) return;
    if (!/^[\x21-\x7e]+$/.test(typed)) {
      fault.textContent = "This is not a token: a token is one word of letters, digits and dots.";
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
      el("p", { id: "token-note", class: "soft" }, "The page keeps the token until you close this tab. To create a token that is valid for an hour:"),
      el("pre", { tabindex: "0" }, "run.py token create --service ops --scope admin --ttl 3600")));
  return { root: page, focus: () => input.focus() };
}

function said(error) {
  if (error.status === 401) return "This token is not valid: it may have expired, been revoked, or be incomplete.";
  if (error.status === 403) return "This token is valid, but it is not an admin token.";
  return error.message;
}
