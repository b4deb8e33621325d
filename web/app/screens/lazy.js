// Screens that are loaded when they are opened for the first time. The service worker has them without a network, too.

import { html, useEffect, useState } from "./html.js";

/** Return a component that loads another one: `load()` gives it. */
export function lazy(load) {
  let loaded;
  return function Lazy(props) {
    const [Part, setPart] = useState(() => loaded);
    useEffect(() => {
      if (!Part) load().then((found) => setPart(() => (loaded = found)));
    }, []);
    return Part ? html`<${Part} ...${props} />` : null;
  };
}
