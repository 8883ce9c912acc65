/**
 * The conversations of this page: rooms this client is in, and people it exchanges private messages with.
 *
 * Pure: knows neither the page nor the connection.
 *
 * @module conversations
 */

import { Timeline } from "./timeline.js";

/**
 * @typedef {object} Conversation
 * @property {string} key  `#lab` or `#@bob`: also its address in the page's URL.
 * @property {"room" | "person"} kind
 * @property {string} name
 * @property {Timeline} timeline
 * @property {string} draft  What was typed and not sent.
 * @property {Map<string, number>} members  Of a room: clientId → connections.
 * @property {number | null} crowd  How many are in a room whose members are not told by name.
 * @property {boolean} resumed  Of a room: what comes as history happened while this page was open.
 */

const MAX_NAME_CHARACTERS = 64;
const NAME = /^[\p{L}\p{M}\p{N}_-][\p{L}\p{M}\p{N}._-]*$/u;

/**
 * The normal form of a room or client name, or null when the server would refuse it.
 * @param {string} text
 * @returns {string | null}
 */
export function parseName(text) {
  const name = text.trim().normalize("NFC");
  return [...name].length <= MAX_NAME_CHARACTERS && NAME.test(name) ? name : null;
}

/** What to say to somebody whose name was refused. */
export const NAME_RULE = "1 to 64 letters, digits or - _ . and no dot in front";

/** @param {string} room */
export const roomKey = (room) => `#${room}`;

/** @param {string} person */
export const personKey = (person) => `#@${person}`;

/**
 * The conversation an address names, or null.
 * @param {string} hash  `location.hash`
 * @returns {{key: string, kind: "room" | "person", name: string} | null}
 */
export function parseKey(hash) {
  let text;
  try {
    text = decodeURIComponent(hash.replace(/^#/, ""));
  } catch {
    return null; // A lone % in the address.
  }
  const kind = text.startsWith("@") ? "person" : "room";
  const name = parseName(kind === "person" ? text.slice(1) : text);
  if (name === null) return null;
  return { key: kind === "person" ? personKey(name) : roomKey(name), kind, name };
}

/** All conversations, and which one is in front. */
export class Conversations {
  /** @type {Map<string, Conversation>} */
  #byKey = new Map();
  /** @type {Conversation | null} */
  active = null;

  /** @param {string} key @returns {Conversation | undefined} */
  get(key) {
    return this.#byKey.get(key);
  }

  /** @param {"room" | "person"} kind @param {string} name @returns {Conversation} the known one, or a new one */
  open(kind, name) {
    const key = kind === "room" ? roomKey(name) : personKey(name);
    let conversation = this.#byKey.get(key);
    if (!conversation) {
      conversation = { key, kind, name, timeline: new Timeline(), draft: "", members: new Map(), crowd: null, resumed: false };
      this.#byKey.set(key, conversation);
    }
    return conversation;
  }

  /** @param {string} key */
  close(key) {
    if (this.active?.key === key) this.active = null;
    this.#byKey.delete(key);
  }

  /** Of one kind, by name. @param {"room" | "person"} kind @returns {Conversation[]} */
  list(kind) {
    const found = [...this.#byKey.values()].filter((conversation) => conversation.kind === kind);
    return found.sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Unread messages of all conversations. */
  get unread() {
    let sum = 0;
    for (const { timeline } of this.#byKey.values()) sum += timeline.unread;
    return sum;
  }
}
