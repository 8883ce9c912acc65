/**
 * Making elements. Text goes in as text nodes only: there is no way from a string to markup in this page.
 *
 * @module dom
 */

/**
 * Make an element.
 * @param {string} name  Tag, with classes after dots: `"button.quiet.small"`.
 * @param {Record<string, unknown>} [properties]  `on…` are listeners, `aria-…`/`data-…`/`role` attributes, the rest properties.
 * @param {...(Node | string | null)} children  Strings become text nodes; null is left out.
 * @returns {HTMLElement}
 */
export function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (/^(aria-|data-|role$)/.test(key)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * The element of the page with this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Make `parent` hold exactly `children`, in order. Nodes that stay are not touched, so focus and selection survive.
 * @param {Element} parent
 * @param {Node[]} children
 */
export function reconcile(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** A round mark with a person's first letters, in a colour that belongs to the name. @param {string} name */
export function avatar(name) {
  const letters = [...name.replace(/[^\p{L}\p{N}]+/gu, " ").trim()].slice(0, 2).join("") || "?";
  const mark = make("span.avatar", { "aria-hidden": "true" }, letters);
  mark.style.setProperty("--hue", hueOf(name));
  return mark;
}

/** The same name has the same hue everywhere. FNV-1a: short names that differ by one letter land far apart. */
function hueOf(name) {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return String((hash >>> 0) % 360);
}
