/**
 * Where the page begins: whoever is known is let in, whoever is not is asked.
 *
 * @module page
 */

import { App } from "./app.js";
import { connect } from "./chat.js";
import { byId } from "./dom.js";
import { showEntrance } from "./entrance.js";
import { readSettings } from "./settings.js";
import { showStats } from "./stats.js";

const settings = readSettings();
const { name, room, token } = settings;

if (name || token) {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  byId("app").hidden = false;
  // Whoever has a token speaks under the name in it.
  new App(connect(url, token ? { token } : { clientId: name }), settings);
  showStats(byId("stats"));
} else {
  showEntrance({ name, room, token });
}
