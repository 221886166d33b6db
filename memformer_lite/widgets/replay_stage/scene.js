// The scene: pages with the memories between them, gradients below, and what was kept at each step.

import { svg } from "../parts/elements.js";
import { memories, range } from "./schedule.js";
import { short } from "./words.js";

export const HEIGHT = 338;
const [SIDE, PILL, HIGH] = [20, 18, 22]; // least margin; least half width, and height, of a pill
const [PAGES_AT, NOTES_AT, BACK_AT, ADDS_AT, KEPT_AT] = [44, 112, 160, 204, 328];
const SMALL = 11 / 12; // font size of titles beside that of numbers
const DONE = { read: "read", note: "noted", reread: "read again", back: "sent back", cut: "cut" };

const text = (x, y, words, more) => svg("text", { x, y, "text-anchor": "middle", ...more }, words);

// Words that are wider than their room are set closer.
const inside = (room, width, x, y, words, more) =>
  text(x, y, words, width > room ? { ...more, textLength: room } : more);

function title({ width, wide }, y, words) {
  const more = { "text-anchor": "start", class: "mfl-row" };
  return inside(width, wide(words) * SMALL, 0, y, words, more);
}

// A number with as many digits as there is room for, four or fewer, at least two.
function number({ wide }, room, x, y, value, { sign = "", ...more } = {}) {
  const weight = more.class ? 600 : 400;
  const all = [4, 3, 2].map((digits) => sign + short(value, digits));
  const words = all.find((one) => wide(one, weight) <= room) ?? all.at(-1);
  return inside(room, wide(words, weight), x, y, words, more);
}
const line = (x1, x2, y1, y2, name) => svg("line", { x1, x2, y1, y2, class: name });

function arrow(from, to, y) {
  const head = Math.sign(to - from) * 4;
  const d = `M${from} ${y}H${to}M${to - head} ${y - 4}L${to} ${y}L${to - head} ${y + 4}`;
  return svg("path", { class: "mfl-ink", d });
}

// A number in a box with round ends; null: the box alone.
function pill(stage, t, y, value, name) {
  const { half } = stage;
  const x = stage.x(t);
  return [
    svg("rect", { x: x - half, y, width: 2 * half, height: HIGH, rx: HIGH / 2, class: name }),
    value === null ? null : number(stage, 2 * half - 5, x, y + 15, value),
  ];
}

// Half the width of the pills: enough for every number of the run, as far as they fit in a row.
function halfPill({ width, wide }, moments, { pages, a }) {
  const last = moments.at(-1).gradients.filter((one) => one !== null);
  const widest = Math.max(...[...memories(pages, a), ...last].map((one) => wide(short(one))));
  const room = (gap) => (width - 4 - gap * pages) / (2 * (pages + 1));
  return Math.min(Math.max(PILL, Math.min(widest / 2 + 4, room(8))), room(2));
}

// Moment `at` of a run, laid out in a width: page t stands between x(t - 1) and x(t).
function layOut({ width, wide }, moments, at, options) {
  const { pages } = options;
  const half = halfPill({ width, wide }, moments, options);
  const side = Math.max(SIDE, half + 2);
  const pitch = (width - 2 * side) / pages;
  const truncated = options.method === "truncated";
  const done = moments.slice(0, at + 1);
  return {
    ...moments[at],
    width,
    wide,
    at,
    pages,
    done,
    half,
    pitch,
    everyPage: options.losses === "every",
    x: (t) => side + t * pitch,
    m: memories(pages, options.a),
    cuts: range(1, pages - 1).filter((t) => truncated && t % options.detach_every === 0),
    made: done.filter((one) => one.action === "cut").map((one) => one.page),
    column: (width - 2) / moments.length,
  };
}

// The page acted on, with an arrow in the direction of the action.
function acting({ action, page, x, width, wide }) {
  if (action === "end") return null;
  const cut = action === "cut";
  const middle = cut ? x(page) : x(page - 0.5);
  const ends = [x(page - 1) + 4, x(page) - 4];
  if (action === "back") ends.reverse();
  const edge = wide(DONE[action], 600) / 2;
  return [
    text(Math.min(Math.max(middle, edge), width - edge), PAGES_AT - 14, DONE[action], {
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

function memoriesRow(stage) {
  const { page, pages, graphs, notes, shares, m } = stage;
  const result = shares[pages - 1] === null ? [] : [pages]; // the last memory is handed out
  const there = new Set([0, page, ...notes, ...graphs.flatMap((t) => [t - 1, t]), ...result]);
  return range(0, pages).map((t) => {
    const name = `mfl-slot${notes.includes(t) ? " mfl-full" : ""}${there.has(t) ? "" : " mfl-gone"}`;
    return pill(stage, t, NOTES_AT, there.has(t) ? m[t] : null, name);
  });
}

function gradientsRow(stage) {
  const { action, page, pages, gradients, shares, cuts, x, half } = stage;
  const gradient = (t) => {
    const full = action === "back" && t === page ? " mfl-full" : "";
    return gradients[t] !== null && pill(stage, t, BACK_AT, gradients[t], `mfl-gradient${full}`);
  };
  const handing = (t) => {
    const end = cuts.includes(t - 1) ? x(t - 1) + half + 2 : x(t - 1) + half;
    return shares[t - 1] !== null && arrow(x(t) - half, end, BACK_AT + HIGH / 2);
  };
  return [range(0, pages).map(gradient), range(1, pages).map(handing)];
}

function cutLines({ cuts, made, x, half }) {
  return cuts.map((t) => {
    const name = `mfl-cut${made.includes(t) ? " mfl-made" : ""}`;
    return [
      line(x(t), x(t), PAGES_AT - 8, NOTES_AT - 20, name),
      line(x(t) + half + 1, x(t) + half + 1, BACK_AT - 3, BACK_AT + HIGH + 3, name),
    ];
  });
}

function sharesRow(stage) {
  const { action, page, pages, shares, x, pitch } = stage;
  return range(1, pages).map((t) => {
    const added = shares[t - 1] ?? (action === "end" ? 0 : null);
    if (added === null) return null;
    const strong = action === "back" && t === page ? "mfl-strong" : null;
    const more = { sign: "+", class: strong };
    return number(stage, pitch - 4, x(t - 0.5), ADDS_AT + 12, added, more);
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

export function scene(room, moments, at, options) {
  const stage = layOut(room, moments, at, options);
  const { pages, column, width } = stage;
  const now = { x: 1 + at * column, y: KEPT_AT - 82, width: column, height: 84, class: "mfl-now" };
  const children = [
    title(stage, 12, "pages; L: a loss; blue: its graph is kept"),
    acting(stage),
    range(1, pages).map((t) => pageBox(stage, t)),
    title(stage, NOTES_AT - 8, "memories; filled: a note in the buffer"),
    memoriesRow(stage),
    title(stage, BACK_AT - 8, "gradients that came to them"),
    gradientsRow(stage),
    cutLines(stage),
    title(stage, ADDS_AT - 6, "what each page adds to the gradient of a"),
    sharesRow(stage),
    title(stage, KEPT_AT - 92, "kept, step by step: graphs and notes"),
    svg("rect", now),
    keptColumns(stage),
    line(1, width - 1, KEPT_AT, KEPT_AT, "mfl-grid"),
  ];
  return { words: sceneWords(stage), children: children.flat(Number.POSITIVE_INFINITY) };
}
