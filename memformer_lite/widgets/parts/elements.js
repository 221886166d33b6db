// Elements of HTML and SVG.

import { listen } from "./failures.js";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") listen(node, name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

// html("p", { class: "x", click: f }, "text", child): a function is a listener.
export function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(node, attributes, children);
}

// `node`, in room for the longest of `texts` in whatever font: all of them stand there, unseen.
export function roomFor(texts, node) {
  const unseen = [...new Set(texts)].map((words) =>
    html("span", { "data-words": words, "aria-hidden": "true" }),
  );
  const seen = typeof node === "string" ? html("span", {}, node) : node;
  return html("span", { class: "mfl-room" }, unseen, seen);
}

// Of many texts those that may be the longest in some font.
export function longest(texts, count = 4) {
  return [...new Set(texts)].sort((one, other) => other.length - one.length).slice(0, count);
}

export const unique = (name) => `mfl-${name}-${Math.random().toString(36).slice(2, 10)}`;
