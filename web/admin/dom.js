// Building the page without a string of HTML anywhere: whatever comes from outside can only ever be text.

/**
 * An element. Properties: `class`, `on` (listeners by event), `data` (data-attributes), everything else an attribute;
 * `true` sets an empty one, `false`, `null` and `undefined` leave it out. Children: nodes, text, or nothing.
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Fill an element anew, unless it would look the same: a screen reader is not told twice, a selection is not lost. */
export function fill(target, ...children) {
  const next = el("div", {}, ...children);
  const same = target.childNodes.length === next.childNodes.length
    && [...target.childNodes].every((node, index) => node.isEqualNode(next.childNodes[index]));
  if (!same) target.replaceChildren(...next.childNodes);
}

/**
 * Keep a list's elements in step with `items`. What did not change keeps its element, with focus and selection; what
 * did gets a new one, and the focus moves to the control of the same `data-action`.
 */
export function keep(parent, items, keyOf, render) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const next = items.map((item) => {
    const key = String(keyOf(item));
    const shown = JSON.stringify(item);
    const old = before.get(key);
    if (old && old.shown === shown) return old;
    const made = render(item);
    made.dataset.key = key;
    made.shown = shown;
    if (old && old.contains(document.activeElement)) made.refocus = document.activeElement.dataset.action;
    return made;
  });
  const moved = next.length !== parent.children.length || next.some((node, index) => node !== parent.children[index]);
  if (moved) parent.replaceChildren(...next);
  for (const node of next) {
    if (node.refocus) node.querySelector(`[data-action="${node.refocus}"]`)?.focus();
    node.refocus = undefined;
  }
}

/** Tell those who do not see the page what just happened. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/**
 * A table that becomes a list of cards where there is little room. `columns`: `{title, numeric?}`.
 * Returns the table, with `body` for its rows and `row(key, …cells)` to make one.
 */
export function table(caption, columns) {
  // The roles are spelled out because a table that is laid out as cards loses them.
  const head = columns.map((column) =>
    el("th", { scope: "col", role: "columnheader", class: column.numeric && "numeric" }, column.title));
  const body = el("tbody", { role: "rowgroup" });
  const whole = el("table", { role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)), body);
  const row = (...cells) => el("tr", { role: "row" }, cells.map((cell, index) =>
    el("td", { role: "cell", class: columns[index].numeric && "numeric", data: { label: columns[index].title } },
      el("div", {}, cell))));
  return { whole: el("div", { class: "table" }, whole), body, row };
}
