// The map: a staircase of buckets over offsets, the chosen offset, and those that share its bucket.

import { svg } from "../parts/elements.js";
import { signed } from "../parts/words.js";
import { bucketOf, refusal, sharers } from "./buckets.js";
import { sharedWith } from "./words.js";

export const HEIGHT = 200;
export const [LEFT, RIGHT] = [30, 10];
const [TOP, BOTTOM] = [22, 40];

const text = (x, y, words, anchor = "middle") =>
  svg("text", { x, y, "text-anchor": anchor }, words);
const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });

// Where offsets and buckets stand in a map of this width.
const scaleOf = (width, options, reach) => ({
  width,
  reach,
  x: (at) => LEFT + ((at + reach) / (2 * reach)) * (width - LEFT - RIGHT),
  y: (bucket) => HEIGHT - BOTTOM - (bucket / options.numBuckets) * (HEIGHT - TOP - BOTTOM),
});

function axes({ width, reach, x, y }, { numBuckets }) {
  const buckets = [0, numBuckets / 2, numBuckets].map(Math.floor);
  return [
    buckets.map((bucket) => [
      line(LEFT, y(bucket), width - RIGHT, y(bucket), "mfl-grid"),
      text(LEFT - 6, y(bucket) + 4, `${bucket}`, "end"),
    ]),
    [-reach, -reach / 2, 0, reach / 2, reach].map((at) => [
      line(x(at), HEIGHT - BOTTOM, x(at), HEIGHT - BOTTOM + 4, "mfl-ink"),
      text(x(at), HEIGHT - BOTTOM + 17, signed(at), at === reach ? "end" : "middle"),
    ]),
    text((LEFT + width - RIGHT) / 2, HEIGHT - 5, "offset in tokens: past < 0 < future"),
  ];
}

function staircase({ reach, x, y }, options) {
  const half = (x(1) - x(0)) / 2;
  let path = `M${x(-reach).toFixed(1)} `;
  for (let at = -reach; at <= reach; at += 1) {
    if (at > -reach) path += "V";
    path += `${y(bucketOf(at, options)).toFixed(1)}H${Math.min(x(at) + half, x(reach)).toFixed(1)}`;
  }
  return svg("path", { class: "mfl-steps", d: path });
}

// The offsets that share the bucket, as far as they are shown.
function band({ width, reach, x }, found) {
  const half = (x(1) - x(0)) / 2;
  const [from, to] = [found.from ?? -reach, found.to ?? reach].map((at) =>
    Math.max(-reach, Math.min(reach, at)),
  );
  const [left, right] = [Math.max(x(from) - half, LEFT), Math.min(x(to) + half, width - RIGHT)];
  return svg("rect", {
    class: "mfl-band",
    x: left,
    y: TOP,
    width: Math.max(right - left, 2),
    height: HEIGHT - TOP - BOTTOM,
  });
}

// The bucket's number, beside the dot where the staircase is not.
function label({ width, x, y }, offset, bucket) {
  const before = x(offset) > width - RIGHT - 75;
  const below = offset > 0 && !before && y(bucket) < HEIGHT - BOTTOM - 25;
  return svg(
    "text",
    {
      x: x(offset) + (before ? -11 : 11),
      y: y(bucket) + (below ? 19 : -10),
      class: "mfl-strong",
      "text-anchor": before ? "end" : "start",
    },
    `bucket ${bucket}`,
  );
}

export function map(width, options, { reach, offset }) {
  const scale = scaleOf(width, options, reach);
  const children = axes(scale, options);
  if (refusal(options)) return { words: `No map: ${refusal(options)}.`, children };
  const found = sharers(offset, options);
  const [x, y] = [scale.x(offset), scale.y(found.bucket)];
  children.push(
    band(scale, found),
    staircase(scale, options),
    line(x, TOP, x, HEIGHT - BOTTOM, "mfl-here"),
    svg("circle", { class: "mfl-dot", cx: x, cy: y, r: 6 }),
    label(scale, offset, found.bucket),
  );
  const words =
    `Bucket against offset, from ${signed(-reach)} to ${signed(reach)}: a staircase. ` +
    `Marked: offset ${signed(offset)}, bucket ${found.bucket}, ${sharedWith(found)}.`;
  return { words, children };
}
