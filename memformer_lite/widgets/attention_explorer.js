// Attention explorer: scores and values come from Python; masks, softmax and answers are made here.

import { choices } from "./shared/choices.js";
import { button, checkbox, choice, group, statusLine } from "./shared/controls.js";
import { html } from "./shared/elements.js";
import { listen, need } from "./shared/failures.js";
import { fixed, plural } from "./shared/words.js";

const MOST_SAID = 6; // numbers of an answer: more of them nobody listens to

// --- Arithmetic ---

// Which keys are shown, as columns of `scores`: the n tokens, the k slots, or both.
export function columnsOf({ tokens, slots }, keys) {
  const n = tokens.length;
  const all = [...Array(n + slots.length).keys()];
  if (keys === "tokens") return all.slice(0, n);
  return keys === "slots" ? all.slice(n) : all;
}

// Who may look at whom: a row for each token, a bool for each shown key. `closed` lists pairs
// "row,column" that the reader has closed; `causal` orders tokens only, slots come before all.
export function allowedOf(data, { keys, causal, queryMask, kvMask, closed }) {
  const n = data.tokens.length;
  return data.tokens.map((_, row) =>
    columnsOf(data, keys).map(
      (column) =>
        !(causal && column < n && column > row) &&
        !(queryMask && !data.real[row]) &&
        !(kvMask && column < n && !data.real[column]) &&
        !closed.includes(`${row},${column}`),
    ),
  );
}

// Weights of one row. A row that may look at nothing: "zero" weights as in this book, "even" ones
// as in the reference, or "nan", the softmax of minus infinities.
export function weightsOf(scores, allowed, blind) {
  if (!allowed.some(Boolean)) {
    return scores.map(() => ({ zero: 0, even: 1 / scores.length, nan: NaN })[blind]);
  }
  const top = Math.max(...scores.filter((_, place) => allowed[place]));
  const grown = scores.map((score, place) => (allowed[place] ? Math.exp(score - top) : 0));
  const sum = grown.reduce((total, part) => total + part, 0);
  return grown.map((part) => part / sum);
}

// All of one head: { columns, allowed, scores, weights, answers }, a row for each token.
export function attend(data, settings) {
  const columns = columnsOf(data, settings.keys);
  const allowed = allowedOf(data, settings);
  const scores = data.scores[settings.head].map((row) => columns.map((column) => row[column]));
  const weights = scores.map((row, place) => weightsOf(row, allowed[place], settings.blind));
  const values = columns.map((column) => data.values[settings.head][column]);
  const answers = weights.map((row) =>
    values[0].map((_, part) =>
      row.reduce((sum, weight, place) => sum + weight * values[place][part], 0),
    ),
  );
  return { columns, allowed, scores, weights, answers };
}

// --- Words ---

const number = (value, digits = 2) => (Number.isNaN(value) ? "nan" : fixed(value, digits));

function told(data, settings, { columns, allowed, scores, weights, answers }) {
  const row = settings.query;
  const names = [...data.tokens, ...data.slots];
  const shut = allowed.map((cells) => cells.filter((open) => !open).length);
  const closed = shut.reduce((sum, count) => sum + count, 0);
  const counts =
    `Closed: ${shut[row]} of its ${plural(columns.length, "key")}, ` +
    `${closed} of ${columns.length * data.tokens.length} cells; by hand: ${settings.closed.length}.`;
  const who = `${names[row]} in head ${settings.head + 1}`;
  const said = answers[row]
    .slice(0, MOST_SAID)
    .map((value) => number(value))
    .join(", ");
  const more = answers[row].length - MOST_SAID;
  const answer = `Its answer: (${said}${more > 0 ? ` and ${more} more` : ""}).`;
  if (shut[row] < columns.length) {
    const best = weights[row].indexOf(Math.max(...weights[row]));
    const found =
      settings.show === "weights"
        ? `with weight ${number(weights[row][best])}`
        : `with score ${number(scores[row][best], 1)}`;
    return `${who} looks most at ${names[columns[best]]}, ${found}. ${answer} ${counts}`;
  }
  const blind = {
    zero: "In this book all its weights are 0, and its answer is 0: only the bias of to_out is left.",
    even: `The reference gives ${number(1 / columns.length)} to each key, closed or not. ${answer}`,
    nan: "Plain softmax divides 0 by 0: weights and answer are nan, and so are gradients.",
  };
  return `${who} may look at nothing. ${blind[settings.blind]} ${counts}`;
}

// --- The widget ---

function checkData({ tokens, slots, real, scores, values }) {
  const lists = [tokens, slots, real, scores, values].map((part) =>
    Array.isArray(part) ? part : [],
  );
  const [n, k] = [lists[0].length, lists[1].length];
  const finite = (row) => Array.isArray(row) && row.length > 0 && row.every(Number.isFinite);
  const table = (rows, high) => Array.isArray(rows) && rows.length === high && rows.every(finite);
  need(n > 0, "there is no token");
  need(
    [...lists[0], ...lists[1]].every((name) => typeof name === "string"),
    "a token or slot has no name",
  );
  need(lists[2].length === n, "it is not said of each token whether it is real");
  need(
    lists[3].length > 0 &&
      lists[3].every((head) => table(head, n) && head.every((row) => row.length === n + k)),
    "scores are missing",
  );
  need(
    lists[4].length === lists[3].length && lists[4].every((head) => table(head, n + k)),
    "values are missing",
  );
}

export function mount(el, data, live) {
  checkData(data);
  const { tokens, slots, real, scores } = data;
  const n = tokens.length;
  const names = [...tokens, ...slots];
  const padded = real.includes(false);
  const state = choices(
    live,
    {
      keys: data.keys,
      head: 0,
      show: "weights",
      query: 0,
      blind: "zero",
      closed: [],
      causal: data.causal,
      queryMask: padded,
      kvMask: padded,
    },
    draw,
  );

  const keys = choice("Keys", {
    options: [
      ["tokens", "tokens"],
      ["slots", "memory slots"],
      ["both", "both"],
    ],
    value: data.keys,
    change: (value) => state.change({ keys: value }),
  });
  const head = choice("Head", {
    options: scores.map((_, place) => [place, `${place + 1}`]),
    value: 0,
    change: (value) => state.change({ head: value }),
  });
  const show = choice("Numbers", {
    options: [
      ["weights", "weights"],
      ["scores", "scores"],
    ],
    value: "weights",
    change: (value) => state.change({ show: value }),
  });
  const mask = (name, label) =>
    checkbox(label, {
      value: state.values[name],
      change: (value) => state.change({ [name]: value }),
    });
  const masks = {
    causal: mask("causal", "causal: later tokens"),
    queryMask: mask("queryMask", "query_mask: padding rows"),
    kvMask: mask("kvMask", "kv_mask: padding columns"),
  };
  const blind = choice("A row that may look at nothing gets", {
    options: [
      ["zero", "zeros"],
      ["even", "equal weights"],
      ["nan", "nan"],
    ],
    value: "zero",
    change: (value) => {
      const rows = allowedOf(data, state.values).map((open) => !open.includes(true));
      const query = rows[state.values.query] ? state.values.query : rows.indexOf(true);
      state.change({ blind: value, query });
    },
  });
  const query = choice("Row in words", {
    options: tokens.map((name, row) => [row, name]),
    value: 0,
    change: (value) => state.change({ query: value }),
  });
  const reset = button("Open all cells closed by hand", {
    change() {
      state.change({ closed: [] });
      cell(row, column).focus(); // the button itself can no longer be pressed
    },
  });
  const table = html("table", { class: "mfl-weights", role: "grid" });
  listen(table, "keydown", move);
  const { node: status, say } = statusLine();
  let [row, column] = [0, 0]; // the cell that Tab reaches
  el.append(
    html(
      "div",
      { class: "mfl-controls" },
      slots.length ? keys.node : null,
      scores.length > 1 ? head.node : null,
      show.node,
      n > 1 ? query.node : null,
      group(
        "Masks that close cells",
        Object.values(masks).map((part) => part.node),
      ),
      blind.node,
    ),
    html(
      "div",
      { class: "mfl-matrix" },
      html(
        "div",
        { class: "mfl-note" },
        "A row asks, a column answers. Press a cell to close or open it " +
          "(the argument mask); arrow keys move between cells.",
      ),
      table,
      html("div", {}, reset.node),
    ),
    status,
  );
  draw();
  return state.stop;

  function draw() {
    const settings = state.values;
    const found = attend(data, settings);
    keys.set(settings.keys);
    head.set(settings.head);
    show.set(settings.show);
    query.set(settings.query);
    blind.set(settings.blind);
    blind.enable(found.allowed.some((open) => !open.includes(true)));
    for (const [name, part] of Object.entries(masks)) {
      part.set(settings[name]);
      part.input.disabled =
        (name !== "queryMask" && settings.keys === "slots") || (name !== "causal" && !padded);
    }
    reset.node.disabled = settings.closed.length === 0;
    const focused = table.contains(document.activeElement);
    row = Math.min(row, n - 1);
    column = Math.min(column, found.columns.length - 1);
    table.setAttribute(
      "aria-label",
      `${settings.show} of head ${settings.head + 1}: ` +
        "a row for each token that asks, a column for each key",
    );
    table.replaceChildren(...rowsOf(found, settings));
    if (focused) cell(row, column).focus();
    say(told(data, settings, found));
  }

  function rowsOf({ columns, allowed, scores: before, weights }, settings) {
    const inTokens = columns.filter((place) => place < n).length;
    const weighed = settings.show === "weights";
    const top = html(
      "tr",
      {},
      html("td", {}),
      inTokens
        ? html("th", { scope: "colgroup", colspan: inTokens, class: "mfl-tokens" }, "tokens")
        : null,
      inTokens < columns.length
        ? html(
            "th",
            {
              scope: "colgroup",
              colspan: columns.length - inTokens,
              class: "mfl-slots",
            },
            "slots",
          )
        : null,
      weighed ? html("td", {}) : null,
    );
    const heads = html(
      "tr",
      {},
      html("td", {}),
      columns.map((place) => html("th", { scope: "col" }, names[place])),
      weighed ? html("th", { scope: "col", class: "mfl-sum" }, "sum") : null,
    );
    const body = tokens.map((name, at) => {
      const sum = weights[at].reduce((total, weight) => total + weight, 0);
      return html(
        "tr",
        { class: at === settings.query ? "mfl-chosen" : null },
        html("th", { scope: "row" }, name),
        columns.map((place, across) => {
          const open = allowed[at][across];
          const weight = weights[at][across];
          const shown = weighed
            ? open || !allowed[at].includes(true)
              ? number(weight)
              : "×"
            : open
              ? number(before[at][across], 1)
              : "\u2212∞";
          const byHand = settings.closed.includes(`${at},${place}`);
          const strength =
            open || (weighed && weight > 0) ? 8 + 52 * ((weighed && weight) || 0) : 0;
          return html(
            "td",
            {},
            html(
              "button",
              {
                type: "button",
                tabindex: at === row && across === column ? "0" : "-1",
                class:
                  `mfl-cell ${place < n ? "mfl-tokens" : "mfl-slots"}${open ? "" : " mfl-closed"}` +
                  (byHand ? " mfl-by-hand" : ""),
                style: `--mfl-strength:${strength.toFixed(1)}%`,
                "aria-label":
                  `${name} looks at ${names[place]}: ${shown === "×" ? "closed" : shown}` +
                  (open || shown === "×" ? "" : ", closed") +
                  (byHand ? " by hand" : ""),
                "data-at": `${at},${across}`,
                click: () => press(at, across, `${at},${place}`),
              },
              shown,
            ),
          );
        }),
        weighed ? html("td", { class: "mfl-sum" }, number(sum)) : null,
      );
    });
    return [html("thead", {}, top, heads), html("tbody", {}, body)];
  }

  function press(at, across, pair) {
    [row, column] = [at, across];
    const { closed } = state.values;
    state.change({
      query: at,
      closed: closed.includes(pair) ? closed.filter((other) => other !== pair) : [...closed, pair],
    });
  }

  function cell(at, across) {
    return table.querySelector(`[data-at="${at},${across}"]`);
  }

  function move(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key
    ];
    const next = step && event.target.dataset.at && cell(row + step[0], column + step[1]);
    if (!step) return;
    event.preventDefault();
    if (!next) return;
    cell(row, column).tabIndex = -1;
    [row, column] = [row + step[0], column + step[1]];
    next.tabIndex = 0;
    next.focus();
  }
}
