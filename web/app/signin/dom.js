/** Making elements: texts become text, never HTML. */

/**
 * @param {string} name
 * @param {Record<string, any>} [attributes] an attribute that is false is left out; `on` has listeners
 * @param {...(Node | string | null | false)} children
 */
export function el(name, { on = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value)
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener)
  made.append(...children.filter((child) => child !== null && child !== false))
  return made
}
