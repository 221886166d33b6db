// The grid: a column for each entry of the story, with an answer, a page and the slots after it.

import { html } from "../parts/elements.js";
import { listen } from "../parts/failures.js";
import { answerParts, boxColour, marksOf, pageParts, slotParts } from "./cells.js";
import { pageLabel, slotLabel } from "./words.js";

const PAGE = -1; // the row of pages, above those of the slots

const clamp = (number, least, most) => Math.max(least, Math.min(number, most));

// Returns { node, draw, spareLines }; the last says how many lines its pages may grow by.
export function grid(session) {
  const { net } = session;
  const names = html("div", { class: "me-names", "aria-hidden": "true" });
  const columns = html("div", {
    class: "me-columns",
    role: "group",
    "aria-label": "Pages and slots: the arrow keys move from one to the next",
  });
  const scroll = html("div", { class: "me-scroll" }, columns);
  const node = html("div", { class: "me-grid" }, names, scroll);
  const cells = []; // of each column: a button for each row, and the answer above them
  let row = PAGE; // of the one cell that the tab key reaches
  let shape = "";
  let lines = 1;

  const press = (at, pressed) => {
    row = pressed;
    session.choose(row === PAGE ? { at } : { at, slot: row }, "");
  };
  listen(columns, "keydown", (event) => {
    const to = destination(event, session);
    if (!to) return;
    event.preventDefault();
    press(...to);
    cells[to[0]].rows.get(to[1]).focus();
  });

  // Columns are made anew only when their number changes, so that the focus stays where it is.
  function build(pages) {
    const next = JSON.stringify(pages.map(({ words }) => /×/.test(words)));
    if (next === shape) return;
    shape = next;
    cells.length = 0;
    for (const at of pages.keys()) cells.push(column(net, at, press));
    columns.replaceChildren(...cells.map((cell) => cell.column));
    names.replaceChildren(...rowNames(net));
  }

  function draw() {
    const { values, entries, box } = session;
    build(values.pages);
    lines = Math.max(...entries.map(linesOf));
    node.style.setProperty("--me-lines", lines);
    node.style.setProperty("--me-box", boxColour(net, box));
    names.firstChild.replaceChildren(
      html("b", {}, session.question),
      html("span", { class: "me-wideonly" }, "P(answer)"),
      html("span", { class: "me-narrowonly" }, "P in %"),
    );
    for (const [at, cell] of cells.entries()) {
      drawColumn(session, at, cell);
      for (const [place, button] of cell.rows) {
        const chosen = at === values.at;
        button.tabIndex = chosen && place === row ? 0 : -1;
        const pressed = chosen && (place === PAGE || place === values.slot);
        button.setAttribute("aria-pressed", String(pressed));
      }
    }
    // The bar lies in the gap below, so that nothing moves when it comes.
    scroll.style.marginBottom = `calc(-3px - ${scroll.offsetHeight - scroll.clientHeight}px)`;
    reveal(cells[values.at].column, columns, scroll);
  }

  return { node, draw, spareLines: () => net.content + 2 - lines };
}

// Where a key leads from the cell that has the focus: [at, row]; null for other keys.
function destination(event, { net, values }) {
  const place = event.target.dataset?.place?.split(" ").map(Number);
  if (!place || event.ctrlKey || event.altKey || event.metaKey) return null;
  const last = values.pages.length - 1;
  const move = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
    Home: [-last, 0],
    End: [last, 0],
  }[event.key];
  if (!move) return null;
  return [clamp(place[0] + move[0], 0, last), clamp(place[1] + move[1], PAGE, net.slots - 1)];
}

function column(net, at, press) {
  const make = (row) =>
    html("button", {
      type: "button",
      "data-place": `${at} ${row}`,
      class: row === PAGE ? "me-page" : "me-cell",
      click: () => press(at, row),
    });
  const answer = html("div", { class: "me-answer", "aria-hidden": "true" });
  const rows = new Map([[PAGE, make(PAGE)]]);
  for (let slot = 0; slot < net.slots; slot++) rows.set(slot, make(slot));
  const whole = html("div", { class: "me-column" }, answer, [...rows.values()]);
  return { column: whole, answer, rows };
}

const rowNames = (net) => [
  html("div", { class: "me-answer" }),
  html("div", { class: "me-page" }, "page"),
  ...Array.from({ length: net.slots }, (_, slot) =>
    html("div", { class: "me-cell" }, `slot ${slot + 1}`),
  ),
];

// How many lines a page needs.
const linesOf = ({ page }) =>
  page.times > 1 ? 1 : Math.max(1, page.cards.length + (page.question === null ? 0 : 2));

function drawColumn(session, at, { column: whole, answer, rows }) {
  const { net, values, box } = session;
  const [entry, baseline] = [session.entries[at], session.baseline[at]];
  const kinds = [at === values.at && "me-chosen", entry.page.times > 1 && "me-many"];
  whole.className = ["me-column", ...kinds].filter(Boolean).join(" ");
  answer.replaceChildren(...answerParts(entry, baseline, box));
  rows.get(PAGE).replaceChildren(...pageParts(net, entry));
  rows.get(PAGE).setAttribute("aria-label", pageLabel(session, entry));
  for (let slot = 0; slot < net.slots; slot++) {
    const button = rows.get(slot);
    const marks = marksOf(values.pages[at].actions, entry, slot);
    const { style, children } = slotParts(session, entry, slot);
    button.setAttribute("style", style);
    button.replaceChildren(
      ...children,
      marks.sign ? html("span", { class: "me-mark" }, marks.sign) : "",
    );
    button.classList.toggle("me-acted", Boolean(marks.sign));
    button.setAttribute("aria-label", slotLabel(session, entry, slot, marks.words));
  }
}

// Bring a column into sight; nothing outside the grid moves.
function reveal({ offsetLeft, offsetWidth }, columns, scroll) {
  const left = offsetLeft - columns.offsetLeft;
  const right = left + offsetWidth - scroll.clientWidth + 6;
  if (scroll.scrollLeft > left) scroll.scrollLeft = left;
  else if (scroll.scrollLeft < right) scroll.scrollLeft = right;
}
