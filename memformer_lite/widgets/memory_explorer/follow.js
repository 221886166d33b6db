// What becomes of a memory along a story, page by page, and of what is done to it on the way.

import { noisePage, parsePage } from "../cards.js";
import { argmax, mean } from "../memformer/numbers.js";
import { askAll, step } from "../memformer.js";

const MOST_CACHED = 600; // entries

// A story's `pages` are { words, actions }; an action is
//   { kind: "erase", slot } or { kind: "swap", slot, other }: once, after the page,
//   { kind: "exchange", story }: the memory that another story ends with, after the page,
//   { kind: "freeze", slot } or { kind: "gate" }: on this page and all later ones.
// Returns an entry for each page. `endOf(story)` gives the last entry of another story. Entries
// that are in the cache are not computed again.
export function follow(net, pages, endOf, cache = new Map()) {
  let path = "";
  let now = { mems: net.start, lasting: { frozen: [], open: false }, seen: {}, truth: {}, last: 0 };
  return pages.map(({ words, actions }) => {
    path += JSON.stringify([words, actions]);
    if (!cache.has(path)) {
      if (cache.size > MOST_CACHED) cache.clear();
      cache.set(path, entryOf(net, words, actions, now, endOf));
    }
    now = cache.get(path);
    return now;
  });
}

// `truth` is what the pages of this story say of each box, `seen` what the memory has seen: not the
// same once it comes from another story. `along` has the answers after each of many noise pages.
function entryOf(net, words, actions, before, endOf) {
  const page = parsePage(net, words);
  const cards = Object.fromEntries(page.cards.map(({ key, value }) => [key, value]));
  const lasting = lastingOf(before.lasting, actions);
  const { segment, along } = readPages(net, page, before.mems, lasting);
  const { mems, seen } = act(net, actions, segment.after, { ...before.seen, ...cards }, endOf);
  const asked = askAll(net, mems);
  return {
    page,
    segment,
    lasting,
    mems,
    seen,
    truth: { ...before.truth, ...cards },
    asked,
    along,
    keeps: keeps(net, mems, asked, seen),
    first: before.last + 1,
    last: before.last + page.times,
  };
}

function lastingOf({ frozen, open }, actions) {
  const slots = actions.filter(({ kind }) => kind === "freeze").map(({ slot }) => slot);
  return {
    frozen: [...new Set([...frozen, ...slots])],
    open: open || actions.some(({ kind }) => kind === "gate"),
  };
}

function readPages(net, page, start, lasting) {
  if (page.times === 1) return { segment: step(net, page.tokens, start, lasting), along: [] };
  const along = [];
  let segment = { after: start };
  for (let i = 0; i < page.times; i++) {
    segment = step(net, noisePage(net, i), segment.after, lasting);
    along.push(askAll(net, segment.after).map(({ answer }) => answer));
  }
  return { segment, along };
}

// The memory after the actions that happen once, and what it has seen.
function act(net, actions, after, seenBefore, endOf) {
  let mems = Float64Array.from(after);
  let seen = seenBefore;
  for (const action of actions) {
    const slot = action.slot * net.dim;
    const other = action.other * net.dim;
    if (action.kind === "erase") mems.fill(0, slot, slot + net.dim);
    if (action.kind === "swap") {
      const kept = mems.slice(slot, slot + net.dim);
      mems.copyWithin(slot, other, other + net.dim);
      mems.set(kept, other);
    }
    if (action.kind === "exchange") {
      const end = endOf(action.story);
      mems = Float64Array.from(end.mems);
      seen = end.seen;
    }
  }
  return { mems, seen };
}

// Which slot keeps which box, found by erasing: for each slot, the boxes whose answer loses at
// least this share of probability when the slot is set to 0. Only boxes that a page has named.
export function keeps(net, mems, asked, seen) {
  return Array.from({ length: net.slots }, (_, slot) => {
    const without = Float64Array.from(mems).fill(0, slot * net.dim, (slot + 1) * net.dim);
    const then = askAll(net, without);
    return asked
      .map(({ answer }, key) => {
        const value = argmax(answer);
        return { key, value, loss: answer[value] - then[key].answer[value] };
      })
      .filter(({ key, loss }) => key in seen && loss >= net.constants.keeps);
  });
}

// How much of a slot was kept on a page: the mean of its update gate; in a rule without one, its
// weight on itself.
export function keptShare(net, segment, slot) {
  if (segment.gate) return mean(segment.gate.subarray(slot * net.dim, (slot + 1) * net.dim));
  const width = 1 + segment.tokens.length;
  const heads = Array.from({ length: net.write_heads }, (_, h) => h);
  return mean(heads.map((h) => segment.write[(h * net.slots + slot) * width]));
}
