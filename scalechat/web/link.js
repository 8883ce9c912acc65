/**
 * One WebSocket that comes back: connects, notices death, waits as it should, connects again.
 *
 * Theory of operation, in `status.state`:
 *
 *     connecting   a socket is being opened, or is open and has not been welcomed
 *     open         welcomed: frames may be sent
 *     waiting      until `retryAt`, then connecting again
 *     closed       for good
 *
 * It knows nothing of rooms and messages; only when a question is out and unanswered, which is how it finds a dead peer.
 *
 * @module link
 */

import { backoffMs, CLOSINGS, retryAfterMs, shouldReconnect } from "./backoff.js";

/** No welcome within this time: the attempt has failed. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Something was asked and nothing at all was heard for so long: the connection is dead. */
const ANSWER_TIMEOUT_MS = 10_000;
/** How often silence is looked at. */
const WATCH_PERIOD_MS = 2_500;
/** A connection that lasted so long was a good one: the next loss starts again with the shortest wait. */
const GOOD_AFTER_MS = 5_000;
/** The browser never got a Close frame, or we gave up on it. */
const LOST = 1006;

/**
 * @typedef {object} Status
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {number | null} code  Close code of the connection before.
 * @property {string} reason  One human line, without the part that is for programs.
 * @property {number | null} retryAt  Unix ms.
 * @property {number} attempt  Failed attempts in a row.
 */

/**
 * @typedef {object} Callbacks
 * @property {(frame: object) => void} hear  A frame has come.
 * @property {() => void} lost  The socket is gone; the next `changed` tells what follows.
 * @property {(status: Status) => void} changed
 * @property {() => void} probe  Nothing was heard for long: ask something, anything.
 */

export class Link {
  #url;
  #protocol;
  #random;
  #on;
  /** @type {WebSocket | null} */
  #socket = null;
  #attempt = 0;
  #afterMs = null;
  #heartbeatMs = Infinity;
  #welcomedAt = null;
  #heardAt = 0;
  #askedAt = null;
  #timers = { retry: null, connect: null, watch: null };
  #online = () => this.retryNow();
  /** @type {Status} */
  status = Object.freeze({ state: "connecting", code: null, reason: "", retryAt: null, attempt: 0 });

  /** @param {URL} url @param {string} protocol @param {Callbacks & {random: () => number}} parts */
  constructor(url, protocol, { random, ...on }) {
    this.#url = url;
    this.#protocol = protocol;
    this.#random = random;
    this.#on = on;
    globalThis.addEventListener?.("online", this.#online);
  }

  /** Connect. */
  open() {
    clearTimeout(this.#timers.retry);
    this.#become({ state: "connecting" });
    const socket = new WebSocket(this.#url, this.#protocol);
    this.#socket = socket;
    this.#timers.connect = setTimeout(() => this.#lost(LOST, "no answer"), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      if (socket.protocol !== this.#protocol) this.end(1002, `the server does not speak ${this.#protocol}`);
    };
    socket.onmessage = ({ data }) => {
      this.#heardAt = performance.now();
      this.#on.hear(JSON.parse(data)); // A server that sends anything else is broken: let the console say so.
    };
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  /** The server has said welcome. @param {number} heartbeatMs  Silence up to here is ordinary. */
  welcomed(heartbeatMs) {
    clearTimeout(this.#timers.connect);
    this.#heartbeatMs = heartbeatMs;
    this.#welcomedAt = performance.now();
    this.#become({ state: "open" });
    this.#watch();
  }

  /** Send a frame; one with an `id` expects an answer. Only while open. @param {object} frame */
  send(frame) {
    if (frame.id !== undefined) this.#askedAt ??= performance.now();
    this.#socket.send(JSON.stringify(frame));
  }

  /** An answer came. @param {boolean} more  Whether another one is due. */
  answered(more) {
    this.#askedAt = more ? performance.now() : null;
  }

  /** The server wants the next attempt so much later. @param {number} afterMs */
  askedToWait(afterMs) {
    this.#afterMs = afterMs;
  }

  /** Do not wait any longer. Does nothing unless waiting. */
  retryNow() {
    if (this.status.state === "waiting") this.open();
  }

  /** End for good. @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.status.state === "closed") return;
    this.#drop();
    clearTimeout(this.#timers.retry);
    globalThis.removeEventListener?.("online", this.#online);
    this.#become({ state: "closed", code, reason: plainReason(code, reason) });
  }

  /** The connection is gone, or is to be treated as gone: decide whether and when to come back. */
  #lost(code, reason) {
    const wasGood = this.#welcomedAt !== null && performance.now() - this.#welcomedAt >= GOOD_AFTER_MS;
    if (!shouldReconnect(code)) return this.end(code, reason);
    this.#drop();
    if (wasGood) this.#attempt = 0;
    const afterMs = retryAfterMs(reason) ?? this.#afterMs;
    this.#afterMs = null;
    const delayMs = backoffMs(this.#attempt, { afterMs, random: this.#random });
    this.#attempt += 1;
    this.#timers.retry = setTimeout(() => this.open(), delayMs);
    this.#become({ state: "waiting", code, reason: plainReason(code, reason), retryAt: Date.now() + delayMs });
  }

  /** Let go of the socket without waiting for its goodbye: on a dead link that would take minutes. */
  #drop() {
    for (const timer of ["connect", "watch"]) clearTimeout(this.#timers[timer]);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      if (socket.readyState <= WebSocket.OPEN) socket.close(1000);
    }
    this.#welcomedAt = null;
    this.#askedAt = null;
    this.#on.lost();
  }

  /** A link that died without a goodbye (a laptop slept, another Wi-Fi) is silent: ask, and give up without answer. */
  #watch() {
    this.#timers.watch = setTimeout(() => this.#watch(), WATCH_PERIOD_MS);
    const now = performance.now();
    if (this.#askedAt !== null) {
      if (now - Math.max(this.#askedAt, this.#heardAt) >= ANSWER_TIMEOUT_MS) this.#lost(LOST, "no answer");
    } else if (now - this.#heardAt >= this.#heartbeatMs) {
      this.#on.probe();
    }
  }

  #become(change) {
    this.status = Object.freeze({ code: null, reason: "", retryAt: null, attempt: this.#attempt, ...change });
    this.#on.changed(this.status);
  }
}

/** One human line for an end: the server's own words without the machine's part, or the table's. */
function plainReason(code, reason) {
  return reason.replace(/; retry after \d+ ms$/, "") || (CLOSINGS[code]?.reason ?? `closed with code ${code}`);
}
