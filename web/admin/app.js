// The page's frame: the way in, the sections, and the one loop that keeps the shown section up to date.

import { Failure, token } from "./api.js";
import { dismiss } from "./dialog.js";
import { announce, el } from "./dom.js";
import { duration, tokenClaims } from "./format.js";
import { exact } from "./ids.js";
import { signIn } from "./signin.js";
import { activity } from "./views/activity.js";
import { node } from "./views/node.js";
import { numbers } from "./views/numbers.js";
import { overview } from "./views/overview.js";
import { people } from "./views/people.js";
import { privacy } from "./views/privacy.js";
import { push } from "./views/push.js";
import { sessions } from "./views/sessions.js";
import { webhooks } from "./views/webhooks.js";

const VIEWS = { overview, sessions, activity, webhooks, push, privacy, numbers, people, node };
const NAMES = { overview: "Overview", sessions: "Sessions", activity: "Activity", webhooks: "Webhooks", push: "Push", privacy: "Privacy", numbers: "Numbers",
  people: "People", node: "Node" };

const SOON_MS = 1_000;

const page = document.getElementById("page");
let shown = null;

/** Show the sign-in form. Whatever ran for the section before is ended. */
function leave(why = "") {
  token.forget();
  shown?.close();
  shown = null;
  dismiss();
  const form = signIn(enter, why);
  page.replaceChildren(form.root);
  form.focus();
}

/** Show the frame, and the section that the address names. */
function enter() {
  page.replaceChildren(frame());
  open();
}

function frame() {
  const links = Object.entries(NAMES).map(([name, title]) =>
    el("li", {}, el("a", { href: `#${name}`, data: { view: name } }, title, el("span", { class: "badge", hidden: true }))));
  const claims = tokenClaims(token.get());
  return el("div", { class: "frame" },
    el("header", {},
      el("p", { class: "brand" }, "Buzz"),
      el("nav", { "aria-label": "Sections" }, el("ul", {}, links)),
      el("div", { class: "who" },
        claims && el("p", { class: "soft small" }, claims.subject, el("br"),
          `token valid for ${duration((claims.expiresAtMs - Date.now()) / 1000)}`),
        el("button", { type: "button", on: { click: () => leave() } }, "Sign out"))),
    el("main", { id: "content", tabindex: "-1" },
      el("h1", {}), el("div", { id: "state", role: "status" }), el("div", { id: "view" })));
}

function open() {
  if (!token.get()) return leave();
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "overview";
  shown?.close();
  dismiss();
  shown = section(name);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  return undefined;
}

/** Run one section: load, show, load again while the page is looked at. What fails is said, and tried again. */
function section(name) {
  const controller = new AbortController();
  const state = document.getElementById("state");
  const box = document.getElementById("view");
  let timer = 0;
  let loading = null;
  let again = false;
  let soon = false;

  async function load() {
    clearTimeout(timer);
    if (loading) {
      again = true;
      return;
    }
    loading = view.load(controller.signal);
    try {
      await loading;
      box.hidden = false;
      if (state.textContent) announce("Up to date again.");
      state.replaceChildren();
    } catch (error) {
      if (controller.signal.aborted) return;
      if (error instanceof Failure && error.credential) return leave("The token is no longer valid. Enter a new one.");
      failed(error);
    } finally {
      loading = null;
    }
    if (controller.signal.aborted) return;
    if (again) {
      again = false;
      load();
    } else if (view.seconds && !document.hidden) {
      timer = setTimeout(load, soon ? SOON_MS : view.seconds * 1000);
      soon = false;
    }
  }
  function failed(error) {
    if (!(error instanceof Failure)) console.error(error);
    const stale = box.hidden ? "Could not load the page" : "This page is not up to date";
    state.replaceChildren(el("div", { class: "notice bad" }, el("p", {}, `${stale}. ${error.message}`),
      el("button", { type: "button", on: { click: load } }, "Try again")));
  }
  // Somebody did something: what comes of it is often seen a moment after the answer.
  const refresh = () => {
    soon = true;
    load();
  };
  const seen = () => { if (!document.hidden) load(); };

  const view = VIEWS[name]({ refresh, badges });
  box.hidden = view.seconds > 0;
  document.title = `${view.title}: Buzz operations`;
  document.querySelector("h1").textContent = view.title;
  box.replaceChildren(view.root);
  state.replaceChildren(...(view.seconds ? [el("p", { class: "soft" }, "Loading…")] : []));
  document.addEventListener("visibilitychange", seen);
  load();
  return {
    close() {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      view.close?.();
    },
  };
}

function tooOld() {
  return el("main", { class: "sign-in", id: "content" }, el("h1", {}, "Buzz: operations"),
    el("p", { role: "alert" }, "This browser is too old for this page: it would round large ids, so you could act on a different person. "
      + "Use Chromium 114, Firefox 135 or Safari 18.4, or a later version."));
}

/** Show how many things in a section want attention, beside its name. */
function badges(counts) {
  for (const [name, value] of Object.entries(counts)) {
    const badge = document.querySelector(`nav [data-view="${name}"] .badge`);
    if (!badge) continue;
    badge.hidden = !value;
    badge.textContent = value > 99 ? "99+" : String(value);
    badge.setAttribute("title", `${value} need attention`);
  }
}

window.addEventListener("hashchange", () => { if (exact && token.get()) open(); });
if (!exact) page.replaceChildren(tooOld());
else if (token.get()) enter();
else leave();
