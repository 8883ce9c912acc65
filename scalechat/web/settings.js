/**
 * What this viewer chose: name and rooms in `localStorage`, a token in `sessionStorage`, and what the address says.
 *
 * The address may carry `?name=ada&room=lab`, `#lab`, `#@bob`, or `#room=lab&token=…`; a token is taken out of the
 * address at once, so that it stays in no history and no screenshot. Names given by the address are not remembered: two
 * tabs can be two people.
 *
 * @module settings
 */

import { parseKey, parseName, roomKey } from "./conversations.js";

const STORE = "scalechat";
const TOKEN = "scalechat.token";
const MAX_ROOMS = 20;

/**
 * @typedef {object} Settings
 * @property {string | null} name
 * @property {string} key  The conversation to begin with.
 * @property {string} room  The room to begin with, also when the address names a person.
 * @property {string[]} rooms
 * @property {string | null} token
 * @property {boolean} remember  Whether the name is this viewer's own, not the address's.
 */

/** @returns {Settings} */
export function readSettings() {
  const stored = readStore();
  const fromHash = location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : new URLSearchParams();
  const query = new URLSearchParams(location.search);
  const given = (key) => fromHash.get(key) ?? query.get(key);
  const givenName = parseName(given("name") ?? "");
  const givenRoom = parseName(given("room") ?? "");
  const token = fromHash.get("token") ?? attempt(() => sessionStorage.getItem(TOKEN));
  if (token) attempt(() => sessionStorage.setItem(TOKEN, token));
  const named = location.hash.includes("=") ? null : parseKey(location.hash);
  const key = named?.key ?? roomKey(givenRoom ?? stored.room ?? "global");
  if (location.hash !== key) history.replaceState(null, "", `${location.pathname}${location.search}${key}`);
  const begin = parseKey(key);
  const room = begin.kind === "room" ? begin.name : (stored.room ?? "global");
  return { name: givenName ?? stored.name, key, room, rooms: stored.rooms, token, remember: givenName === null };
}

/** Start afresh as somebody else: what the address says no longer counts. @param {{name: string, room: string, token: string}} choice */
export function restartAs({ name, room, token }) {
  remember({ name, room, rooms: [room] });
  attempt(() => (token ? sessionStorage.setItem(TOKEN, token) : sessionStorage.removeItem(TOKEN)));
  history.replaceState(null, "", `${location.pathname}${roomKey(room)}`);
  location.reload();
}

/** @param {{name?: string, room?: string, rooms?: string[]}} change */
export function remember(change) {
  attempt(() => localStorage.setItem(STORE, JSON.stringify({ ...readStore(), ...change })));
}

function readStore() {
  const { name, room, rooms } = attempt(() => JSON.parse(localStorage.getItem(STORE) ?? "{}")) ?? {};
  const known = Array.isArray(rooms) ? rooms.map((one) => parseName(String(one))).filter((one) => one !== null) : [];
  return { name: parseName(String(name ?? "")), room: parseName(String(room ?? "")), rooms: known.slice(0, MAX_ROOMS) };
}

/** Storage may be forbidden or full; the page works without it. */
function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
