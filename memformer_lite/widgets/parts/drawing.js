import { svg } from "./elements.js";
import { guard } from "./failures.js";

let pen;

// How wide words are in the font of a node, in px: widthOf(node)(words).
export function widthOf(node) {
  const { fontSize, fontFamily } = getComputedStyle(node);
  pen ??= document.createElement("canvas").getContext("2d");
  return (words, weight = 400) => {
    pen.font = `${weight} ${fontSize} ${fontFamily}`;
    return pen.measureText(words).width;
  };
}

// How many em the widest of some words takes in the font of a node.
export function emsOf(node, texts) {
  const wide = widthOf(node);
  return (
    Math.max(...texts.map((words) => wide(words))) / parseFloat(getComputedStyle(node).fontSize)
  );
}

// A picture of fixed height whose text keeps its size: draw(width, wide) returns
// { words, children }; wide(text) is how wide a text is.
// `redraw()` draws it again; it also does so when its width changes. `stop()` ends that.
export function drawing(height, draw) {
  const node = svg("svg", { class: "mfl-drawing", role: "img", height, width: "100%" });
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const { words, children } = draw(width, widthOf(node));
    node.setAttribute("viewBox", `0 0 ${width} ${height}`);
    node.setAttribute("aria-label", words);
    node.replaceChildren(...children.flat(2).filter(Boolean));
  };
  const observer = new ResizeObserver(() =>
    guard(node, () => {
      const now = Math.round(node.getBoundingClientRect().width);
      if (now && now !== width) {
        width = now;
        redraw();
      }
    }),
  );
  observer.observe(node);
  return { node, redraw, stop: () => observer.disconnect(), width: () => width };
}
