/**
 * Asks who you are and where you want to be.
 *
 * @module entrance
 */

import { NAME_RULE, parseName } from "./conversations.js";
import { byId } from "./dom.js";
import { restartAs } from "./settings.js";

const FIRST = ["amber", "brisk", "calm", "clever", "dusky", "gentle", "lucky", "mellow", "quiet", "swift", "sunny", "wry"];
const SECOND = ["badger", "finch", "fox", "heron", "lynx", "marten", "otter", "owl", "raven", "stoat", "tern", "wren"];

/**
 * Show the entrance instead of the page. Entering loads the page anew.
 * @param {object} current
 * @param {string | null} current.name  Null: one is suggested, so that Enter is enough.
 * @param {string} current.room
 * @param {string | null} current.token
 * @param {(() => void) | null} [current.onBack]  There is a page to go back to.
 */
export function showEntrance({ name, room, token, onBack = null }) {
  const [nameInput, roomInput, tokenInput, back, problem] = ["name", "room", "token", "back", "error"].map((part) => byId(`enter-${part}`));
  nameInput.value = name ?? `${pick(FIRST)}-${pick(SECOND)}`;
  roomInput.value = room;
  tokenInput.value = token ?? "";
  byId("enter-more").open = Boolean(token);
  back.hidden = onBack === null;
  back.onclick = () => {
    swap(false);
    onBack();
  };
  byId("entrance").onkeydown = ({ key }) => {
    if (key === "Escape" && onBack) back.click();
  };
  byId("enter").onsubmit = (event) => {
    event.preventDefault();
    const choice = { name: parseName(nameInput.value), room: parseName(roomInput.value), token: tokenInput.value.trim() };
    const wrong = choice.name === null ? nameInput : choice.room === null ? roomInput : null;
    for (const input of [nameInput, roomInput]) input.setAttribute("aria-invalid", String(input === wrong));
    problem.hidden = wrong === null;
    problem.textContent = `${wrong === nameInput ? "A name" : "A room name"} has ${NAME_RULE}.`;
    if (wrong) wrong.focus();
    else restartAs(choice);
  };
  swap(true);
  nameInput.select();
}

function swap(entrance) {
  byId("entrance").hidden = !entrance;
  byId("app").hidden = entrance;
}

function pick(words) {
  return words[Math.floor(Math.random() * words.length)];
}
