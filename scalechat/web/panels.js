/**
 * The two lists beside the conversation: rooms and people on one side, members on the other.
 *
 * @module panels
 */

import { personKey } from "./conversations.js";
import { avatar, make, reconcile } from "./dom.js";

/** Members drawn at most; a load test may have thousands. */
const MAX_MEMBERS = 200;

/**
 * A list that keeps one row per key, so that focus stays where it is when the list changes.
 * @template T
 */
class KeyedList {
  #rows = new Map();
  #list;
  #build;
  #fill;

  /** @param {HTMLElement} list @param {(item: T) => HTMLElement} build @param {(row: HTMLElement, item: T) => void} fill */
  constructor(list, build, fill) {
    this.#list = list;
    this.#build = build;
    this.#fill = fill;
  }

  /** @param {Map<string, T>} items  In order. @param {...Node} rest  What follows them. */
  draw(items, ...rest) {
    for (const key of this.#rows.keys()) if (!items.has(key)) this.#rows.delete(key);
    for (const [key, item] of items) {
      if (!this.#rows.has(key)) this.#rows.set(key, this.#build(item));
      this.#fill(this.#rows.get(key), item);
    }
    reconcile(this.#list, [...[...items.keys()].map((key) => this.#rows.get(key)), ...rest]);
  }
}

/** Rooms and people. */
export class Sidebar {
  #rooms;
  #people;
  #peopleSection;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.rooms
   * @param {HTMLElement} parts.people
   * @param {HTMLElement} parts.peopleSection
   * @param {(key: string) => void} parts.onClose  Leave the room, or put the conversation away.
   */
  constructor({ rooms, people, peopleSection, onClose }) {
    const build = ({ key, kind, name }) => {
      const mark = kind === "room" ? make("span.hash", { "aria-hidden": "true" }, "#") : avatar(name);
      const link = make("a.place", { href: key }, mark, make("bdi.name", {}, name), make("span.badge"));
      const label = kind === "room" ? `Leave room ${name}` : `Put the conversation with ${name} away`;
      const close = make("button.close", { type: "button", title: label, "aria-label": label, onclick: () => onClose(key) }, "×");
      return make("li", {}, link, close);
    };
    const fill = (row, { timeline: { unread }, active }) => {
      const [link] = row.children;
      const badge = link.querySelector(".badge");
      badge.textContent = unread > 999 ? "999+" : String(unread);
      badge.hidden = unread === 0;
      badge.setAttribute("aria-label", `${unread} unread`);
      link.classList.toggle("unread", unread > 0);
      if (active) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    };
    this.#rooms = new KeyedList(rooms, build, fill);
    this.#people = new KeyedList(people, build, fill);
    this.#peopleSection = peopleSection;
  }

  /** @param {import("./conversations.js").Conversations} conversations */
  draw(conversations) {
    const items = (kind) =>
      new Map(conversations.list(kind).map((one) => [one.key, { ...one, active: one === conversations.active }]));
    const people = items("person");
    this.#rooms.draw(items("room"));
    this.#people.draw(people);
    this.#peopleSection.hidden = people.size === 0;
  }
}

/** Who is in the room. */
export class Members {
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    const build = ({ name, own }) => {
      const person = own ? make("span.person") : make("a.person", { href: personKey(name), title: `Private message to ${name}` });
      person.append(avatar(name), make("bdi.name", {}, name), make("span.count"));
      return make("li", {}, person);
    };
    const fill = (row, { own, connections }) => {
      const count = row.querySelector(".count");
      count.textContent = connections > 1 ? `×${connections}` : own ? "you" : "";
      count.title = connections > 1 ? `${connections} connections` : "";
    };
    this.#list = new KeyedList(list, build, fill);
  }

  /** @param {Map<string, number>} members  clientId → connections @param {string | null} me */
  draw(members, me) {
    const names = [...members.keys()].sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
    const shown = names.slice(0, MAX_MEMBERS);
    const items = new Map(shown.map((name) => [name, { name, own: name === me, connections: members.get(name) }]));
    const more = names.length - shown.length;
    this.#list.draw(items, ...(more > 0 ? [make("li.more", {}, `and ${more.toLocaleString()} more`)] : []));
  }
}
