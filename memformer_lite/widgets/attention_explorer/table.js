// The table of weights or scores: a row for each token that asks, a cell for each key.

import { emsOf } from "../parts/drawing.js";
import { html } from "../parts/elements.js";
import { listen } from "../parts/failures.js";
import { number } from "./words.js";

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Returns { node, draw(found), focus }; `found` is what `attend` returns.
export function weightTable(data, state) {
  const node = html("table", { class: "mfl-weights", role: "grid" });
  let [row, column] = [0, 0]; // the cell that Tab reaches
  const cell = (at, across) => node.querySelector(`[data-at="${at},${across}"]`);
  const focus = () => cell(row, column).focus();

  function press(at, across, pair) {
    [row, column] = [at, across];
    const { closed } = state.values;
    state.change({
      query: at,
      closed: closed.includes(pair) ? closed.filter((other) => other !== pair) : [...closed, pair],
    });
  }
  listen(node, "keydown", (event) => {
    const step = MOVES[event.key];
    if (!step) return;
    event.preventDefault();
    const next = event.target.dataset.at && cell(row + step[0], column + step[1]);
    if (!next) return;
    cell(row, column).tabIndex = -1;
    [row, column] = [row + step[0], column + step[1]];
    next.tabIndex = 0;
    focus();
  });

  function draw(found) {
    const settings = state.values;
    const focused = node.contains(document.activeElement);
    row = Math.min(row, data.tokens.length - 1);
    column = Math.min(column, found.columns.length - 1);
    node.setAttribute(
      "aria-label",
      `${settings.show} of head ${settings.head + 1}: ` +
        "a row for each token that asks, a column for each key",
    );
    const reached = `${row},${column}`;
    const body = data.tokens.map((_, at) => rowOf(data, settings, found, at, { reached, press }));
    node.replaceChildren(
      html("thead", {}, headRows(data, settings, found)),
      html("tbody", {}, body),
    );
    fit(node, data, found.columns.length + 1 + (settings.show === "weights"));
    if (focused) focus();
  }
  return { node, draw, focus };
}

// On a narrow screen all columns are equal, and wide enough for every name and number.
function fit(node, { tokens, slots }, columns) {
  const numbers = [...node.querySelectorAll("button, .mfl-sum")].map((one) => one.textContent);
  node.style.setProperty("--mfl-columns", columns);
  node.style.setProperty("--mfl-name", emsOf(node, [...tokens, ...slots]));
  node.style.setProperty("--mfl-number", emsOf(node, numbers));
}

const nameOf = ({ tokens, slots }, place) => tokens[place] ?? slots[place - tokens.length];

function headRows(data, { show }, { columns }) {
  const tokens = columns.filter((place) => place < data.tokens.length).length;
  const slots = columns.length - tokens;
  const weighed = show === "weights";
  const span = (count, kind) =>
    count ? html("th", { scope: "colgroup", colspan: count, class: `mfl-${kind}` }, kind) : null;
  const corner = () => html("td", {});
  const names = columns.map((place) => html("th", { scope: "col" }, nameOf(data, place)));
  const sum = html("th", { scope: "col", class: "mfl-sum" }, "sum");
  return [
    html(
      "tr",
      {},
      corner(),
      span(tokens, "tokens"),
      span(slots, "slots"),
      weighed ? corner() : null,
    ),
    html("tr", {}, corner(), names, weighed ? sum : null),
  ];
}

function rowOf(data, settings, found, at, hand) {
  const sum = found.weights[at].reduce((total, weight) => total + weight, 0);
  return html(
    "tr",
    { class: at === settings.query ? "mfl-chosen" : null },
    html("th", { scope: "row" }, data.tokens[at]),
    found.columns.map((_, across) =>
      html("td", {}, cellOf(data, settings, found, [at, across], hand)),
    ),
    settings.show === "weights" ? html("td", { class: "mfl-sum" }, number(sum)) : null,
  );
}

// What stands in a cell: a cross, or minus infinity, where it is closed.
function shownIn({ allowed, weights, scores }, show, at, across) {
  const open = allowed[at][across];
  if (show === "scores") return open ? number(scores[at][across], 1) : "\u2212∞";
  return open || !allowed[at].includes(true) ? number(weights[at][across]) : "×";
}

// `hand` is what moves the reader: { reached, the cell that Tab reaches, and press(at, across, pair) }.
function cellOf(data, settings, found, [at, across], { reached, press }) {
  const place = found.columns[across];
  const pair = `${at},${place}`;
  const open = found.allowed[at][across];
  const weight = settings.show === "weights" ? found.weights[at][across] : 0;
  const shown = shownIn(found, settings.show, at, across);
  const byHand = settings.closed.includes(pair);
  const strength = open || weight > 0 ? 8 + 52 * (weight || 0) : 0; // a weight may be nan
  const kind = place < data.tokens.length ? "mfl-tokens" : "mfl-slots";
  const classes = ["mfl-cell", kind, !open && "mfl-closed", byHand && "mfl-by-hand"];
  const words = shown === "×" ? "closed" : open ? shown : `${shown}, closed`;
  const label = `${nameOf(data, at)} looks at ${nameOf(data, place)}: ${words}`;
  return html(
    "button",
    {
      type: "button",
      tabindex: reached === `${at},${across}` ? "0" : "-1",
      class: classes.filter(Boolean).join(" "),
      style: `--mfl-strength:${strength.toFixed(1)}%`,
      "aria-label": byHand ? `${label} by hand` : label,
      "data-at": `${at},${across}`,
      click: () => press(at, across, pair),
    },
    shown,
  );
}
