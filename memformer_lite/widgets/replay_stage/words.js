// What is said of a step.

import { longest } from "../parts/elements.js";
import { plural } from "../parts/words.js";
import { costOf, memories, range, schedule } from "./schedule.js";

export const METHODS = { bptt: "BPTT", truncated: "truncated BPTT", replay: "memory replay" };
export const LOSSES = { last: "last page", every: "every page" };

export const short = (value, digits = 4) => {
  if (value === null) return "–";
  return `${value >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits))}`;
};

// Runs in words: "page 3", "pages 1 and 2", "pages 1 to 4".
function pagesOf(list) {
  const last = list.at(-1);
  if (list.length < 2) return `page ${last}`;
  return `pages ${list[0]} ${list.length === 2 ? "and" : "to"} ${last}`;
}

function happened(moments, at, options) {
  const { action, page, gradients, handed, shares } = moments[at];
  const m = memories(options.pages, options.a);
  const memory = (t) => `m${t} = ${short(m[t])}`;
  const before = page - 1;
  if (action === "read")
    return `page ${page} is read and its graph is kept. It makes ${memory(page)}`;
  if (action === "note")
    return `page ${page} is read without a graph. Only its note is kept, ${memory(page)}`;
  if (action === "reread")
    return `page ${page} is read again, from ${memory(before)}, now with its graph`;
  if (action === "back") {
    const on = handed === null ? "nothing over the cut" : `${short(handed)} to m${before}`;
    const here = short(gradients[page]);
    return (
      `page ${page} is sent back. With ${here} at its end it adds ` +
      `${here} × ${short(m[before])} = ${short(shares[before])} and hands ${on}`
    );
  }
  if (action === "cut") {
    const { action: last, graphs } = moments[at - 1];
    return (
      `m${page} goes on, cut off from its past` +
      (last === "back" ? "" : `. The graph of ${pagesOf(graphs)} is dropped, nothing learned`)
    );
  }
  const full = schedule({ ...options, method: "bptt" }).at(-1).shares;
  const poor = range(1, options.pages).filter((t) => shares[t - 1] !== full[t - 1]);
  return poor.length
    ? `done. Less than in BPTT was added by ${pagesOf(poor)}`
    : "done. Every page added what it adds in BPTT";
}

// Moment `at` in words; `full` is BPTT's cost at its end.
export function stepWords(moments, at, options, full) {
  const { graphs, notes } = moments[at];
  const every = options.detach_every === 1 ? "page" : `${options.detach_every} pages`;
  const cuts = options.method === "truncated" ? `, cut every ${every}` : "";
  return (
    `Step ${at + 1} of ${moments.length}, ${METHODS[options.method]}: ` +
    `${happened(moments, at, options)}. Kept: ${plural(graphs.length, "graph")}, ` +
    `${plural(notes.length, "note")}. Gradient of a: ${short(costOf(moments, at).byA)} of BPTT's ` +
    `${short(full.byA)}. (${options.pages} pages, loss on ${LOSSES[options.losses]}${cuts}, a = ${options.a}.)`
  );
}

// The longest words are those of the most pages, with numbers of many digits.
export function longestWords(pages) {
  const runs = range(1, pages - 1).flatMap((detach_every) =>
    ["truncated", "replay"].flatMap((method) =>
      ["last", "every"].flatMap((losses) =>
        [0.25, 0.75].map((a) => ({ method, a, pages, losses, detach_every })),
      ),
    ),
  );
  const words = runs.flatMap((options) => {
    const moments = schedule(options);
    const whole = schedule({ ...options, method: "bptt" });
    const full = costOf(whole, whole.length - 1);
    return moments.map((_, at) => stepWords(moments, at, options, full));
  });
  return longest(words, 12);
}
