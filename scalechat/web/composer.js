/**
 * The message box: grows with its text, Enter sends, Shift+Enter is a new line.
 *
 * @module composer
 */

/** The box grows up to this height, then it scrolls. */
const MAX_HEIGHT_PX = 220;
/** Above this part of the server's limit the size is shown. */
const SHOW_SIZE_FROM = 0.75;

/** The form with the text area. */
export class Composer {
  #text;
  #size;
  #measure;

  /**
   * @param {object} parts
   * @param {HTMLFormElement} parts.form
   * @param {HTMLTextAreaElement} parts.text
   * @param {HTMLElement} parts.size
   * @param {(line: string) => boolean} parts.onSend  Returns whether the line was taken; otherwise it stays.
   * @param {(screens: number) => void} parts.onScroll  Page Up and Page Down, while writing.
   * @param {(text: string) => {bytes: number, limit: number}} parts.measure
   */
  constructor({ form, text, size, onSend, onScroll, measure }) {
    this.#text = text;
    this.#size = size;
    this.#measure = measure;
    const send = () => {
      if (text.value.trim() !== "" && onSend(text.value)) this.value = "";
      text.focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    text.addEventListener("input", () => this.#fit());
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      } else if (event.key === "PageUp" || event.key === "PageDown") {
        event.preventDefault();
        onScroll(event.key === "PageUp" ? -1 : 1);
      }
    });
  }

  get value() {
    return this.#text.value;
  }

  set value(value) {
    this.#text.value = value;
    this.#fit();
  }

  /** @param {string} label  To whom one writes. */
  setPlaceholder(label) {
    this.#text.placeholder = label;
    this.#text.setAttribute("aria-label", label);
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  #fit() {
    const { style } = this.#text;
    style.height = "auto";
    style.height = `${Math.min(this.#text.scrollHeight + 2, MAX_HEIGHT_PX)}px`;
    // A character has at least one byte, so a short text needs no measuring.
    const { bytes, limit } = this.#measure(this.#text.value);
    this.#size.hidden = bytes < limit * SHOW_SIZE_FROM;
    this.#size.textContent = `${(bytes / 1024).toFixed(1)} of ${(limit / 1024).toFixed(0)} KiB`;
    this.#size.classList.toggle("over", bytes > limit);
  }
}
