/**
 * What one conversation holds: messages in order, those not yet acknowledged, gaps, and what is unread.
 *
 * Pure: knows nothing of the page. Entries carry a number `n` that never changes (older ones count below zero), so that
 * a view can remember where it is while both ends of the list move.
 *
 * @module timeline
 */

/**
 * @typedef {object} Entry
 * @property {number} n  Place in the conversation.
 * @property {string} key  Unique in the conversation; stays the same from pending to acknowledged.
 * @property {"message" | "gap"} kind
 * @property {number} version  Counts changes, so that a view knows what to draw again.
 * @property {boolean} own
 * @property {string} clientId
 * @property {string} text
 * @property {number} ts  Unix ms.
 * @property {string | null} id  The sender's own id.
 * @property {string} [epoch]  With `seq`: the place in a room's log. Direct messages have none.
 * @property {number} [seq]
 * @property {"kept" | "pending" | "failed"} state
 * @property {string} error  Why it failed.
 * @property {number | null} missed  Of a gap: how many messages are lost, null when nobody knows.
 */

/** Kept per conversation: a page that runs for a week beside a load test stays small. */
export const MAX_ENTRIES = 3000;
export const MAX_CHARACTERS = 4_000_000;

/** One conversation's content. */
export class Timeline {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Map<string, Entry>} Own messages without acknowledgement, oldest first. */
  #pending = new Map();
  #characters = 0;
  /** @type {string | undefined} The log's current epoch. */
  #epoch = undefined;
  /** The `seq` before which the server has nothing. */
  #exhaustedAt = 1;
  #unnamed = 0;
  unread = 0;
  /** `n` of the entry below the "new" divider; null when there is none. @type {number | null} */
  firstUnread = null;

  /** Number of the first entry. An empty conversation has first > last. */
  get first() {
    return this.#entries.length ? this.#entries[0].n : 1;
  }

  /** Number of the last entry; pending ones come after it and have no number yet. */
  get last() {
    return this.first + this.#entries.length - 1;
  }

  /** Own messages without acknowledgement, oldest first. @returns {Entry[]} */
  get pending() {
    return [...this.#pending.values()];
  }

  /** Entries numbered `low` to `high`. @param {number} low @param {number} high @returns {Entry[]} */
  slice(low, high) {
    return this.#entries.slice(Math.max(0, low - this.first), Math.max(0, high - this.first + 1));
  }

  /**
   * Before which `seq` the room's history may hold more; null when there is nothing that would connect to what is here.
   * @returns {number | null}
   */
  get olderThan() {
    const [first] = this.#entries;
    const connects = first?.seq !== undefined && first.epoch === this.#epoch && first.seq > this.#exhaustedAt;
    return connects ? first.seq : null;
  }

  /**
   * Add a message at the end. When it is an own pending one, that one moves into its place.
   * @param {object} message  A `Message` of a room, or a direct message.
   * @param {{own: boolean, unread?: boolean}} about
   * @returns {Entry}
   */
  append(message, { own, unread = false }) {
    const pending = own && message.id !== null ? this.takePending(message.id) : undefined;
    const key = pending?.key ?? this.#keyOf(message);
    const entry = { ...toEntry(message, own), key, version: (pending?.version ?? 0) + 1 };
    if (message.epoch !== this.#epoch) {
      this.#epoch = message.epoch;
      this.#exhaustedAt = 1;
    }
    this.#push(entry);
    if (unread) {
      if (this.unread === 0) this.firstUnread = entry.n;
      this.unread += 1;
    }
    return entry;
  }

  /** Say that messages are missing here. @param {number | null} missed */
  appendGap(missed) {
    this.#push({ kind: "gap", key: `gap ${this.last + 1}`, version: 0, own: false, text: "", missed });
  }

  /**
   * Add what `history` answered above everything else; ignored when it no longer connects.
   * @param {{epoch: string, messages: import("./resume.js").Message[]}} answer
   * @param {string} me
   */
  prepend({ epoch, messages }, me) {
    const before = this.olderThan;
    if (before === null || epoch !== this.#epoch) return;
    const older = messages.filter(({ seq }) => seq < before);
    if (older.length === 0) this.#exhaustedAt = before; // Fewer than asked may also mean that more would be too large.
    const from = this.first - older.length;
    const entries = older.map((message, index) => {
      this.#characters += message.text.length;
      const entry = toEntry(message, message.clientId === me);
      return { ...entry, key: this.#keyOf(message), version: 0, n: from + index };
    });
    this.#entries.unshift(...entries);
  }

  /**
   * Show an own message before it is acknowledged.
   * @param {{id: string, clientId: string, text: string, ts: number}} message
   */
  addPending(message) {
    const entry = { ...toEntry(message, true), key: `own ${message.id}`, version: 0, state: "pending" };
    this.#pending.set(message.id, entry);
  }

  /** A pending message was not taken. @param {string} id @param {string} error  Why, for a person. */
  fail(id, error) {
    const entry = this.#pending.get(id);
    if (entry) Object.assign(entry, { state: "failed", error, version: entry.version + 1 });
  }

  /** Take a pending message away. @param {string} id @returns {Entry | undefined} */
  takePending(id) {
    const entry = this.#pending.get(id);
    this.#pending.delete(id);
    return entry;
  }

  /** Everything has been seen. The divider stays until something new arrives, or until `clearDivider`. */
  markRead() {
    this.unread = 0;
  }

  /** Forget the divider: whoever writes has read what is above. */
  clearDivider() {
    if (this.unread === 0) this.firstUnread = null;
  }

  #push(entry) {
    entry.n = this.last + 1;
    this.#entries.push(entry);
    this.#characters += entry.text.length;
    let surplus = 0;
    while (this.#entries.length - surplus > MAX_ENTRIES || this.#characters > MAX_CHARACTERS) {
      this.#characters -= this.#entries[surplus].text.length;
      surplus += 1;
    }
    this.#entries.splice(0, surplus);
  }

  #keyOf({ epoch, seq, clientId, id }) {
    if (epoch !== undefined) return `${epoch} ${seq}`;
    this.#unnamed += 1; // A direct message; its sender's id is of his choosing and may repeat.
    return `direct ${this.#unnamed} ${clientId} ${id ?? ""}`;
  }
}

function toEntry({ clientId, text, ts, id = null, epoch, seq }, own) {
  return { kind: "message", own, clientId, text, ts, id, epoch, seq, state: "kept", error: "", missed: null };
}
