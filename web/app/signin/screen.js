/** The sign-in screen: the identity provider, the demo people, a token. */

import { asDemoPerson, withToken } from "./demo.js"
import { el } from "./dom.js"
import { keepPerson } from "./kept.js"
import { explained } from "./problems.js"
import { language, texts } from "./texts.js"

/** @typedef {import("./kept.js").Kept} Kept */
/** @typedef {import("./openid.js").Provider} Provider */

/**
 * @typedef {object} Ways
 * @property {{ id: number, name: string }[]} demo_people
 * @property {Provider | null} openid
 * @property {string | null} openid_fault
 * @property {string} [fault]
 */

/**
 * Show the screen in `root`. Calls `entered` with the person who signs in here.
 *
 * @param {HTMLElement} root
 * @param {{ ways: Ways, problem: string, signOutAt: string | null, entered: (person: Kept) => void, startOpenid: (provider: Provider) => any }} options
 */
export function show(root, { ways, problem, signOutAt, entered, startOpenid }) {
  document.documentElement.lang = language
  document.title = texts.title
  styled()
  const fault = el("p", { class: "signin-fault", role: "alert" })
  const status = el("p", { class: "signin-status", role: "status" })
  const card = el("main", { class: "signin-card" })

  /** Do something that takes a moment: nothing else can be begun meanwhile, and what goes wrong is said. */
  async function doing(action) {
    fault.textContent = ""
    status.textContent = texts.wait
    card.setAttribute("aria-busy", "true")
    try {
      await action()
    } catch (error) {
      fault.textContent = explained(error)
      fault.scrollIntoView({ block: "nearest" })
    } finally {
      status.textContent = ""
      card.removeAttribute("aria-busy")
    }
  }

  const enter = (sign) => {
    if (card.hasAttribute("aria-busy")) return
    doing(async () => {
      const person = await sign()
      await keepPerson(person)
      entered(person)
    })
  }
  const parts = [
    ways.openid && signOutAt && signOut(ways.openid, signOutAt),
    ways.openid && provider(ways.openid, () => doing(() => startOpenid(ways.openid))),
    ways.demo_people.length > 0 && demo(ways.demo_people, (id) => enter(() => asDemoPerson(id))),
    token((text) => enter(() => withToken(text)), ways),
  ]
  fault.textContent = problem || ways.fault || (ways.openid_fault ? texts.providerUnread(ways.openid_fault) : "")
  card.append(mark(), el("h1", {}, texts.title), el("p", { class: "signin-intro" }, texts.intro), fault, status,
    ...parts.filter(Boolean))
  root.replaceChildren(el("div", { class: "signin" }, card))
}

/** @param {Provider} chosen @param {() => void} go */
function provider(chosen, go) {
  return el("button", { type: "button", class: "signin-primary", on: { click: go } }, texts.withProvider(chosen.name))
}

/** @param {Provider} chosen @param {string} address */
function signOut(chosen, address) {
  const go = () => location.assign(address)
  return el("button", { type: "button", class: "signin-secondary", on: { click: go } }, texts.signOutOf(chosen.name))
}

/** @param {{ id: number, name: string }[]} people @param {(id: number) => void} enter */
function demo(people, enter) {
  const rows = people.map(({ id, name }) =>
    el("li", {},
      el("button", { type: "button", class: "signin-person", on: { click: () => enter(id) } },
        el("span", { class: "signin-initials", "aria-hidden": "true" }, initials(name)), el("span", {}, name))))
  return el("section", { "aria-labelledby": "signin-demo" },
    el("h2", { id: "signin-demo" }, texts.demoTitle), el("p", { class: "signin-soft" }, texts.demoNote),
    el("ul", { class: "signin-people" }, ...rows))
}

/** @param {(text: string) => void} enter @param {Ways} ways */
function token(enter, ways) {
  const only = !ways.openid && ways.demo_people.length === 0
  // Without a name: a form that is sent by mistake sends nothing.
  const input = /** @type {HTMLInputElement} */ (
    el("input", { id: "signin-token", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      required: true, "aria-describedby": "signin-token-note" })
  )
  const submit = (event) => {
    event.preventDefault()
    enter(input.value)
  }
  const form = el("form", { on: { submit } },
    el("label", { for: "signin-token" }, texts.tokenLabel), input,
    el("p", { id: "signin-token-note", class: "signin-soft" }, texts.tokenNote),
    el("button", { type: "submit", class: only ? "signin-primary" : "signin-secondary" }, texts.signIn))
  if (only) {
    const nothing = !ways.fault && !ways.openid_fault
    return el("section", {}, nothing && el("p", { class: "signin-soft" }, texts.nothingOffered), form)
  }
  return el("details", {}, el("summary", {}, texts.tokenTitle), form)
}

function mark() {
  return el("img", { src: "/app/icons/buzz.svg", alt: "", width: "56", height: "56", class: "signin-mark" })
}

/** @param {string} name */
function initials(name) {
  const words = name.split(" ").filter(Boolean)
  return (words[0]?.[0] ?? "") + (words.length > 1 ? words.at(-1)[0] : "")
}

function styled() {
  const href = "/app/signin/signin.css"
  if (!document.querySelector(`link[href="${href}"]`)) document.head.append(el("link", { rel: "stylesheet", href }))
}
