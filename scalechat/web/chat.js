/**
 * A client for Scale-Chat's `scalechat.v1` protocol, for browsers. No dependencies, no build step.
 *
 * ```js
 * import { connect } from "./chat.js";
 *
 * const chat = connect("ws://localhost:8080/ws", { clientId: "ada" });
 * chat.on("message", ({ room, clientId, text }) => console.log(`${room} ${clientId}: ${text}`));
 * await chat.join("lab", { history: 20 });
 * const { seq } = await chat.send("lab", "hello");   // resolves when the server has acknowledged
 * ```
 *
 * **What it promises.** Each message of a joined room is given once, in order, through `message`, also across lost
 * connections and server restarts; where messages were lost for good, `joined` says so (`recovered: false`). A message
 * that was not acknowledged is sent again under the same id until it is, and appears once. Coming back is spread (full
 * jitter), obeys the wait a server asks for, and does not happen where the close code says that it would not help.
 *
 * **Events** (`chat.on(name, listener)` returns a function that ends it):
 *
 * | name | given |
 * |---|---|
 * | `state` | `{state, code, reason, retryAt, attempt}`: `connecting`, `open`, `waiting` (until `retryAt`, Unix ms), `closed` (for good) |
 * | `welcome` | `{clientId, session, limits, heartbeatMs}` |
 * | `joined` | `{room, members, resumed, recovered, missed, caughtUp}`, before the messages that came with it |
 * | `left` | `{room, error}`: `error` is set when the server no longer lets this client in |
 * | `message` | a `Message`, see `resume.js` |
 * | `gap` | `{room, missed}`: a live message skipped positions; a server that keeps its word never does this |
 * | `direct` | `{clientId, to, text, ts, id}`, also those of this client's other connections |
 * | `presence` | `{room, clientId, event}`: `event` is `join` (first connection) or `leave` (last one) |
 * | `crowd` | `{room, count}`, in place of `presence` where many come and go: so many people are in the room now |
 * | `error` | a `ChatError` that belongs to no call |
 *
 * @module chat
 */

import { CLOSINGS } from "./backoff.js";
import { Link } from "./link.js";
import { CAPACITY, MAX_TRIES, Outbox } from "./outbox.js";
import { Recent, RoomLog, toMessage } from "./resume.js";

export const PROTOCOL = "scalechat.v1";

/** Ids of direct messages kept to know a repeated one. */
const DIRECTS_REMEMBERED = 1000;
/** Wait before joining again where the server was busy, on average. */
const JOIN_AGAIN_MS = 1_500;
/** Until the first welcome says otherwise. */
const DEFAULT_LIMITS = Object.freeze({ message_size_bytes: 65_536, message_rate_per_s: 100 });

/** A request that failed. `code` is the server's word, or `disconnected`, `closed`, `too_large`, `outbox_full`. */
export class ChatError extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail);
    this.name = "ChatError";
    this.code = code;
  }
}

/**
 * An id no other message has. Works without a secure context, where `crypto.randomUUID` is missing.
 * @returns {string}
 */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Open a connection and keep it open until `close()`.
 *
 * @param {string | URL} url  `ws://…/ws`
 * @param {object} [options]
 * @param {string} [options.clientId]  Under which name to speak; not needed with a token.
 * @param {string} [options.token]
 * @param {string} [options.room]  A room to join at once, with `history`; more by `join()`.
 * @param {number} [options.history]
 * @param {boolean} [options.presence]
 * @param {() => number} [options.random]  Uniform in [0, 1), for the jitter.
 * @returns {Chat}
 */
export function connect(url, options = {}) {
  return new Chat(url, options);
}

/** One client. Made by `connect()`. */
export class Chat {
  #random;
  #link;
  #outbox;
  #listeners = new Map();
  /** Rooms this client wants to be in: name → {log, options, joined, joinId, early, waiting}. */
  #rooms = new Map();
  /** Questions under way on this connection: id → {resolve, reject}. */
  #questions = new Map();
  #directsSeen = new Recent(DIRECTS_REMEMBERED);
  #timers = { flush: null, join: null };

  /** Who this client is; null until a token's `welcome` has said. @type {string | null} */
  clientId;
  /** What the server allows. */
  limits = DEFAULT_LIMITS;

  /** @param {string | URL} url @param {object} options */
  constructor(url, options) {
    this.clientId = options.clientId ?? null;
    this.#random = options.random ?? Math.random;
    this.#outbox = new Outbox(this.#random);
    const address = new URL(url);
    address.searchParams.set("room", ""); // Rooms are joined by command: one way for the first time and the tenth.
    if (options.clientId) address.searchParams.set("clientId", options.clientId);
    if (options.token) address.searchParams.set("token", options.token);
    this.#link = new Link(address, PROTOCOL, {
      random: this.#random,
      hear: (frame) => this.#hear(frame),
      lost: () => this.#lost(),
      changed: (status) => this.#changed(status),
      probe: () => this.#probe(),
    });
    if (options.room) this.join(options.room, options).catch((error) => this.#emit("error", error));
    this.#link.open();
  }

  /** `connecting`, `open`, `waiting` or `closed`, with what is known about it. @type {import("./link.js").Status} */
  get status() {
    return this.#link.status;
  }

  /** Messages that wait for an acknowledgement. */
  get unacknowledged() {
    return this.#outbox.size;
  }

  /** Names of the rooms this client is in or wants to be in. */
  get rooms() {
    return [...this.#rooms.keys()];
  }

  /**
   * Listen to an event.
   * @param {string} name  See the table above.
   * @param {(detail: any) => void} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  /**
   * Join a room and stay in it across reconnects.
   * @param {string} room
   * @param {object} [options]
   * @param {number} [options.history]  How many of its last messages to give first.
   * @param {boolean} [options.presence]  Whether to be told who comes and goes.
   * @returns {Promise<object>} the first `joined` event; rejected when the server refuses
   */
  join(room, { history = 0, presence = false } = {}) {
    return new Promise((resolve, reject) => {
      const known = this.#rooms.get(room);
      const entry = known ?? { log: new RoomLog(room), joined: false, early: [], waiting: [], joinId: null };
      entry.options = { history, presence };
      entry.waiting.push({ resolve, reject });
      this.#rooms.set(room, entry);
      if (this.#isOpen) this.#sendJoin(room, entry);
    });
  }

  /**
   * Leave a room; its position is forgotten. Takes effect at once, also while disconnected.
   * @param {string} room
   */
  leave(room) {
    const entry = this.#rooms.get(room);
    if (!entry) return;
    this.#forgetRoom(room, null);
    if (this.#isOpen && entry.joined) this.#link.send({ type: "leave", room });
  }

  /**
   * Say something in a room. While disconnected it waits, and is sent after the room has been resumed.
   * @param {string} room
   * @param {string} text
   * @param {object} [options]
   * @param {string} [options.id]  Own id, to recognise the message when it comes back; from `newId()`.
   * @returns {Promise<{id: string, room: string, seq: number}>} the acknowledgement
   */
  send(room, text, { id = newId() } = {}) {
    return this.#enqueue({ type: "message", id, room, Message: text }, room);
  }

  /**
   * Say something to one person, on all their connections. Such messages are not kept by the server.
   * @param {string} to
   * @param {string} text
   * @param {object} [options]
   * @param {string} [options.id]
   * @returns {Promise<{id: string}>}
   */
  direct(to, text, { id = newId() } = {}) {
    return this.#enqueue({ type: "direct", id, to, Message: text }, null);
  }

  /**
   * Read a room's log backwards.
   * @param {string} room
   * @param {object} [options]
   * @param {number} [options.before]  Only messages with a lower `seq`.
   * @param {number} [options.limit]
   * @returns {Promise<{room: string, epoch: string, messages: import("./resume.js").Message[]}>}
   */
  async history(room, { before, limit = 50 } = {}) {
    const answer = await this.#ask({ type: "history", room, before, limit });
    const messages = answer.messages.map((raw) => toMessage(raw, answer.epoch, false));
    return { room: answer.room, epoch: answer.epoch, messages };
  }

  /**
   * Who is in a room.
   * @param {string} room
   * @returns {Promise<{room: string, members: {clientId: string, connections: number}[], count: number}>}
   */
  async presence(room) {
    const { members, count } = await this.#ask({ type: "presence", room });
    return { room, members, count };
  }

  /** Do not wait any longer: try to connect now. Does nothing unless waiting. */
  reconnectNow() {
    this.#link.retryNow();
  }

  /** End for good. Whatever was not acknowledged is rejected. */
  close() {
    this.#link.end(1000, CLOSINGS[1000].reason);
  }

  // --- the connection comes and goes --------------------------------------------------------------------------------

  get #isOpen() {
    return this.#link.status.state === "open";
  }

  #lost() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    for (const room of this.#rooms.values()) Object.assign(room, { joined: false, early: [], joinId: null });
    this.#outbox.lost();
    const questions = [...this.#questions.values()];
    this.#questions.clear();
    for (const { reject } of questions) reject(new ChatError("disconnected", "the connection was lost"));
  }

  #changed(status) {
    if (status.state === "closed") {
      const waiting = [...this.#rooms.values()].flatMap((room) => room.waiting);
      const error = new ChatError("closed", status.reason);
      for (const { reject } of [...waiting, ...this.#outbox.takeAll()]) reject(error);
      this.#rooms.clear();
    }
    this.#emit("state", status);
  }

  #probe() {
    const [room] = this.#rooms.keys();
    if (room !== undefined) this.history(room, { limit: 1 }).catch(() => {}); // Any answer will do, also an error.
  }

  // --- what is said -------------------------------------------------------------------------------------------------

  #sendJoin(room, entry) {
    entry.joinId = newId();
    const since = entry.log.since ?? undefined;
    this.#link.send({ type: "join", id: entry.joinId, room, since, ...entry.options });
  }

  #joinMissing() {
    for (const [room, entry] of this.#rooms) if (!entry.joined) this.#sendJoin(room, entry);
  }

  /** The server had no room for a join: a full one is not there for good. */
  #joinLater() {
    clearTimeout(this.#timers.join);
    this.#timers.join = setTimeout(() => this.#joinMissing(), JOIN_AGAIN_MS * (0.5 + this.#random()));
  }

  #ask(frame) {
    return new Promise((resolve, reject) => {
      if (!this.#isOpen) throw new ChatError("disconnected", "not connected");
      const id = newId();
      this.#questions.set(id, { resolve, reject });
      this.#link.send({ ...frame, id });
    });
  }

  #enqueue(frame, room) {
    return new Promise((resolve, reject) => {
      if (this.status.state === "closed") throw new ChatError("closed", "the connection is closed");
      if (this.#outbox.size >= CAPACITY) throw new ChatError("outbox_full", "too many messages are waiting");
      const size = frameBytes(frame);
      const most = this.limits.message_size_bytes;
      if (size > most) throw new ChatError("too_large", `${size} bytes; the server takes ${most}`);
      this.#outbox.add(frame, room, { resolve, reject });
      this.#flush();
    });
  }

  /** Send what waits, in order: direct messages once connected, others once their room has been joined or resumed. */
  #flush() {
    if (!this.#isOpen) return;
    const { frames, givenUp, waitMs } = this.#outbox.due(performance.now(), (room) => this.#rooms.get(room)?.joined ?? true);
    for (const frame of frames) this.#link.send(frame);
    for (const { reject } of givenUp) reject(new ChatError("undeliverable", `not acknowledged in ${MAX_TRIES} tries`));
    clearTimeout(this.#timers.flush);
    if (waitMs < Infinity) this.#timers.flush = setTimeout(() => this.#flush(), waitMs);
  }

  // --- what is heard ------------------------------------------------------------------------------------------------

  #hear(frame) {
    switch (frame.type) {
      case undefined:
        return this.#hearMessage(frame);
      case "welcome":
        return this.#hearWelcome(frame);
      case "joined":
        return this.#hearJoined(frame);
      case "ack":
        return this.#settle(frame.id, ({ resolve }) => resolve({ id: frame.id, room: frame.room, seq: frame.seq }));
      case "history":
      case "presence":
        return this.#settle(frame.id, ({ resolve }) => resolve(frame));
      case "presence_event":
        return this.#emit("presence", { room: frame.room, clientId: frame.clientId, event: frame.event });
      case "presence_count":
        return this.#emit("crowd", { room: frame.room, count: frame.count });
      case "direct":
        return this.#hearDirect(frame);
      case "reconnect":
        return this.#link.askedToWait(frame.after_ms);
      case "error":
        return this.#hearError(frame);
      default: // `left`, and whatever the protocol grows: nothing to do.
        return undefined;
    }
  }

  #hearWelcome(frame) {
    this.clientId = frame.clientId;
    this.limits = frame.limits;
    this.#outbox.connected(frame.limits.message_rate_per_s, performance.now());
    this.#link.welcomed(frame.heartbeat_ms);
    const { clientId, session, limits, heartbeat_ms: heartbeatMs } = frame;
    this.#emit("welcome", { clientId, session, limits, heartbeatMs });
    this.#joinMissing();
    this.#flush();
  }

  #hearJoined(frame) {
    const entry = this.#rooms.get(frame.room);
    this.#answered();
    if (!entry || (frame.id !== undefined && frame.id !== entry.joinId)) return; // Left meanwhile, or joined once more.
    const { fresh, resumed, recovered, missed } = entry.log.joined(frame);
    entry.joined = true;
    const event = { room: frame.room, members: frame.members, resumed, recovered, missed, caughtUp: fresh.length };
    this.#emit("joined", event);
    for (const message of fresh) this.#emit("message", message);
    for (const raw of entry.early.splice(0)) this.#hearMessage(raw);
    for (const { resolve } of entry.waiting.splice(0)) resolve(event);
    this.#flush();
  }

  #hearMessage(raw) {
    const entry = this.#rooms.get(raw.room);
    if (!entry) return; // Left meanwhile.
    if (!entry.joined) {
      entry.early.push(raw); // It belongs after what `joined` brings.
      return;
    }
    const { message, hole } = entry.log.live(raw);
    if (hole) this.#emit("gap", { room: raw.room, missed: hole });
    if (message) this.#emit("message", message);
  }

  #hearDirect({ clientId, to, Message: text, ts, id = null }) {
    if (id !== null) {
      const key = `${clientId} ${id}`; // The sender repeats what was not acknowledged: show it once.
      if (this.#directsSeen.has(key)) return;
      this.#directsSeen.add(key);
    }
    this.#emit("direct", { clientId, to, text, ts, id });
  }

  #hearError({ code, detail, id }) {
    const error = new ChatError(code, detail);
    const isPassing = code === "rate_limited" || code === "busy";
    if (isPassing && this.#outbox.repeat(id, performance.now())) {
      this.#answered();
      this.#flush();
      return;
    }
    for (const [room, { joinId }] of this.#rooms) {
      if (id === undefined || joinId !== id) continue;
      this.#answered();
      if (isPassing) return this.#joinLater();
      this.#forgetRoom(room, error);
      return;
    }
    if (!this.#settle(id, ({ reject }) => reject(error))) this.#emit("error", error);
  }

  /** Give the answer to whoever asked under `id`; false when nobody did. */
  #settle(id, answer) {
    const request = this.#outbox.take(id) ?? this.#questions.get(id);
    this.#questions.delete(id);
    if (!request) return false;
    this.#answered();
    answer(request);
    return true;
  }

  /** An answer came, so the link lives; whether one is still due decides if silence matters. */
  #answered() {
    this.#link.answered(this.#questions.size > 0 || this.#outbox.underWay);
  }

  #forgetRoom(room, error) {
    const { waiting } = this.#rooms.get(room);
    this.#rooms.delete(room);
    const unsent = this.#outbox.takeAll((entry) => entry.room === room && !entry.sent);
    for (const { reject } of [...waiting, ...unsent]) reject(error ?? new ChatError("left", "left the room"));
    this.#emit("left", { room, error });
  }

  #emit(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(detail);
      } catch (error) {
        reportError(error); // A listener's fault must not end the conversation.
      }
    }
  }
}

/**
 * How many bytes a frame has on the wire: this is what the server's limit counts.
 * @param {object} frame
 * @returns {number}
 */
export function frameBytes(frame) {
  return new TextEncoder().encode(JSON.stringify(frame)).length;
}
