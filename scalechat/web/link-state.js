/**
 * Says how the connection stands: a mark that is always there, and a line with a countdown when something is wrong.
 *
 * @module link-state
 */

/** A short interruption does not deserve a line. */
const PATIENCE_MS = 600;
const GOOD_NEWS_MS = 5_000;
/** Attempts that never got in before the page asks whether the server is there at all. */
const DOUBT_AFTER = 2;

const MARKS = { connecting: "Connecting…", open: "Live", waiting: "Reconnecting", closed: "Disconnected" };

/** The mark and the line. */
export class LinkState {
  #parts;
  #raising = null;
  #lowering = null;
  #countdown = null;
  #everTried = false;
  #everOpen = false;
  #doubt = "";

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.mark
   * @param {HTMLElement} parts.banner
   * @param {HTMLElement} parts.text  Read aloud when it changes.
   * @param {HTMLElement} parts.countdown  Not read aloud: it changes all the time.
   * @param {HTMLButtonElement} parts.action
   * @param {() => void} parts.onRetry  Do not wait.
   * @param {() => void} parts.onIdentity  Ask for another name or a token.
   */
  constructor(parts) {
    this.#parts = parts;
    parts.action.addEventListener("click", () => (this.#doubt || this.isClosed ? parts.onIdentity() : parts.onRetry()));
  }

  /** @param {{state: string, code: number | null, reason: string, retryAt: number | null, attempt: number}} status */
  show(status) {
    this.isClosed = status.state === "closed";
    document.documentElement.dataset.link = status.state;
    this.#parts.mark.textContent = MARKS[status.state];
    clearInterval(this.#countdown);
    if (status.state === "open") return this.#opened();
    if (!this.#everOpen && status.attempt >= DOUBT_AFTER && status.state === "waiting") this.#askWhetherUp();
    if (status.state === "waiting") {
      this.#countdown = setInterval(() => this.#count(status.retryAt), 200);
      this.#count(status.retryAt);
    } else {
      this.#parts.countdown.textContent = this.isClosed || !this.#everTried ? "" : "Trying now…";
    }
    this.#everTried = true;
    if (status.state !== "connecting") this.#parts.text.textContent = this.#doubt || sentence(status, this.#everOpen);
    this.#parts.action.textContent = this.isClosed || this.#doubt ? "Change name or token" : "Try now";
    this.#parts.action.hidden = status.state === "connecting";
    this.#parts.banner.classList.remove("good");
    clearTimeout(this.#lowering);
    if (this.isClosed) this.#raise();
    else this.#raising ??= setTimeout(() => this.#raise(), PATIENCE_MS);
  }

  /** A room was resumed. @param {{resumed: boolean, recovered: boolean, caughtUp: number}} joined */
  caughtUp({ resumed, recovered, caughtUp }) {
    if (!resumed || this.#parts.banner.hidden) return;
    const news = caughtUp === 0 ? "nothing new" : `caught up with ${caughtUp} message${caughtUp === 1 ? "" : "s"}`;
    this.#parts.text.textContent = `Back: ${news}, ${recovered ? "nothing missed" : "some may be missing"}.`;
  }

  #opened() {
    clearTimeout(this.#raising);
    this.#raising = null;
    this.#everOpen = true;
    this.#doubt = "";
    if (this.#parts.banner.hidden) return;
    this.#parts.text.textContent = "Connected.";
    this.#parts.countdown.textContent = "";
    this.#parts.action.hidden = true;
    this.#parts.banner.classList.add("good");
    this.#lowering = setTimeout(() => (this.#parts.banner.hidden = true), GOOD_NEWS_MS);
  }

  #raise() {
    this.#parts.banner.hidden = false;
  }

  #count(retryAt) {
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    this.#parts.countdown.textContent = `Trying again in ${seconds} s`;
  }

  /** A browser does not tell why a WebSocket was refused; whether the server lives tells much of it. */
  async #askWhetherUp() {
    const up = await fetch("healthz", { cache: "no-store" }).then(({ ok }) => ok, () => false);
    if (this.#everOpen) return;
    this.#doubt = up ? "The server is up but does not let this page in. It may want an access token." : "";
    if (up) this.#parts.text.textContent = this.#doubt;
  }
}

function sentence({ state, code, reason }, everOpen) {
  if (state === "closed") return `Disconnected: ${reason}.`;
  if (code === 1006) return everOpen ? "The connection was lost." : "The server cannot be reached.";
  return `The server closed the connection: ${reason}.`;
}
