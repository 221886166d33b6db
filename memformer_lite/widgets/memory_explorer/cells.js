// What one column of the grid shows: the answer after a page, the page, and a slot after it.

import { letter } from "../cards.js";
import { html } from "../parts/elements.js";
import { fixed } from "../parts/words.js";
import { keptShare } from "./follow.js";
import { answersAbout, capital, cardOf, listed, ownAnswer } from "./words.js";

// What a slot shows in a view of numbers; `most` has the full colour.
const NUMBERS = {
  read: { most: 1, digits: 2, colour: "var(--mfl-tokens)" },
  kept: { most: 1, digits: 2, colour: "var(--mfl-kept)" },
  change: { most: 6, digits: 1, colour: "var(--mfl-written)" },
  norm: { most: 8, digits: 1, colour: "var(--mfl-slots)" },
};

export const boxColour = ({ constants }, key) =>
  `var(--mfl-box-${letter(key % constants.colours).toLowerCase()})`;

export const tint = (colour, share) =>
  `color-mix(in srgb, ${colour} ${Math.round(100 * share)}%, transparent)`;

const bar = (share, kind) =>
  html("span", { class: `me-bar ${kind}`, style: `height:${Math.max(3, 100 * share)}%` });

// The likeliest answer to the question, and beside it the baseline's where that was another.
export function answerParts(entry, baseline, box) {
  const { top, share, old, was, moved } = answersAbout(entry, baseline, box);
  const right = entry.truth[box];
  const known = right !== undefined;
  const kind = top === right ? "me-right" : "me-guess";
  const along = entry.along.map((answers) => bar(answers[box][top], `${kind} me-thin`));
  const sign = known && top !== right ? "\u2717" : known ? "" : "?";
  return [
    html(
      "span",
      { class: "me-top" },
      top === old ? "" : html("s", {}, old),
      html("b", {}, top),
      sign,
    ),
    html(
      "span",
      { class: "me-bars" },
      moved ? bar(was, "me-was") : null,
      along.length ? along : bar(share, kind),
    ),
    html("span", { class: "me-percent" }, Math.round(100 * share), html("span", {}, "%")),
  ];
}

// A page: its number, its cards and its question with the model's own answer.
export function pageParts(net, entry) {
  const { page, first, last } = entry;
  const number = page.times > 1 ? `${first}–${last}` : first;
  const noise = page.times > 1 ? `– × ${page.times}` : "–";
  const own = ownAnswer(entry);
  const lines = page.cards.map((card) =>
    html("span", { class: "me-card", style: `--box:${boxColour(net, card.key)}` }, cardOf(card)),
  );
  if (own) {
    lines.push(
      html("span", { class: "me-asks" }, `${letter(page.question)}?`),
      html("span", { class: "me-own" }, `${own.value}\u202f${own.sign}`),
    );
  }
  const content = lines.length ? lines : [html("span", { class: "me-noise" }, noise)];
  return [html("span", { class: "me-number" }, number), ...content];
}

// The marks of what was done to a slot at an entry: { sign, words }.
export function marksOf(actions, { lasting }, slot) {
  const marks = [];
  for (const { kind, slot: one, other } of actions) {
    if (kind === "erase" && one === slot) marks.push(["\u00d7", "erased"]);
    if (kind === "swap" && [one, other].includes(slot)) marks.push(["\u21c5", "swapped"]);
    if (kind === "exchange") marks.push(["\u2190", "taken from another story"]);
  }
  if (lasting.frozen.includes(slot)) marks.push(["=", "frozen"]);
  const words = listed(marks.map(([, word]) => word));
  return { sign: marks.map(([sign]) => sign).join(""), words: words && ` ${capital(words)}.` };
}

// A slot in the chosen view: { style, children }.
export function slotParts({ net, values, box }, entry, slot) {
  const share = keptShare(net, entry.segment, slot);
  const read = entry.asked[box].read[slot];
  if (values.view === "all") return overview(net, entry.keeps[slot], read, share);
  const { segment } = entry;
  const number = {
    read,
    kept: share,
    change: segment.change[slot],
    norm: segment.norm_after[slot],
  }[values.view];
  const { most, digits, colour } = NUMBERS[values.view];
  return {
    style: `background-color:${tint(colour, 0.06 + 0.5 * Math.min(1, number / most))}`,
    children: [html("span", { class: "me-figure" }, fixed(number, digits))],
  };
}

// The boxes that a slot keeps, the weight with which it is read, and the share that was kept.
function overview(net, boxes, read, share) {
  const steps = boxes.map(({ key }, i) => {
    const [from, to] = [i, i + 1].map((edge) => (100 * edge) / boxes.length);
    return `${tint(boxColour(net, key), 0.34)} ${from}% ${to}%`;
  });
  const labels = boxes
    .slice(0, boxes.length > 2 ? 1 : 2)
    .map((kept) => html("span", {}, cardOf(kept)));
  if (boxes.length > 2) labels.push(html("span", {}, `+${boxes.length - 1}`));
  return {
    style: steps.length ? `background-image:linear-gradient(100deg, ${steps.join(", ")})` : "",
    children: [
      html("span", { class: "me-holds" }, labels),
      html("span", { class: "me-look", style: `width:${100 * read}%` }),
      html("span", { class: "me-stay" }, html("i", { style: `width:${100 * share}%` })),
    ],
  };
}
