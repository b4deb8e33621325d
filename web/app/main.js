// The way into the app: sign in, open what this device has, show it.

import { html, render } from "./screens/html.js";
import { App } from "./screens/app.js";
import { signedIn } from "./signin/index.js";
import { t, useLanguage } from "./state/language.js";
import { deleteLeftovers } from "./state/leftovers.js";
import { applyTheme, preferences } from "./state/preferences.js";
import { openSession } from "./state/session.js";

applyTheme();
await useLanguage(preferences().language);
const place = document.getElementById("app");

try {
  await deleteLeftovers();
  const person = await signedIn(place);
  const session = await openSession(person);
  place.replaceChildren();
  render(html`<${App} session=${session} />`, place);
  performance.mark("first screen");
  await session.begin();
  // The service worker fetches the whole app once more: not before this page has what it needs.
  void session.settled.then(async () => {
    const { keepOffline } = await import("./offline.js");
    await keepOffline({ onNewVersion: (use) => session.newVersionIs(use) });
  }).catch((error) => console.warn("Buzz is not kept for use without a network:", error));
} catch (error) {
  console.error(error);
  const notice = document.createElement("p");
  notice.setAttribute("role", "alert");
  notice.className = "broken";
  notice.textContent = t("cannotStart", { why: error?.message ?? String(error) });
  place.replaceChildren(notice);
}
