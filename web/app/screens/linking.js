// Linking a device: the new one shows a code and a picture, an old one confirms it.

import { html, useEffect, useRef, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { NewRoot } from "./new_root.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

const DONE = "linkDone";
/** What went well; everything else that is told is a reason why not. */
const GOOD = [DONE, "newRootDone"];

/** Where the keyboard goes on when the button that was pressed is gone. A browser heeds `autofocus` only once in a page. */
const focused = (element) => element?.focus();

/** Shown on the devices' screen: what this device can do, as the new one or as an old one, and how it has ended. */
export function Linking({ session }) {
  useTopics(session, "keys");
  const [result, tell] = useState(null);
  const { me } = session.keys;
  useEffect(() => me && session.buzz.on("encryption.linked", () => tell(DONE)), [Boolean(me)]);
  if (!me) return null;
  const good = GOOD.includes(result);
  return html`${result && html`<${Notice} tone=${good ? "good" : "bad"} icon=${good ? "check" : "warning"} role=${good ? "status" : "alert"}><p>${t(result)}</p><//>`}
    ${me.linked ? html`<${OldSide} session=${session} tell=${tell} />`
      : html`<${NewSide} session=${session} result=${result} tell=${tell} /><${NewRoot} session=${session} tell=${tell} />`}`;
}

/** What to say of an attempt that failed: it was refused, or there is no answer. */
export const whyOf = (error, refused) => (error?.name === "LinkRefused" ? refused : "needsNetwork");

/** This device is the new one. */
function NewSide({ session, result, tell }) {
  const [attempt, setAttempt] = useState(null);
  const [code, setCode] = useState(null);
  // Whether this window has begun it, and has not ended it itself.
  const begun = useRef(false);
  const { linking } = session.keys.encryption;
  useEffect(() => session.buzz.on("encryption.link_ended", () => {
    setAttempt(null);
    if (begun.current) tell("linkEnded");
    begun.current = false;
  }), []);
  const start = async () => {
    begun.current = true;
    tell(null);
    setCode(null);
    try {
      const started = await linking.start();
      setAttempt(started);
      // How it ends is an event: it may end after the code was shown.
      started.code.then(setCode, () => {});
    } catch (error) {
      begun.current = false;
      tell(whyOf(error, "linkEnded"));
    }
  };
  const cancel = async () => {
    begun.current = false;
    setAttempt(null);
    await linking.cancel().catch(() => {});
  };
  return html`<section class="card block"><h2>${t("linkThis")}</h2>
    ${!attempt && html`<p class="soft">${t("linkThisWhy")}</p>
      <p><button type="button" class="button primary" onClick=${start}>${t(result ? "linkAgain" : "linkStart")}</button></p>`}
    ${attempt && html`<ol class="steps" tabindex="-1" ref=${focused}><li>${t("linkStepOpen")}</li><li>${t("linkStepMine")}</li>
        <li aria-live="polite">${code ? html`${t("linkCodeIs")} <p class="code">${code}</p>` : t("linkCodeComes")}</li></ol>
      <${PictureText} text=${attempt.picture} />
      <p><button type="button" class="button small quiet" onClick=${cancel}>${t("linkCancel")}</button></p>`}
  </section>`;
}

/** The other way: a text to paste on the other device, and a picture of it to scan. */
function PictureText({ text }) {
  const [copied, setCopied] = useState(false);
  const canvas = useRef();
  useEffect(() => {
    void import("/vendor/lean-qr/lean-qr.js").then(({ generate }) => generate(text).toCanvas(canvas.current));
  }, [text]);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => {});
  return html`<h3>${t("linkWithout")}</h3><p class="soft">${t("linkPicture")}</p>
    <div class="inline wraps"><label class="field"><span>${t("linkScanText")}</span>
        <input readonly value=${text} onFocus=${({ target }) => target.select()} /></label>
      ${navigator.clipboard && html`<button type="button" class="button" onClick=${copy}>${copied && html`<${Icon} name="check" />`}${t(copied ? "linkCopied" : "linkCopy")}</button>`}</div>
    <canvas ref=${canvas} class="link-picture" role="img" aria-label=${t("linkPictureAlt")} />`;
}

/** This device can link others. */
function OldSide({ session, tell }) {
  const [answered, setAnswered] = useState(null);
  const { offers, encryption: { linking } } = session.keys;
  useEffect(() => {
    if (!answered || offers.some(({ tag }) => tag === answered.tag)) return;
    setAnswered(null);
    if (session.keys.stateOf(answered.deviceId) === "trusted") return;
    tell("linkStopped");
    void linking.cancel().catch(() => {});
  }, [offers]);
  const act = async (what) => {
    tell(null);
    try {
      await what();
    } catch (error) {
      const why = whyOf(error, answered ? "linkWrong" : "linkStopped");
      if (why !== "needsNetwork") setAnswered(null);
      tell(why);
    }
    await session.keys.refresh().catch(() => {});
  };
  const answer = (offer) => act(async () => {
    await linking.answer(offer.tag);
    setAnswered(offer);
  });
  const confirm = (code) => act(async () => {
    await linking.confirm(answered.tag, code);
    setAnswered(null);
    tell(DONE);
  });
  return html`${offers.map((offer) => html`<${Offer} key=${offer.tag} name=${session.keys.nameOf(offer.deviceId) ?? t("unnamedDevice")}
      answered=${offer.tag === answered?.tag} answer=${() => answer(offer)} confirm=${confirm} />`)}
    <${Scan} session=${session} tell=${tell} />`;
}

/** Another device asks this one to be linked. */
function Offer({ name, answered, answer, confirm }) {
  const [code, setCode] = useState("");
  const submit = (event) => {
    event.preventDefault();
    void confirm(code.replace(/\s/g, ""));
  };
  return html`<section class="card block"><h2>${t("linkOffer")}</h2><p>${t("linkOfferWhy", { device: name })}</p>
    ${answered ? html`<form class="inline" onSubmit=${submit}><label class="field"><span>${t("linkCode")}</span>
        <input inputmode="numeric" autocomplete="one-time-code" maxlength="7" value=${code} ref=${focused} onInput=${({ target }) => setCode(target.value)} /></label>
        <button class="button primary" disabled=${!/^\d{3}\s?\d{3}$/.test(code)}>${t("linkConfirm")}</button></form>`
      : html`<p><button type="button" class="button primary" onClick=${answer}>${t("linkAnswer")}</button></p>`}</section>`;
}

/** Linking by the text of the new device's picture. */
function Scan({ session, tell }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const scan = async (event) => {
    event.preventDefault();
    tell(null);
    try {
      await session.keys.encryption.linking.scan(text.trim());
      tell(DONE);
      setText("");
      setOpen(false);
    } catch (error) {
      tell(whyOf(error, "linkScanFailed"));
    }
    await session.keys.refresh().catch(() => {});
  };
  if (!open) return html`<p><button type="button" class="button" onClick=${() => setOpen(true)}><${Icon} name="plus" />${t("linkScan")}</button></p>`;
  return html`<section class="card block"><h2>${t("linkScan")}</h2>
    <form class="inline" onSubmit=${scan}><label class="field"><span>${t("linkScanText")}</span>
      <input value=${text} autocomplete="off" ref=${focused} onInput=${({ target }) => setText(target.value)} /></label>
      <button class="button primary" disabled=${!text.trim()}>${t("linkConfirm")}</button></form></section>`;
}
