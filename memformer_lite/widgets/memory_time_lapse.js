// Memory time-lapse: recorded runs come from Python; means, scales and words are made here.

import { bars, heightOf, LEFT, RIGHT } from "./memory_time_lapse/bars.js";
import { checkData } from "./memory_time_lapse/check.js";
import { rowsOf } from "./memory_time_lapse/table.js";
import { ALL, topOf } from "./memory_time_lapse/weights.js";
import { longestWords, pageOf, QUANTITIES, statusWords } from "./memory_time_lapse/words.js";
import { choices } from "./parts/choices.js";
import { choice, dropdown, slider, statusLine } from "./parts/controls.js";
import { drawing } from "./parts/drawing.js";
import { html, roomFor } from "./parts/elements.js";
import { listen } from "./parts/failures.js";
import { scroller } from "./parts/scroller.js";

const SHOWN = { ...QUANTITIES, norm: "norm", gate: "gate" }; // as they fit on a control

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

// All controls; `draw()` sets them to what is chosen, `names()` says which heads are.
function controls({ runs, layers, updates }, state) {
  const { segments } = runs[0];
  const count = segments.length;
  const gated = runs.some((run) => run.segments[0].gate);
  const heads = {
    reading: headsOf(layers, segments[0].read.length, "layer"),
    writing: headsOf(updates, segments[0].write.length, "update"),
  };
  const ofHeads = (label, name) =>
    dropdown(label, {
      options: heads[name],
      value: state.values[name],
      change: (value) => state.change({ [name]: Number(value) }),
    });
  const segmentWords = (value) => `${value} of ${count}: ${pageOf(segments[value - 1])}`;
  const parts = {
    at: slider("Segment", {
      min: 1,
      max: count,
      value: state.values.at,
      change: (value) => state.change({ at: value }),
      show: segmentWords,
      shows: segments.map((_, place) => segmentWords(place + 1)),
    }),
    show: choice("Bars", {
      options: Object.entries(SHOWN).filter(([name]) => gated || name !== "gate"),
      value: state.values.show,
      change: (value) => state.change({ show: value }),
    }),
    reading: ofHeads("Read by", "reading"),
    writing: ofHeads("Written by", "writing"),
  };
  for (const { node } of [parts.at, parts.show]) node.classList.add("mfl-whole");
  const several = Object.keys(heads).filter((name) => heads[name].length > 2); // with one: no choice
  const choosing = several.map((name) => parts[name].node);
  return {
    node: html(
      "div",
      { class: "mfl-controls" },
      count > 1 ? parts.at.node : null,
      parts.show.node,
      several.length ? html("div", { class: "mfl-lapse-heads mfl-whole" }, choosing) : null,
    ),
    draw() {
      for (const [name, part] of Object.entries(parts)) part.set(state.values[name]);
    },
    names() {
      const nameOf = (name) => {
        const chosen = state.values[name];
        return chosen === ALL ? "" : heads[name][chosen + 1][1];
      };
      return { reading: nameOf("reading"), writing: nameOf("writing") };
    },
    longestNames() {
      const last = (name) => (several.includes(name) ? heads[name].at(-1)[1] : "");
      return { reading: last("reading"), writing: last("writing") };
    },
  };
}

// One run: its bars over all segments, and its table of the segment under the playhead.
function panel(runs, run, state, settings) {
  const count = run.segments.length;
  const cut = run.complete === false ? " (the recording stopped early)" : "";
  const title = html("div", { class: "mfl-title" });
  const heading = html("div", { class: "mfl-title" });
  const table = html("table", { class: "mfl-weights" });
  const scrolls = scroller(`${run.name}: table`, table);
  const titleOf = (show) => `${run.name}: ${QUANTITIES[show]}${cut}`;
  const headingOf = (at) => `${run.name}, segment ${at}: ${pageOf(run.segments[at - 1])}`;
  let top = 1;
  const picture = drawing(heightOf(run), (width) => bars(width, run, settings(), top));
  if (count > 1) {
    listen(picture.node, "click", (event) => {
      const box = picture.node.getBoundingClientRect();
      const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      state.change({ at: Math.max(1, Math.min(count, Math.ceil(share * count))) });
    });
  }
  function draw(highest) {
    top = highest;
    const { show, at } = state.values;
    title.textContent = titleOf(show);
    picture.redraw();
    heading.textContent = headingOf(at);
    table.setAttribute("aria-label", heading.textContent);
    table.replaceChildren(...rowsOf(runs, run, settings()));
  }
  const titles = Object.keys(QUANTITIES).map(titleOf);
  const headings = run.segments.map((_, place) => headingOf(place + 1));
  return {
    bars: html("div", { class: "mfl-lapse-bars" }, roomFor(titles, title), picture.node),
    table: html("div", { class: "mfl-lapse-table" }, roomFor(headings, heading), scrolls.node),
    stop() {
      picture.stop();
      scrolls.stop();
    },
    draw,
  };
}

export function mount(el, data, live) {
  checkData(data);
  const { runs, unit } = data;
  const state = choices(live, { at: 1, show: "change", reading: ALL, writing: ALL }, draw);
  const settings = () => ({ ...state.values, unit });
  const above = controls(data, state);
  const panels = runs.map((run) => panel(runs, run, state, settings));
  const status = statusLine(longestWords(runs, unit, above.longestNames()));
  el.style.setProperty("--mfl-runs", runs.length);
  el.append(
    above.node,
    html(
      "div",
      { class: "mfl-lapse" },
      panels.map((part) => part.bars),
      panels.map((part) => part.table),
    ),
    status.node,
  );
  draw();
  return () => {
    for (const part of panels) part.stop();
    state.stop();
  };

  function draw() {
    above.draw();
    const top = topOf(runs, settings());
    for (const part of panels) part.draw(top);
    status.say(statusWords(runs, settings(), above.names(), top));
  }
}
