// Memory time-lapse: recorded runs come from Python; means, scales and words are made here.

import { choices } from "./shared/choices.js";
import { choice, dropdown, slider, statusLine } from "./shared/controls.js";
import { drawing } from "./shared/drawing.js";
import { html, svg } from "./shared/elements.js";
import { listen, need } from "./shared/failures.js";
import { fixed, plural } from "./shared/words.js";

// --- Arithmetic ---

const UNIT = 10000; // weights and gates are whole ten-thousandths
const ALL = -1;

export const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

// Tables (h, i, j) of ten-thousandths: table `chosen` in numbers from 0 to 1, or the mean of all.
export function tableOf(tables, chosen) {
  const taken = chosen === ALL ? tables : [tables[chosen]];
  return taken[0].map((row, i) =>
    row.map((_, j) => mean(taken.map((table) => table[i][j])) / UNIT),
  );
}

// Update gate of each slot, mean over its numbers and the updates that table `chosen` of the writing
// belongs to; null without a gate.
export function gateOf({ gate, write }, chosen) {
  if (!gate) return null;
  const heads = write.length / gate.length;
  const taken = chosen === ALL ? gate : [gate[Math.floor(chosen / heads)]];
  return taken[0].map((_, slot) => mean(taken.map((slots) => slots[slot])) / UNIT);
}

// What the bars show of a segment, one number for each slot; null where there is none.
export function barsOf(segment, { show, writing }) {
  if (show === "gate") return gateOf(segment, writing);
  if (show === "own") return tableOf(segment.write, writing).map((row) => row[0]);
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
export function readersOf({ read, pad }, reading) {
  const rows = tableOf(read, reading).filter((_, token) => !pad?.[token]);
  return rows.length ? rows[0].map((_, slot) => mean(rows.map((row) => row[slot]))) : null;
}

export const largest = (numbers) => numbers.indexOf(Math.max(...numbers));

// --- Words ---

const QUANTITIES = {
  change: "change",
  norm: "norm after",
  gate: "update gate",
  own: "weight on itself",
};

function short(value) {
  if (value >= 1e4) return value.toExponential(0).replace("+", "");
  return fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

// The first tokens of a segment.
const pageOf = ({ tokens }) => tokens.slice(0, 6).join(" ") + (tokens.length > 6 ? " …" : "");

function runTold(run, settings, names) {
  const segment = run.segments[settings.at - 1];
  if (segment.pad?.every(Boolean)) return `${run.name}: only padding, the memory stays.`;
  const slot = largest(segment.change);
  const gate = gateOf(segment, settings.writing);
  const writes = tableOf(segment.write, settings.writing)[slot];
  const to = largest(writes);
  const reads = readersOf(segment, settings.reading);
  const by = (name) => (name ? `, ${name}` : "");
  return (
    `${run.name}: slot ${slot + 1} moves most, by ${short(segment.change[slot])}, norm ` +
    `${short(segment.before[slot])} to ${short(segment.after[slot])}, ` +
    `${gate ? `gate ${fixed(gate[slot])}` : "no gate"}. It looks most at ` +
    `${to ? segment.tokens[to - 1] : "itself"} (${fixed(writes[to])}${by(names.writing)}). ` +
    `Slot ${largest(reads) + 1} is read most (${fixed(Math.max(...reads))}${by(names.reading)}).`
  );
}

// --- The widget ---

function checkData({ layers, updates, runs }) {
  const list = (part) => (Array.isArray(part) ? part : []);
  const finite = (numbers, size) => list(numbers).length === size && numbers.every(Number.isFinite);
  need(list(runs).length > 0, "there is no recorded run");
  for (const { name, segments } of runs) {
    need(typeof name === "string", "a run has no name");
    need(list(segments).length > 0, `${name} has no segments`);
    need(
      segments.length === runs[0].segments.length,
      "the runs differ in their number of segments",
    );
    segments.forEach(({ tokens, pad, read, write, gate, before, after, change }, place) => {
      const k = list(change).length;
      const n = list(tokens).length;
      const tables = (given, rows, columns) =>
        list(given).length > 0 &&
        given.every(
          (table) => list(table).length === rows && table.every((row) => finite(row, columns)),
        );
      const where = `segment ${place + 1} of ${name}`;
      need(
        k > 0 && [change, before, after].every((one) => finite(one, k)),
        `${where} lacks norms or change`,
      );
      need(
        list(tokens).every((word) => typeof word === "string"),
        `${where} has a token without a name`,
      );
      need(
        pad === null || list(pad).length === n,
        `${where} does not say which tokens are padding`,
      );
      need(n > 0 && tables(read, n, k), `${where} lacks its reading`);
      need(tables(write, k, 1 + n), `${where} lacks its writing`);
      need(
        gate === null || (list(gate).length === updates && gate.every((one) => finite(one, k))),
        `${where} lacks its gate`,
      );
      need(
        read.length % layers === 0 &&
          read.length === runs[0].segments[0].read.length &&
          write.length % updates === 0 &&
          write.length === runs[0].segments[0].write.length,
        `${where} has other layers, heads or updates`,
      );
    });
  }
}

// The options of a choice among tables that are heads of layers or of updates.
function headsOf(groups, count, group) {
  const heads = count / groups;
  return [
    [ALL, "mean of all"],
    ...[...Array(count).keys()].map((place) => [
      place,
      (groups > 1 ? `${group} ${Math.floor(place / heads) + 1}, ` : "") +
        `head ${(place % heads) + 1}`,
    ]),
  ];
}

export function mount(el, data, live) {
  checkData(data);
  const { runs, layers, updates } = data;
  const count = runs[0].segments.length;
  const readings = headsOf(layers, runs[0].segments[0].read.length, "layer");
  const writings = headsOf(updates, runs[0].segments[0].write.length, "update");
  const state = choices(live, { at: 1, show: "change", reading: ALL, writing: ALL }, draw);
  const gated = runs.some((run) => run.segments[0].gate);

  const at = slider("Segment", {
    min: 1,
    max: count,
    value: 1,
    change: (value) => state.change({ at: value }),
    show: (value) => `${value} of ${count}: ${pageOf(runs[0].segments[value - 1])}`,
  });
  const show = choice("Bars", {
    options: Object.entries({
      change: "change",
      norm: "norm",
      gate: "gate",
      own: "weight on itself",
    }).filter(([name]) => gated || name !== "gate"),
    value: "change",
    change: (value) => state.change({ show: value }),
  });
  const heads = (label, name, options) =>
    dropdown(label, {
      options,
      value: ALL,
      change: (value) => state.change({ [name]: Number(value) }),
    });
  const reading = heads("Read by", "reading", readings);
  const writing = heads("Written by", "writing", writings);
  for (const { node } of [at, show]) node.classList.add("mfl-whole");
  const parts = runs.map((run) => panel(run));
  const { node: status, say } = statusLine();
  el.style.setProperty("--mfl-runs", runs.length);
  el.append(
    html(
      "div",
      { class: "mfl-controls" },
      count > 1 ? at.node : null,
      show.node,
      readings.length + writings.length > 4
        ? html(
            "div",
            { class: "mfl-lapse-heads mfl-whole" },
            readings.length > 2 ? reading.node : null,
            writings.length > 2 ? writing.node : null,
          )
        : null,
    ),
    html(
      "div",
      { class: "mfl-lapse" },
      parts.map((part) => part.bars),
      parts.map((part) => part.table),
    ),
    status,
  );
  draw();
  return () => {
    for (const part of parts) part.stop();
    state.stop();
  };

  function draw() {
    const settings = state.values;
    at.set(settings.at);
    show.set(settings.show);
    reading.set(settings.reading);
    writing.set(settings.writing);
    const top = topOf(runs, settings);
    for (const part of parts) part.draw(top);
    const nameOf = (options, chosen) => (chosen === ALL ? "" : options[chosen + 1][1]);
    const names = {
      reading: nameOf(readings, settings.reading),
      writing: nameOf(writings, settings.writing),
    };
    say(
      `Segment ${settings.at} of ${count}, ${pageOf(runs[0].segments[settings.at - 1])}. ` +
        `${runs.map((run) => runTold(run, settings, names)).join(" ")} ` +
        `Bars: ${QUANTITIES[settings.show]}, up to ${short(top)}.`,
    );
  }

  // One run: its bars over all segments, and its table of the segment under the playhead.
  function panel(run) {
    const cut = run.complete === false ? " (the recording stopped early)" : "";
    const slots = run.segments[0].change.length;
    const title = html("div", { class: "mfl-title" });
    const heading = html("div", { class: "mfl-title" });
    const table = html("table", { class: "mfl-weights" });
    let top = 1;
    const picture = drawing(slots * ROW + BOTTOM, (width) => strip(width, run, state.values, top));
    if (count > 1)
      listen(picture.node, "click", (event) => {
        const box = picture.node.getBoundingClientRect();
        const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
        state.change({ at: Math.max(1, Math.min(count, Math.ceil(share * count))) });
      });
    return {
      bars: html("div", { class: "mfl-lapse-bars" }, title, picture.node),
      table: html("div", { class: "mfl-lapse-table" }, heading, table),
      stop: picture.stop,
      draw(highest) {
        top = highest;
        title.textContent = `${run.name}: ${QUANTITIES[state.values.show]}${cut}`;
        picture.redraw();
        const { at: place } = state.values;
        heading.textContent = `${run.name}, segment ${place}: ${pageOf(run.segments[place - 1])}`;
        table.setAttribute("aria-label", heading.textContent);
        table.replaceChildren(...rowsOf(run, state.values));
      },
    };
  }

  function rowsOf(run, settings) {
    const segment = run.segments[settings.at - 1];
    const slots = [...segment.change.keys()];
    const read = tableOf(segment.read, settings.reading);
    const write = tableOf(segment.write, settings.writing);
    const gate = gateOf(segment, settings.writing);
    const tops = Object.fromEntries(
      ["change", "norm"].map((name) => [name, topOf(runs, { show: name })]),
    );
    const row = (name, kind, numbers, most = 1) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, name),
        numbers.map((number) =>
          html(
            "td",
            number === null
              ? {}
              : {
                  class: `mfl-${kind}`,
                  style: `--mfl-strength:${(8 + 52 * Math.min(1, number / most)).toFixed(1)}%`,
                },
            number === null ? "–" : short(number),
          ),
        ),
      );
    const part = (words) =>
      html(
        "tr",
        { class: "mfl-lapse-part" },
        html("th", { scope: "rowgroup", colspan: slots.length + 1 }, words),
      );
    const word = (place) => segment.tokens[place] + (segment.pad?.[place] ? " (pad)" : "");
    const tokens = segment.tokens.map((_, place) => place);
    return [
      html(
        "thead",
        {},
        html(
          "tr",
          {},
          html("th", { scope: "col" }, "slot"),
          slots.map((slot) => html("th", { scope: "col" }, `${slot + 1}`)),
        ),
      ),
      html(
        "tbody",
        {},
        part("Read: a token's weights, a row sums to 1"),
        tokens.map((place) => row(word(place), "tokens", read[place])),
      ),
      html(
        "tbody",
        {},
        part("Write: a slot's weights, a column sums to 1"),
        row(
          "itself",
          "kept",
          slots.map((slot) => write[slot][0]),
        ),
        tokens.map((place) =>
          row(
            word(place),
            "written",
            slots.map((slot) => write[slot][1 + place]),
          ),
        ),
      ),
      html(
        "tbody",
        {},
        part("What became of the slot"),
        gated ? row("gate", "kept", gate ?? slots.map(() => null)) : null,
        row("change", "written", segment.change, tops.change),
        row("norm from", "slots", segment.before, tops.norm),
        row("norm to", "slots", segment.after, tops.norm),
      ),
    ];
  }
}

const [LEFT, RIGHT, ROW, BOTTOM] = [42, 36, 30, 36];
const COLOURS = { change: "written", norm: "slots", gate: "kept", own: "kept" };

// A row of bars for each slot, a bar for each segment; the segment under the playhead is framed, and
// its numbers stand at the right.
function strip(width, run, settings, top) {
  const { segments } = run;
  const slots = [...segments[0].change.keys()];
  const step = (width - LEFT - RIGHT) / segments.length;
  const high = ROW - 8;
  const low = (slot) => (slot + 1) * ROW;
  const text = (x, y, words, anchor) => svg("text", { x, y, "text-anchor": anchor }, words);
  const found = segments.map((segment) => barsOf(segment, settings));
  const here = found[settings.at - 1];
  const ticks =
    segments.length * 18 <= width - LEFT - RIGHT
      ? [...segments.keys()]
      : [0, Math.floor((segments.length - 1) / 2), segments.length - 1];
  const children = [
    svg("rect", {
      class: "mfl-lapse-here",
      x: LEFT + (settings.at - 1) * step - 1,
      y: 1,
      width: step + 2,
      height: slots.length * ROW + 2,
      rx: 3,
    }),
    slots.map((slot) => [
      text(0, low(slot) - 7, `slot ${slot + 1}`, "start"),
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: low(slot), y2: low(slot), class: "mfl-grid" }),
      ...found.map((numbers, place) => {
        const tall = numbers ? Math.max(0, Math.min(1, numbers[slot] / top)) * high : 0;
        return svg("rect", {
          class: `mfl-lapse-bar mfl-${COLOURS[settings.show]}`,
          x: LEFT + (place + 0.12) * step,
          y: low(slot) - tall,
          width: step * 0.76,
          height: tall,
        });
      }),
      text(width, low(slot) - 7, here ? short(here[slot]) : "–", "end"),
    ]),
    ticks.map((place) =>
      text(LEFT + (place + 0.5) * step, slots.length * ROW + 17, `${place + 1}`, "middle"),
    ),
    text((LEFT + width - RIGHT) / 2, slots.length * ROW + BOTTOM - 4, "segment", "middle"),
  ];
  const words =
    `${QUANTITIES[settings.show]} of ${plural(slots.length, "slot")} over ` +
    `${plural(segments.length, "segment")}, bars on a scale to ${short(top)}. Segment ${settings.at}: ` +
    `${here ? slots.map((slot) => `slot ${slot + 1} ${short(here[slot])}`).join(", ") : "no gate"}.`;
  return { words: `${run.name}: ${words}`, children };
}
