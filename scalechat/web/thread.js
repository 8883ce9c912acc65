/**
 * The scrolling list of one conversation: a window of at most `MAX_ROWS` rows over its timeline.
 *
 * The window is `low`…`high` in the timeline's own numbers. While it is *live* its end follows the newest entry; scrolled
 * up far enough it is not, and the rows below are taken away and come back on the way down. While the reader is at the
 * bottom ("stuck") new rows push the old ones up; anywhere else what is being read stays where it is.
 *
 * @module thread
 */

import { reconcile } from "./dom.js";
import { makeDay, makeDivider, makeRow, makeTop } from "./row.js";

/** Rows in the page at most: layout stays fast and memory bounded, whatever flows by. */
export const MAX_ROWS = 500;
/** Rows that come with one step of scrolling, and messages asked for at once. */
export const PAGE_ROWS = 50;
/** How near to an end of the window the next step begins. */
const NEAR_PX = 300;
/** How near to the bottom counts as being there. */
const BOTTOM_PX = 40;
/** One person's messages within this time stand under one name. */
const GROUP_MS = 5 * 60_000;
/** Shortest time between two redraws, and in a room that brings more than a person reads. */
const REDRAW_MS = 80;
const CROWDED_REDRAW_MS = 250;
const CROWDED_ROWS = 6;

/** Draws one timeline at a time. */
export class Thread {
  #scroller;
  #list;
  #jump;
  #actions;
  #loadOlder;
  #seen;
  /** @type {import("./timeline.js").Timeline | null} */
  #timeline = null;
  #topText = "";
  #low = 1;
  #high = 0;
  #live = true;
  #stuck = true;
  /** key → {row, version} of what is in the page. */
  #rows = new Map();
  #loading = false;
  #drawnAt = 0;
  #drawnLast = 0;
  /** New rows of the last redraw. */
  #surge = 0;
  #timer = null;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.scroller
   * @param {HTMLElement} parts.list
   * @param {HTMLElement} parts.jump  Button that leads to the newest message.
   * @param {Omit<import("./row.js").Actions, "onFold">} parts.actions
   * @param {() => Promise<void>} parts.loadOlder  Brings older messages into the timeline.
   * @param {() => void} parts.seen  Everything in the timeline has been seen.
   */
  constructor({ scroller, list, jump, actions, loadOlder, seen }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#jump = jump;
    this.#actions = { ...actions, onFold: () => this.#scrolled() };
    this.#loadOlder = loadOlder;
    this.#seen = seen;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toBottom());
    new ResizeObserver(() => this.#stuck && this.#scrollDown()).observe(scroller);
    document.addEventListener("visibilitychange", () => this.#shownAgain());
  }

  /** Whether the newest message is in sight of somebody. */
  get isAtEnd() {
    return this.#stuck && this.#live && !document.hidden;
  }

  /**
   * Draw this conversation, from the first unread message on, or at its end.
   * @param {import("./timeline.js").Timeline} timeline
   * @param {string} topText  What to say above the oldest message.
   */
  show(timeline, topText) {
    this.#timeline = timeline;
    this.#topText = topText;
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#goToUnread();
  }

  /** The timeline has changed: draw it soon. Nothing is drawn while nobody can see it. */
  update() {
    if (this.#timer !== null || document.hidden) return;
    const period = this.#surge > CROWDED_ROWS ? CROWDED_REDRAW_MS : REDRAW_MS;
    const wait = Math.max(0, this.#drawnAt + period - performance.now());
    this.#timer = setTimeout(() => this.#draw(), wait);
  }

  /** Go to the newest message and stay there. */
  toBottom() {
    this.#live = true;
    this.#low = Math.max(this.#low, this.#timeline.last - MAX_ROWS + 1);
    this.#stuck = true;
    this.#draw();
  }

  /** Scroll by so many screens; negative is up. @param {number} screens */
  scrollScreens(screens) {
    this.#scroller.scrollBy({ top: screens * this.#scroller.clientHeight * 0.9 });
  }

  #shownAgain() {
    if (document.hidden || !this.#timeline) return;
    if (this.#stuck) this.#goToUnread();
    else this.#draw();
  }

  /** Show the end of the conversation, scrolled so that reading can go on where it stopped. */
  #goToUnread() {
    const { first, last, firstUnread, unread } = this.#timeline;
    const from = unread > 0 ? Math.min(firstUnread - PAGE_ROWS, last - PAGE_ROWS) : last - PAGE_ROWS;
    this.#live = true;
    this.#low = Math.max(first, from, last - MAX_ROWS + 1);
    this.#stuck = true;
    this.#draw();
    const divider = unread > 0 && this.#list.querySelector(".rule.new");
    if (!divider) return;
    this.#scroller.scrollTop = divider.offsetTop - 12;
    this.#scrolled();
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#drawnAt = performance.now();
    this.#surge = this.#timeline.last - this.#drawnLast;
    this.#drawnLast = this.#timeline.last;
    const anchor = this.#stuck ? null : this.#anchor();
    this.#fitWindow();
    reconcile(this.#list, this.#makeNodes());
    if (this.#stuck) this.#scrollDown();
    else if (anchor?.row.isConnected) this.#scroller.scrollTop += anchor.row.offsetTop - anchor.top;
    this.#settle();
    if (this.#scroller.scrollHeight <= this.#scroller.clientHeight) this.#older(); // Nothing to scroll: fill the page.
  }

  #fitWindow() {
    const { first, last } = this.#timeline;
    this.#low = Math.max(this.#low, first);
    if (this.#live && last - this.#low + 1 > MAX_ROWS) {
      if (this.#stuck) this.#low = last - MAX_ROWS + 1;
      else this.#live = false;
    }
    this.#high = this.#live ? last : Math.min(last, this.#low + MAX_ROWS - 1);
  }

  #makeNodes() {
    const timeline = this.#timeline;
    const entries = timeline.slice(this.#low, this.#high);
    if (this.#live) entries.push(...timeline.pending);
    const before = this.#rows;
    this.#rows = new Map();
    const keep = (key, version, build) => {
      const known = before.get(key);
      const row = known?.version === version ? known.row : build();
      this.#rows.set(key, { row, version });
      return row;
    };
    const nodes = [];
    if (this.#low <= timeline.first && timeline.olderThan === null) nodes.push(keep("top", this.#topText, () => makeTop(this.#topText)));
    let previous = null;
    for (const entry of entries) {
      let grouped = entry.kind === "message" && previous?.kind === "message" && previous.clientId === entry.clientId;
      grouped &&= entry.ts - previous.ts < GROUP_MS;
      if (entry.kind === "message" && (previous === null || !sameDay(previous.ts, entry.ts))) {
        nodes.push(keep(`day ${entry.key}`, 0, () => makeDay(entry.ts)));
        grouped = false;
      }
      if (entry.n !== undefined && entry.n === timeline.firstUnread) {
        nodes.push(keep("new", 0, makeDivider));
        grouped = false;
      }
      const row = keep(entry.key, entry.version, () => makeRow(entry, this.#actions));
      row.classList.toggle("grouped", grouped);
      nodes.push(row);
      if (entry.kind === "message") previous = entry;
    }
    return nodes;
  }

  /** The first row in sight, and where it stands. */
  #anchor() {
    const top = this.#scroller.scrollTop;
    for (const { row } of this.#rows.values()) {
      if (row.classList.contains("message") && row.offsetTop + row.offsetHeight > top) return { row, top: row.offsetTop };
    }
    return null;
  }

  #scrollDown() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    if (!this.#timeline) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    this.#stuck = this.#live && below <= BOTTOM_PX;
    if (!this.#live && below < NEAR_PX) this.#newer();
    if (scrollTop < NEAR_PX) this.#older();
    this.#settle();
  }

  /** Say what the reader has seen, and what waits below. */
  #settle() {
    if (this.isAtEnd) this.#seen();
    this.#jump.hidden = this.#stuck && this.#live;
    const { unread } = this.#timeline;
    this.#jump.querySelector("span").textContent = unread > 0 ? `${unread.toLocaleString()} new` : "Latest";
  }

  #newer() {
    this.#high += PAGE_ROWS;
    this.#live = this.#high >= this.#timeline.last;
    this.#low = Math.max(this.#low, this.#high - MAX_ROWS + 1);
    this.#draw();
  }

  async #older() {
    const timeline = this.#timeline;
    if (this.#loading) return;
    if (this.#low <= timeline.first && timeline.olderThan !== null) {
      this.#loading = true;
      try {
        await this.#loadOlder();
      } finally {
        this.#loading = false;
      }
    }
    if (timeline !== this.#timeline || this.#low <= timeline.first) return;
    this.#low = Math.max(timeline.first, this.#low - PAGE_ROWS);
    this.#draw();
  }
}

function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}
