// Linking a device: the new one shows a code and a picture, an old one confirms it.

import { html, useEffect, useRef, useState, useTopics } from "./html.js";
import { Icon } from "./icons.js";
import { NewRoot } from "./new_root.js";
import { Notice } from "./parts.js";
import { t } from "../state/language.js";

/** Shown on the devices' screen: what this device can do, as the new one or as an old one. */
export function Linking({ session }) {
  useTopics(session, "keys");
  const { me, offers } = session.keys;
  if (!me) return null;
  if (!me.linked) return html`<${NewSide} session=${session} /><${NewRoot} session=${session} />`;
  return html`${offers.map((offer) => html`<${Offer} key=${offer.tag} session=${session} offer=${offer} />`)}<${Scan} session=${session} />`;
}

/** This device is the new one. */
function NewSide({ session }) {
  const [attempt, setAttempt] = useState(null);
  const [code, setCode] = useState(null);
  const [failed, setFailed] = useState(false);
  const { linking } = session.keys.encryption;
  const start = async () => {
    setFailed(false);
    setCode(null);
    try {
      const begun = await linking.start();
      setAttempt(begun);
      setCode(await begun.code);
    } catch {
      setAttempt(null);
      setFailed(!session.keys.me?.linked);
    }
  };
  const cancel = async () => {
    await linking.cancel();
    setAttempt(null);
  };
  return html`<section class="card block" aria-live="polite"><h2>${t("linkThis")}</h2><p class="soft">${t("linkThisWhy")}</p>
    ${failed && html`<${Notice} tone="bad" icon="warning" role="alert">${t("linkFailed")}<//>`}
    ${!attempt && html`<p><button type="button" class="button primary" onClick=${start}>${t("linkStart")}</button></p>`}
    ${attempt && html`${code ? html`<p>${t("linkCodeIs")}</p><p class="code">${code}</p>` : html`<p>${t("linkWaiting")}</p>`}
      <p class="soft">${t("linkPicture")}</p><${Picture} text=${attempt.picture} />
      <div class="row-start"><button type="button" class="button small" onClick=${() => navigator.clipboard?.writeText(attempt.picture)}>${t("linkCopy")}</button>
        <button type="button" class="button small quiet" onClick=${cancel}>${t("linkCancel")}</button></div>
      <p class="unseen" data-picture>${attempt.picture}</p>`}
  </section>`;
}

/** The text as a QR code. */
function Picture({ text }) {
  const canvas = useRef();
  useEffect(() => {
    void import("/vendor/lean-qr/lean-qr.js").then(({ generate }) => generate(text).toCanvas(canvas.current));
  }, [text]);
  return html`<canvas ref=${canvas} class="link-picture" role="img" aria-label=${t("linkPictureAlt")} />`;
}

/** Another device asks this one to be linked. */
function Offer({ session, offer }) {
  const [answered, setAnswered] = useState(false);
  const [code, setCode] = useState("");
  const [failed, setFailed] = useState(false);
  const { linking } = session.keys.encryption;
  const act = async (what) => {
    setFailed(false);
    try {
      await what();
    } catch {
      setFailed(true);
      setAnswered(false);
    }
    await session.keys.refresh().catch(() => {});
  };
  const answer = () => act(async () => {
    await linking.answer(offer.tag);
    setAnswered(true);
  });
  const confirm = (event) => {
    event.preventDefault();
    void act(() => linking.confirm(offer.tag, code.replace(/\s/g, "")));
  };
  const device = session.keys.devices.find(({ device_id: id }) => id === offer.deviceId);
  return html`<section class="card block"><h2>${t("linkOffer")}</h2><p>${t("linkOfferWhy", { device: device?.name ?? device?.client ?? offer.deviceId })}</p>
    ${failed && html`<${Notice} tone="bad" icon="warning" role="alert">${t("linkFailed")}<//>`}
    ${answered ? html`<form class="inline" onSubmit=${confirm}><label class="field"><span>${t("linkCode")}</span>
        <input inputmode="numeric" autocomplete="one-time-code" maxlength="7" value=${code} autofocus onInput=${({ target }) => setCode(target.value)} /></label>
        <button class="button primary" disabled=${!/^\d{3}\s?\d{3}$/.test(code)}>${t("linkConfirm")}</button></form>`
      : html`<p><button type="button" class="button primary" onClick=${answer}>${t("linkAnswer")}</button></p>`}</section>`;
}

/** Linking by the text of the new device's picture. */
function Scan({ session }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [result, setResult] = useState(null);
  const scan = async (event) => {
    event.preventDefault();
    try {
      await session.keys.encryption.linking.scan(text.trim());
      setResult("linkDone");
      setText("");
    } catch {
      setResult("linkFailed");
    }
    await session.keys.refresh().catch(() => {});
  };
  if (!open) return html`<p><button type="button" class="button" onClick=${() => setOpen(true)}><${Icon} name="plus" />${t("linkScan")}</button></p>`;
  return html`<section class="card block"><h2>${t("linkScan")}</h2>
    ${result && html`<${Notice} tone=${result === "linkDone" ? "good" : "bad"} role="status">${t(result)}<//>`}
    <form class="inline" onSubmit=${scan}><label class="field"><span>${t("linkScanText")}</span>
      <input value=${text} autocomplete="off" autofocus onInput=${({ target }) => setText(target.value)} /></label>
      <button class="button primary" disabled=${!text.trim()}>${t("linkConfirm")}</button></form></section>`;
}
