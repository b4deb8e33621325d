// What the person has chosen on this device. Not secret, so it is in the browser's small store.

const NAME = "buzz-preferences";
const STANDARD = { language: "", theme: "", singleKeys: true, sound: false, notifications: "unasked", push: null, details: false };

function read() {
  try {
    return { ...STANDARD, ...JSON.parse(localStorage.getItem(NAME) ?? "{}") };
  } catch {
    return { ...STANDARD };
  }
}

let chosen = read();

export const preferences = () => chosen;

/** Change some of them, and keep them. */
export function prefer(changes) {
  chosen = { ...chosen, ...changes };
  localStorage.setItem(NAME, JSON.stringify(chosen));
  applyTheme();
}

/** Show the page in the chosen colours; without a choice it follows the system. */
export function applyTheme() {
  const { theme } = chosen;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** The name of this browser as a device of a person. It stays until they sign out. */
export function deviceIdOf(personId) {
  const name = `buzz-device-${personId}`;
  const kept = localStorage.getItem(name);
  if (kept) return kept;
  const made = `web-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
  localStorage.setItem(name, made);
  return made;
}

/** Forget the name: the next sign-in is a new device. */
export const forgetDevice = (personId) => localStorage.removeItem(`buzz-device-${personId}`);
