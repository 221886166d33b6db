// What is said of a recorded run.

import { longest } from "../parts/elements.js";
import { fixed } from "../parts/words.js";
import { ALL, gateOf, largest, readersOf, tableOf } from "./weights.js";

export const QUANTITIES = {
  change: "change",
  norm: "norm after",
  gate: "update gate",
  own: "weight on itself",
};

export function short(value) {
  if (value >= 1e4) return value.toExponential(0).replace("+", "");
  return fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

// The first tokens of a segment.
export const pageOf = ({ tokens }) =>
  tokens.slice(0, 6).join(" ") + (tokens.length > 6 ? " …" : "");

// What is said of all runs; `top` is the number that the highest bar stands for.
export function statusWords(runs, settings, names, top) {
  const { segments } = runs[0];
  const told = runs.map((run) => runWords(run, settings, names)).join(" ");
  return (
    `Segment ${settings.at} of ${segments.length}, ${pageOf(segments[settings.at - 1])}. ${told} ` +
    `Bars: ${QUANTITIES[settings.show]}, up to ${short(top)}.`
  );
}

// The longest of it: of any segment, with the longest names of heads and of words.
export function longestWords(runs, unit, names) {
  const tokens = runs.flatMap(({ segments }) => segments.flatMap((segment) => segment.tokens));
  const [word] = longest(tokens, 1);
  const wordy = runs.map((run) => ({
    ...run,
    segments: run.segments.map((segment) => ({
      ...segment,
      tokens: segment.tokens.map(() => word),
      pad: null,
    })),
  }));
  const settings = { reading: ALL, writing: ALL, show: "own", unit };
  const words = runs[0].segments.map((_, place) =>
    statusWords(wordy, { ...settings, at: place + 1 }, names, 1),
  );
  return longest(words, 3);
}

// What happened in the segment under the playhead of a run.
export function runWords(run, settings, names) {
  const segment = run.segments[settings.at - 1];
  if (segment.pad?.every(Boolean)) return `${run.name}: only padding, the memory stays.`;
  const slot = largest(segment.change);
  const gate = gateOf(segment, settings.writing, settings.unit);
  const writes = tableOf(segment.write, settings.writing, settings.unit)[slot];
  const to = largest(writes);
  const reads = readersOf(segment, settings.reading, settings.unit);
  const by = (name) => (name ? `, ${name}` : "");
  return (
    `${run.name}: slot ${slot + 1} moves most, by ${short(segment.change[slot])}, norm ` +
    `${short(segment.before[slot])} to ${short(segment.after[slot])}, ` +
    `${gate ? `gate ${fixed(gate[slot])}` : "no gate"}. It looks most at ` +
    `${to ? segment.tokens[to - 1] : "itself"} (${fixed(writes[to])}${by(names.writing)}). ` +
    `Slot ${largest(reads) + 1} is read most (${fixed(Math.max(...reads))}${by(names.reading)}).`
  );
}
