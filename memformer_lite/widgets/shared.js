// Helpers of every widget. A widget's own text follows this one in the same module.

// --- Elements ---

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
function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(node, attributes, children);
}

// A picture of fixed height whose text keeps its size: draw(width) returns { words, children }.
// `redraw()` draws it again; it also does so when its width changes. `stop()` ends that.
function drawing(height, draw) {
  const node = svg("svg", { class: "mfl-drawing", role: "img", height, width: "100%" });
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const { words, children } = draw(width);
    node.setAttribute("viewBox", `0 0 ${width} ${height}`);
    node.setAttribute("aria-label", words);
    node.replaceChildren(...children.flat(2).filter(Boolean));
  };
  const observer = new ResizeObserver(() => guard(node, () => {
    const now = Math.round(node.getBoundingClientRect().width);
    if (now && now !== width) {
      width = now;
      redraw();
    }
  }));
  observer.observe(node);
  return { node, redraw, stop: () => observer.disconnect(), width: () => width };
}

// --- Controls: each { node, set(value) }; `change(value)` is called when the reader acts ---

function slider(label, { min, max, step = 1, value, show = String, change }) {
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
  const name = html("span", { class: "mfl-label" }, html("span", {}, label), shown);
  return { node: html("label", { class: "mfl-control mfl-slider" }, name, input), input, set };
}

function checkbox(label, { value = false, change }) {
  const input = html("input", { type: "checkbox" });
  input.checked = value;
  listen(input, "change", () => change(input.checked));
  const node = html("label", { class: "mfl-check" }, input, html("span", {}, label));
  return { node, input, set: (next) => { input.checked = next; } };
}

// One of several: `options` are [value, label] pairs. `enable(false)` says that it has no effect now.
function choice(label, { options, value, change }) {
  const group = unique("choice");
  const inputs = new Map();
  const labels = options.map(([option, text]) => {
    const input = html("input", { type: "radio", name: group, value: String(option) });
    listen(input, "change", () => change(option));
    inputs.set(option, input);
    return html("label", { class: "mfl-option" }, input, html("span", {}, text));
  });
  const row = html("div", { class: "mfl-options" }, labels);
  const node = html("fieldset", { class: "mfl-control mfl-choice" }, html("legend", {}, label), row);
  const set = (next) => {
    if (inputs.has(next)) inputs.get(next).checked = true;
  };
  set(value);
  return { node, inputs, set, enable: (able) => { node.disabled = !able; } };
}

function dropdown(label, { options, value, change }) {
  const input = html("select", {}, options.map(([option, text]) =>
    html("option", { value: option }, text)));
  input.value = value;
  listen(input, "change", () => change(input.value));
  const name = html("span", { class: "mfl-label" }, label);
  const node = html("label", { class: "mfl-control mfl-dropdown" }, name, input);
  return { node, input, set: (next) => { input.value = next; } };
}

function button(label, { change, ...attributes }) {
  const node = html("button", { type: "button", class: "mfl-button", ...attributes }, label);
  listen(node, "click", () => change());
  return { node };
}

// Several controls under one name.
function group(label, ...nodes) {
  return html("fieldset", { class: "mfl-control mfl-group" },
    html("legend", {}, label), html("div", { class: "mfl-options" }, nodes));
}

// The one line of a widget that says in words what changed; say(words).
function statusLine() {
  const node = html("div", { class: "mfl-status", role: "status", "aria-live": "polite" });
  const say = (words) => {
    if (node.textContent !== words) node.textContent = words;
  };
  return { node, say };
}

// --- What the reader chose: shared by all views of a live widget ---

// `state.values` holds the choices, `state.change({ name: value })` takes new ones; `draw` follows.
function choices(live, initial, draw) {
  const known = (given) => Object.fromEntries(
    Object.entries(given ?? {}).filter(([name]) => name in initial));
  const state = { values: { ...initial, ...known(live?.get("state")) } };
  const shown = () => JSON.stringify(state.values);
  state.change = (some) => {
    Object.assign(state.values, some);
    live?.set("state", { ...state.values });
    draw(state.values);
  };
  state.stop = live?.onChange("state", () => {
    const before = shown();
    Object.assign(state.values, known(live.get("state")));
    if (shown() !== before) draw(state.values);
  }) ?? (() => {});
  return state;
}

// --- Words and numbers ---

const signed = (number) => (number < 0 ? `\u2212${-number}` : `${number}`);
const fixed = (number, digits = 2) =>
  number.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", "\u2212");
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const unique = (name) => `mfl-${name}-${Math.random().toString(36).slice(2, 10)}`;

// --- Failures: in words, in this widget only, with its still picture ---

function need(condition, words) {
  if (!condition) throw new Error(words);
}

function guard(node, act) {
  try {
    return act();
  } catch (error) {
    fail(node, error);
    return undefined;
  }
}

function listen(node, type, act) {
  node.addEventListener(type, (event) => guard(node, () => act(event)));
}

function fail(node, error) {
  const root = node.closest(".mfl-widget");
  if (!root) throw error;
  const words = `This picture cannot answer: ${error.message}. A still picture stands in its place.`;
  root.querySelector(".mfl-live").replaceChildren(html("p", { class: "mfl-error", role: "alert" }, words));
  root.dataset.mflState = "failed";
}

// --- Start ---

// A notebook around the widget takes arrows, letters and Enter for itself, if it hears of them.
const keepKeys = (event) => {
  if (!event.ctrlKey && !event.altKey && !event.metaKey) event.stopPropagation();
};

function begin(root, mount, data, live) {
  const el = root.querySelector(".mfl-live");
  el.hidden = false;
  el.addEventListener("keydown", keepKeys);
  root.dataset.mflState = "ready";
  return guard(el, () => mount(el, data, live)) ?? (() => {});
}

// On a page: into the first element of this key that has not started. Equal widgets are equal.
function start(key, mount, data) {
  const root = document.querySelector(`.mfl-widget[data-mfl="${key}"]:not([data-mfl-state])`);
  if (root) begin(root, mount, data, null);
}

// With a kernel: an anywidget's view.
function renderLive({ model, el }, mount) {
  el.innerHTML = model.get("markup");
  const stop = begin(el.firstElementChild, mount, model.get("data"), {
    get: (name) => model.get(name),
    set(name, value) {
      model.set(name, value);
      model.save_changes();
    },
    onChange(name, act) {
      const heard = () => guard(el.firstElementChild, act);
      model.on(`change:${name}`, heard);
      return () => model.off(`change:${name}`, heard);
    },
  });
  return () => stop();
}
