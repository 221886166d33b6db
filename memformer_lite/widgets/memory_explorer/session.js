// What the reader chose, and what follows from it: an entry for each page of the story, and the
// baseline, the entries of the same story when nothing is done to its memory.

import { letter, parsePage } from "../cards.js";
import { unpack } from "../memformer.js";
import { choices } from "../parts/choices.js";
import { statusLine } from "../parts/controls.js";
import { follow } from "./follow.js";
import { longWords } from "./words.js";

const untouched = (words) => words.map((text) => ({ words: text, actions: [] }));

function initialChoices({ stories, ask }, net) {
  return {
    story: 0,
    pages: untouched(stories[0].pages),
    at: Math.max(0, stories[0].pages.length - 2),
    slot: 0,
    box: ask,
    view: "all",
    head: -1,
    layer: 0,
    other: Math.min(1, net.slots - 1),
    donor: Math.min(1, stories.length - 1),
  };
}

export function session(data, live, draw) {
  const net = unpack(data.model);
  const { stories } = data;
  for (const words of stories.flatMap(({ pages }) => pages)) parsePage(net, words);
  const [cache, ends] = [new Map(), new Map()];
  const endOf = (story) => {
    if (!ends.has(story)) {
      ends.set(story, follow(net, untouched(stories[story].pages), endOf).at(-1));
    }
    return ends.get(story);
  };
  const state = choices(live, initialChoices(data, net), () => draw());
  const status = statusLine([longWords(net)]);
  return {
    net,
    stories,
    status,
    entries: [],
    baseline: [],
    message: "", // what just happened
    stop: state.stop,

    get values() {
      return state.values;
    },
    get box() {
      return state.values.box < net.keys ? state.values.box : 0;
    },
    get question() {
      return `${letter(this.box)}?`;
    },
    // A copy of the pages, to be changed.
    copy: () => state.values.pages.map(({ words, actions }) => ({ words, actions: [...actions] })),

    // Compute what follows from the choices.
    update() {
      const { pages } = state.values;
      this.entries = follow(net, pages, endOf, cache);
      this.baseline = follow(net, untouched(pages.map(({ words }) => words)), endOf, cache);
    },
    // Take new choices and say what happened.
    choose(some, message) {
      this.message = message;
      state.change(some);
    },
    // Take new pages, unless there are too many of them.
    rewrite(pages, message, some = {}) {
      const total = pages.reduce((sum, { words }) => sum + parsePage(net, words).times, 0);
      const { pages: most, columns } = net.constants;
      if (total > most || pages.length > columns) {
        this.refuse(
          `A story here has at most ${most} pages in ${columns} columns; this would be more.`,
        );
        return;
      }
      const at = Math.max(0, Math.min(some.at ?? state.values.at, pages.length - 1));
      this.choose({ pages, ...some, at }, message);
    },
    // Begin a story anew.
    restart(story, message) {
      const { pages } = stories[story];
      this.rewrite(untouched(pages), message, { story, at: pages.length - 2 });
    },
    refuse(words) {
      status.say(words);
    },
  };
}
