// Memory explorer (index, chapter 10): a trained model at work, and a story to try it on.

import { actionPanel, undoList } from "./memory_explorer/action_panel.js";
import { controls } from "./memory_explorer/controls.js";
import { grid } from "./memory_explorer/grid.js";
import { pagePanel } from "./memory_explorer/page_panel.js";
import { session } from "./memory_explorer/session.js";
import { numbersFold } from "./memory_explorer/tables.js";
import { resultWords, selectionWords } from "./memory_explorer/words.js";
import { html } from "./parts/elements.js";
import { need } from "./parts/failures.js";

function checkData(data) {
  need(data?.model?.weights && data.stories?.length, "expected a model and at least one story");
  need(
    data.stories.every(({ name, pages }) => typeof name === "string" && pages?.length),
    "expected a name and at least one page for each story",
  );
}

function legend() {
  const key = (kind, content, words) =>
    html("span", {}, html("i", { class: `me-key me-key-${kind}` }, content), words);
  return html(
    "p",
    { class: "mfl-note me-legend" },
    key("holds", "A3", " the slot keeps box A = 3, found by erasing it"),
    key("stay", html("i", {}), " part kept, part new"),
    key("look", null, " read by the question, as wide as its weight"),
    html("span", {}, "\u2717 wrong, ? box not named yet"),
  );
}

// Keep free what the widget may need more than now, `spare()` rem, on top of what it needs in the
// reader's font: when it starts, has another width, or is opened further. Returns what ends it.
function keepFree(el, fold, spare) {
  let width = 0;
  const measure = () => {
    el.style.minHeight = "";
    el.style.minHeight = `calc(${el.offsetHeight}px + ${spare()}rem)`;
    width = el.offsetWidth;
  };
  const observer = new ResizeObserver(() => {
    if (el.offsetWidth !== width) measure();
  });
  measure();
  observer.observe(el);
  fold.addEventListener("toggle", measure);
  return () => observer.disconnect();
}

export function mount(el, data, live) {
  checkData(data);
  const here = session(data, live, draw);
  const above = controls(here);
  const columns = grid(here);
  const page = pagePanel(here);
  const action = actionPanel(here);
  const undo = undoList(here, action.focus);
  const numbers = numbersFold(here);
  el.append(
    html(
      "div",
      { class: "me-head" },
      here.stories.length > 1 ? above.story.node : null,
      html("div", { class: "mfl-options" }, above.shuffle.node, above.again.node),
      here.net.keys > 1 ? above.box.node : null,
    ),
    columns.node,
    html("div", { class: "me-below" }, above.view.node, legend()),
    here.status.node,
    undo.node,
    html("div", { class: "me-panels" }, page.node, action.node),
    numbers.node,
  );
  draw();
  // Lines of a page, the row of what was done, and two titles that may take a second line.
  const titles = () => (el.offsetWidth < 680 ? 2.4 : 0);
  const spare = () => 1.2 * columns.spareLines() + (undo.node.hidden ? 3.75 : 0) + titles();
  const stop = keepFree(el, numbers.node, spare);
  return () => {
    stop();
    here.stop();
  };

  function draw() {
    here.update();
    for (const part of [columns, above, page, action, undo, numbers]) part.draw();
    const message = here.message || selectionWords(here);
    here.status.say(`${message} ${resultWords(here)}`);
    here.message = "";
  }
}
