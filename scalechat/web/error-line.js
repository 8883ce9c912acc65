/**
 * Errors as one human line above the message box.
 *
 * @module error-line
 */

const SHOWN_MS = 10_000;

/** The line; it goes away by itself. */
export class ErrorLine {
  #element;
  #timer = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  show(text) {
    this.#element.textContent = text;
    this.#element.hidden = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.clear(), SHOWN_MS);
  }

  clear() {
    this.#element.hidden = true;
  }
}

/**
 * What to tell a person about an error of the server or of the client.
 * @param {import("./chat.js").ChatError} error
 * @param {string} [to]  Recipient, when it was a private message.
 * @returns {string}
 */
export function plainError({ code, message }, to = "") {
  switch (code) {
    case "not_found":
      return to ? `${to} is not here now, and private messages are not kept.` : `${message}.`;
    case "rate_limited":
      return "You are writing faster than the server allows.";
    case "too_large":
      return "This is longer than the server takes.";
    case "forbidden":
      return `The server does not allow it: ${message}.`;
    case "outbox_full":
      return "Too many messages are waiting for the connection.";
    default:
      return `${message}.`;
  }
}
