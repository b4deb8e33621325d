// The app's icons: lines on a grid of 24, drawn for it.

import { html } from "./html.js";

const PATHS = {
  messages: "M4 5.5h16v11H10l-4 3.5v-3.5H4z",
  calls: "M6 3.5h3l1.5 4.5-2 1.5a12 12 0 0 0 6 6l1.5-2 4.5 1.5v3c0 1.2-.8 2-2 2A15.5 15.5 0 0 1 4 5.5c0-1.2.8-2 2-2z",
  privacy: "M7 3.5h7l4 4v13H7zM14 3.5v4h4M10 12h5M10 16h5",
  devices: "M3.5 5h13v9h-13zM2 17.500h10M15 10.500h6v9h-6z",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M13 4.500v5h4v-5zM7 14.500v5h4v-5z",
  search: "M10.500 4a6.500 6.500 0 1 1 0 13a6.500 6.500 0 0 1 0-13zM15.500 15.500 20.500 20.500",
  plus: "M12 5v14M5 12h14",
  send: "M4 12 20 4.500 15.500 20 11.500 13.500z",
  back: "M14.500 5 7.500 12l7 7",
  close: "M6 6l12 12M18 6 6 18",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  open: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 6.800-1.200",
  warning: "M12 4 21 19.500H3zM12 10v4M12 16.800v.2",
  reply: "M9.500 6 4.500 11l5 5M5 11h8.500a6 6 0 0 1 6 6v1.500",
  react: "M12 4a8 8 0 1 1 0 16a8 8 0 0 1 0-16zM9 10v.5M15 10v.5M8.500 14a4.200 4.200 0 0 0 7 0",
  copy: "M9 9h10.500v11H9zM15 9V4.500H4.500V15.500H9",
  down: "M6 9.500l6 6 6-6",
  details: "M12 4a8 8 0 1 1 0 16a8 8 0 0 1 0-16zM12 11v5M12 7.800v.2",
  missed: "M4 6l8 7 8-7M4 6v5M4 6h5M4 17.500c5-3.500 11-3.500 16 0",
  blocked: "M12 4a8 8 0 1 1 0 16a8 8 0 0 1 0-16zM6.500 6.500l11 11",
  check: "M5 12.500l4.500 4.500L19 7.500",
  checks: "M2.500 12.500 7 17l8-9M11.500 16l1 1 9-9.500",
  clock: "M12 4a8 8 0 1 1 0 16a8 8 0 0 1 0-16zM12 8v4.500l3 2",
  play: "M8 5.500v13l11-6.500z",
  help: "M12 4a8 8 0 1 1 0 16a8 8 0 0 1 0-16zM9.800 10a2.300 2.300 0 1 1 3.200 2.100c-.7.300-1 .700-1 1.400M12 16.300v.2",
  out: "M10 4.500H5v15h5M14 8l4 4-4 4M18 12H9.500",
};

/** An icon beside a text that says the same; screen readers do not hear it. */
export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
