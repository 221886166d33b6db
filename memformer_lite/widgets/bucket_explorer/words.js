// What is said of an offset and of its bucket.

import { plural, signed } from "../parts/words.js";
import { directions, refusal, sharers } from "./buckets.js";

export const FLAGS = { true: "both directions", false: "past only" };

export function sharedWith({ from, to }) {
  if (from === to) return "which no other offset has";
  if (from === null) return `with all offsets from ${signed(to)} back`;
  if (to !== null) return `with all offsets from ${signed(from)} to ${signed(to)}`;
  return from === 0
    ? "with the present and all of the future"
    : `with all offsets from ${signed(from)} ahead`;
}

export function placed(offset) {
  if (offset === 0) return "the token itself";
  return `${plural(Math.abs(offset), "token")} ${offset < 0 ? "back" : "ahead"}`;
}

export const offsetWords = (offset) => `${signed(offset)}: ${placed(offset)}`;

export const titleWords = (swapped, flag) => `${swapped ? "Flag swapped" : "T5"}: ${FLAGS[flag]}`;

export function countWords(options) {
  if (refusal(options)) return "refused";
  const { past, future } = directions(options);
  return `${plural(past, "bucket")} for the past, ${future || "none"} ahead`;
}

export function answer(offset, options) {
  const refused = refusal(options);
  const found = refused ? null : sharers(offset, options);
  const words = refused
    ? `no map, as ${refused.split(":")[0]} is refused`
    : `bucket ${found.bucket}, ${sharedWith(found)}`;
  return `${FLAGS[options.bidirectional]}: ${words}`;
}
