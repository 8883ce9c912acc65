/**
 * How one entry of a conversation looks.
 *
 * @module row
 */

import { avatar, make } from "./dom.js";

/** Above this a message is folded: it may have 64 KiB, and the next one should still be in sight. */
const FOLD_CHARACTERS = 1400;
const FOLD_LINES = 14;
/** Links and code beyond this stay plain text: a message made of links costs an element each. */
const MAX_STYLED = 60;

const STYLED = /```\n?([^]+?)\n?```|`([^`\n]+)`|\bhttps?:\/\/[^\s<>"`]+/g;
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|[\u200d\ufe0f\s])+$/u;

const clock = new Intl.DateTimeFormat([], { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });
const fullDay = new Intl.DateTimeFormat([], { day: "numeric", month: "long", year: "numeric" });

/**
 * @typedef {object} Actions
 * @property {(name: string) => void} onPerson  A person's name was chosen.
 * @property {(id: string) => void} onRetry
 * @property {(id: string) => void} onDiscard
 * @property {() => void} onFold  A row changed its height.
 */

/**
 * A row for `entry`.
 * @param {import("./timeline.js").Entry} entry
 * @param {Actions} actions
 * @returns {HTMLElement}
 */
export function makeRow(entry, actions) {
  return entry.kind === "gap" ? makeGap(entry) : makeMessage(entry, actions);
}

/** A line between two days. @param {number} ts  Unix ms of the first message after it. */
export function makeDay(ts) {
  const day = new Date(ts);
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  let label = (day.getFullYear() === today.getFullYear() ? weekday : fullDay).format(day);
  if (day.toDateString() === today.toDateString()) label = "Today";
  else if (day.toDateString() === yesterday.toDateString()) label = "Yesterday";
  return make("li.rule.day", {}, make("span", {}, label));
}

/** The line above what is new. */
export function makeDivider() {
  return make("li.rule.new", {}, make("span", {}, "New"));
}

/** What stands at the very top. @param {string} text */
export function makeTop(text) {
  return make("li.top", {}, text);
}

function makeGap({ missed }) {
  const what = missed === null ? "Some messages may be missing" : `${missed} message${missed === 1 ? " is" : "s are"} missing`;
  const why = missed === null ? "the server was restarted and its log began anew" : "the server no longer keeps them";
  return make("li.rule.gap", {}, make("span", {}, `${what} here: ${why}`));
}

function makeMessage(entry, actions) {
  const { clientId, own, ts, state } = entry;
  const author = own
    ? make("span.author", {}, make("bdi", {}, clientId), make("span.you", {}, "you"))
    : make("button.author", { type: "button", title: `Private message to ${clientId}`, onclick: () => actions.onPerson(clientId) }, make("bdi", {}, clientId));
  const when = make("time", { dateTime: new Date(ts).toISOString(), title: moment.format(ts) }, ...clockParts(ts));
  const row = make("li.message", { "data-key": entry.key }, avatar(clientId));
  row.classList.toggle("own", own);
  row.classList.add(state);
  row.append(make("div.content", {}, make("div.meta", {}, author, when), ...makeText(entry.text, actions), makeState(entry, actions)));
  return row;
}

/** The time of day; a narrow column leaves out what is no digit (AM, PM). */
function clockParts(ts) {
  return clock.formatToParts(ts).map(({ type, value }) => (type === "dayPeriod" ? make("span.period", {}, value) : value));
}

function makeText(text, { onFold }) {
  const body = make("div.text", { dir: "auto" }, ...styled(text));
  if (text.length <= 24 && ONLY_EMOJI.test(text)) body.classList.add("emoji");
  if (text.length <= FOLD_CHARACTERS && !hasManyLines(text)) return [body];
  body.classList.add("folded");
  const size = text.length.toLocaleString();
  const toggle = make("button.fold", { type: "button", "aria-expanded": "false" }, `Show all ${size} characters`);
  toggle.addEventListener("click", () => {
    const folded = body.classList.toggle("folded");
    toggle.textContent = folded ? `Show all ${size} characters` : "Show less";
    toggle.setAttribute("aria-expanded", String(!folded));
    onFold();
  });
  return [body, toggle];
}

function hasManyLines(text) {
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) if (++lines > FOLD_LINES) return true;
  return false;
}

/** Text with links, `code` and fenced blocks; everything else stays as it was written. */
function styled(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(STYLED)) {
    if (parts.length >= 2 * MAX_STYLED) break;
    const [whole, block, code] = found;
    const address = block || code ? null : withoutSentenceEnd(whole);
    if (address !== null && !URL.canParse(address)) continue;
    const element =
      address !== null
        ? make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, address)
        : make(block ? "code.block" : "code", {}, block ?? code);
    parts.push(text.slice(from, found.index), element);
    from = found.index + (address ?? whole).length;
  }
  return [...parts, text.slice(from)];
}

/** What ends a sentence does not belong to the address. A loop: a regular expression would be quadratic in hostile text. */
function withoutSentenceEnd(address) {
  let end = address.length;
  while (".,;:!?)]}'»”".includes(address[end - 1])) end -= 1;
  return address.slice(0, end);
}

function makeState({ state, error, id }, { onRetry, onDiscard }) {
  if (state === "kept") return null;
  if (state === "pending") return make("div.state", {}, make("span.sending", {}, "Sending…"), make("span.waiting", {}, "Waits for the connection"));
  return make(
    "div.state",
    {},
    make("span", {}, `Not sent: ${error} `),
    make("button", { type: "button", onclick: () => onRetry(id) }, "Try again"),
    make("button", { type: "button", onclick: () => onDiscard(id) }, "Discard"),
  );
}
