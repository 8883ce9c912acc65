/**
 * Reads new messages aloud (to a screen reader), not one by one when they come in crowds.
 *
 * @module announcer
 */

const PERIOD_MS = 1_000;
const ONE_BY_ONE_UP_TO = 3;
const MAX_CHARACTERS = 200;

/** Speaks through a live region. */
export class Announcer {
  #heard = [];
  #timer = null;

  /** @param {HTMLElement} region */
  constructor(region) {
    this.region = region;
  }

  /** @param {{clientId: string, text: string}} message */
  hear(message) {
    this.#heard.push(message);
    this.#timer ??= setTimeout(() => this.#speak(), PERIOD_MS);
  }

  #speak() {
    this.#timer = null;
    const heard = this.#heard.splice(0);
    const lines = heard.slice(0, ONE_BY_ONE_UP_TO).map(({ clientId, text }) => `${clientId}: ${text.slice(0, MAX_CHARACTERS)}`);
    this.region.textContent = heard.length > ONE_BY_ONE_UP_TO ? `${heard.length} new messages` : lines.join("\n");
  }
}
