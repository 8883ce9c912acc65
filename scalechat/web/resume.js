/**
 * What a client knows of a room's log, so that it can come back and show each message exactly once.
 *
 * Pure: frames in, decisions out. A room's log is numbered 1, 2, 3… without holes within one `epoch`; a new epoch means
 * the log began anew (the server was restarted and kept nothing).
 *
 * @module resume
 */

/**
 * @typedef {object} Message  A chat message.
 * @property {string} room
 * @property {string} epoch
 * @property {number} seq  Position in the room's log.
 * @property {string} clientId  Who said it; the server vouches for it.
 * @property {string} text
 * @property {number} ts  Server time, Unix ms.
 * @property {string | null} id  The sender's own id for it.
 * @property {boolean} live  False when it came as history or as a replay after a reconnect.
 */

/**
 * @typedef {object} Rejoin  What a `joined` answer means for this client.
 * @property {Message[]} fresh  Messages not seen before, in order.
 * @property {boolean} resumed  Whether the client had a position to resume from.
 * @property {boolean} recovered  Whether nothing was missed since that position (also true for a first join).
 * @property {number | null} missed  How many messages are lost; null when nobody can tell, because the log began anew.
 */

/** A bounded set: remembers the `capacity` newest values. */
export class Recent {
  #values = new Set();
  #capacity;

  /** @param {number} capacity */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  /** @param {string} value @returns {boolean} */
  has(value) {
    return this.#values.has(value);
  }

  /** @param {string} value */
  add(value) {
    this.#values.add(value);
    if (this.#values.size > this.#capacity) this.#values.delete(this.#values.values().next().value);
  }
}

/** Message ids kept from the epoch before: at least as many as a client may hold unacknowledged. */
const IDS_KEPT = 1000;

/** One room's position, held across connections. */
export class RoomLog {
  /** @type {string | null} */
  #epoch = null;
  #seq = 0;
  #ids = new Recent(IDS_KEPT);
  #oldIds = new Recent(0);

  /** @param {string} room */
  constructor(room) {
    this.room = room;
  }

  /**
   * The position to resume after: everything up to here was shown. Null before the first `joined`.
   * @returns {{epoch: string, seq: number} | null}
   */
  get since() {
    return this.#epoch === null ? null : { epoch: this.#epoch, seq: this.#seq };
  }

  /**
   * Take a `joined` answer.
   * @param {{epoch: string, seq: number, recovered: boolean, history: object[]}} frame  As it came from the server.
   * @returns {Rejoin}
   */
  joined(frame) {
    const resumed = this.#epoch !== null;
    const anew = frame.epoch !== this.#epoch;
    let missed = resumed && anew ? null : 0;
    if (anew) {
      this.#oldIds = this.#ids;
      this.#ids = new Recent(IDS_KEPT);
      this.#epoch = frame.epoch;
      this.#seq = frame.history.length ? frame.history[0].seq - 1 : frame.seq;
    }
    const fresh = [];
    for (const raw of frame.history) {
      const { message, hole } = this.#take(raw, false);
      if (missed !== null) missed += hole;
      if (message) fresh.push(message);
    }
    if (frame.seq > this.#seq) {
      if (missed !== null) missed += frame.seq - this.#seq;
      this.#seq = frame.seq;
    }
    if (!resumed) missed = 0; // Nothing is missing for one who was not there.
    return { fresh, resumed, recovered: missed === 0, missed };
  }

  /**
   * Take a chat message that arrived live.
   * @param {object} raw  As it came from the server.
   * @returns {{message: Message | null, hole: number}} `message` is null for a duplicate; `hole` counts the positions
   *   that were skipped, which a server that keeps its word never does.
   */
  live(raw) {
    return this.#take(raw, true);
  }

  #take(raw, live) {
    const hole = Math.max(0, raw.seq - this.#seq - 1);
    if (raw.seq <= this.#seq) return { message: null, hole: 0 };
    this.#seq = raw.seq;
    const message = toMessage(raw, this.#epoch, live);
    if (message.id !== null) {
      // A message that was broadcast, not yet acknowledged, and sent again to a restarted server stands in both logs.
      const key = `${message.clientId} ${message.id}`;
      this.#ids.add(key);
      if (this.#oldIds.has(key)) return { message: null, hole };
    }
    return { message, hole };
  }
}

/**
 * A chat message as it travels → as a program reads it.
 * @param {object} raw
 * @param {string} epoch
 * @param {boolean} live
 * @returns {Message}
 */
export function toMessage(raw, epoch, live) {
  const { room, seq, clientId, Message: text, ts, id = null } = raw;
  return { room, epoch, seq, clientId, text, ts, id, live };
}
