/**
 * Who is where: keeps the members of each room up to date.
 *
 * @module presence
 */

import { roomKey } from "./conversations.js";

/** Connection counts change without an event, so the list in sight is read anew now and then, where that is cheap. */
const PERIOD_MS = 20_000;
const CHEAP_UP_TO = 300;

export class Presence {
  #chat;
  #conversations;
  #changed;

  /** @param {import("./chat.js").Chat} chat @param {import("./conversations.js").Conversations} conversations @param {() => void} changed */
  constructor(chat, conversations, changed) {
    this.#chat = chat;
    this.#conversations = conversations;
    this.#changed = changed;
    chat.on("joined", ({ room }) => this.#refresh(room));
    chat.on("presence", (event) => this.#follow(event));
    chat.on("crowd", (event) => this.#count(event));
    setInterval(() => this.#refreshActive(), PERIOD_MS);
  }

  /** The name of a room of ours where this person is now, or null. @param {string} name */
  roomOf(name) {
    return this.#conversations.list("room").find(({ members }) => members.has(name))?.name ?? null;
  }

  #follow({ room, clientId, event }) {
    const members = this.#conversations.get(roomKey(room))?.members;
    if (!members) return;
    if (event === "join") members.set(clientId, members.get(clientId) ?? 1);
    else members.delete(clientId);
    this.#changed();
  }

  /** Many have come or gone at once: their names come with the next look, if there are not too many. */
  #count({ room, count }) {
    const conversation = this.#conversations.get(roomKey(room));
    if (!conversation) return;
    if (count <= CHEAP_UP_TO) return void this.#refresh(room);
    conversation.crowd = count;
    this.#changed();
  }

  async #refresh(room) {
    try {
      const { members, count } = await this.#chat.presence(room);
      const conversation = this.#conversations.get(roomKey(room));
      if (!conversation) return; // Left meanwhile.
      conversation.crowd = members.length < count ? count : null;
      conversation.members = new Map(members.map(({ clientId, connections }) => [clientId, connections]));
      this.#changed();
    } catch {
      // Not connected: `joined` will ask again.
    }
  }

  #refreshActive() {
    const { active } = this.#conversations;
    if (!document.hidden && active?.kind === "room" && active.members.size <= CHEAP_UP_TO) this.#refresh(active.name);
  }
}
