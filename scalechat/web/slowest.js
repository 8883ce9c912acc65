/**
 * The table of those that most waits for.
 *
 * @module slowest
 */

import { bytes } from "./cards.js";
import { byId, make } from "./dom.js";

const age = new Intl.NumberFormat([], { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** @param {{queue_frames: number, queue_bytes: number, queue_age_s: number, who: object | null}[]} clients */
export function showSlowest(clients) {
  const section = byId("slowest-title").closest("section");
  byId("slowest-none").hidden = clients.length > 0;
  section.querySelector(".table").hidden = clients.length === 0;
  section.querySelector("tbody").replaceChildren(...clients.map(row));
}

function row({ who, queue_frames: frames, queue_bytes: size, queue_age_s: seconds }) {
  const name = who ? (who.clientId ?? "without a name") : "hidden";
  // Long names end in dots; the whole one is a moment's rest of the pointer away.
  return make("tr", {}, make("td", { title: name }, make("bdi", {}, name)), make("td", {}, who?.address ?? ""), make("td", {}, bytes(size)), make("td", {}, String(frames)), make("td", {}, `${age.format(seconds)} s`));
}
