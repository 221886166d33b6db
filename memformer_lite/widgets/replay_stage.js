// Replay stage: three ways of learning on one number, m_t = a m_(t-1) + t with m_0 = 2, losses m_t².

import { HEIGHT, scene } from "./replay_stage/scene.js";
import { costOf, schedule } from "./replay_stage/schedule.js";
import { LOSSES, longestWords, METHODS, short, stepWords } from "./replay_stage/words.js";
import { choices } from "./parts/choices.js";
import { button, choice, group, slider, statusLine } from "./parts/controls.js";
import { drawing } from "./parts/drawing.js";
import { html } from "./parts/elements.js";
import { need } from "./parts/failures.js";
import { scroller } from "./parts/scroller.js";
import { plural } from "./parts/words.js";

const ROWS = {
  forwards: "pages read",
  backwards: "pages sent back",
  graphs: "graphs, at most",
  notes: "notes kept, at most",
  byA: "gradient of a",
  byM0: "gradient of m0",
};

function checkData({ start: first, pages: limits, survives }) {
  need(first && Array.isArray(limits) && Array.isArray(survives), "no options to start with");
  need(first.method in METHODS && first.losses in LOSSES, "no such way of learning");
  need(
    first.pages >= limits[0] && first.pages <= limits[1],
    `pages=${first.pages}: expected ${limits[0]} to ${limits[1]}`,
  );
  need(
    first.detach_every >= 1 && first.detach_every < first.pages,
    `detach_every=${first.detach_every}: expected 1 to ${first.pages - 1}`,
  );
  need(first.a > 0 && first.a <= 1, `a=${first.a}: expected more than 0, at most 1`);
}

// Other options: whoever stands at the end stays there.
function changeOptions(state, some) {
  const values = { ...state.values, ...some };
  values.detach_every = Math.min(values.detach_every, values.pages - 1);
  const count = schedule(values).length;
  const atEnd = values.step === schedule(state.values).length;
  state.change({ ...values, step: atEnd ? count : Math.min(values.step, count) });
}

// The options of learning; `draw()` sets them to what is chosen.
function options({ pages: limits, survives }, state) {
  const { values } = state;
  const option = (control, label, name, more) =>
    control(label, {
      value: values[name],
      change: (value) => changeOptions(state, { [name]: value }),
      ...more,
    });
  const methods = Object.entries({ ...METHODS, truncated: "truncated", replay: "replay" });
  const parts = {
    method: option(choice, "Way of learning", "method", { options: methods }),
    losses: option(choice, "Loss on", "losses", { options: Object.entries(LOSSES) }),
    pages: option(slider, "Pages", "pages", { min: limits[0], max: limits[1] }),
    detach_every: option(slider, "Truncated every", "detach_every", {
      min: 1,
      max: values.pages - 1,
      show: (value) => plural(value, "page"),
      shows: [plural(limits[1], "page")],
    }),
    a: option(slider, "a: what is left of a note", "a", {
      min: survives[0],
      max: survives.at(-1),
      step: survives[1] - survives[0],
      shows: survives.map(String),
    }),
  };
  function draw() {
    const { input } = parts.detach_every;
    input.max = state.values.pages - 1;
    input.disabled = state.values.method !== "truncated";
    for (const [name, part] of Object.entries(parts)) part.set(state.values[name]);
  }
  return { nodes: Object.values(parts).map((part) => part.node), draw };
}

// The step, and buttons that go to others; `draw()` sets them to what is chosen.
function steps(state) {
  const count = () => schedule(state.values).length;
  const step = slider("Step", {
    min: 1,
    max: count(),
    value: 1,
    show: (value) => `${value} of ${count()}`,
    shows: ["99 of 99"],
    change: (value) => state.change({ step: value }),
  });
  const go = (name, to) => button(name, { change: () => state.change({ step: to() }) }).node;
  const first = go("First", () => 1);
  const back = go("Back", () => state.values.step - 1);
  const next = go("Next", () => state.values.step + 1);
  const last = go("Last", count);
  function draw() {
    const { step: here } = state.values;
    const focused = document.activeElement;
    step.input.max = count();
    step.set(here);
    for (const node of [first, back]) node.disabled = here === 1;
    for (const node of [next, last]) node.disabled = here === count();
    if (focused.disabled) (here === 1 ? next : back).focus();
  }
  return { nodes: [step.node, group("Go to step", first, back, next, last)], draw };
}

// What is learned, as a formula.
function note() {
  const sub = (words) => html("sub", {}, words);
  const formula = ["Page t makes m", sub("t"), " = a\u00a0m", sub("t−1"), " + t, from m", sub("0")];
  const loss = [" = 2. A loss on page t is m", sub("t"), html("sup", {}, "2"), "."];
  return html("div", { class: "mfl-note" }, formula, loss);
}

// The cost so far beside that of the whole of BPTT. Returns { node, draw, stop }.
function costTable() {
  const names = ["so far", "BPTT, whole"].map((name) => html("th", { scope: "col" }, name));
  const body = html("tbody", {});
  const head = html("thead", {}, html("tr", {}, html("td", {}), names));
  function draw(now, full) {
    const rows = Object.entries(ROWS).map(([key, name]) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, name),
        [now, full].map((column) => html("td", {}, short(column[key]))),
      ),
    );
    body.replaceChildren(...rows);
  }
  const { node, stop } = scroller("Cost", html("table", { class: "mfl-cost" }, head, body));
  return { node, draw, stop };
}

export function mount(el, data, live) {
  checkData(data);
  const state = choices(live, { ...data.start, step: 1 }, draw);
  const [above, movement, cost, status] = [
    options(data, state),
    steps(state),
    costTable(),
    statusLine(longestWords(data.pages[1])),
  ];
  const picture = drawing(HEIGHT, (width, wide) =>
    scene({ width, wide }, schedule(state.values), state.values.step - 1, state.values),
  );
  el.append(
    html("div", { class: "mfl-controls" }, above.nodes, movement.nodes),
    note(),
    html("div", { class: "mfl-stage" }, picture.node, cost.node),
    status.node,
  );
  draw();
  return () => {
    picture.stop();
    cost.stop();
    state.stop();
  };

  function draw() {
    const { values } = state;
    const run = schedule(values);
    const whole = schedule({ ...values, method: "bptt" });
    const full = costOf(whole, whole.length - 1);
    above.draw();
    movement.draw();
    cost.draw(costOf(run, values.step - 1), full);
    picture.redraw();
    status.say(stepWords(run, values.step - 1, values, full));
  }
}
