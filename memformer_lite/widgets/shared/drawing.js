import { svg } from "./elements.js";
import { guard } from "./failures.js";

// A picture of fixed height whose text keeps its size: draw(width) returns { words, children }.
// `redraw()` draws it again; it also does so when its width changes. `stop()` ends that.
export function drawing(height, draw) {
  const node = svg("svg", { class: "mfl-drawing", role: "img", height, width: "100%" });
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const { words, children } = draw(width);
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
