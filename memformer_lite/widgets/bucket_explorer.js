// Bucket explorer: T5's map from offsets to buckets, and the one with the flag swapped.

import { refusal } from "./bucket_explorer/buckets.js";
import { HEIGHT, LEFT, map, RIGHT } from "./bucket_explorer/map.js";
import {
  answer,
  countWords,
  FLAGS,
  offsetWords,
  placed,
  titleWords,
} from "./bucket_explorer/words.js";
import { choices } from "./parts/choices.js";
import { choice, slider, statusLine } from "./parts/controls.js";
import { drawing } from "./parts/drawing.js";
import { html, roomFor } from "./parts/elements.js";
import { listen, need } from "./parts/failures.js";
import { plural, signed } from "./parts/words.js";

// The choices at the start, checked.
function initialChoices({ start: first, buckets, distances, reaches }) {
  need(first && buckets && distances && reaches, "no options to start with");
  const numbers = [first.offset, first.num_buckets, first.max_distance];
  need(
    [...numbers, buckets, distances, reaches].flat().every(Number.isInteger),
    "an option or a range is no whole number",
  );
  const reach = reaches.find((size) => Math.abs(first.offset) <= size);
  const most = reaches.at(-1);
  need(
    reach && typeof first.bidirectional === "boolean",
    `no offset from −${most} to ${most} to start with`,
  );
  const why = refusal(optionsOf(first, first.bidirectional));
  need(!why, why);
  return { ...first, reach };
}

const optionsOf = (values, bidirectional) => ({
  bidirectional,
  numBuckets: values.num_buckets,
  maxDistance: values.max_distance,
});

const within = (offset, reach) => Math.max(-reach, Math.min(reach, offset));

function statusWords(values) {
  const { offset, num_buckets: count, max_distance: distance, bidirectional, reach } = values;
  const [own, swapped] = [bidirectional, !bidirectional].map((flag) =>
    answer(offset, optionsOf(values, flag)),
  );
  return (
    `Offset ${signed(offset)}, ${placed(offset)}. T5, ${own}. Flag swapped, ${swapped}. ` +
    `(${count} buckets, distance ${distance}, ±${reach} shown.)`
  );
}

// The choices with the longest words.
const longestChoices = ({ buckets, distances, reaches }) =>
  [-1, -0.5].flatMap((share) =>
    [true, false].map((bidirectional) => ({
      offset: share * reaches.at(-1),
      num_buckets: buckets[1],
      max_distance: distances[1],
      bidirectional,
      reach: reaches.at(-1),
    })),
  );

// All controls; `draw()` sets them to what is chosen.
function controls({ buckets, distances, reaches }, state) {
  const { values } = state;
  const range = (label, name, [min, max], show, shows) =>
    slider(label, {
      min,
      max,
      value: values[name],
      show,
      shows,
      change: (value) => state.change({ [name]: value }),
    });
  const parts = {
    num_buckets: range("Number of buckets", "num_buckets", buckets),
    max_distance: range("Maximal distance", "max_distance", distances, (value) =>
      plural(value, "token"),
    ),
    bidirectional: choice("Direction", {
      options: [
        [true, FLAGS.true],
        [false, FLAGS.false],
      ],
      value: values.bidirectional,
      change: (flag) => state.change({ bidirectional: flag }),
    }),
    reach: choice("Offsets shown", {
      options: reaches.map((size) => [size, `±${size}`]),
      value: values.reach,
      change: (size) => state.change({ reach: size, offset: within(state.values.offset, size) }),
    }),
    offset: range(
      "Offset",
      "offset",
      [-values.reach, values.reach],
      offsetWords,
      [-reaches.at(-1), 0, reaches.at(-1)].map(offsetWords),
    ),
  };
  parts.offset.node.classList.add("mfl-whole");
  const nodes = Object.values(parts).map((part) => part.node);
  function draw() {
    const { reach } = state.values;
    parts.offset.input.min = -reach;
    parts.offset.input.max = reach;
    for (const [name, part] of Object.entries(parts)) part.set(state.values[name]);
  }
  return { node: html("div", { class: "mfl-controls" }, nodes), draw };
}

// One map: T5's, or that with the flag swapped.
function panel(data, state, swapped) {
  const options = () => optionsOf(state.values, state.values.bidirectional !== swapped);
  const title = html("div", { class: "mfl-title" });
  const facts = html("div", { class: "mfl-note" });
  const refused = html("div", { class: "mfl-refused" });
  const picture = drawing(HEIGHT, (width) => map(width, options(), state.values));
  listen(picture.node, "click", (event) => {
    const box = picture.node.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const { reach } = state.values;
    state.change({ offset: within(Math.round((2 * share - 1) * reach), reach) });
  });
  const frame = html("div", { class: "mfl-frame" }, picture.node, refused);
  function draw() {
    const why = refusal(options());
    title.textContent = titleWords(swapped, options().bidirectional);
    facts.textContent = countWords(options());
    refused.textContent = why ?? "";
    picture.redraw();
  }
  const titles = [true, false].map((flag) => titleWords(swapped, flag));
  const counts = longestChoices(data).map((values) =>
    countWords(optionsOf(values, values.bidirectional)),
  );
  const words = [roomFor(titles, title), roomFor(counts, facts)];
  return {
    node: html("div", { class: "mfl-panel" }, words, frame),
    stop: picture.stop,
    draw,
  };
}

export function mount(el, data, live) {
  const state = choices(live, initialChoices(data), draw);
  const above = controls(data, state);
  const panels = [panel(data, state, false), panel(data, state, true)];
  const status = statusLine(longestChoices(data).map(statusWords));
  const maps = panels.map((part) => part.node);
  el.append(above.node, html("div", { class: "mfl-buckets" }, maps), status.node);
  draw();
  return () => {
    for (const part of panels) part.stop();
    state.stop();
  };

  function draw() {
    for (const part of [above, ...panels]) part.draw();
    status.say(statusWords(state.values));
  }
}
