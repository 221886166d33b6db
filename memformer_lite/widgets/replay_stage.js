// Replay stage: three ways of learning on one number, m_t = a m_(t-1) + t with m_0 = 2, losses m_t².

import { choices } from "./shared/choices.js";
import { button, choice, group, slider, statusLine } from "./shared/controls.js";
import { drawing } from "./shared/drawing.js";
import { html, svg } from "./shared/elements.js";
import { need } from "./shared/failures.js";
import { plural } from "./shared/words.js";

// --- Arithmetic: equal to replay_stage.py's ---

// m_0 to m_T.
export function memories(pages, a) {
  const found = [2];
  for (let page = 1; page <= pages; page += 1) found.push(a * found[page - 1] + page);
  return found;
}

const range = (first, last) =>
  Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);

// Action, page, graphs alive and notes in the buffer, step by step.
function* order({ method, pages, losses, detach_every: every }) {
  if (method === "replay") {
    for (const page of range(1, pages - 1)) yield ["note", page, [], range(1, page)];
    for (const page of range(1, pages).reverse()) {
      yield [page === pages ? "read" : "reread", page, [page], range(1, page - 1)];
      yield ["back", page, [page], range(1, page - 1)];
    }
  } else {
    const size = method === "truncated" ? every : pages;
    for (let first = 1; first <= pages; first += size) {
      const last = Math.min(first + size - 1, pages);
      for (const page of range(first, last)) yield ["read", page, range(first, page), []];
      if (losses === "every" || last === pages) {
        for (const page of range(first, last).reverse())
          yield ["back", page, range(first, page), []];
      }
      if (last < pages) yield ["cut", last, [], []];
    }
  }
  yield ["end", 0, [], []];
}

// One moment for each step; its fields are explained at Python's `Moment`.
export function schedule(options) {
  const { method, pages, losses, a } = options;
  const m = memories(pages, a);
  const gradients = Array(pages + 1).fill(null);
  const shares = Array(pages).fill(null);
  let [forwards, backwards] = [0, 0];
  return [...order(options)].map(([action, page, graphs, notes]) => {
    let handed = null;
    if (["read", "note", "reread"].includes(action)) forwards += 1;
    if (action === "back") {
      backwards += 1;
      gradients[page] += losses === "every" || page === pages ? 2 * m[page] : 0;
      shares[page - 1] = gradients[page] * m[page - 1];
      const first = method !== "replay" && page > 1 && graphs.length === 1; // after a cut
      if (!first) gradients[page - 1] = handed = a * gradients[page];
    }
    return {
      action,
      page,
      graphs,
      notes,
      gradients: [...gradients],
      handed,
      shares: [...shares],
      forwards,
      backwards,
    };
  });
}

// The running cost up to moment `at`, and what was learned by then.
export function costOf(moments, at) {
  const { forwards, backwards, shares, gradients } = moments[at];
  const most = (kind) => Math.max(...moments.slice(0, at + 1).map((moment) => moment[kind].length));
  return {
    forwards,
    backwards,
    graphs: most("graphs"),
    notes: most("notes"),
    byA: shares.reduce((sum, share) => sum + share, 0),
    byM0: gradients[0],
  };
}

// --- Words ---

const METHODS = { bptt: "BPTT", truncated: "truncated BPTT", replay: "memory replay" };
const LOSSES = { last: "last page", every: "every page" };

const short = (value, digits = 4) => {
  if (value === null) return "–";
  return `${value >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits))}`;
};

// Runs in words: "page 3", "pages 1 and 2", "pages 1 to 4".
function pagesOf(list) {
  const last = list.at(-1);
  if (list.length < 2) return `page ${last}`;
  return `pages ${list[0]} ${list.length === 2 ? "and" : "to"} ${last}`;
}

function happened(moments, at, options) {
  const { action, page, gradients, handed, shares } = moments[at];
  const m = memories(options.pages, options.a);
  const memory = (t) => `m${t} = ${short(m[t])}`;
  const before = page - 1;
  if (action === "read")
    return `page ${page} is read and its graph is kept. It makes ${memory(page)}`;
  if (action === "note")
    return `page ${page} is read without a graph. Only its note is kept, ${memory(page)}`;
  if (action === "reread")
    return `page ${page} is read again, from ${memory(before)}, now with its graph`;
  if (action === "back") {
    const on = handed === null ? "nothing over the cut" : `${short(handed)} to m${before}`;
    const here = short(gradients[page]);
    return (
      `page ${page} is sent back. With ${here} at its end it adds ` +
      `${here} × ${short(m[before])} = ${short(shares[before])} and hands ${on}`
    );
  }
  if (action === "cut") {
    const { action: last, graphs } = moments[at - 1];
    return (
      `m${page} goes on, cut off from its past` +
      (last === "back" ? "" : `. The graph of ${pagesOf(graphs)} is dropped, nothing learned`)
    );
  }
  const full = schedule({ ...options, method: "bptt" }).at(-1).shares;
  const poor = range(1, options.pages).filter((t) => shares[t - 1] !== full[t - 1]);
  return poor.length
    ? `done. Less than in BPTT was added by ${pagesOf(poor)}`
    : "done. Every page added what it adds in BPTT";
}

// Moment `at` in words; `full` is BPTT's cost at its end.
export function told(moments, at, options, full) {
  const { graphs, notes } = moments[at];
  const every = options.detach_every === 1 ? "page" : `${options.detach_every} pages`;
  const cuts = options.method === "truncated" ? `, cut every ${every}` : "";
  return (
    `Step ${at + 1} of ${moments.length}, ${METHODS[options.method]}: ` +
    `${happened(moments, at, options)}. Kept: ${plural(graphs.length, "graph")}, ` +
    `${plural(notes.length, "note")}. Gradient of a: ${short(costOf(moments, at).byA)} of BPTT's ` +
    `${short(full.byA)}. (${options.pages} pages, loss on ${LOSSES[options.losses]}${cuts}, a = ${options.a}.)`
  );
}

// --- The widget ---

export function mount(el, data, live) {
  const { start: first, pages: limits } = data;
  need(first && Array.isArray(limits), "no options to start with");
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
  const state = choices(live, { ...first, step: 1 }, draw);

  const method = choice("Way of learning", {
    options: [
      ["bptt", "BPTT"],
      ["truncated", "truncated"],
      ["replay", "replay"],
    ],
    value: first.method,
    change: (value) => change({ method: value }),
  });
  const losses = choice("Loss on", {
    options: Object.entries(LOSSES).map(([value, name]) => [value, name]),
    value: first.losses,
    change: (value) => change({ losses: value }),
  });
  const pages = slider("Pages", {
    min: limits[0],
    max: limits[1],
    value: first.pages,
    change: (value) => change({ pages: value }),
  });
  const every = slider("Truncated every", {
    min: 1,
    max: first.pages - 1,
    value: first.detach_every,
    show: (value) => plural(value, "page"),
    change: (value) => change({ detach_every: value }),
  });
  const survives = slider("a: what is left of a note", {
    min: 0.25,
    max: 1,
    step: 0.25,
    value: first.a,
    change: (value) => change({ a: value }),
  });
  const step = slider("Step", {
    min: 1,
    max: moments().length,
    value: 1,
    show: (value) => `${value} of ${moments().length}`,
    change: (value) => state.change({ step: value }),
  });
  const go = (name, to) => button(name, { change: () => state.change({ step: to() }) });
  const moves = {
    first: go("First", () => 1),
    back: go("Back", () => state.values.step - 1),
    next: go("Next", () => state.values.step + 1),
    last: go("Last", () => moments().length),
  };
  const picture = drawing(HEIGHT, (width) =>
    scene(width, moments(), state.values.step - 1, state.values),
  );
  const sub = (words) => html("sub", {}, words);
  const cost = html("tbody", {});
  const { node: status, say } = statusLine();
  el.append(
    html(
      "div",
      { class: "mfl-controls" },
      method.node,
      losses.node,
      pages.node,
      every.node,
      survives.node,
      step.node,
      group(
        "Go to step",
        Object.values(moves).map((part) => part.node),
      ),
    ),
    html(
      "div",
      { class: "mfl-note" },
      "Page t makes m",
      sub("t"),
      " = a\u00a0m",
      sub("t−1"),
      " + t, from m",
      sub("0"),
      " = 2. A loss on page t is m",
      sub("t"),
      html("sup", {}, "2"),
      ".",
    ),
    html(
      "div",
      { class: "mfl-stage" },
      picture.node,
      html(
        "table",
        { class: "mfl-cost" },
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            html("td", {}),
            ["so far", "BPTT, whole"].map((name) => html("th", { scope: "col" }, name)),
          ),
        ),
        cost,
      ),
    ),
    status,
  );
  draw();
  return () => {
    picture.stop();
    state.stop();
  };

  function moments() {
    return schedule(state.values);
  }

  // Other options: whoever stands at the end stays there.
  function change(some) {
    const values = { ...state.values, ...some };
    values.detach_every = Math.min(values.detach_every, values.pages - 1);
    const count = schedule(values).length;
    const atEnd = values.step === moments().length;
    state.change({ ...values, step: atEnd ? count : Math.min(values.step, count) });
  }

  function draw() {
    const { values } = state;
    const run = moments();
    const whole = schedule({ ...values, method: "bptt" });
    const [now, full] = [costOf(run, values.step - 1), costOf(whole, whole.length - 1)];
    method.set(values.method);
    losses.set(values.losses);
    pages.set(values.pages);
    every.input.max = values.pages - 1;
    every.input.disabled = values.method !== "truncated";
    every.set(values.detach_every);
    survives.set(values.a);
    step.input.max = run.length;
    step.set(values.step);
    const focused = document.activeElement;
    moves.first.node.disabled = moves.back.node.disabled = values.step === 1;
    moves.next.node.disabled = moves.last.node.disabled = values.step === run.length;
    if (focused.disabled) (values.step === 1 ? moves.next : moves.back).node.focus();
    cost.replaceChildren(
      ...ROWS.map(([name, key]) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, name),
          [now, full].map((column) => html("td", {}, short(column[key]))),
        ),
      ),
    );
    picture.redraw();
    say(told(run, values.step - 1, values, full));
  }
}

const ROWS = [
  ["pages read", "forwards"],
  ["pages sent back", "backwards"],
  ["graphs, at most", "graphs"],
  ["notes kept, at most", "notes"],
  ["gradient of a", "byA"],
  ["gradient of m0", "byM0"],
];
const HEIGHT = 338;
const [SIDE, PILL, HIGH] = [20, 18, 22]; // margin; half width and height of a number's box
const [PAGES_AT, NOTES_AT, BACK_AT, ADDS_AT, KEPT_AT] = [44, 112, 160, 204, 328];
const DONE = { read: "read", note: "noted", reread: "read again", back: "sent back", cut: "cut" };

// Pages with the memories between them, gradients below, and what was kept at each step so far.
function scene(width, moments, at, options) {
  const { action, page, graphs, notes, gradients, shares } = moments[at];
  const { pages } = options;
  const m = memories(pages, options.a);
  const pitch = (width - 2 * SIDE) / pages;
  const digits = pitch < 50 ? 3 : 4;
  const x = (t) => SIDE + t * pitch;
  const text = (left, top, words, more) =>
    svg("text", { x: left, y: top, "text-anchor": "middle", ...more }, words);
  const title = (top, words) => text(0, top, words, { "text-anchor": "start", class: "mfl-row" });
  const line = (x1, x2, y1, y2, name) => svg("line", { x1, x2, y1, y2, class: name });
  const pill = (t, top, value, name) => [
    svg("rect", {
      x: x(t) - PILL,
      y: top,
      width: 2 * PILL,
      height: HIGH,
      rx: HIGH / 2,
      class: name,
    }),
    value === null ? null : text(x(t), top + 15, short(value, digits)),
  ];
  const arrow = (from, to, high) => {
    const head = Math.sign(to - from) * 4;
    const d = `M${from} ${high}H${to}M${to - head} ${high - 4}L${to} ${high}L${to - head} ${high + 4}`;
    return svg("path", { class: "mfl-ink", d });
  };
  const result = shares[pages - 1] === null ? [] : [pages]; // the last memory is handed out
  const held = new Set([0, page, ...notes, ...graphs.flatMap((t) => [t - 1, t]), ...result]);
  const cuts = range(1, pages - 1).filter(
    (t) => options.method === "truncated" && t % options.detach_every === 0,
  );
  const made = moments
    .slice(0, at + 1)
    .filter((one) => one.action === "cut")
    .map((one) => one.page);

  // The page acted on, with an arrow in the direction of the action.
  const acting = () => {
    const middle = action === "cut" ? x(page) : x(page - 0.5);
    const ends = [x(page - 1) + 4, x(page) - 4];
    return [
      text(Math.min(Math.max(middle, 30), width - 30), PAGES_AT - 14, DONE[action], {
        class: "mfl-strong",
      }),
      action === "cut" ? null : arrow(...(action === "back" ? ends.reverse() : ends), PAGES_AT - 7),
    ];
  };
  const pageBox = (t) => [
    svg("rect", {
      x: x(t - 1) + 3,
      y: PAGES_AT,
      width: pitch - 6,
      height: 36,
      rx: 4,
      class:
        `mfl-page${graphs.includes(t) ? " mfl-alive" : ""}` +
        (t === page && action !== "cut" ? " mfl-acting" : ""),
    }),
    text(x(t - 0.5), PAGES_AT + 22, `${t}${options.losses === "every" || t === pages ? " L" : ""}`),
  ];
  const memory = (t) =>
    pill(
      t,
      NOTES_AT,
      held.has(t) ? m[t] : null,
      `mfl-slot${notes.includes(t) ? " mfl-full" : ""}${held.has(t) ? "" : " mfl-gone"}`,
    );
  const gradient = (t) =>
    gradients[t] !== null &&
    pill(
      t,
      BACK_AT,
      gradients[t],
      `mfl-gradient${action === "back" && t === page ? " mfl-full" : ""}`,
    );
  const share = (t) => {
    const added = shares[t - 1] ?? (action === "end" ? 0 : null);
    return (
      added !== null &&
      text(x(t - 0.5), ADDS_AT + 12, `+${short(added, digits)}`, {
        class: action === "back" && t === page ? "mfl-strong" : null,
      })
    );
  };
  const handing = (t) =>
    shares[t - 1] !== null &&
    arrow(
      x(t) - PILL,
      cuts.includes(t - 1) ? x(t - 1) + PILL + 2 : x(t - 1) + PILL,
      BACK_AT + HIGH / 2,
    );
  const column = (width - 2) / moments.length;
  const kept = ({ graphs: open, notes: buffer }, place) => {
    const middle = 1 + (place + 0.5) * column;
    return [
      ...open.map((_, high) =>
        svg("rect", {
          x: middle - 4.5,
          y: KEPT_AT - 11 * (high + 1),
          width: 9,
          height: 9,
          class: "mfl-block",
        }),
      ),
      ...buffer.map((_, high) =>
        svg("circle", {
          cx: middle,
          cy: KEPT_AT - 11 * (high + open.length) - 6.5,
          r: 4.2,
          class: "mfl-noted",
        }),
      ),
    ];
  };
  const children = [
    title(12, "pages; L: a loss; blue: its graph is kept"),
    action === "end" ? null : acting(),
    range(1, pages).map(pageBox),
    title(NOTES_AT - 8, "memories; filled: a note in the buffer"),
    range(0, pages).map(memory),
    title(BACK_AT - 8, "gradients that came to them"),
    range(0, pages).map(gradient),
    range(1, pages).map(handing),
    cuts.map((t) =>
      [
        [x(t), PAGES_AT - 8, NOTES_AT - 20],
        [x(t) + PILL + 1, BACK_AT - 3, BACK_AT + HIGH + 3],
      ].map(([across, top, bottom]) =>
        line(across, across, top, bottom, `mfl-cut${made.includes(t) ? " mfl-made" : ""}`),
      ),
    ),
    title(ADDS_AT - 6, "what each page adds to the gradient of a"),
    range(1, pages).map(share),
    title(KEPT_AT - 92, "kept, step by step: graphs and notes"),
    svg("rect", {
      x: 1 + at * column,
      y: KEPT_AT - 82,
      width: column,
      height: 84,
      class: "mfl-now",
    }),
    moments.slice(0, at + 1).map(kept),
    line(1, width - 1, KEPT_AT, KEPT_AT, "mfl-grid"),
  ];
  const list = (values, one) => values.map(one).filter(Boolean).join(", ") || "none";
  const words =
    `Pages 1 to ${pages} in a row, the memories m0 to m${pages} between them. ` +
    `Graphs kept: ${list(graphs, (t) => `page ${t}`)}. Notes in the buffer: ${list(notes, (t) => `m${t}`)}. ` +
    `Gradients: ${list(gradients, (value, t) => value !== null && `${short(value)} at m${t}`)}. ` +
    `Added to the gradient of a: ${list(shares, (value, t) => value !== null && `${short(value)} by page ${t + 1}`)}.`;
  return { words, children };
}
