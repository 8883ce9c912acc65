/**
 * The page once it knows who you are: the client (`chat.js`), the conversations and their views, put together.
 *
 * @module app
 */

import { Announcer } from "./announcer.js";
import { frameBytes, newId } from "./chat.js";
import { parseLine } from "./commands.js";
import { Composer } from "./composer.js";
import { Conversations, NAME_RULE, parseKey, parseName, personKey, roomKey } from "./conversations.js";
import { avatar, byId } from "./dom.js";
import { setUpDrawers } from "./drawers.js";
import { showEntrance } from "./entrance.js";
import { ErrorLine, plainError } from "./error-line.js";
import { LinkState } from "./link-state.js";
import { Members, Sidebar } from "./panels.js";
import { Presence } from "./presence.js";
import { remember } from "./settings.js";
import { PAGE_ROWS, Thread } from "./thread.js";

/** Messages that a room begins with. */
const HISTORY = 60;
/** Events of the client → conversations → what is seen; and what the person does → the client. */
export class App {
  #chat;
  #settings;
  #conversations = new Conversations();
  #thread;
  #composer;
  #sidebar;
  #members;
  #presence;
  #link;
  #drawers = setUpDrawers();
  #drawing = false;
  #errors = new ErrorLine(byId("error"));
  #announcer = new Announcer(byId("announcer"));

  /** @param {import("./chat.js").Chat} chat @param {import("./settings.js").Settings} settings */
  constructor(chat, settings) {
    this.#chat = chat;
    this.#settings = settings;
    this.#thread = new Thread({
      scroller: byId("scroller"),
      list: byId("messages"),
      jump: byId("jump"),
      actions: {
        onPerson: (name) => this.#go(personKey(name)),
        onRetry: (id) => this.#retry(id),
        onDiscard: (id) => this.#discard(id),
      },
      loadOlder: () => this.#loadOlder(),
      seen: () => this.#seen(),
    });
    this.#composer = new Composer({
      form: byId("composer"),
      text: byId("text"),
      size: byId("size"),
      onSend: (line) => this.#enter(line),
      onScroll: (screens) => this.#thread.scrollScreens(screens),
      measure: (text) => this.#measure(text),
    });
    this.#sidebar = new Sidebar({
      rooms: byId("rooms"),
      people: byId("people"),
      peopleSection: byId("people-section"),
      onClose: (key) => this.#close(key),
    });
    this.#members = new Members(byId("member-list"));
    const onBack = () => this.#composer.focus();
    const again = () => showEntrance({ name: chat.clientId, room: this.#roomHere(), token: settings.token, onBack });
    this.#link = new LinkState({
      mark: byId("link-mark"),
      banner: byId("banner"),
      text: byId("banner-text"),
      countdown: byId("banner-countdown"),
      action: byId("banner-action"),
      onRetry: () => chat.reconnectNow(),
      onIdentity: again,
    });
    byId("me").addEventListener("click", again);
    this.#presence = new Presence(chat, this.#conversations, () => this.#drawSoon());
    this.#listen();
    this.#drawMe();
    for (const room of settings.rooms.length ? settings.rooms : [settings.room]) this.#joinRoom(room);
    this.#route();
  }

  #listen() {
    const chat = this.#chat;
    this.#link.show(chat.status);
    chat.on("state", (status) => this.#link.show(status));
    chat.on("welcome", () => this.#drawMe());
    chat.on("joined", (joined) => this.#onJoined(joined));
    chat.on("message", (message) => this.#onMessage(message));
    chat.on("gap", ({ room, missed }) => this.#gap(room, missed));
    chat.on("direct", (direct) => this.#onDirect(direct));
    chat.on("error", (error) => this.#errors.show(plainError(error)));
    window.addEventListener("hashchange", () => this.#route());
    window.addEventListener("beforeunload", (event) => {
      if (chat.unacknowledged > 0) event.preventDefault(); // Leaving would lose what was written and not sent.
    });
    document.addEventListener("visibilitychange", () => this.#drawSoon());
    document.addEventListener("keydown", (event) => this.#onKey(event));
    byId("join").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#joinByForm();
    });
  }

  // --- where we are -------------------------------------------------------------------------------------------------

  /** Show the conversation that the address names. */
  #route() {
    const target = parseKey(location.hash);
    if (!target) return this.#errors.show(`The address names no room: a name has ${NAME_RULE}.`);
    if (target.kind === "room") this.#joinRoom(target.name);
    else if (target.name === this.#chat.clientId) return this.#errors.show("That is you.");
    const { active } = this.#conversations;
    if (active) active.draft = this.#composer.value;
    const conversation = this.#conversations.open(target.kind, target.name);
    this.#conversations.active = conversation;
    const isRoom = conversation.kind === "room";
    if (isRoom) remember({ room: conversation.name });
    byId("title").textContent = isRoom ? `#${conversation.name}` : conversation.name;
    byId("app").dataset.kind = conversation.kind;
    this.#composer.value = conversation.draft;
    this.#composer.setPlaceholder(isRoom ? `Message #${conversation.name}` : `Private message to ${conversation.name}`);
    this.#errors.clear();
    this.#drawers.close();
    this.#thread.show(
      conversation.timeline,
      isRoom
        ? `This is the beginning of what the server keeps of #${conversation.name}.`
        : `Only you and ${conversation.name} see this. Private messages are delivered, not kept: a reload forgets them.`,
    );
    this.#draw();
    if (matchMedia("(hover: hover)").matches) this.#composer.focus(); // A phone would open its keyboard.
  }

  #go(key) {
    if (location.hash === key) this.#route();
    else location.hash = key;
  }

  #roomHere() {
    const { active } = this.#conversations;
    return active?.kind === "room" ? active.name : (this.#conversations.list("room")[0]?.name ?? "global");
  }

  #joinByForm() {
    const input = byId("join-room");
    const room = parseName(input.value);
    if (room === null) return this.#errors.show(`A room name has ${NAME_RULE}.`);
    input.value = "";
    this.#go(roomKey(room));
  }

  #joinRoom(room) {
    if (this.#conversations.get(roomKey(room))) return;
    this.#conversations.open("room", room);
    this.#rememberRooms();
    this.#chat.join(room, { history: HISTORY, presence: true }).catch((error) => {
      if (error.code === "left" || error.code === "closed") return;
      this.#errors.show(`Cannot join #${room}. ${plainError(error)}`);
      this.#conversations.close(roomKey(room));
      this.#rememberRooms();
      this.#drawSoon();
    });
  }

  #close(key) {
    const { kind, name } = parseKey(key);
    if (kind === "room" && this.#conversations.list("room").length === 1) return this.#refuse("This is your only room: join another one first.");
    const wasActive = this.#conversations.active?.key === key;
    this.#conversations.close(key);
    if (kind === "room") this.#chat.leave(name);
    this.#rememberRooms();
    if (wasActive) this.#go(this.#conversations.list("room")[0]?.key ?? roomKey("global"));
    else this.#draw();
    return true;
  }

  #rememberRooms() {
    remember({ rooms: this.#conversations.list("room").map(({ name }) => name) });
  }

  // --- what is heard ------------------------------------------------------------------------------------------------

  #onJoined(joined) {
    const conversation = this.#conversations.get(roomKey(joined.room));
    if (conversation) conversation.resumed = joined.resumed;
    if (!joined.recovered) this.#gap(joined.room, joined.missed);
    this.#link.caughtUp(joined);
  }

  #gap(room, missed) {
    this.#conversations.get(roomKey(room))?.timeline.appendGap(missed);
    this.#thread.update();
  }

  #onMessage(message) {
    const conversation = this.#conversations.get(roomKey(message.room));
    if (!conversation) return;
    // What a fresh join brings is old; what a reconnect brings happened while the person was here.
    this.#add(conversation, message, message.live || conversation.resumed);
  }

  #onDirect({ clientId, to, text, ts, id }) {
    const own = clientId === this.#chat.clientId;
    this.#add(this.#conversations.open("person", own ? to : clientId), { clientId, text, ts, id }, true);
  }

  #add(conversation, message, isNews) {
    const own = message.clientId === this.#chat.clientId;
    const inSight = conversation === this.#conversations.active && this.#thread.isAtEnd;
    conversation.timeline.append(message, { own, unread: isNews && !own && !inSight });
    if (inSight && isNews && !own) this.#announcer.hear(message);
    if (conversation === this.#conversations.active) this.#thread.update();
    this.#drawSoon();
  }

  async #loadOlder() {
    const conversation = this.#conversations.active;
    const before = conversation.timeline.olderThan;
    if (conversation.kind !== "room" || before === null) return;
    try {
      const answer = await this.#chat.history(conversation.name, { before, limit: PAGE_ROWS });
      conversation.timeline.prepend(answer, this.#chat.clientId);
    } catch {
      // Not connected; scrolling tries again.
    }
  }

  // --- what the person does -----------------------------------------------------------------------------------------

  /** A line from the message box. @returns {boolean} whether it was taken */
  #enter(line) {
    this.#errors.clear();
    const intent = parseLine(line, { room: this.#roomHere() });
    const { active } = this.#conversations;
    switch (intent.kind) {
      case "wrong":
        return this.#refuse(intent.why);
      case "join":
        this.#go(roomKey(intent.room));
        return true;
      case "leave":
        return this.#close(active.kind === "person" && line.trim() === "/leave" ? active.key : roomKey(intent.room));
      case "msg": {
        if (intent.to === this.#chat.clientId) return this.#refuse("That is you.");
        const person = this.#conversations.open("person", intent.to);
        if (!this.#say(person, intent.text)) return false;
        this.#composer.value = "";
        this.#go(person.key);
        return true;
      }
      default:
        return this.#say(active, intent.text);
    }
  }

  #say(conversation, text) {
    const { bytes, limit } = this.#measure(text);
    if (bytes > limit) return this.#refuse(`Too long: ${bytes.toLocaleString()} bytes, the server takes ${limit.toLocaleString()}.`);
    const id = newId();
    const { kind, name, timeline } = conversation;
    timeline.addPending({ id, clientId: this.#chat.clientId ?? "you", text, ts: Date.now() });
    timeline.clearDivider();
    const sent = kind === "room" ? this.#chat.send(name, text, { id }) : this.#chat.direct(name, text, { id });
    sent.then(
      () => {
        if (kind === "room") return; // It comes back with its place in the room's log.
        timeline.append({ id, clientId: this.#chat.clientId, text, ts: Date.now() }, { own: true });
        this.#thread.update();
      },
      (error) => {
        timeline.fail(id, plainError(error, kind === "person" ? name : undefined));
        this.#thread.update();
      },
    );
    if (conversation === this.#conversations.active) this.#thread.toBottom();
    return true;
  }

  #refuse(why) {
    this.#errors.show(why);
    return false;
  }

  #retry(id) {
    const conversation = this.#conversations.active;
    const entry = conversation.timeline.takePending(id);
    if (entry) this.#say(conversation, entry.text);
  }

  #discard(id) {
    this.#conversations.active.timeline.takePending(id);
    this.#thread.update();
    this.#composer.focus();
  }

  #onKey(event) {
    if (event.key !== "Escape") return;
    if (this.#drawers.close()) return;
    this.#errors.clear();
    this.#thread.toBottom();
    this.#composer.focus();
  }

  /** Size of the frame this text would make, for the longest way to say it. */
  #measure(text) {
    const { active } = this.#conversations;
    const frame = { type: "message", id: "0".repeat(24), room: active?.name ?? "", Message: text };
    return { bytes: frameBytes(frame), limit: this.#chat.limits.message_size_bytes };
  }

  // --- what is seen -------------------------------------------------------------------------------------------------

  #seen() {
    const { active } = this.#conversations;
    if (!active || active.timeline.unread === 0) return;
    active.timeline.markRead();
    this.#drawSoon();
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    setTimeout(() => {
      this.#drawing = false;
      this.#draw();
    }, 50);
  }

  /** Everything but the messages. */
  #draw() {
    const { active, unread } = this.#conversations;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${active ? byId("title").textContent : ""} · Scale-Chat`;
    this.#sidebar.draw(this.#conversations);
    byId("elsewhere").hidden = unread - (active?.timeline.unread ?? 0) === 0;
    const members = active?.members ?? new Map();
    this.#members.draw(members, this.#chat.clientId);
    const size = active?.crowd ?? members.size;
    const count = size.toLocaleString();
    byId("member-count").textContent = count;
    const inRoom = size === 0 ? "" : `${count} member${size === 1 ? "" : "s"}`;
    byId("subtitle").textContent = active?.kind === "person" ? this.#whereabouts(active.name) : inRoom;
  }

  /** Where a person is now: nobody is told when a private message finds no one. */
  #whereabouts(name) {
    const room = this.#presence.roomOf(name);
    return room === null ? "in none of your rooms now, so this may reach nobody" : `in #${room} now`;
  }

  #drawMe() {
    const name = this.#chat.clientId ?? "…";
    byId("me-name").textContent = name;
    byId("me-avatar").replaceChildren(avatar(name));
    if (this.#settings.remember && !this.#settings.token) remember({ name });
  }
}
