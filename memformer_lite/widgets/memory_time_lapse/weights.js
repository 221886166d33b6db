// Means and scales of recorded weights, gates, norms and changes.

export const ALL = -1; // tables: the mean of them

export const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

// Tables (h, i, j) of whole parts, of which `unit` are 1: table `chosen` in numbers from 0 to 1, or
// the mean of all.
export function tableOf(tables, chosen, unit) {
  const taken = chosen === ALL ? tables : [tables[chosen]];
  return taken[0].map((row, i) =>
    row.map((_, j) => mean(taken.map((table) => table[i][j])) / unit),
  );
}

// Update gate of each slot, mean over its numbers and the updates that table `chosen` of the writing
// belongs to; null without a gate.
export function gateOf({ gate, write }, chosen, unit) {
  if (!gate) return null;
  const heads = write.length / gate.length;
  const taken = chosen === ALL ? gate : [gate[Math.floor(chosen / heads)]];
  return taken[0].map((_, slot) => mean(taken.map((slots) => slots[slot])) / unit);
}

// What the bars show of a segment, one number for each slot; null where there is none.
export function barsOf(segment, { show, writing, unit }) {
  if (show === "gate") return gateOf(segment, writing, unit);
  if (show === "own") return tableOf(segment.write, writing, unit).map((row) => row[0]);
  return segment[show === "norm" ? "after" : "change"];
}

// The top of the bars' scale, common to all runs: 1 for shares, else the largest of all.
export function topOf(runs, settings) {
  if (settings.show === "gate" || settings.show === "own") return 1;
  return (
    Math.max(...runs.flatMap((run) => run.segments.flatMap((one) => barsOf(one, settings)))) || 1
  );
}

// How much each slot is read: mean weight over the tokens that are not padding.
export function readersOf({ read, pad }, reading, unit) {
  const rows = tableOf(read, reading, unit).filter((_, token) => !pad?.[token]);
  return rows.length ? rows[0].map((_, slot) => mean(rows.map((row) => row[slot]))) : null;
}

export const largest = (numbers) => numbers.indexOf(Math.max(...numbers));
