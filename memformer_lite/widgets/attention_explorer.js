// Attention explorer: scores and values come from Python; masks, softmax and answers are made here.

import { weightTable } from "./attention_explorer/table.js";
import { allowedOf, attend } from "./attention_explorer/weights.js";
import { statusWords } from "./attention_explorer/words.js";
import { choices } from "./parts/choices.js";
import { button, checkbox, choice, group, statusLine } from "./parts/controls.js";
import { html, longest } from "./parts/elements.js";
import { need } from "./parts/failures.js";
import { scroller } from "./parts/scroller.js";

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

const same = (...names) => names.map((name) => [name, name]);

// All controls; `draw()` sets them to what is chosen.
function controls(data, state) {
  const { tokens, slots, real, scores } = data;
  const padded = real.includes(false);
  const one = (label, name, options) =>
    choice(label, {
      options,
      value: state.values[name],
      change: (value) => state.change({ [name]: value }),
    });
  const mask = (name, label) =>
    checkbox(label, {
      value: state.values[name],
      change: (value) => state.change({ [name]: value }),
    });
  const keys = [
    ["tokens", "tokens"],
    ["slots", "memory slots"],
    ["both", "both"],
  ];
  const parts = {
    keys: one("Keys", "keys", keys),
    head: one(
      "Head",
      "head",
      scores.map((_, place) => [place, `${place + 1}`]),
    ),
    show: one("Numbers", "show", same("weights", "scores")),
    query: one(
      "Row in words",
      "query",
      tokens.map((name, row) => [row, name]),
    ),
    causal: mask("causal", "causal: later tokens"),
    queryMask: mask("queryMask", "query_mask: padding rows"),
    kvMask: mask("kvMask", "kv_mask: padding columns"),
    blind: blindChoice(data, state),
  };
  const masks = [parts.causal, parts.queryMask, parts.kvMask].map((part) => part.node);
  const node = html(
    "div",
    { class: "mfl-controls" },
    slots.length ? parts.keys.node : null,
    scores.length > 1 ? parts.head.node : null,
    parts.show.node,
    tokens.length > 1 ? parts.query.node : null,
    group("Masks that close cells", masks),
    parts.blind.node,
  );
  function draw({ allowed }) {
    const { values } = state;
    for (const [name, part] of Object.entries(parts)) part.set(values[name]);
    parts.blind.enable(allowed.some((open) => !open.includes(true)));
    parts.causal.input.disabled = values.keys === "slots";
    parts.queryMask.input.disabled = !padded;
    parts.kvMask.input.disabled = values.keys === "slots" || !padded;
  }
  return { node, draw };
}

// What a row gets that may look at nothing; such a row is put into words at once.
function blindChoice(data, state) {
  return choice("A row that may look at nothing gets", {
    options: [
      ["zero", "zeros"],
      ["even", "equal weights"],
      ["nan", "nan"],
    ],
    value: state.values.blind,
    change: (value) => {
      const rows = allowedOf(data, state.values).map((open) => !open.includes(true));
      const query = rows[state.values.query] ? state.values.query : rows.indexOf(true);
      state.change({ blind: value, query });
    },
  });
}

function initialChoices({ keys, causal, real }) {
  const padded = real.includes(false);
  return {
    keys,
    head: 0,
    show: "weights",
    query: 0,
    blind: "zero",
    closed: [],
    causal,
    queryMask: padded,
    kvMask: padded,
  };
}

// What is said of each row by each head, and of a row that may look at nothing.
function longestWords(data, settings) {
  const wide = { ...settings, keys: data.slots.length ? "both" : "tokens", blind: "even" };
  const words = [...data.scores.keys()].flatMap((head) => {
    const found = attend(data, { ...wide, head });
    const blind = { ...found, allowed: found.allowed.map((row) => row.map(() => false)) };
    return data.tokens.flatMap((_, query) => [
      statusWords(data, { ...wide, head, query, show: "scores" }, found),
      ...["zero", "even", "nan"].map((blindness) =>
        statusWords(data, { ...wide, head, query, blind: blindness }, blind),
      ),
    ]);
  });
  return longest(words, 8);
}

export function mount(el, data, live) {
  checkData(data);
  const state = choices(live, initialChoices(data), draw);
  const above = controls(data, state);
  const table = weightTable(data, state);
  const reset = button("Open all cells closed by hand", {
    change() {
      state.change({ closed: [] });
      table.focus(); // the button itself can no longer be pressed
    },
  });
  const scrolls = scroller("Table of all rows and keys", table.node);
  const status = statusLine(longestWords(data, state.values));
  const note =
    "A row asks, a column answers. Press a cell to close or open it " +
    "(the argument mask); arrow keys move between cells.";
  el.append(
    above.node,
    html(
      "div",
      { class: "mfl-matrix" },
      html("div", { class: "mfl-note" }, note),
      scrolls.node,
      html("div", {}, reset.node),
    ),
    status.node,
  );
  draw();
  return () => {
    scrolls.stop();
    state.stop();
  };

  function draw() {
    const found = attend(data, state.values);
    above.draw(found);
    reset.node.disabled = state.values.closed.length === 0;
    table.draw(found);
    status.say(statusWords(data, state.values, found));
  }
}
