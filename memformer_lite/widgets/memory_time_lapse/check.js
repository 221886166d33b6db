// What a recorded run must be like to be shown.

import { need } from "../parts/failures.js";

const list = (part) => (Array.isArray(part) ? part : []);
const finite = (numbers, size) => list(numbers).length === size && numbers.every(Number.isFinite);
const tables = (given, rows, columns) =>
  list(given).length > 0 &&
  given.every((table) => list(table).length === rows && table.every((row) => finite(row, columns)));

export function checkData({ layers, updates, unit, runs }) {
  need(list(runs).length > 0, "there is no recorded run");
  need(unit > 0, "the unit of the weights is missing");
  for (const { name, segments } of runs) {
    need(typeof name === "string", "a run has no name");
    need(list(segments).length > 0, `${name} has no segments`);
    const { segments: others } = runs[0];
    need(segments.length === others.length, "the runs differ in their number of segments");
    for (const [place, segment] of segments.entries()) {
      const where = `segment ${place + 1} of ${name}`;
      checkSegment(segment, updates, where);
      const { read, write } = segment;
      need(
        read.length % layers === 0 &&
          read.length === others[0].read.length &&
          write.length % updates === 0 &&
          write.length === others[0].write.length,
        `${where} has other layers, heads or updates`,
      );
    }
  }
}

function checkSegment(segment, updates, where) {
  const { tokens, pad, read, write, gate, before, after, change } = segment;
  const k = list(change).length;
  const n = list(tokens).length;
  const norms = k > 0 && [change, before, after].every((one) => finite(one, k));
  need(norms, `${where} lacks norms or change`);
  const named = list(tokens).every((word) => typeof word === "string");
  need(named, `${where} has a token without a name`);
  const padding = pad === null || list(pad).length === n;
  need(padding, `${where} does not say which tokens are padding`);
  need(n > 0 && tables(read, n, k), `${where} lacks its reading`);
  need(tables(write, k, 1 + n), `${where} lacks its writing`);
  const gated = list(gate).length === updates && list(gate).every((one) => finite(one, k));
  need(gate === null || gated, `${where} lacks its gate`);
}
