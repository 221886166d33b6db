// The numbers inside: answers, weights of reading and writing, and what was kept.

import { letter, tokenWord } from "../cards.js";
import { mean } from "../memformer/numbers.js";
import { hasGate } from "../memformer.js";
import { dropdown } from "../parts/controls.js";
import { html } from "../parts/elements.js";
import { listen } from "../parts/failures.js";
import { fixed } from "../parts/words.js";
import { tint } from "./cells.js";
import { keptShare } from "./follow.js";
import { nameOf } from "./words.js";

const ALL = -1; // heads: the mean of them
const LONGEST = 12; // a norm with the full colour

const upTo = (count) => Array.from({ length: count }, (_, i) => i);

// Rows are [name, numbers]; `most` is the number with the full colour.
function table(title, columns, rows, colour, mosts = {}) {
  const cell = (number, most) => {
    const style = `background-color:${tint(colour, 0.45 * Math.min(1, number / most))}`;
    return html("td", { style }, fixed(number));
  };
  const heads = columns.map((name) => html("th", { scope: "col" }, name));
  const body = rows.map(([name, numbers]) =>
    html(
      "tr",
      {},
      html("th", { scope: "row" }, name),
      [...numbers].map((number) => cell(number, mosts[name] ?? 1)),
    ),
  );
  return html(
    "div",
    { class: "me-tablebox", tabindex: "0", role: "group", "aria-label": title },
    html(
      "table",
      {},
      html("caption", {}, title),
      html("thead", {}, html("tr", {}, html("td", {}), heads)),
      html("tbody", {}, body),
    ),
  );
}

// Weights of the chosen heads: read(place, slot) and write(slot, column).
function headWeights(net, segment, { head, layer }) {
  const { slots: k, heads, write_heads } = net;
  const n = segment.tokens.length;
  const reading = head === ALL ? upTo(heads) : [head];
  const writing = head === ALL ? upTo(write_heads) : [head % write_heads];
  return {
    read: (i, s) => mean(reading.map((h) => segment.read[((layer * heads + h) * n + i) * k + s])),
    write: (s, j) => mean(writing.map((h) => segment.write[(h * k + s) * (1 + n) + j])),
  };
}

function tablesOf({ net, entries, values }) {
  const entry = entries[values.at];
  const { segment, page } = entry;
  const { read, write } = headWeights(net, segment, values);
  const slots = upTo(net.slots);
  const names = slots.map((slot) => `slot ${slot + 1}`);
  const words = segment.tokens.map((token, i) => tokenWord(net, token, page.times > 1 ? -1 : i));
  const columns = ["itself", ...words];
  const kept = hasGate(net) ? "update gate, mean" : "weight on itself";
  return [
    table(
      `Answers: probability of each value, asked after ${nameOf(entry)}`,
      upTo(net.values),
      entry.asked.map(({ answer }, box) => [`${letter(box)}?`, answer]),
      "var(--mfl-neutral)",
    ),
    table(
      "Read: weight of each place for each slot",
      names,
      words.map((word, i) => [word, slots.map((s) => read(i, s))]),
      "var(--mfl-tokens)",
    ),
    table(
      "Written: weight of each slot for itself and for each place",
      columns,
      slots.map((s) => [names[s], columns.map((_, j) => write(s, j))]),
      "var(--mfl-written)",
    ),
    table(
      "Kept: gate, and the norm of each slot",
      names,
      [
        [kept, slots.map((s) => keptShare(net, segment, s))],
        ["norm before", segment.norm_before],
        ["change", segment.change],
        ["norm after", segment.norm_after],
      ],
      "var(--mfl-kept)",
      { "norm before": LONGEST, change: LONGEST, "norm after": LONGEST },
    ),
  ];
}

// A choice of one among several parts of the model.
const oneOf = (session, label, name, options, words) =>
  dropdown(label, {
    options,
    value: session.values[name],
    change: (value) => session.choose({ [name]: Number(value) }, words(Number(value))),
  });

// A fold with the tables, which are drawn while it is open. Returns { node, draw }.
export function numbersFold(session) {
  const { net } = session;
  const title = html("summary", {});
  const tables = html("div", { class: "me-inside" });
  const head = oneOf(
    session,
    "Head",
    "head",
    [[ALL, "mean of all"], ...upTo(net.heads).map((h) => [h, `head ${h + 1}`])],
    (h) => (h === ALL ? "Mean of all heads." : `Head ${h + 1}.`),
  );
  const layer = oneOf(
    session,
    "Layer of reading",
    "layer",
    upTo(net.depth).map((l) => [l, `layer ${l + 1}`]),
    (l) => `Layer ${l + 1}.`,
  );
  head.node.classList.add("me-wide");
  const choices = [net.heads > 1 ? head.node : null, net.depth > 1 ? layer.node : null];
  const node = html(
    "details",
    { class: "me-more" },
    title,
    html("div", { class: "me-pair" }, choices),
    tables,
  );
  const drawTables = () => {
    if (node.open) tables.replaceChildren(...tablesOf(session));
  };
  listen(node, "toggle", drawTables);
  function draw() {
    const { values, entries } = session;
    const entry = entries[values.at];
    const many = entry.page.times > 1;
    title.textContent = `Numbers of ${nameOf(entry)}${many ? " (the last of them)" : ""}`;
    head.set(values.head);
    layer.set(values.layer);
    drawTables();
  }
  return { node, draw };
}
