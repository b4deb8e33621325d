// Screens that are loaded when they are opened for the first time. The service worker has them without a network, too.

import { html, useEffect, useState } from "./html.js";
import { useAllTexts } from "../state/language.js";

const AGAIN_MS = 2_000;

/** Return a component that loads another one: `load()` gives it. Without a network it tries again. */
export function lazy(load) {
  let loaded;
  return function Lazy(props) {
    const [Part, setPart] = useState(() => loaded);
    useEffect(() => {
      let timer;
      const get = () => Promise.all([load(), useAllTexts()]).then(([found]) => setPart(() => (loaded = found)),
        (error) => {
          console.warn("A part of Buzz could not be loaded yet:", error);
          timer = setTimeout(get, AGAIN_MS);
        });
      if (!Part) void get();
      return () => clearTimeout(timer);
    }, []);
    return Part ? html`<${Part} ...${props} />` : null;
  };
}
