/**
 * When to come back after a connection has ended: which ends are final, and how long to wait after the others.
 *
 * Pure: no clock, no timers, no socket. `scalechat/wire/closing.py` holds the same table for Python; a test compares.
 *
 * @module backoff
 */

/**
 * @typedef {object} Closing
 * @property {string} reason  One human line.
 * @property {boolean} reconnect  Whether to try again without a person's help.
 */

/** @type {Readonly<Record<number, Closing>>} Every close code the server uses, and those a browser makes up itself. */
export const CLOSINGS = Object.freeze({
  1000: { reason: "bye", reconnect: false },
  1001: { reason: "server going away", reconnect: true },
  1002: { reason: "WebSocket protocol error", reconnect: false },
  1003: { reason: "text frames only", reconnect: false },
  1005: { reason: "closed without a code", reconnect: true },
  1006: { reason: "connection lost", reconnect: true },
  1007: { reason: "text is not UTF-8", reconnect: false },
  1008: { reason: "policy violation", reconnect: false },
  1009: { reason: "message too large", reconnect: false },
  1011: { reason: "internal error", reconnect: true },
  4001: { reason: "not authorised", reconnect: false },
  4003: { reason: "forbidden room", reconnect: false },
  4005: { reason: "closed by an operator", reconnect: false },
  4008: { reason: "too slow", reconnect: true },
  4009: { reason: "rate limit", reconnect: true },
  4010: { reason: "too many connections", reconnect: true },
  4012: { reason: "draining", reconnect: true },
});

/** First ceiling in ms: one lost connection is back within half a second, on average within a quarter. */
export const BASE_MS = 500;
/** Highest ceiling in ms: a server that was gone for an hour is found again within half a minute. */
export const CAP_MS = 30_000;

const RETRY = /; retry after (\d{1,9}) ms$/;

/**
 * Whether a client closed with `code` should try again. Unknown codes: yes, with the usual backoff.
 * @param {number} code
 * @returns {boolean}
 */
export function shouldReconnect(code) {
  return CLOSINGS[code]?.reconnect ?? true;
}

/**
 * When the reason of a Close frame asks a client to come back, in ms from now; null when it does not say.
 * @param {string} reason
 * @returns {number | null}
 */
export function retryAfterMs(reason) {
  const found = RETRY.exec(reason);
  return found ? Number(found[1]) : null;
}

/**
 * Full jitter over an exponential ceiling, after the wait the server asked for.
 *
 * The whole ceiling is random, not a part of it: thousands of clients that lost the same server must not come back as
 * waves. The server's own wish is a floor and the jitter comes on top, because it may tell everybody the same.
 *
 * @param {number} attempt  Failed attempts in a row so far, 0 for the first.
 * @param {object} [options]
 * @param {number | null} [options.afterMs]  What the server asked for.
 * @param {number} [options.baseMs]
 * @param {number} [options.capMs]
 * @param {() => number} [options.random]  Uniform in [0, 1).
 * @returns {number} ms to wait.
 */
export function backoffMs(attempt, { afterMs = null, baseMs = BASE_MS, capMs = CAP_MS, random = Math.random } = {}) {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30)); // 2 ** 1000 would be Infinity, 0 × that NaN.
  return (afterMs ?? 0) + random() * ceiling;
}
