// The table of a segment: weights of reading and writing, and what became of each slot.

import { html, roomFor } from "../parts/elements.js";
import { gateOf, tableOf, topOf } from "./weights.js";
import { short } from "./words.js";

// A row of numbers; null where there is none. `most` has the full colour.
function row(name, kind, numbers, most = 1) {
  const cell = (number) => {
    if (number === null) return html("td", {}, "–");
    const strength = (8 + 52 * Math.min(1, number / most)).toFixed(1);
    const style = `--mfl-strength:${strength}%`;
    return html("td", { class: `mfl-${kind}`, style }, short(number));
  };
  return html("tr", {}, html("th", { scope: "row" }, name), numbers.map(cell));
}

function part(columns, words, ...rows) {
  const heading = html("th", { scope: "rowgroup", colspan: columns }, words);
  return html("tbody", {}, html("tr", { class: "mfl-lapse-part" }, heading), rows);
}

const wordOf = ({ tokens, pad }, place) => tokens[place] + (pad?.[place] ? " (pad)" : "");
const wordsOf = ({ segments }) =>
  segments.flatMap((segment) => segment.tokens.map((_, place) => wordOf(segment, place)));

// As many empty rows as the longest segment of the run has more.
function fillerRows({ segments }, { tokens }) {
  const more = Math.max(...segments.map((one) => one.tokens.length)) - tokens.length;
  const rows = Array.from({ length: 2 * more }, () => html("tr", {}, html("td", {})));
  return html("tbody", { "aria-hidden": "true" }, rows);
}

export function rowsOf(runs, run, settings) {
  const { reading, writing, unit } = settings;
  const segment = run.segments[settings.at - 1];
  const slots = [...segment.change.keys()];
  const read = tableOf(segment.read, reading, unit);
  const write = tableOf(segment.write, writing, unit);
  const gate = gateOf(segment, writing, unit) ?? slots.map(() => null);
  const [change, norm] = ["change", "norm"].map((show) => topOf(runs, { show }));
  const gated = runs.some(({ segments }) => segments[0].gate);
  const word = (place) => wordOf(segment, place);
  const column = (place) => slots.map((slot) => write[slot][place]);
  const places = [...segment.tokens.keys()];
  const names = slots.map((slot) =>
    html("th", { scope: "col" }, roomFor(["0.00", "00.0", short(norm)], `${slot + 1}`)),
  );
  const corner = html("th", { scope: "col" }, roomFor([...wordsOf(run), "norm from"], "slot"));
  const columns = slots.length + 1;
  return [
    html("thead", {}, html("tr", {}, corner, names)),
    part(
      columns,
      "Read: a token's weights, a row sums to 1",
      places.map((place) => row(word(place), "tokens", read[place])),
    ),
    part(
      columns,
      "Write: a slot's weights, a column sums to 1",
      row("itself", "kept", column(0)),
      places.map((place) => row(word(place), "written", column(1 + place))),
    ),
    part(
      columns,
      "What became of the slot",
      gated ? row("gate", "kept", gate) : null,
      row("change", "written", segment.change, change),
      row("norm from", "slots", segment.before, norm),
      row("norm to", "slots", segment.after, norm),
    ),
    fillerRows(run, segment),
  ];
}
