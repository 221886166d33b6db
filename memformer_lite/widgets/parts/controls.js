import { html, roomFor, unique } from "./elements.js";
import { listen } from "./failures.js";

// --- Controls: each { node, set(value) }; `change(value)` is called when the reader acts ---

// `shows` lists what `show` may say at any time, so that nothing moves when it does.
export function slider(label, { min, max, step = 1, value, show = String, shows, change }) {
  const shown = html("span", { class: "mfl-value", "aria-hidden": "true" });
  const input = html("input", { type: "range", min, max, step, "aria-label": label });
  const set = (next) => {
    input.value = next;
    shown.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", show(Number(input.value)));
  };
  set(value);
  listen(input, "input", () => {
    set(input.value);
    change(Number(input.value));
  });
  const room = roomFor(shows ?? [min, max].map(show), shown);
  const name = html("span", { class: "mfl-label" }, html("span", {}, label), room);
  return { node: html("label", { class: "mfl-control mfl-slider" }, name, input), input, set };
}

export function checkbox(label, { value = false, change }) {
  const input = html("input", { type: "checkbox" });
  input.checked = value;
  listen(input, "change", () => change(input.checked));
  const node = html("label", { class: "mfl-check" }, input, html("span", {}, label));
  return {
    node,
    input,
    set: (next) => {
      input.checked = next;
    },
  };
}

// One of several: `options` are [value, label] pairs. `enable(false)` says that it has no effect now.
export function choice(label, { options, value, change }) {
  const group = unique("choice");
  const inputs = new Map();
  const labels = options.map(([option, text]) => {
    const input = html("input", { type: "radio", name: group, value: String(option) });
    listen(input, "change", () => change(option));
    inputs.set(option, input);
    return html(
      "label",
      { class: "mfl-option" },
      input,
      html("span", { "data-words": text }, text),
    );
  });
  const row = html("div", { class: "mfl-options" }, labels);
  const node = html(
    "fieldset",
    { class: "mfl-control mfl-choice" },
    html("legend", {}, label),
    row,
  );
  const set = (next) => {
    if (inputs.has(next)) inputs.get(next).checked = true;
  };
  set(value);
  return {
    node,
    inputs,
    set,
    enable: (able) => {
      node.disabled = !able;
    },
  };
}

export function dropdown(label, { options, value, change }) {
  const input = html(
    "select",
    {},
    options.map(([option, text]) => html("option", { value: option }, text)),
  );
  input.value = value;
  listen(input, "change", () => change(input.value));
  const name = html("span", { class: "mfl-label" }, label);
  const node = html("label", { class: "mfl-control mfl-dropdown" }, name, input);
  return {
    node,
    input,
    set: (next) => {
      input.value = next;
    },
  };
}

export function button(label, { change, ...attributes }) {
  const node = html("button", { type: "button", class: "mfl-button", ...attributes }, label);
  listen(node, "click", () => change());
  return { node };
}

// Several controls under one name.
export function group(label, ...nodes) {
  return html(
    "fieldset",
    { class: "mfl-control mfl-group" },
    html("legend", {}, label),
    html("div", { class: "mfl-options" }, nodes),
  );
}

// The one line of a widget that says in words what changed; say(words). It has room for the longest
// of `texts`; longer words scroll in it.
export function statusLine(texts) {
  const line = html("div", { class: "mfl-status", role: "status", "aria-live": "polite" });
  const say = (words) => {
    if (line.textContent === words) return;
    line.textContent = words;
    line.scrollTop = 0;
    reach();
  };
  // Where the words need more lines than are kept free, the keyboard can scroll to them.
  const reach = () => {
    if (line.scrollHeight > line.clientHeight + 1) line.tabIndex = 0;
    else line.removeAttribute("tabindex");
  };
  new ResizeObserver(reach).observe(line);
  return { node: html("div", { class: "mfl-words" }, roomFor(texts, line)), say };
}
