/**
 * The line of live numbers of the server, with a small curve of deliveries.
 *
 * @module stats
 */

const PERIOD_MS = 2_000;
/** Points of the curve: two minutes. */
const POINTS = 60;
const WIDTH = 96;
const HEIGHT = 20;

const plain = new Intl.NumberFormat([], { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat([], { maximumFractionDigits: 1 });

const FIELDS = {
  connections: ({ connections }) => plain.format(connections),
  rooms: ({ rooms }) => plain.format(rooms),
  publications: ({ publications_per_s: rate }) => rateOf(rate),
  deliveries: ({ deliveries_per_s: rate }) => rateOf(rate),
  lag: ({ loop_lag_p99_ms: lag }) => `${fine.format(lag)} ms`,
  cpu: ({ cpu_ratio: ratio }) => `${plain.format(ratio * 100)} %`,
  memory: ({ rss_bytes: bytes }) => `${plain.format(bytes / 1e6)} MB`,
};

/**
 * Show the numbers in `line` for as long as the page lives; a server that keeps them to itself (403) hides the line.
 * @param {HTMLElement} line  Holds one element with `data-stat` for each field, and a `polyline`.
 */
export async function showStats(line) {
  const recent = [];
  for (;;) {
    if (document.hidden) await becomesVisible();
    let pause = PERIOD_MS;
    try {
      const response = await fetch("stats", { cache: "no-store", signal: AbortSignal.timeout(2 * PERIOD_MS) });
      if (response.status === 403 || response.status === 404) {
        line.hidden = true;
        return; // It will not change its mind while it runs; a reload asks again.
      }
      if (!response.ok) throw new Error(response.statusText);
      draw(line, await response.json(), recent);
    } catch {
      line.classList.add("stale");
      pause = 2 * PERIOD_MS; // The server is away or busy: no reason to press.
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function draw(line, stats, recent) {
  for (const [name, format] of Object.entries(FIELDS)) line.querySelector(`[data-stat=${name}]`).textContent = format(stats);
  recent.push(stats.deliveries_per_s);
  if (recent.length > POINTS) recent.shift();
  const top = Math.max(1, ...recent);
  const x = (index) => WIDTH - ((recent.length - 1 - index) / (POINTS - 1)) * WIDTH;
  const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 2);
  const points = recent.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  line.querySelector("polyline").setAttribute("points", points.join(" "));
  line.classList.remove("stale");
  line.hidden = false;
}

function becomesVisible() {
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function rateOf(perSecond) {
  return perSecond >= 100 ? plain.format(perSecond) : fine.format(perSecond);
}
