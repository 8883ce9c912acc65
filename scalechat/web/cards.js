/**
 * One card for each figure: its name, its value now (or under the pointer, in all cards at once) and its curve.
 *
 * @module cards
 */

import { make } from "./dom.js";
import { SPAN_S } from "./lately.js";

const HEIGHT = 132;
/** A server that has just started has seconds to show, not minutes: the time axis is never shorter than this. */
const SHORTEST_S = 120;
/** How many seconds back "now" may lie for a figure that not every second has. */
const NOW_S = 10;

const plain = new Intl.NumberFormat([], { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat([], { maximumFractionDigits: 1 });
const finest = new Intl.NumberFormat([], { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat([], { notation: "compact", maximumFractionDigits: 1 });

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const count = (value) => (value < 100_000 ? plain.format(value) : compact.format(value));
const rate = (value) => (value < 100 ? fine.format(value) : count(value));
const ms = (value) => (value === 0 ? "0" : value < 1000 ? `${(value < 10 ? finest : plain).format(value)} ms` : `${fine.format(value / 1000)} s`);
const seconds = (value) => ms(value * 1000);
const percent = (value) => `${plain.format(value * 100)} %`;

/** @param {number} value  Bytes, in decimal units. */
export function bytes(value) {
  if (value === 0) return "0";
  if (value < 1e3) return `${plain.format(value)} B`;
  if (value < 1e6) return `${fine.format(value / 1e3)} kB`;
  return value < 1e9 ? `${fine.format(value / 1e6)} MB` : `${finest.format(value / 1e9)} GB`;
}

/** Where half a one means nothing. */
const WHOLE = [...Array(12).keys()].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

const CARDS = [
  { title: "Connections", columns: ["connections"], format: count, steps: WHOLE },
  { title: "Deliveries a second", columns: ["deliveries_per_s"], format: rate },
  { title: "Publications a second", columns: ["publications_per_s"], format: rate },
  { title: "Fan-out p50 and p99", columns: ["fanout_p50_ms", "fanout_p99_ms"], format: ms, hint: "From a publication to the last member's queue" },
  { title: "Waiting for slow clients", columns: ["queue_bytes"], format: bytes, steps: WHOLE },
  { title: "Oldest waiting frame", columns: ["queue_age_s"], format: seconds, hint: "Age of the oldest frame in any client's queue" },
  { title: "Loop lag", columns: ["loop_lag_ms"], format: ms, hint: "How late the event loop was at worst in each second" },
  { title: "CPU", columns: ["cpu_ratio"], format: percent, hint: "100 % is one core" },
  { title: "Memory", columns: ["rss_bytes"], format: bytes },
];
const COLOURS = ["--accent", "--warn"];

/** Make the cards inside `parent`. @returns {(lately: Lately) => void} shows the present state of the figures */
export function makeCards(parent) {
  const sync = globalThis.uPlot.sync("board");
  const cards = CARDS.map((card) => new Card(card, sync.key));
  parent.append(...cards.map((card) => card.element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cards.forEach((card) => card.redraw()));
  return (lately) => cards.forEach((card) => card.show(lately));
}

class Card {
  #card;
  #values;
  #drawing;
  #chart;
  #data = [[]];

  constructor(card, syncKey) {
    this.#card = card;
    this.#values = card.columns.map((name) => make("strong", { "data-figure": name }));
    this.#drawing = make("div.drawing", { "aria-hidden": "true" });
    this.element = make("section.figure", { title: card.hint ?? "" }, make("header", {}, make("h2", {}, card.title), make("p", {}, ...this.#values)), this.#drawing);
    this.#chart = new globalThis.uPlot(this.#options(syncKey), this.#blank(), this.#drawing);
    new ResizeObserver(([{ contentRect }]) => this.#chart.setSize({ width: Math.floor(contentRect.width), height: HEIGHT })).observe(this.#drawing);
  }

  /** @param {Lately} lately */
  show(lately) {
    this.#data = [lately.column("unix_s"), ...this.#card.columns.map((name) => lately.column(name))];
    this.#chart.setData(this.#data);
    this.#tell();
  }

  redraw() {
    this.#chart.redraw();
  }

  #blank() {
    return [[], ...this.#card.columns.map(() => [])];
  }

  /** The values under the pointer, or else the newest. */
  #tell() {
    const at = this.#chart?.cursor.idx;
    this.#values.forEach((view, index) => {
      const column = this.#data[index + 1] ?? [];
      const value = at == null ? column.slice(-NOW_S).findLast((one) => one !== null) : column[at];
      view.textContent = value == null ? "–" : this.#card.format(value);
    });
  }

  #options(syncKey) {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: 300,
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: syncKey }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { range: (_, low, high) => within(low, high) }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 0.1] } },
      axes: [
        { ...axis, size: 24, space: 70, values: (_, times) => times.map((time) => clock.format(time * 1000)) },
        { ...axis, size: 58, space: 28, incrs: this.#card.steps ?? null, values: (_, values) => values.map((value) => this.#card.format(value)) },
      ],
      series: [
        {},
        ...this.#card.columns.map((_, index) => ({
          stroke: () => colour(COLOURS[index]),
          fill: () => (index === 0 ? `color-mix(in srgb, ${colour(COLOURS[0])} 12%, transparent)` : undefined),
          width: 1.5,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [() => this.#tell()] },
    };
  }
}

/** The time axis: from the first second that is known, but neither too short nor longer than the server remembers. */
function within(low, high) {
  const end = high ?? Date.now() / 1000;
  return [Math.max(end - SPAN_S, Math.min(low ?? end, end - SHORTEST_S)), end];
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
