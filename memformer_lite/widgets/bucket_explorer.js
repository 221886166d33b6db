// Bucket explorer: T5's map from offsets to buckets, and the one with the flag swapped.

import { choices } from "./shared/choices.js";
import { choice, slider, statusLine } from "./shared/controls.js";
import { drawing } from "./shared/drawing.js";
import { html, svg } from "./shared/elements.js";
import { listen, need } from "./shared/failures.js";
import { plural, signed } from "./shared/words.js";

// --- Arithmetic: equal to relative_position_bucket, message by message ---

// Why these options make no buckets, in Python's words; null if they do.
export function refusal({ bidirectional, numBuckets, maxDistance }) {
  const fewest = bidirectional ? 4 : 2;
  if (numBuckets < fewest) return `num_buckets=${numBuckets}: expected at least ${fewest}`;
  if (maxDistance < 1) return `max_distance=${maxDistance}: expected at least 1`;
  if (bidirectional && numBuckets % 2) {
    return `num_buckets=${numBuckets}: expected an even number, half for each direction`;
  }
  const exact = Math.floor(numBuckets / (bidirectional ? 4 : 2));
  if (maxDistance > exact) return null;
  return (
    `max_distance=${maxDistance}: expected more than ${exact}, ` +
    `the distances that num_buckets=${numBuckets} keeps exact`
  );
}

// The bucket of an offset. Python computes in single precision, hence the rounding at each step.
export function bucketOf(offset, options) {
  const refused = refusal(options);
  if (refused) throw new Error(refused);
  const { bidirectional, numBuckets, maxDistance } = options;
  const size = bidirectional ? numBuckets / 2 : numBuckets;
  const first = bidirectional && offset > 0 ? size : 0;
  const distance = bidirectional ? Math.abs(offset) : Math.max(-offset, 0);
  const exact = Math.floor(size / 2);
  if (distance < exact) return first + distance;
  const round = Math.fround;
  const way = round(
    round(Math.log(round(distance / exact))) / round(Math.log(maxDistance / exact)),
  );
  return first + Math.min(size - 1, exact + Math.floor(round(way * (size - exact))));
}

// The offsets around this one that share its bucket: { bucket, from, to }; null = without end.
export function sharers(offset, options) {
  const bucket = bucketOf(offset, options);
  const edge = (step) => {
    let last = offset;
    for (; Math.abs(last) <= FAR; last += step) {
      if (bucketOf(last + step, options) !== bucket) return last;
    }
    return null;
  };
  return { bucket, from: edge(-1), to: edge(1) };
}

// How many buckets past and present have, and how many the future has for itself.
export function directions(options) {
  const [past, future] = [new Set(), new Set()];
  for (let distance = 0; distance <= FAR; distance += 1) {
    past.add(bucketOf(-distance, options));
    future.add(bucketOf(distance, options));
  }
  return { past: past.size, future: [...future].filter((bucket) => !past.has(bucket)).length };
}

const FAR = 1024; // beyond the longest maximal distance all offsets share a bucket

// --- Words ---

function sharedWith({ from, to }) {
  if (from === to) return "which no other offset has";
  if (from === null) return `with all offsets from ${signed(to)} back`;
  if (to !== null) return `with all offsets from ${signed(from)} to ${signed(to)}`;
  return from === 0
    ? "with the present and all of the future"
    : `with all offsets from ${signed(from)} ahead`;
}

function placed(offset) {
  if (offset === 0) return "the token itself";
  return `${plural(Math.abs(offset), "token")} ${offset < 0 ? "back" : "ahead"}`;
}

function answer(offset, options) {
  const refused = refusal(options);
  const found = refused ? null : sharers(offset, options);
  const words = refused
    ? `no map, as ${refused.split(":")[0]} is refused`
    : `bucket ${found.bucket}, ${sharedWith(found)}`;
  return `${FLAGS[options.bidirectional]}: ${words}`;
}

// --- The widget ---

const REACHES = [20, 150, 300];
const FLAGS = { true: "both directions", false: "past only" };

export function mount(el, data, live) {
  const { start: first, buckets, distances } = data;
  need(first && buckets && distances, "no options to start with");
  need(
    [first.offset, first.num_buckets, first.max_distance, buckets, distances]
      .flat()
      .every(Number.isInteger),
    "an option or a range is no whole number",
  );
  const reach = REACHES.find((size) => Math.abs(first.offset) <= size);
  need(
    reach && typeof first.bidirectional === "boolean",
    "no offset from −300 to 300 to start with",
  );
  const state = choices(live, { ...first, reach }, draw);
  const optionsOf = (bidirectional) => ({
    bidirectional,
    numBuckets: state.values.num_buckets,
    maxDistance: state.values.max_distance,
  });
  need(!refusal(optionsOf(first.bidirectional)), refusal(optionsOf(first.bidirectional)));

  const offset = slider("Offset", {
    min: -reach,
    max: reach,
    value: first.offset,
    change: (value) => state.change({ offset: value }),
    show: (value) => `${signed(value)}: ${placed(value)}`,
  });
  const shown = choice("Offsets shown", {
    options: REACHES.map((size) => [size, `±${size}`]),
    value: reach,
    change: (size) =>
      state.change({
        reach: size,
        offset: Math.max(-size, Math.min(size, state.values.offset)),
      }),
  });
  const number = slider("Number of buckets", {
    min: buckets[0],
    max: buckets[1],
    value: first.num_buckets,
    change: (value) => state.change({ num_buckets: value }),
  });
  const distance = slider("Maximal distance", {
    min: distances[0],
    max: distances[1],
    value: first.max_distance,
    show: (value) => plural(value, "token"),
    change: (value) => state.change({ max_distance: value }),
  });
  const direction = choice("Direction", {
    options: [
      [true, FLAGS.true],
      [false, FLAGS.false],
    ],
    value: first.bidirectional,
    change: (flag) => state.change({ bidirectional: flag }),
  });
  offset.node.classList.add("mfl-whole");
  const panels = [panel(false), panel(true)];
  const { node: status, say } = statusLine();
  el.append(
    html(
      "div",
      { class: "mfl-controls" },
      number.node,
      distance.node,
      direction.node,
      shown.node,
      offset.node,
    ),
    html(
      "div",
      { class: "mfl-buckets" },
      panels.map((part) => part.node),
    ),
    status,
  );
  draw();
  return () => {
    for (const part of panels) part.stop();
    state.stop();
  };

  function draw() {
    const { values } = state;
    offset.input.min = -values.reach;
    offset.input.max = values.reach;
    offset.set(values.offset);
    shown.set(values.reach);
    number.set(values.num_buckets);
    distance.set(values.max_distance);
    direction.set(values.bidirectional);
    for (const part of panels) part.draw();
    say(
      `Offset ${signed(values.offset)}, ${placed(values.offset)}. ` +
        `T5, ${answer(values.offset, optionsOf(values.bidirectional))}. ` +
        `Flag swapped, ${answer(values.offset, optionsOf(!values.bidirectional))}. ` +
        `(${values.num_buckets} buckets, distance ${values.max_distance}, ±${values.reach} shown.)`,
    );
  }

  // One map: T5's, or that with the flag swapped.
  function panel(swapped) {
    const options = () => optionsOf(state.values.bidirectional !== swapped);
    const title = html("div", { class: "mfl-title" });
    const facts = html("div", { class: "mfl-note" });
    const refused = html("div", { class: "mfl-refused" });
    const picture = drawing(HEIGHT, (width) => map(width, options(), state.values));
    listen(picture.node, "click", (event) => {
      const box = picture.node.getBoundingClientRect();
      const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      const chosen = Math.round((2 * share - 1) * state.values.reach);
      state.change({ offset: Math.max(-state.values.reach, Math.min(state.values.reach, chosen)) });
    });
    const node = html(
      "div",
      { class: "mfl-panel" },
      title,
      facts,
      html("div", { class: "mfl-frame" }, picture.node, refused),
    );
    return {
      node,
      stop: picture.stop,
      draw() {
        const now = options();
        const why = refusal(now);
        title.textContent = `${swapped ? "Flag swapped" : "T5"}: ${FLAGS[now.bidirectional]}`;
        const { past, future } = why ? {} : directions(now);
        facts.textContent = why
          ? "refused"
          : `${plural(past, "bucket")} for the past, ${future || "none"} ahead`;
        refused.textContent = why ?? "";
        picture.redraw();
      },
    };
  }
}

const HEIGHT = 200;
const [LEFT, RIGHT, TOP, BOTTOM] = [30, 10, 22, 40];

// The staircase of buckets over offsets, the chosen offset, and the offsets that share its bucket.
function map(width, options, { reach, offset }) {
  const x = (at) => LEFT + ((at + reach) / (2 * reach)) * (width - LEFT - RIGHT);
  const y = (bucket) => HEIGHT - BOTTOM - (bucket / options.numBuckets) * (HEIGHT - TOP - BOTTOM);
  const text = (at, high, words, anchor = "middle") =>
    svg("text", { x: at, y: high, "text-anchor": anchor }, words);
  const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });
  // The bucket's number, beside the dot where the staircase is not.
  const label = (at, bucket) => {
    const before = at > width - RIGHT - 75;
    const below = offset > 0 && !before && y(bucket) < HEIGHT - BOTTOM - 25;
    return svg(
      "text",
      {
        x: at + (before ? -11 : 11),
        y: y(bucket) + (below ? 19 : -10),
        class: "mfl-strong",
        "text-anchor": before ? "end" : "start",
      },
      `bucket ${bucket}`,
    );
  };
  const ticks = [0, options.numBuckets / 2, options.numBuckets].map(Math.floor);
  const children = [
    ticks.map((bucket) => [
      line(LEFT, y(bucket), width - RIGHT, y(bucket), "mfl-grid"),
      text(LEFT - 6, y(bucket) + 4, `${bucket}`, "end"),
    ]),
    [-reach, -reach / 2, 0, reach / 2, reach].map((at) => [
      line(x(at), HEIGHT - BOTTOM, x(at), HEIGHT - BOTTOM + 4, "mfl-ink"),
      text(x(at), HEIGHT - BOTTOM + 17, signed(at), at === reach ? "end" : "middle"),
    ]),
    text((LEFT + width - RIGHT) / 2, HEIGHT - 5, "offset in tokens: past < 0 < future"),
  ];
  if (refusal(options)) return { words: `No map: ${refusal(options)}.`, children };
  const found = sharers(offset, options);
  const [from, to] = [found.from ?? -reach, found.to ?? reach].map((at) =>
    Math.max(-reach, Math.min(reach, at)),
  );
  const half = (x(1) - x(0)) / 2;
  let path = "";
  for (let at = -reach; at <= reach; at += 1) {
    const high = y(bucketOf(at, options)).toFixed(1);
    path +=
      `${at === -reach ? "M" : "V"}${at === -reach ? `${x(at).toFixed(1)} ` : ""}${high}` +
      `H${Math.min(x(at) + half, x(reach)).toFixed(1)}`;
  }
  const [left, right] = [Math.max(x(from) - half, LEFT), Math.min(x(to) + half, width - RIGHT)];
  children.push(
    svg("rect", {
      class: "mfl-band",
      x: left,
      y: TOP,
      width: Math.max(right - left, 2),
      height: HEIGHT - TOP - BOTTOM,
    }),
    svg("path", { class: "mfl-steps", d: path }),
    line(x(offset), TOP, x(offset), HEIGHT - BOTTOM, "mfl-here"),
    svg("circle", { class: "mfl-dot", cx: x(offset), cy: y(found.bucket), r: 6 }),
    label(x(offset), found.bucket),
  );
  const words =
    `Bucket against offset, from ${signed(-reach)} to ${signed(reach)}: a staircase. ` +
    `Marked: offset ${signed(offset)}, bucket ${found.bucket}, ${sharedWith(found)}.`;
  return { words, children };
}
