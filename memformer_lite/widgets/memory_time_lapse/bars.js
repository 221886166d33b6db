// The bars of a run: a row for each slot, a bar for each segment.

import { svg } from "../parts/elements.js";
import { plural } from "../parts/words.js";
import { barsOf } from "./weights.js";
import { QUANTITIES, short } from "./words.js";

export const [LEFT, RIGHT] = [42, 36];
const [ROW, BOTTOM] = [30, 36];
const COLOURS = { change: "written", norm: "slots", gate: "kept", own: "kept" };

const low = (slot) => (slot + 1) * ROW;
const text = (x, y, words, anchor) => svg("text", { x, y, "text-anchor": anchor }, words);

export const heightOf = ({ segments }) => segments[0].change.length * ROW + BOTTOM;

// The segment under the playhead is framed, and its numbers stand at the right.
export function bars(width, run, settings, top) {
  const slots = [...run.segments[0].change.keys()];
  const step = (width - LEFT - RIGHT) / run.segments.length;
  const found = run.segments.map((segment) => barsOf(segment, settings));
  const here = found[settings.at - 1];
  const number = (slot) => (here ? short(here[slot]) : "–");
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
      ...found.map((numbers, place) =>
        bar(numbers ? numbers[slot] / top : 0, slot, LEFT + (place + 0.12) * step, {
          width: step * 0.76,
          kind: COLOURS[settings.show],
        }),
      ),
      text(width, low(slot) - 7, number(slot), "end"),
    ]),
    ticksOf(width, found.length).map((place) =>
      text(LEFT + (place + 0.5) * step, slots.length * ROW + 17, `${place + 1}`, "middle"),
    ),
    text((LEFT + width - RIGHT) / 2, slots.length * ROW + BOTTOM - 4, "segment", "middle"),
  ];
  const words =
    `${QUANTITIES[settings.show]} of ${plural(slots.length, "slot")} over ` +
    `${plural(found.length, "segment")}, bars on a scale to ${short(top)}. Segment ${settings.at}: ` +
    `${here ? slots.map((slot) => `slot ${slot + 1} ${number(slot)}`).join(", ") : "no gate"}.`;
  return { words: `${run.name}: ${words}`, children };
}

function bar(share, slot, x, { width, kind }) {
  const height = Math.max(0, Math.min(1, share)) * (ROW - 8);
  return svg("rect", {
    class: `mfl-lapse-bar mfl-${kind}`,
    x,
    y: low(slot) - height,
    width,
    height,
  });
}

// The segments whose numbers fit below the bars: all, or first, middle and last.
function ticksOf(width, count) {
  return count * 18 <= width - LEFT - RIGHT
    ? [...Array(count).keys()]
    : [0, Math.floor((count - 1) / 2), count - 1];
}
