/**
 * The dashboard: asks the server every two seconds what is new, and says so when it does not answer.
 *
 * @module dashboard
 */

import { makeCards } from "./cards.js";
import { byId } from "./dom.js";
import { Lately } from "./lately.js";
import { showSlowest } from "./slowest.js";

const PERIOD_MS = 2_000;
const PATIENCE_MS = 5_000;
/** Of this tab alone, and forgotten with it. */
const KEY = "scalechat.api-key";

const lately = new Lately();
const showCards = makeCards(byId("cards"));
let sort = "queue";
let wake = () => {};

/** Ask for what is new and show it. Throws when the server does not answer as it should. */
async function refresh() {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(`stats/recent?since=${lately.newest}&sort=${sort}`, {
    cache: "no-store",
    headers: key ? { authorization: `Bearer ${key}` } : {},
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (response.status === 403) return lock(key !== null);
  if (!response.ok) throw new Error(response.statusText);
  const { columns, slowest, named } = await response.json();
  if (key && !named) lock(true);
  else if (named) unlock();
  lately.add(columns);
  byId("figures").hidden = false;
  byId("show-names").hidden = named;
  showCards(lately);
  showSlowest(slowest);
  tell("open", "Live");
}

/** @param {boolean} wrong  Whether a key was given that opens nothing. */
function lock(wrong) {
  sessionStorage.removeItem(KEY);
  byId("unlock").hidden = false;
  byId("unlock-error").hidden = !wrong;
  byId("unlock-error").textContent = wrong ? "That is not this server's API key (--api-key)." : "";
  tell("waiting", "Locked");
}

function unlock() {
  byId("unlock").hidden = true;
}

function tell(link, text) {
  document.body.dataset.link = link;
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

function disconnected() {
  const last = lately.newest ? `, last figures of ${new Date(lately.newest * 1000).toLocaleTimeString()}` : "";
  tell("closed", `Disconnected${last}. Trying again…`);
}

byId("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value);
  byId("key").value = "";
  wake();
});
byId("show-names").addEventListener("click", () => {
  byId("unlock").hidden = false;
  byId("unlock").querySelector("label").textContent = "Names and addresses are for whoever has the server's API key:";
  byId("key").focus();
});
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    sort = button.dataset.sort;
    for (const one of document.querySelectorAll("[data-sort]")) one.setAttribute("aria-pressed", String(one === button));
    wake();
  });
}
document.addEventListener("visibilitychange", () => wake());

for (;;) {
  if (!document.hidden) await refresh().catch(disconnected);
  await new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, PERIOD_MS);
  });
}
