/**
 * What a line in the message box means: text, or one of a few commands.
 *
 * @module commands
 */

import { NAME_RULE, parseName } from "./conversations.js";

/** @typedef {{kind: "say", text: string} | {kind: "msg", to: string, text: string} | {kind: "join" | "leave", room: string} | {kind: "wrong", why: string}} Intent */

export const HELP = "/msg name text · /join room · /leave · // begins a text with a slash";

/**
 * Understand a line.
 * @param {string} line
 * @param {{room: string}} here  Where it was written.
 * @returns {Intent}
 */
export function parseLine(line, { room }) {
  if (!line.startsWith("/")) return { kind: "say", text: line };
  if (line.startsWith("//")) return { kind: "say", text: line.slice(1) };
  const [, command, rest] = /^\/(\S*)\s*([^]*)$/.exec(line);
  const [, word, text] = /^(\S*)\s*([^]*)$/.exec(rest);
  const name = parseName(word);
  switch (command) {
    case "msg":
      if (word === "" || text === "") return { kind: "wrong", why: "Write /msg name text" };
      return name === null ? wrongName(word) : { kind: "msg", to: name, text };
    case "join":
      return name === null ? wrongName(word) : { kind: "join", room: name };
    case "leave":
      if (word === "") return { kind: "leave", room };
      return name === null ? wrongName(word) : { kind: "leave", room: name };
    case "help":
      return { kind: "wrong", why: HELP };
    default:
      return { kind: "wrong", why: `There is no /${command.slice(0, 20)}. ${HELP}` };
  }
}

function wrongName(word) {
  return { kind: "wrong", why: `“${word.slice(0, 20)}” is no name: ${NAME_RULE}` };
}
