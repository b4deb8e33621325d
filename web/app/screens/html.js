// What every screen uses to build its elements. Text from outside is only ever text: nothing here makes HTML of a string.

import { h } from "/vendor/preact/preact.js";
import { useLayoutEffect, useReducer } from "/vendor/preact/hooks.js";
import htm from "/vendor/htm/htm.js";

export { Component, createContext, Fragment, render } from "/vendor/preact/preact.js";
export { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "/vendor/preact/hooks.js";
export const html = htm.bind(h);

/** Show a component again whenever one of the session's topics has changed. */
export function useTopics(session, ...names) {
  const [, again] = useReducer((count) => count + 1, 0);
  // At once: other effects run after a frame, and a change before that would not be drawn.
  useLayoutEffect(() => {
    const ends = names.map((name) => session.topics.follow(name, again));
    return () => ends.forEach((end) => end());
  }, [session, names.join(" ")]);
}

/** Tell those who do not see the page what just happened. */
export function announce(text) {
  const place = document.getElementById("announcer");
  // The same words twice are two events.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}
