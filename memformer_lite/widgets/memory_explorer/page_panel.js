// Below the grid: change the page that is chosen, and its place in the story.

import { cardWords, letter, parsePage, wordsOf } from "../cards.js";
import { button, dropdown } from "../parts/controls.js";
import { html, unique } from "../parts/elements.js";
import { listen } from "../parts/failures.js";
import { capital, cardOf, nameOf } from "./words.js";

export function insertPage(session, words, message) {
  const pages = session.copy();
  const at = session.values.at + 1;
  pages.splice(at, 0, { words, actions: [] });
  session.rewrite(pages, message, { at });
}

function movePage(session, step) {
  const pages = session.copy();
  const from = session.values.at;
  const to = from + step;
  if (to < 0 || to >= pages.length) {
    session.refuse(`This is already the ${to < 0 ? "first" : "last"} page.`);
    return;
  }
  [pages[from], pages[to]] = [pages[to], pages[from]];
  session.rewrite(pages, `Moved to the ${step < 0 ? "left" : "right"}.`, { at: to });
}

function removePage(session) {
  const pages = session.copy();
  if (pages.length === 1) {
    session.refuse("A story needs at least one page.");
    return;
  }
  const [gone] = pages.splice(session.values.at, 1);
  session.rewrite(pages, `Removed the page that said ${gone.words}.`);
}

// The chosen page says something else; its actions stay.
function writePage(session, text) {
  const { net, values, entries } = session;
  const pages = session.copy();
  const words = wordsOf(net, parsePage(net, text));
  pages[values.at].words = words;
  session.rewrite(pages, `${capital(nameOf(entries[values.at]))} now says ${words}.`);
}

// A dropdown for each place of the page and for its question. Returns { node, draw }.
function places(session) {
  const { net } = session;
  const write = () => {
    const words = cards.map(({ input }) => input.value || "–").join(" ");
    writePage(session, `${words} ${question.input.value}`);
  };
  const options = [["", "–"], ...cardWords(net).map((word) => [word, word])];
  const cards = Array.from({ length: net.content }, (_, place) =>
    dropdown(`Place ${place + 1}`, { options, value: "", change: write }),
  );
  const asks = net.boxes.map((key) => `${letter(key)}?`);
  const question = dropdown("Question", {
    options: [["", "none"], ...asks.map((word) => [word, word])],
    value: "",
    change: write,
  });
  const node = html(
    "div",
    { class: "me-places" },
    cards.map((card) => card.node),
    question.node,
  );
  function draw(page) {
    for (const [place, { input }] of cards.entries()) {
      const card = page.cards.find((some) => some.place === place);
      input.value = card ? cardOf(card) : "";
    }
    question.input.value = page.question === null ? "" : `${letter(page.question)}?`;
  }
  return { node, draw };
}

// A field for the words of the page, and what is wrong with them. Returns { nodes, draw }.
function typedWords(session) {
  const id = unique("wrong");
  const field = html("input", {
    type: "text",
    class: "me-typed",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "characters",
    "aria-describedby": id,
  });
  const wrong = html("p", { class: "me-wrong", id });
  const wordsFault = () => {
    try {
      parsePage(session.net, field.value);
      return null;
    } catch (error) {
      return `Not a page: ${error.message}.`;
    }
  };
  listen(field, "change", () => {
    const fault = wordsFault();
    if (fault === null) {
      writePage(session, field.value);
      return;
    }
    field.setAttribute("aria-invalid", "true");
    wrong.textContent = fault;
    session.refuse(`${fault} The story stays as it was.`);
  });
  const name = html("span", { class: "mfl-label" }, "or type the page");
  function draw(words) {
    field.value = words;
    field.removeAttribute("aria-invalid");
    wrong.textContent = "";
  }
  return { nodes: [html("label", { class: "mfl-control" }, name, field), wrong], draw };
}

// Returns { node, draw }.
export function pagePanel(session) {
  const title = html("legend", {});
  const chosen = places(session);
  const typed = typedWords(session);
  const press = (label, change) => button(label, { change }).node;
  const node = html(
    "fieldset",
    { class: "mfl-control me-panel" },
    title,
    chosen.node,
    typed.nodes,
    html(
      "div",
      { class: "mfl-options" },
      press("\u2190 Move left", () => movePage(session, -1)),
      press("Move right \u2192", () => movePage(session, 1)),
      press("Add a page after it", () => insertPage(session, "–", "Added an empty page.")),
      press("Remove it", () => removePage(session)),
    ),
  );
  function draw() {
    const { values, entries } = session;
    const entry = entries[values.at];
    title.textContent = `Change ${nameOf(entry)}`;
    chosen.draw(entry.page);
    typed.draw(values.pages[values.at].words);
  }
  return { node, draw };
}
