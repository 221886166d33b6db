// The scene: pages with the memories between them, gradients below, and what was kept at each step.

import { svg } from "../shared/elements.js";
import { memories, range } from "./schedule.js";
import { short } from "./words.js";

export const HEIGHT = 338;
const [SIDE, PILL, HIGH] = [20, 18, 22]; // margin; half width and height of a number's box
const [PAGES_AT, NOTES_AT, BACK_AT, ADDS_AT, KEPT_AT] = [44, 112, 160, 204, 328];
const DONE = { read: "read", note: "noted", reread: "read again", back: "sent back", cut: "cut" };

const text = (x, y, words, more) => svg("text", { x, y, "text-anchor": "middle", ...more }, words);
const title = (y, words) => text(0, y, words, { "text-anchor": "start", class: "mfl-row" });
const line = (x1, x2, y1, y2, name) => svg("line", { x1, x2, y1, y2, class: name });

function arrow(from, to, y) {
  const head = Math.sign(to - from) * 4;
  const d = `M${from} ${y}H${to}M${to - head} ${y - 4}L${to} ${y}L${to - head} ${y + 4}`;
  return svg("path", { class: "mfl-ink", d });
}

// A number in a box with round ends; null: the box alone.
const pill = (x, y, value, digits, name) => [
  svg("rect", { x: x - PILL, y, width: 2 * PILL, height: HIGH, rx: HIGH / 2, class: name }),
  value === null ? null : text(x, y + 15, short(value, digits)),
];

// Moment `at` of a run, laid out in a width: page t stands between x(t - 1) and x(t).
function layOut(width, moments, at, options) {
  const { pages } = options;
  const pitch = (width - 2 * SIDE) / pages;
  const truncated = options.method === "truncated";
  const done = moments.slice(0, at + 1);
  return {
    ...moments[at],
    width,
    at,
    pages,
    done,
    pitch,
    everyPage: options.losses === "every",
    digits: pitch < 50 ? 3 : 4,
    x: (t) => SIDE + t * pitch,
    m: memories(pages, options.a),
    cuts: range(1, pages - 1).filter((t) => truncated && t % options.detach_every === 0),
    made: done.filter((one) => one.action === "cut").map((one) => one.page),
    column: (width - 2) / moments.length,
  };
}

// The page acted on, with an arrow in the direction of the action.
function acting({ action, page, x, width }) {
  if (action === "end") return null;
  const cut = action === "cut";
  const middle = cut ? x(page) : x(page - 0.5);
  const ends = [x(page - 1) + 4, x(page) - 4];
  if (action === "back") ends.reverse();
  return [
    text(Math.min(Math.max(middle, 30), width - 30), PAGES_AT - 14, DONE[action], {
      class: "mfl-strong",
    }),
    cut ? null : arrow(...ends, PAGES_AT - 7),
  ];
}

function pageBox({ action, page, pages, graphs, everyPage, x, pitch }, t) {
  const alive = graphs.includes(t) ? " mfl-alive" : "";
  const acted = t === page && action !== "cut" ? " mfl-acting" : "";
  return [
    svg("rect", {
      x: x(t - 1) + 3,
      y: PAGES_AT,
      width: pitch - 6,
      height: 36,
      rx: 4,
      class: `mfl-page${alive}${acted}`,
    }),
    text(x(t - 0.5), PAGES_AT + 22, `${t}${everyPage || t === pages ? " L" : ""}`),
  ];
}

function memoriesRow({ page, pages, graphs, notes, shares, m, x, digits }) {
  const result = shares[pages - 1] === null ? [] : [pages]; // the last memory is handed out
  const there = new Set([0, page, ...notes, ...graphs.flatMap((t) => [t - 1, t]), ...result]);
  return range(0, pages).map((t) => {
    const name = `mfl-slot${notes.includes(t) ? " mfl-full" : ""}${there.has(t) ? "" : " mfl-gone"}`;
    return pill(x(t), NOTES_AT, there.has(t) ? m[t] : null, digits, name);
  });
}

function gradientsRow({ action, page, pages, gradients, shares, cuts, x, digits }) {
  const gradient = (t) => {
    const full = action === "back" && t === page ? " mfl-full" : "";
    return (
      gradients[t] !== null && pill(x(t), BACK_AT, gradients[t], digits, `mfl-gradient${full}`)
    );
  };
  const handing = (t) => {
    const end = cuts.includes(t - 1) ? x(t - 1) + PILL + 2 : x(t - 1) + PILL;
    return shares[t - 1] !== null && arrow(x(t) - PILL, end, BACK_AT + HIGH / 2);
  };
  return [range(0, pages).map(gradient), range(1, pages).map(handing)];
}

function cutLines({ cuts, made, x }) {
  return cuts.map((t) => {
    const name = `mfl-cut${made.includes(t) ? " mfl-made" : ""}`;
    return [
      line(x(t), x(t), PAGES_AT - 8, NOTES_AT - 20, name),
      line(x(t) + PILL + 1, x(t) + PILL + 1, BACK_AT - 3, BACK_AT + HIGH + 3, name),
    ];
  });
}

function sharesRow({ action, page, pages, shares, x, digits }) {
  return range(1, pages).map((t) => {
    const added = shares[t - 1] ?? (action === "end" ? 0 : null);
    if (added === null) return null;
    const strong = action === "back" && t === page ? "mfl-strong" : null;
    return text(x(t - 0.5), ADDS_AT + 12, `+${short(added, digits)}`, { class: strong });
  });
}

// A column for each step so far: blocks are graphs, dots notes.
function keptColumns({ done, column }) {
  return done.map(({ graphs, notes }, place) => {
    const middle = 1 + (place + 0.5) * column;
    const block = (high) =>
      svg("rect", {
        x: middle - 4.5,
        y: KEPT_AT - 11 * (high + 1),
        width: 9,
        height: 9,
        class: "mfl-block",
      });
    const dot = (high) =>
      svg("circle", { cx: middle, cy: KEPT_AT - 11 * high - 6.5, r: 4.2, class: "mfl-noted" });
    return [
      graphs.map((_, high) => block(high)),
      notes.map((_, high) => dot(high + graphs.length)),
    ];
  });
}

function sceneWords({ pages, graphs, notes, gradients, shares }) {
  const list = (values, one) => values.map(one).filter(Boolean).join(", ") || "none";
  const known = (words) => (value, t) => value !== null && `${short(value)} ${words(t)}`;
  return (
    `Pages 1 to ${pages} in a row, the memories m0 to m${pages} between them. ` +
    `Graphs kept: ${list(graphs, (t) => `page ${t}`)}. ` +
    `Notes in the buffer: ${list(notes, (t) => `m${t}`)}. ` +
    `Gradients: ${list(
      gradients,
      known((t) => `at m${t}`),
    )}. ` +
    `Added to the gradient of a: ${list(
      shares,
      known((t) => `by page ${t + 1}`),
    )}.`
  );
}

export function scene(width, moments, at, options) {
  const stage = layOut(width, moments, at, options);
  const { pages, column } = stage;
  const now = { x: 1 + at * column, y: KEPT_AT - 82, width: column, height: 84, class: "mfl-now" };
  const children = [
    title(12, "pages; L: a loss; blue: its graph is kept"),
    acting(stage),
    range(1, pages).map((t) => pageBox(stage, t)),
    title(NOTES_AT - 8, "memories; filled: a note in the buffer"),
    memoriesRow(stage),
    title(BACK_AT - 8, "gradients that came to them"),
    gradientsRow(stage),
    cutLines(stage),
    title(ADDS_AT - 6, "what each page adds to the gradient of a"),
    sharesRow(stage),
    title(KEPT_AT - 92, "kept, step by step: graphs and notes"),
    svg("rect", now),
    keptColumns(stage),
    line(1, width - 1, KEPT_AT, KEPT_AT, "mfl-grid"),
  ];
  return { words: sceneWords(stage), children: children.flat(Number.POSITIVE_INFINITY) };
}
