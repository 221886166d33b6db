import { html } from "./elements.js";

// A box in which content that is too wide scrolls; the tab key stops there only if it does.
export function scroller(label, content) {
  const node = html("div", { class: "mfl-scroll" }, content);
  const names = { tabindex: "0", role: "group", "aria-label": label };
  const observer = new ResizeObserver(() => {
    // Its bar takes no room of its own: it lies in the gap below.
    node.style.marginBottom = `calc(-4px - ${node.offsetHeight - node.clientHeight}px)`;
    const scrolls = node.scrollWidth > node.clientWidth + 1;
    for (const [name, value] of Object.entries(names)) {
      if (scrolls) node.setAttribute(name, value);
      else node.removeAttribute(name);
    }
  });
  observer.observe(node);
  observer.observe(content);
  return { node, stop: () => observer.disconnect() };
}
