// Above and below the grid: which story, which question, and what the slots show.

import { letter } from "../cards.js";
import { hasGate } from "../memformer.js";
import { button, choice, dropdown } from "../parts/controls.js";

const VIEWS = {
  all: "overview",
  read: "read: weight",
  kept: "kept: gate",
  change: "change",
  norm: "norm",
};

function viewWords({ net, question }, view) {
  const kept = hasGate(net)
    ? "Slots show their update gate, mean over its units: 1 keeps all."
    : "Slots show their weight on themselves: 1 keeps all.";
  return {
    all: "Slots show which boxes they keep, what was kept and what is read.",
    read: `Slots show with which weight ${question} looks at them after the page, mean over heads.`,
    kept,
    change: "Slots show how far the page moved them.",
    norm: "Slots show their norm after the page.",
  }[view];
}

function shuffle(session) {
  const pages = session.copy();
  const text = () => pages.map(({ words }) => words).join(", ");
  if (new Set(pages.map(({ words }) => words)).size < 2) {
    session.refuse("All pages are equal: there is nothing to shuffle.");
    return;
  }
  const before = text();
  while (text() === before) {
    for (let i = pages.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [pages[i], pages[j]] = [pages[j], pages[i]];
    }
  }
  session.rewrite(pages, `Shuffled: ${text()}.`);
}

function startAgain(session) {
  const { story } = session.values;
  const { name } = session.stories[story];
  session.restart(story, `Story “${name}” from its beginning, nothing done to it.`);
}

// Each a control; `draw()` sets them to what is chosen.
export function controls(session) {
  const { net, stories, values } = session;
  const story = dropdown("Story", {
    options: stories.map(({ name }, i) => [i, name]),
    value: values.story,
    change: (i) => session.restart(Number(i), `Story “${stories[i].name}”.`),
  });
  const box = choice("Asked after each page", {
    options: net.boxes.map((key) => [key, `${letter(key)}?`]),
    value: session.box,
    change: (key) => session.choose({ box: key }, `Now asking ${letter(key)}?.`),
  });
  const view = dropdown("Slots show", {
    options: Object.entries(VIEWS),
    value: values.view,
    change: (name) => session.choose({ view: name }, viewWords(session, name)),
  });
  return {
    story,
    box,
    view,
    shuffle: button("Shuffle pages", { change: () => shuffle(session) }),
    again: button("Start again", { change: () => startAgain(session) }),
    draw() {
      story.set(session.values.story);
      box.set(session.box);
      view.set(session.values.view);
    },
  };
}
