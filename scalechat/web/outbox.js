/**
 * Messages that were said and not yet acknowledged: which may go now, which again, and which are given up.
 *
 * Pure: the caller has the clock and the socket. Order is kept: nothing overtakes an older message to the same room,
 * except one that the server asked to repeat later.
 *
 * @module outbox
 */

/** Messages that may wait; one more is refused. A person never gets here, a loop does. */
export const CAPACITY = 1000;
/** A message that was on its way when so many connections broke is likely what breaks them: give it up. */
export const MAX_TRIES = 5;
/** Wait before repeating what the server had no room for; doubled by each repetition, with jitter. */
const REPEAT_BASE_MS = 1_000;
/** Stay below the rate the server allows: questions and joins count there, too. */
const RATE_SHARE = 0.8;

/**
 * @typedef {object} Entry
 * @property {{id: string}} frame
 * @property {string | null} room  Null for a direct message.
 * @property {(answer: object) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {number} tries
 * @property {boolean} sent  On this connection.
 * @property {number} notBefore
 */

export class Outbox {
  /** @type {Map<string, Entry>} Oldest first. */
  #entries = new Map();
  #random;
  /** Token bucket: one second's worth at once, then evenly. */
  #ratePerS = Infinity;
  #tokens = Infinity;
  #at = 0;

  /** @param {() => number} random  Uniform in [0, 1). */
  constructor(random) {
    this.#random = random;
  }

  get size() {
    return this.#entries.size;
  }

  /** Whether something was sent and waits for its acknowledgement. */
  get underWay() {
    return [...this.#entries.values()].some(({ sent }) => sent);
  }

  /** @param {{id: string}} frame @param {string | null} room @param {{resolve: (answer: object) => void, reject: (error: Error) => void}} settle */
  add(frame, room, settle) {
    this.#entries.set(frame.id, { frame, room, ...settle, tries: 0, sent: false, notBefore: 0 });
  }

  /** @param {string | undefined} id @returns {Entry | undefined} the entry, which is done with */
  take(id) {
    const entry = this.#entries.get(id);
    this.#entries.delete(id);
    return entry;
  }

  /** A new connection, with a full allowance. @param {number} messagesPerS  0: as many as one likes. @param {number} now  ms */
  connected(messagesPerS, now) {
    this.#ratePerS = messagesPerS > 0 ? messagesPerS * RATE_SHARE : Infinity;
    this.#tokens = this.#ratePerS;
    this.#at = now;
  }

  /** The connection is gone: whatever was under way is to be sent again. */
  lost() {
    for (const entry of this.#entries.values()) entry.sent = false;
  }

  /**
   * The server had no room for a message: it goes again later.
   * @param {string | undefined} id @param {number} now @returns {boolean} whether it was one of ours
   */
  repeat(id, now) {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    entry.sent = false;
    entry.notBefore = now + REPEAT_BASE_MS * 2 ** (entry.tries - 1) * (0.5 + this.#random());
    return true;
  }

  /**
   * What may be sent now; it counts as sent.
   * @param {number} now  ms
   * @param {(room: string) => boolean} isOpen  Whether messages to that room may go yet.
   * @returns {{frames: object[], givenUp: Entry[], waitMs: number}} `waitMs`: when to look again, Infinity for never
   */
  due(now, isOpen) {
    if (this.#ratePerS !== Infinity) {
      this.#tokens = Math.min(this.#ratePerS, this.#tokens + ((now - this.#at) * this.#ratePerS) / 1000);
      this.#at = now;
    }
    const frames = [];
    const givenUp = [];
    let waitMs = Infinity;
    for (const entry of this.#entries.values()) {
      if (entry.sent || (entry.room !== null && !isOpen(entry.room))) continue;
      if (entry.notBefore > now) {
        waitMs = Math.min(waitMs, entry.notBefore - now);
      } else if (entry.tries >= MAX_TRIES) {
        givenUp.push(this.take(entry.frame.id));
      } else if (this.#tokens < 1) {
        waitMs = Math.min(waitMs, ((1 - this.#tokens) * 1000) / this.#ratePerS);
        break;
      } else {
        this.#tokens -= 1;
        entry.tries += 1;
        entry.sent = true;
        frames.push(entry.frame);
      }
    }
    return { frames, givenUp, waitMs };
  }

  /** Take out all that match. @param {(entry: Entry) => boolean} [matches] @returns {Entry[]} */
  takeAll(matches = () => true) {
    return [...this.#entries.values()].filter(matches).map(({ frame }) => this.take(frame.id));
  }
}
