/**
 * The two side panels: columns where there is room, drawers over the conversation where there is not.
 *
 * @module drawers
 */

import { byId } from "./dom.js";

/** Widths from which a panel is a column; `style.css` has the same. */
const COLUMN_FROM = { sidebar: "(min-width: 720px)", members: "(min-width: 1000px)" };

/**
 * Wire the panels and their buttons.
 * @returns {{close: () => boolean}} `close` puts an open drawer away and says whether there was one.
 */
export function setUpDrawers() {
  const scrim = byId("scrim");
  const panels = Object.entries(COLUMN_FROM).map(([name, from]) => {
    const query = matchMedia(from);
    return { panel: byId(name), button: byId(`show-${name}`), query, open: query.matches };
  });

  function apply() {
    for (const { panel, button, query, open } of panels) {
      panel.classList.toggle("open", open);
      panel.inert = !open; // What is out of sight is out of the tab order, too.
      button.setAttribute("aria-expanded", String(open));
      byId("app").classList.toggle(`without-${panel.id}`, query.matches && !open);
    }
    const covered = panels.some(({ query, open }) => open && !query.matches);
    byId("conversation").inert = covered;
    scrim.hidden = !covered;
  }

  function close() {
    const drawer = panels.find(({ query, open }) => open && !query.matches);
    if (!drawer) return false;
    drawer.open = false;
    apply();
    drawer.button.focus();
    return true;
  }

  for (const entry of panels) {
    entry.button.addEventListener("click", () => {
      entry.open = !entry.open;
      apply();
      if (entry.open && !entry.query.matches) entry.panel.querySelector("a, button, input")?.focus();
    });
    entry.query.addEventListener("change", ({ matches }) => {
      entry.open = matches;
      apply();
    });
  }
  scrim.addEventListener("click", close);
  apply();
  return { close };
}
