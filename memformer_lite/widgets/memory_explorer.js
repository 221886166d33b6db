// Memory explorer (chapter 10): the arithmetic of the model, and a story to try it on.

import { choices } from "./shared/choices.js";
import { button, choice, dropdown, statusLine } from "./shared/controls.js";
import { html, unique } from "./shared/elements.js";
import { listen, need } from "./shared/failures.js";
import { fixed, plural } from "./shared/words.js";

// Numbers in half precision, little endian, as base64.
export function halves(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const numbers = new Float64Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const sign = bits & 0x8000 ? -1 : 1,
      exponent = (bits >> 10) & 31,
      fraction = bits & 1023;
    need(exponent < 31, "expected finite weights");
    numbers[i] =
      sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }
  return numbers;
}

const COUNTS = [
  "keys",
  "values",
  "noise",
  "content",
  "dim",
  "depth",
  "heads",
  "slots",
  "write_heads",
];

// Take a model apart: its sizes, and each parameter under the name it has in torch.
export function unpack(model) {
  for (const name of COUNTS) {
    need(
      Number.isInteger(model[name]) && model[name] > 0,
      `expected a whole number above 0 as ${name}, got ${model[name]}`,
    );
  }
  const numbers = halves(model.weights);
  const w = {};
  let at = 0;
  for (const [name, size] of model.parameters) {
    w[name] = numbers.subarray(at, at + size);
    at += size;
  }
  need(at === numbers.length, `expected ${at} weights, got ${numbers.length}`);
  const { keys, values, noise, content, dim, depth, slots } = model;
  const sizes = {
    "memformer.memory_slots": slots * dim,
    "memformer.encoder.token_emb.weight": (keys * values + keys + noise) * dim,
    [`memformer.encoder.layer_blocks.layers.${depth - 1}.0.fn.norm.weight`]: dim,
    "read_out.weight": values * dim,
  };
  for (const [name, size] of Object.entries(sizes)) {
    need(
      w[name]?.length === size,
      `expected ${size} weights as ${name}, got ${w[name]?.length ?? "none"}`,
    );
  }
  need(model.buckets?.length === 2 * content + 1, `expected ${2 * content + 1} buckets of offsets`);
  const start = Float64Array.from(w["memformer.memory_slots"]);
  if (model.update === "bmn") normalize(start, model.dim);
  const net = { ...model, w, start };
  const tried = step(net, Array(content + 1).fill(0), start);
  need(
    [...tried.answer, ...tried.after].every(Number.isFinite),
    "expected a model that gives finite numbers",
  );
  return net;
}

// erf by the series whose terms are all positive: exact to the last digits.
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x,
    sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++)
    sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const gelu = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

export function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((s) => Math.exp(s - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

// y = x Wᵀ + b for each row of x; W is (out, in) as in torch.nn.Linear.
function linear(net, name, x) {
  const weight = net.w[`${name}.weight`],
    bias = net.w[`${name}.bias`];
  const outs = bias.length,
    ins = weight.length / outs,
    rows = x.length / ins;
  const y = new Float64Array(rows * outs);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outs; o++) {
      let sum = bias[o];
      for (let i = 0, p = r * ins, q = o * ins; i < ins; i++) sum += x[p++] * weight[q++];
      y[r * outs + o] = sum;
    }
  }
  return y;
}

function layerNorm(net, name, x) {
  const weight = net.w[`${name}.weight`],
    bias = net.w[`${name}.bias`],
    d = weight.length;
  const y = new Float64Array(x.length);
  for (let r = 0; r < x.length; r += d) {
    let mean = 0,
      variance = 0;
    for (let i = 0; i < d; i++) mean += x[r + i] / d;
    for (let i = 0; i < d; i++) variance += (x[r + i] - mean) ** 2 / d;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let i = 0; i < d; i++) y[r + i] = (x[r + i] - mean) * scale * weight[i] + bias[i];
  }
  return y;
}

const plus = (a, b) => a.map((value, i) => value + b[i]);

function normalize(x, d) {
  for (let r = 0; r < x.length; r += d) {
    const length = Math.max(norm(x.subarray(r, r + d)), 1e-12);
    for (let i = 0; i < d; i++) x[r + i] /= length;
  }
}

export const norm = (x) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

// Rows of x look at rows of source. Returns {out, weights}; weights are (h, i, j).
function attend(net, name, heads, x, source, bias) {
  const d = net.dim,
    e = d / heads,
    n = x.length / d,
    m = source.length / d;
  const queries = linear(net, `${name}.to_q`, x),
    both = linear(net, `${name}.to_kv`, source);
  const weights = new Float64Array(heads * n * m),
    mixed = new Float64Array(n * d);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < n; i++) {
      const scores = new Float64Array(m);
      for (let j = 0; j < m; j++) {
        let sum = 0;
        for (let c = h * e; c < h * e + e; c++) sum += queries[i * d + c] * both[j * 2 * d + c];
        scores[j] = sum / Math.sqrt(e) + (bias ? bias(h, i, j) : 0);
      }
      const row = softmax(scores);
      weights.set(row, (h * n + i) * m);
      for (let j = 0; j < m; j++) {
        for (let c = h * e; c < h * e + e; c++)
          mixed[i * d + c] += row[j] * both[j * 2 * d + d + c];
      }
    }
  }
  return { out: linear(net, `${name}.to_out`, mixed), weights };
}

function feedForward(net, name, x) {
  const inner = linear(net, `${name}.fn.fn.net.0`, layerNorm(net, `${name}.fn.norm`, x));
  return plus(x, linear(net, `${name}.fn.fn.net.2`, inner.map(gelu)));
}

function embed(net, tokens) {
  const d = net.dim,
    table = net.w["memformer.encoder.token_emb.weight"],
    x = new Float64Array(tokens.length * d);
  for (const [i, token] of tokens.entries()) x.set(table.subarray(token * d, token * d + d), i * d);
  return x;
}

// Self-attention of a layer, with T5's bias; `buckets` are those of the offsets 1 - n to n - 1.
function lookAround(net, layer, x) {
  const layers = "memformer.encoder.layer_blocks",
    block = `${layers}.layers.${layer}.0.fn`;
  const table = net.w[`${layers}.rel_pos_emb.relative_attention_bias.weight`];
  const bias = (h, i, j) =>
    table[net.buckets[j - i + (net.buckets.length - 1) / 2] * net.heads + h];
  const around = layerNorm(net, `${block}.norm`, x);
  return plus(x, attend(net, `${block}.fn`, net.heads, around, around, bias).out);
}

// Encode the tokens of a segment. Returns { out (n, d), read (l, h, n, k) }.
function encode(net, tokens, mems) {
  const size = net.heads * tokens.length * (mems.length / net.dim),
    read = new Float64Array(net.depth * size);
  let x = embed(net, tokens);
  for (let layer = 0; layer < net.depth; layer++) {
    const block = `memformer.encoder.layer_blocks.layers.${layer}`;
    x = lookAround(net, layer, x);
    const looked = attend(
      net,
      `${block}.1.fn.fn`,
      net.heads,
      layerNorm(net, `${block}.1.fn.norm`, x),
      mems,
    );
    read.set(looked.weights, layer * size);
    x = feedForward(net, `${block}.2`, plus(x, looked.out));
  }
  return { out: layerNorm(net, "memformer.encoder.norm", x), read };
}

// What each slot would write, (k, d), and its weights (h, k, 1 + n): first itself, then the tokens.
function slotAttention(net, mems, encoded) {
  const d = net.dim,
    heads = net.write_heads,
    e = d / heads,
    k = mems.length / d,
    n = encoded.length / d;
  const name = "memformer.memory_writer.attention",
    raw = net.update === "bmn";
  const queries = linear(net, `${name}.to_q`, mems);
  const slots = linear(net, `${name}.to_kv`, mems),
    tokens = linear(net, `${name}.to_kv`, encoded);
  const weights = new Float64Array(heads * k * (1 + n)),
    mixed = new Float64Array(k * d);
  const scale = 1 / Math.sqrt(e) / net.temperature;
  for (let h = 0; h < heads; h++) {
    for (let s = 0; s < k; s++) {
      const scores = new Float64Array(1 + n);
      for (let j = 0; j <= n; j++) {
        let sum = 0;
        for (let c = h * e; c < h * e + e; c++) {
          sum += queries[s * d + c] * (j ? tokens[(j - 1) * 2 * d + c] : slots[s * 2 * d + c]);
        }
        scores[j] = sum * scale;
      }
      const row = softmax(scores);
      weights.set(row, (h * k + s) * (1 + n));
      for (let j = 0; j <= n; j++) {
        for (let c = h * e; c < h * e + e; c++) {
          const own = raw ? mems[s * d + c] : slots[s * 2 * d + d + c];
          mixed[s * d + c] += row[j] * (j ? tokens[(j - 1) * 2 * d + d + c] : own);
        }
      }
    }
  }
  return { written: raw ? mixed : linear(net, `${name}.to_out`, mixed), weights };
}

// GRU: its update gate z decides between old (z = 1) and new. `open` sets z to 0 everywhere.
function gru(net, written, mems, open) {
  const d = net.dim,
    name = "memformer.memory_writer.gru";
  const [fromNew, fromOld] = [
    ["ih", written],
    ["hh", mems],
  ].map(([kind, x]) => {
    const w = {
      "x.weight": net.w[`${name}.weight_${kind}`],
      "x.bias": net.w[`${name}.bias_${kind}`],
    };
    return linear({ w }, "x", x);
  });
  const after = new Float64Array(mems.length),
    gate = new Float64Array(mems.length);
  for (let i = 0; i < mems.length; i++) {
    const at = Math.floor(i / d) * 3 * d + (i % d);
    const reset = sigmoid(fromNew[at] + fromOld[at]);
    const z = open ? 0 : sigmoid(fromNew[at + d] + fromOld[at + d]);
    const fresh = Math.tanh(fromNew[at + 2 * d] + reset * fromOld[at + 2 * d]);
    gate[i] = z;
    after[i] = (1 - z) * fresh + z * mems[i];
  }
  return { after, gate };
}

// The probabilities of the answers to the question at the end of a page; nothing is written.
export function ask(net, tokens, mems) {
  const { out, read } = encode(net, tokens, mems);
  return { answer: softmax(linear(net, "read_out", out.subarray(-net.dim))), read };
}

// One segment: read, answer, write. All that happens is recorded:
// read (l, h, n, k), answer (values), write (h, k, 1 + n), gate (k, d; null with
// BMN), before and after (k, d), and for each slot norm_before, norm_after and change.
export function step(net, tokens, mems, { frozen = [], open = false } = {}) {
  const d = net.dim,
    k = mems.length / d,
    writer = "memformer.memory_writer";
  const { out, read } = encode(net, tokens, mems);
  const answer = softmax(linear(net, "read_out", out.subarray(-d)));
  const { written, weights } = slotAttention(net, mems, out);
  let after,
    gate = null;
  if (net.update === "gru") {
    ({ after, gate } = gru(net, written, mems, open));
    if (net.feed_forward) after = feedForward(net, `${writer}.feed_forward`, after);
  } else {
    after = net.feed_forward ? feedForward(net, `${writer}.feed_forward`, written) : written;
    after = plus(after, net.w["memformer.memory_slots"]);
    normalize(after, d);
  }
  if (!net.use_memory) after = Float64Array.from(net.start);
  for (const s of frozen) after.set(mems.subarray(s * d, s * d + d), s * d);
  const slots = Array.from({ length: k }, (_, s) => [s * d, s * d + d]);
  return {
    tokens,
    read,
    answer,
    write: weights,
    gate,
    before: mems,
    after,
    norm_before: slots.map(([a, b]) => norm(mems.subarray(a, b))),
    norm_after: slots.map(([a, b]) => norm(after.subarray(a, b))),
    change: slots.map(([a, b]) => norm(after.subarray(a, b).map((v, i) => v - mems[a + i]))),
  };
}

// The questions of all boxes, each on a page of its own that is never written.
// Returns for each box { answer (values), read (k): the mean over layers and heads }.
export function askAll(net, mems) {
  const d = net.dim,
    k = mems.length / d,
    boxes = Array.from({ length: net.keys }, (_, key) => key);
  const page = (key) => [
    ...Array(net.content).fill(net.keys * net.values + net.keys),
    net.keys * net.values + key,
  ];
  if (net.depth > 1) {
    return boxes.map((key) => {
      const { answer, read } = ask(net, page(key), mems),
        n = net.content + 1;
      const rows = read.length / (n * k),
        last = Array(k).fill(0);
      for (let r = 0; r < rows; r++) {
        for (let s = 0; s < k; s++) last[s] += read[(r * n + n - 1) * k + s] / rows;
      }
      return { answer, read: last };
    });
  }
  // With one layer, all before the reading is the same whatever the memory holds.
  const block = "memformer.encoder.layer_blocks.layers.0";
  net.asked ??= Float64Array.from(
    boxes.flatMap((key) => [...lookAround(net, 0, embed(net, page(key))).subarray(-d)]),
  );
  const looked = attend(
    net,
    `${block}.1.fn.fn`,
    net.heads,
    layerNorm(net, `${block}.1.fn.norm`, net.asked),
    mems,
  );
  const out = feedForward(net, `${block}.2`, plus(net.asked, looked.out));
  const logits = linear(net, "read_out", layerNorm(net, "memformer.encoder.norm", out));
  return boxes.map((key) => {
    const read = Array(k).fill(0);
    for (let h = 0; h < net.heads; h++) {
      for (let s = 0; s < k; s++)
        read[s] += looked.weights[(h * net.keys + key) * k + s] / net.heads;
    }
    return { answer: softmax(logits.subarray(key * net.values, (key + 1) * net.values)), read };
  });
}

// --- Stories: pages of cards in words ---

const letter = (key) => String.fromCharCode(65 + key);
const MOST_PAGES = 300,
  MOST_COLUMNS = 40;

// A page such as "A3 – B?", or "– × 50": fifty pages of noise. Throws where a word is unknown.
export function parsePage(task, text) {
  const { keys, values, content } = task,
    words = text.trim().split(/\s+/).filter(Boolean);
  const noise = keys * values + keys,
    tokens = Array(content + 1).fill(noise),
    cards = [];
  const many = /^[–-]\s*[×x*]\s*(\d{1,4})$/i.exec(text.trim());
  if (many) {
    const times = Number(many[1]);
    need(times >= 1 && times <= 200, `expected 1 to 200 pages of noise, got ${times}`);
    return { tokens, cards, question: null, times };
  }
  let question = null;
  words.forEach((word, place) => {
    const key = word.toUpperCase().charCodeAt(0) - 65,
      rest = word.slice(1),
      known = key >= 0 && key < keys;
    if (known && rest === "?") {
      need(place === words.length - 1, `expected the question “${word}” at the end of the page`);
      question = key;
      tokens[content] = keys * values + key;
      return;
    }
    need(place < content, `expected at most ${plural(content, "card")} on a page`);
    if (known && /^\d+$/.test(rest) && Number(rest) < values) {
      tokens[place] = key * values + Number(rest);
      cards.push({ place, key, value: Number(rest) });
    } else {
      const last = letter(keys - 1);
      need(
        word === "–" || word === "-",
        `expected cards A0 to ${last}${values - 1}, questions A? to ` +
          `${last}? or – for noise, got “${word}”`,
      );
    }
  });
  return { tokens, cards, question, times: 1 };
}

// The words of a page, as short as they can be.
export function wordsOf(task, page) {
  if (page.times > 1) return `– × ${page.times}`;
  const words = Array(task.content).fill("–");
  for (const { place, key, value } of page.cards) words[place] = letter(key) + value;
  while (words.length && words.at(-1) === "–") words.pop();
  if (page.question !== null) words.push(`${letter(page.question)}?`);
  return words.join(" ") || "–";
}

// Noise of page i in a row of noise pages: always the same, but no two places alike by rule.
function noisePage(task, i) {
  const first = task.keys * task.values + task.keys;
  return Array.from({ length: task.content + 1 }, (_, place) => {
    const mixed = Math.imul(i * (task.content + 1) + place + 1, 2654435761) >>> 8;
    return first + (mixed % task.noise);
  });
}

// What happens to a story, page by page. `pages` are { words, acts }; an act is
//   { kind: "erase", slot } or { kind: "swap", slot, other }: once, after the page,
//   { kind: "exchange", story }: the memory that another story ends with, after the page,
//   { kind: "freeze", slot } or { kind: "gate" }: on this page and all later ones.
// `endOf(story)` gives { mems, held } of another story. Pages already known are not computed again.
export function follow(net, pages, endOf, memo = new Map()) {
  let way = "";
  let now = { mems: net.start, lasting: { frozen: [], open: false }, held: {}, truth: {}, last: 0 };
  return pages.map(({ words, acts }) => {
    way += JSON.stringify([words, acts]);
    if (!memo.has(way)) {
      if (memo.size > 600) memo.clear();
      memo.set(way, onePage(net, words, acts, now, endOf));
    }
    now = memo.get(way);
    return now;
  });
}

// `truth` is what the pages of this story say of each box, `held` what the memory was told: not the
// same once it comes from another story.
function onePage(net, words, acts, before, endOf) {
  const page = parsePage(net, words);
  const d = net.dim;
  const lasting = { ...before.lasting };
  const cards = Object.fromEntries(page.cards.map(({ key, value }) => [key, value]));
  const truth = { ...before.truth, ...cards };
  let held = { ...before.held, ...cards };
  let mems = before.mems;
  for (const act of acts) {
    if (act.kind === "freeze") lasting.frozen = [...new Set([...lasting.frozen, act.slot])];
    if (act.kind === "gate") lasting.open = true;
  }
  let record;
  const course = []; // of a row of noise pages: the answers after each
  for (let i = 0; i < page.times; i++) {
    const tokens = page.times > 1 ? noisePage(net, i) : page.tokens;
    record = step(net, tokens, mems, lasting);
    mems = record.after;
    if (page.times > 1) course.push(askAll(net, mems).map(({ answer }) => answer));
  }
  mems = Float64Array.from(mems);
  for (const act of acts) {
    const slot = act.slot * d;
    const other = act.other * d;
    if (act.kind === "erase") mems.fill(0, slot, slot + d);
    if (act.kind === "swap") {
      const kept = mems.slice(slot, slot + d);
      mems.copyWithin(slot, other, other + d);
      mems.set(kept, other);
    }
    if (act.kind === "exchange") {
      const end = endOf(act.story);
      mems = Float64Array.from(end.mems);
      held = end.held;
    }
  }
  const asked = askAll(net, mems);
  return {
    page,
    record,
    lasting,
    mems,
    held,
    truth,
    asked,
    course,
    holds: holds(net, mems, asked, held),
    first: before.last + 1,
    last: before.last + page.times,
  };
}

// Which slot keeps which box, found by erasing: for each slot, the boxes whose answer loses at
// least a quarter of its probability when the slot is set to 0. Only boxes that a page has named.
export function holds(net, mems, asked, held) {
  return Array.from({ length: net.slots }, (_, slot) => {
    const without = Float64Array.from(mems).fill(0, slot * net.dim, (slot + 1) * net.dim);
    const then = askAll(net, without);
    return asked
      .map(({ answer }, key) => ({
        key,
        value: best(answer),
        loss: answer[best(answer)] - then[key].answer[best(answer)],
      }))
      .filter(({ key, loss }) => key in held && loss >= 0.25);
  });
}

export const best = (numbers) => numbers.indexOf(Math.max(...numbers));

// --- The widget ---

const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
const boxColour = (key) => `var(--mfl-box-${"abcd"[key % 4]})`;
const tint = (colour, share) =>
  `color-mix(in srgb, ${colour} ${Math.round(100 * share)}%, transparent)`;
const listed = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

// How much of a slot was kept on a page: the mean of its update gate; with BMN, which has no gate,
// its weight on itself.
function keptShare(net, record, slot) {
  if (record.gate) return mean(record.gate.subarray(slot * net.dim, (slot + 1) * net.dim));
  const width = 1 + record.tokens.length;
  return mean(
    Array.from({ length: net.write_heads }, (_, h) => record.write[(h * net.slots + slot) * width]),
  );
}

const VIEWS = [
  ["all", "overview"],
  ["read", "read: weight"],
  ["kept", "kept: gate"],
  ["change", "change"],
  ["norm", "norm"],
];

export function mount(el, data, live) {
  need(data?.model?.weights && data.stories?.length, "expected a model and at least one story");
  need(
    data.stories.every(({ name, pages }) => typeof name === "string" && pages?.length),
    "expected a name and at least one page for each story",
  );
  const net = unpack(data.model),
    memo = new Map(),
    ends = new Map();
  const fresh = (story) => story.pages.map((words) => ({ words, acts: [] }));
  for (const words of data.stories.flatMap(({ pages }) => pages)) parsePage(net, words);

  // The memory that story i ends with, when nothing is done to it.
  const endOf = (i) => {
    if (!ends.has(i)) ends.set(i, follow(net, fresh(data.stories[i]), endOf).at(-1));
    return ends.get(i);
  };
  const key = (box) => (box < net.keys ? box : 0);
  let told = [],
    plain = [],
    shape = "";

  // --- What the reader chooses ---

  const initial = {
    story: 0,
    pages: fresh(data.stories[0]),
    at: Math.max(0, data.stories[0].pages.length - 2),
    slot: 0,
    box: data.ask,
    view: "all",
    head: -1,
    layer: 0,
    other: Math.min(1, net.slots - 1),
    guest: Math.min(1, data.stories.length - 1),
  };
  const state = choices(live, initial, () => draw(""));
  const now = () => state.values;
  const status = statusLine();

  // Take new choices and say what happened.
  const act = (some, words) => {
    news = words;
    state.change(some);
  };
  let news = "";
  const changed = (pages, words, some = {}) => {
    const total = pages.reduce((sum, page) => sum + parsePage(net, page.words).times, 0);
    if (total > MOST_PAGES || pages.length > MOST_COLUMNS) {
      return tellOnly(
        `A story here has at most ${MOST_PAGES} pages in ${MOST_COLUMNS} columns; this would be more.`,
      );
    }
    const at = Math.max(0, Math.min(some.at ?? now().at, pages.length - 1));
    return act({ pages, ...some, at }, words);
  };
  const tellOnly = (words) => status.say(words);
  const copy = () => now().pages.map((page) => ({ words: page.words, acts: [...page.acts] }));
  const pageName = (at) => {
    const { first, last } = told[at];
    return first === last ? `page ${first}` : `pages ${first} to ${last}`;
  };

  // --- Above: which story, which question ---

  const stories = dropdown("Story", {
    options: data.stories.map(({ name }, i) => [i, name]),
    value: now().story,
    change: (i) =>
      changed(fresh(data.stories[i]), `Story “${data.stories[i].name}”.`, {
        story: Number(i),
        at: data.stories[i].pages.length - 2,
      }),
  });
  const shuffle = button("Shuffle pages", {
    change: () => {
      const pages = copy(),
        old = pages.map(({ words }) => words).join("|");
      if (new Set(pages.map(({ words }) => words)).size < 2)
        return tellOnly("All pages are equal: there is nothing to shuffle.");
      do {
        for (let i = pages.length - 1; i > 0; i--) {
          const j = Math.floor(Math.random() * (i + 1));
          [pages[i], pages[j]] = [pages[j], pages[i]];
        }
      } while (pages.map(({ words }) => words).join("|") === old);
      return changed(pages, `Shuffled: ${pages.map(({ words }) => words).join(", ")}.`);
    },
  });
  const again = button("Start again", {
    change: () => {
      const story = data.stories[now().story];
      changed(fresh(story), `Story “${story.name}” from its beginning, nothing done to it.`, {
        at: story.pages.length - 2,
      });
    },
  });
  const asks = choice("Asked after each page", {
    options: Array.from({ length: net.keys }, (_, box) => [box, `${letter(box)}?`]),
    value: key(now().box),
    change: (box) => act({ box }, `Now asking ${letter(box)}?.`),
  });
  const views = dropdown("Slots show", {
    options: VIEWS,
    value: now().view,
    change: (view) => act({ view }, VIEW_WORDS[view](letter(key(now().box)))),
  });
  const VIEW_WORDS = {
    all: () => "Slots show which boxes they keep, what was kept and what is read.",
    read: (box) =>
      `Slots show with which weight ${box}? looks at them after the page, mean over heads.`,
    kept: () =>
      net.update === "gru"
        ? "Slots show their update gate, mean over its units: 1 keeps all."
        : "Slots show their weight on themselves: 1 keeps all.",
    change: () => "Slots show how far the page moved them.",
    norm: () => "Slots show their norm after the page.",
  };

  // --- The grid: answers, pages, slots ---

  const names = html("div", { class: "me-names", "aria-hidden": "true" });
  const columns = html("div", {
    class: "me-columns",
    role: "group",
    "aria-label": "Pages and slots: the arrow keys move from one to the next",
  });
  const scroll = html("div", { class: "me-scroll" }, columns);
  const grid = html("div", { class: "me-grid" }, names, scroll);
  const cells = [];

  let row = -1; // of the one cell that the tab key reaches: -1 is the page
  const choose = (at, slot, focus) => {
    row = slot ?? -1;
    act(slot === null ? { at } : { at, slot }, "");
    if (focus) cells[at][slot === null ? net.slots : slot].focus();
  };
  listen(columns, "keydown", (event) => {
    const place = event.target.dataset?.place?.split(" ").map(Number);
    if (!place || event.ctrlKey || event.altKey || event.metaKey) return;
    const [at, from] = place,
      last = now().pages.length - 1;
    const moves = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
      Home: [-last, 0],
      End: [last, 0],
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    const [dx, dy] = moves[event.key];
    const to = Math.max(0, Math.min(at + dx, last)),
      down = Math.max(-1, Math.min(from + dy, net.slots - 1));
    choose(to, down < 0 ? null : down, true);
  });

  // Columns are made anew only when their number changes, so that the focus stays where it is.
  const build = (pages) => {
    cells.length = 0;
    columns.replaceChildren(
      ...pages.map((_, at) => {
        const answer = html("div", { class: "me-answer", "aria-hidden": "true" });
        const make = (row) =>
          html("button", {
            type: "button",
            "data-place": `${at} ${row}`,
            class: row < 0 ? "me-page" : "me-cell",
            click: () => choose(at, row < 0 ? null : row),
          });
        const slots = Array.from({ length: net.slots }, (_, slot) => make(slot)),
          page = make(-1);
        const column = html("div", { class: "me-column" }, answer, page, slots);
        cells.push(Object.assign([...slots, page], { answer, column }));
        return column;
      }),
    );
    names.replaceChildren(
      html("div", { class: "me-answer" }),
      html("div", { class: "me-page" }, "page"),
      ...Array.from({ length: net.slots }, (_, slot) =>
        html("div", { class: "me-cell" }, `slot ${slot + 1}`),
      ),
    );
  };

  // Bring a column into sight, without moving the page.
  const reveal = ({ offsetLeft, offsetWidth }) => {
    const left = offsetLeft - columns.offsetLeft,
      right = left + offsetWidth - scroll.clientWidth + 6;
    if (scroll.scrollLeft > left) scroll.scrollLeft = left;
    else if (scroll.scrollLeft < right) scroll.scrollLeft = right;
  };

  const drawAnswer = (at, box) => {
    const node = cells[at].answer,
      { answer } = told[at].asked[box],
      was = plain[at].asked[box].answer;
    const top = best(answer),
      old = best(was),
      right = told[at].truth[box];
    const known = right !== undefined,
      wrong = known && top !== right;
    const moved = top !== old || Math.abs(answer[top] - was[top]) > 0.05;
    const bar = (p, kind) =>
      html("span", { class: `me-bar ${kind}`, style: `height:${Math.max(3, 100 * p)}%` });
    const kind = known && !wrong ? "me-right" : "me-guess";
    const course = told[at].course.map((answers) => bar(answers[box][top], `${kind} me-thin`));
    const digits = [
      moved && top !== old ? html("s", {}, old) : "",
      html("b", {}, top),
      wrong ? "\u2717" : known ? "" : "?",
    ];
    node.replaceChildren(
      html("span", { class: "me-top" }, digits),
      html(
        "span",
        { class: "me-bars" },
        moved ? bar(was[old], "me-was") : null,
        course.length ? course : bar(answer[top], kind),
      ),
      html("span", { class: "me-percent" }, Math.round(100 * answer[top]), html("span", {}, "%")),
    );
  };

  const drawPage = (at, page) => {
    const node = cells[at][net.slots],
      { record, truth, lasting } = told[at],
      words = wordsOf(net, page);
    const lines = words.split(" ").filter((word) => word !== "–" || words === "–");
    const show =
      page.times > 1
        ? [html("span", { class: "me-noise" }, `– × ${page.times}`)]
        : lines.map((word) => {
            const box = word.charCodeAt(0) - 65,
              asks = word.endsWith("?");
            return html(
              "span",
              word === "–"
                ? { class: "me-noise" }
                : asks
                  ? { class: "me-asks" }
                  : { class: "me-card", style: `--box:${boxColour(box)}` },
              word,
            );
          });
    let own = "";
    if (page.question !== null) {
      const top = best(record.answer),
        right = truth[page.question];
      const verdict = right === undefined ? "?" : top === right ? "\u2713" : "\u2717";
      show.push(html("span", { class: "me-own" }, `${top}\u202f${verdict}`));
      own =
        ` It asks ${letter(page.question)}? and the model answers ${top}, ${percent(record.answer[top])}, ` +
        `${right === undefined ? "a guess: no page named this box" : top === right ? "right" : `wrong: it is ${right}`}.`;
    }
    node.replaceChildren(
      html(
        "span",
        { class: "me-number" },
        page.times > 1 ? `${told[at].first}–${told[at].last}` : told[at].first,
      ),
      ...show,
    );
    const box = key(now().box),
      { answer } = told[at].asked[box],
      top = best(answer);
    node.setAttribute(
      "aria-label",
      `${capital(pageName(at))}: ${words === "–" ? "noise" : words}.${own} ` +
        `Asked ${letter(box)}? after it: ${top}, ${percent(answer[top])}.${lasting.open ? " The gate is off." : ""}`,
    );
  };

  const drawCell = (at, slot) => {
    const node = cells[at][slot],
      { record, holds: kept, asked, lasting } = told[at],
      { view } = now();
    const box = key(now().box),
      share = keptShare(net, record, slot),
      read = asked[box].read[slot];
    const boxes = kept[slot],
      marks = marksOf(at, slot);
    const numbers = {
      read,
      kept: share,
      change: record.change[slot],
      norm: record.norm_after[slot],
    };
    const most = { read: 1, kept: 1, change: 6, norm: 8 },
      colours = {
        read: "var(--mfl-tokens)",
        kept: "var(--mfl-kept)",
        change: "var(--mfl-written)",
        norm: "var(--mfl-slots)",
      };
    const stay = html("span", { class: "me-stay" }, html("i", { style: `width:${100 * share}%` }));
    const look = html("span", { class: "me-look", style: `width:${100 * read}%` });
    let paint = "",
      show;
    if (view === "all") {
      const colour = boxes.map((held) => tint(boxColour(held.key), 0.34));
      const steps = colour.map(
        (c, i) => `${c} ${(100 * i) / colour.length}% ${(100 * (i + 1)) / colour.length}%`,
      );
      if (steps.length) paint = `background-image:linear-gradient(100deg, ${steps.join(", ")})`;
      const labels = boxes
        .slice(0, boxes.length > 2 ? 1 : 2)
        .map((held) => html("span", {}, letter(held.key) + held.value));
      if (boxes.length > 2) labels.push(html("span", {}, `+${boxes.length - 1}`));
      show = [html("span", { class: "me-holds" }, labels), look, stay];
    } else {
      const part = Math.min(1, numbers[view] / most[view]);
      paint = `background-color:${tint(colours[view], 0.06 + 0.5 * part)}`;
      show = [
        html(
          "span",
          { class: "me-figure" },
          fixed(numbers[view], view === "read" || view === "kept" ? 2 : 1),
        ),
      ];
    }
    node.setAttribute("style", paint);
    node.replaceChildren(...show, marks.sign ? html("span", { class: "me-mark" }, marks.sign) : "");
    node.classList.toggle("me-acted", Boolean(marks.sign));
    const keeps = boxes.length
      ? `keeps ${listed(boxes.map((held) => letter(held.key) + held.value))}`
      : "keeps no box";
    node.setAttribute(
      "aria-label",
      `After ${pageName(at)}, slot ${slot + 1} ${keeps}. ` +
        `${lasting.open ? "Gate off" : `Kept ${fixed(share)}`}, change ${fixed(record.change[slot], 1)}, ` +
        `norm ${fixed(record.norm_after[slot], 1)}, read by ${letter(box)}? with ${fixed(read)}.${marks.words}`,
    );
  };

  const marksOf = (at, slot) => {
    const marks = [];
    for (const done of now().pages[at].acts) {
      if (done.kind === "erase" && done.slot === slot) marks.push(["\u00d7", "erased"]);
      if (done.kind === "swap" && [done.slot, done.other].includes(slot)) {
        marks.push(["\u21c5", "swapped"]);
      }
      if (done.kind === "exchange") marks.push(["\u2190", "taken from another story"]);
    }
    if (told[at].lasting.frozen.includes(slot)) marks.push(["=", "frozen"]);
    const words = listed(marks.map(([, word]) => word));
    return {
      sign: marks.map(([sign]) => sign).join(""),
      words: words && ` ${capital(words)}.`,
    };
  };

  // --- Below: change the page, act on the memory, look inside ---

  const cardOptions = [["", "–"]];
  for (let box = 0; box < net.keys; box++) {
    for (let value = 0; value < net.values; value++)
      cardOptions.push([`${letter(box)}${value}`, `${letter(box)}${value}`]);
  }
  const rewrite = (text, words) => {
    const page = parsePage(net, text),
      pages = copy();
    pages[now().at] = { words: wordsOf(net, page), acts: pages[now().at].acts };
    changed(pages, words ?? `${capital(pageName(now().at))} now says ${pages[now().at].words}.`);
  };
  const fromChoices = () => {
    const words = places.map(({ input }) => input.value || "–").join(" ");
    rewrite(`${words} ${question.input.value}`);
  };
  const places = Array.from({ length: net.content }, (_, place) =>
    dropdown(`Place ${place + 1}`, { options: cardOptions, value: "", change: fromChoices }),
  );
  const question = dropdown("Question", {
    options: [
      ["", "none"],
      ...Array.from({ length: net.keys }, (_, box) => [`${letter(box)}?`, `${letter(box)}?`]),
    ],
    value: "",
    change: fromChoices,
  });
  const wrongId = unique("wrong");
  const typed = html("input", {
    type: "text",
    class: "me-typed",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "characters",
    "aria-describedby": wrongId,
  });
  const wrong = html("p", { class: "me-wrong", id: wrongId });
  listen(typed, "change", () => {
    try {
      parsePage(net, typed.value);
    } catch (error) {
      typed.setAttribute("aria-invalid", "true");
      wrong.textContent = `Not a page: ${error.message}.`;
      return tellOnly(`Not a page: ${error.message}. The story stays as it was.`);
    }
    return rewrite(typed.value);
  });
  const move = (step) => {
    const pages = copy(),
      from = now().at,
      to = from + step;
    if (to < 0 || to >= pages.length)
      return tellOnly(`This is already the ${to < 0 ? "first" : "last"} page.`);
    [pages[from], pages[to]] = [pages[to], pages[from]];
    return changed(pages, `Moved to the ${step < 0 ? "left" : "right"}.`, { at: to });
  };
  const insert = (words, said) => {
    const pages = copy();
    pages.splice(now().at + 1, 0, { words, acts: [] });
    changed(pages, said, { at: now().at + 1 });
  };
  const remove = () => {
    const pages = copy();
    if (pages.length === 1) return tellOnly("A story needs at least one page.");
    const [gone] = pages.splice(now().at, 1);
    return changed(pages, `Removed the page that said ${gone.words}.`);
  };
  const pageTitle = html("legend", {});
  const pagePanel = html(
    "fieldset",
    { class: "mfl-control me-panel" },
    pageTitle,
    html(
      "div",
      { class: "me-places" },
      places.map(({ node }) => node),
      question.node,
    ),
    html(
      "label",
      { class: "mfl-control" },
      html("span", { class: "mfl-label" }, "or type the page"),
      typed,
    ),
    wrong,
    html(
      "div",
      { class: "mfl-options" },
      button("\u2190 Move left", { change: () => move(-1) }).node,
      button("Move right \u2192", { change: () => move(1) }).node,
      button("Add a page after it", { change: () => insert("–", "Added an empty page.") }).node,
      button("Remove it", { change: remove }).node,
    ),
  );

  // An act is done or, the second time, undone.
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const toggle = (done, words) => {
    const pages = copy(),
      { acts } = pages[now().at],
      there = acts.findIndex((other) => same(other, done));
    if (there >= 0) acts.splice(there, 1);
    else acts.push(done);
    changed(pages, there >= 0 ? `Undone: ${words}.` : `${capital(words)}.`);
  };
  const actNow = {
    erase: () => ({ kind: "erase", slot: now().slot }),
    freeze: () => ({ kind: "freeze", slot: now().slot }),
    swap: () => ({
      kind: "swap",
      slot: Math.min(now().slot, now().other),
      other: Math.max(now().slot, now().other),
    }),
    exchange: () => ({ kind: "exchange", story: now().guest }),
    gate: () => ({ kind: "gate" }),
  };
  const wordsFor = (done, at) =>
    ({
      erase: () => `slot ${done.slot + 1} erased after ${pageName(at)}`,
      freeze: () => `slot ${done.slot + 1} frozen from page ${told[at].first} on`,
      swap: () => `slots ${done.slot + 1} and ${done.other + 1} swapped after ${pageName(at)}`,
      exchange: () =>
        `memory taken from the end of “${data.stories[done.story].name}” after ${pageName(at)}`,
      gate: () => `gate off from page ${told[at].first} on`,
    })[done.kind]();
  const doing = (kind) => {
    const { node } = button("", {
      "aria-pressed": "false",
      change: () => {
        if (kind === "swap" && now().slot === now().other)
          return tellOnly("Choose two different slots to swap.");
        return toggle(actNow[kind](), wordsFor(actNow[kind](), now().at));
      },
    });
    return node;
  };
  const doings = Object.fromEntries(Object.keys(actNow).map((kind) => [kind, doing(kind)]));
  const slotOptions = Array.from({ length: net.slots }, (_, slot) => [slot, `slot ${slot + 1}`]);
  const slot = dropdown("Slot", {
    options: slotOptions,
    value: now().slot,
    change: (value) => act({ slot: Number(value) }, `Slot ${Number(value) + 1} chosen.`),
  });
  const other = dropdown("Swap with", {
    options: slotOptions,
    value: now().other,
    change: (value) =>
      act({ other: Number(value) }, `Slot ${Number(value) + 1} chosen to swap with.`),
  });
  const guest = dropdown("Another story", {
    options: data.stories.map(({ name }, i) => [i, name]),
    value: now().guest,
    change: (value) =>
      act(
        { guest: Number(value) },
        `Story “${data.stories[value].name}” chosen to take the memory from.`,
      ),
  });
  guest.node.classList.add("me-wide");
  const noise = button("Add 50 pages of noise after it", {
    change: () => insert("– × 50", "Added 50 pages of noise."),
  }).node;
  const actTitle = html("legend", {});
  const actPanel = html(
    "fieldset",
    { class: "mfl-control me-panel" },
    actTitle,
    html(
      "div",
      { class: "me-pair" },
      net.slots > 1 ? slot.node : null,
      html("div", { class: "mfl-options" }, doings.erase, doings.freeze),
    ),
    net.slots > 1
      ? html(
          "div",
          { class: "me-pair" },
          other.node,
          html("div", { class: "mfl-options" }, doings.swap),
        )
      : null,
    html(
      "div",
      { class: "me-pair" },
      guest.node,
      html("div", { class: "mfl-options" }, doings.exchange),
    ),
    html("div", { class: "mfl-options" }, net.update === "gru" ? doings.gate : null, noise),
  );
  const done = html("div", { class: "me-done" });

  const inside = html("div", { class: "me-inside" });
  const insideTitle = html("summary", {});
  const heads = dropdown("Head", {
    options: [
      [-1, "mean of all"],
      ...Array.from({ length: net.heads }, (_, h) => [h, `head ${h + 1}`]),
    ],
    value: now().head,
    change: (value) =>
      act({ head: Number(value) }, value < 0 ? "Mean of all heads." : `Head ${Number(value) + 1}.`),
  });
  const layers =
    net.depth > 1
      ? dropdown("Layer of reading", {
          options: Array.from({ length: net.depth }, (_, l) => [l, `layer ${l + 1}`]),
          value: now().layer,
          change: (value) => act({ layer: Number(value) }, `Layer ${Number(value) + 1}.`),
        })
      : null;
  const more = html(
    "details",
    { class: "me-more" },
    insideTitle,
    html("div", { class: "me-pair" }, net.heads > 1 ? heads.node : null, layers?.node ?? null),
    inside,
  );
  heads.node.classList.add("me-wide");
  listen(more, "toggle", () => drawInside());

  const table = (title, columnNames, rows, colour) =>
    html(
      "div",
      { class: "me-tablebox", tabindex: "0", role: "group", "aria-label": title },
      html(
        "table",
        {},
        html("caption", {}, title),
        html(
          "thead",
          {},
          html(
            "tr",
            {},
            html("td", {}),
            columnNames.map((name) => html("th", { scope: "col" }, name)),
          ),
        ),
        html(
          "tbody",
          {},
          rows.map(([name, numbers, digits = 2, most = 1]) =>
            html(
              "tr",
              {},
              html("th", { scope: "row" }, name),
              numbers.map((number) =>
                html(
                  "td",
                  { style: `background-color:${tint(colour, 0.45 * Math.min(1, number / most))}` },
                  fixed(number, digits),
                ),
              ),
            ),
          ),
        ),
      ),
    );

  const drawInside = () => {
    if (!more.open) return;
    const { at, head, layer } = now(),
      { record, asked, page } = told[at],
      k = net.slots,
      n = record.tokens.length;
    const chosen = head < 0 ? Array.from({ length: net.heads }, (_, h) => h) : [head];
    const writing =
      head < 0 ? Array.from({ length: net.write_heads }, (_, h) => h) : [head % net.write_heads];
    const readAt = (i, s) =>
      mean(chosen.map((h) => record.read[((layer * net.heads + h) * n + i) * k + s]));
    const writeAt = (s, j) => mean(writing.map((h) => record.write[(h * k + s) * (1 + n) + j]));
    const words = record.tokens.map((token, i) => tokenWord(net, token, page.times > 1 ? -1 : i));
    const slotNames = Array.from({ length: k }, (_, s) => `slot ${s + 1}`);
    inside.replaceChildren(
      table(
        `Answers: probability of each value, asked after ${pageName(at)}`,
        Array.from({ length: net.values }, (_, v) => v),
        asked.map(({ answer }, box) => [`${letter(box)}?`, [...answer]]),
        "var(--mfl-neutral)",
      ),
      table(
        "Read: weight of each place for each slot",
        slotNames,
        words.map((word, i) => [word, slotNames.map((_, s) => readAt(i, s))]),
        "var(--mfl-tokens)",
      ),
      table(
        "Written: weight of each slot for itself and for each place",
        ["itself", ...words],
        slotNames.map((name, s) => [name, Array.from({ length: 1 + n }, (_, j) => writeAt(s, j))]),
        "var(--mfl-written)",
      ),
      table(
        "Kept: gate, and the norm of each slot",
        slotNames,
        [
          [
            net.update === "gru" ? "update gate, mean" : "weight on itself",
            slotNames.map((_, s) => keptShare(net, record, s)),
          ],
          ["norm before", record.norm_before, 2, 12],
          ["change", record.change, 2, 12],
          ["norm after", record.norm_after, 2, 12],
        ],
        "var(--mfl-kept)",
      ),
    );
  };

  // --- In words ---

  const verdict = (at, box, value) => {
    const { truth, held } = told[at];
    if (truth[box] === value) return "right";
    if (held[box] === value) return "as the other story says";
    return truth[box] === undefined
      ? "a guess, since no page has named this box"
      : `wrong: the story says ${truth[box]}`;
  };

  // What became of an answer at the end; null where nothing did.
  const fate = (box) => {
    const last = told.length - 1;
    const was = plain[last].asked[box].answer;
    const is = told[last].asked[box].answer;
    const [old, top] = [best(was), best(is)];
    if (old === top && Math.abs(was[old] - is[top]) < 0.05) return null;
    const from = `${letter(box)}? ${old} (${percent(was[old])})`;
    return `${from} becomes ${top} (${percent(is[top])}), ${verdict(last, box, top)}`;
  };

  // The answer at the end; once something was done to the memory, what became of all answers.
  const result = () => {
    const last = told.length - 1;
    const box = key(now().box);
    const { answer } = told[last].asked[box];
    const top = best(answer);
    if (!now().pages.some(({ acts }) => acts.length)) {
      const answered = `the model answers ${top} (${percent(answer[top])})`;
      return `Asked ${letter(box)}? at the end, ${answered}, ${verdict(last, box, top)}.`;
    }
    const others = [...told[last].asked.keys()].filter((b) => b !== box && b in told[last].truth);
    const fates = [box, ...others].map((b) => [b, fate(b)]);
    const moved = fates.map(([, words]) => words).filter(Boolean);
    const stay = fates
      .filter(([, words]) => !words)
      .map(([b]) => `${letter(b)}? ${best(told[last].asked[b].answer)}`);
    if (!moved.length) return `All answers at the end are as before: ${listed(stay)}.`;
    return `At the end ${moved.join("; ")}. ${stay.length ? `As before: ${listed(stay)}.` : ""}`.trim();
  };

  function draw() {
    const { pages, at, box, view } = now();
    told = follow(net, pages, endOf, memo);
    plain = follow(
      net,
      pages.map(({ words }) => ({ words, acts: [] })),
      endOf,
      memo,
    );
    const next = JSON.stringify(pages.map(({ words }) => /×/.test(words)));
    if (next !== shape) build(pages);
    shape = next;
    const tall = Math.max(
      ...told.map(({ page }) =>
        page.times > 1 ? 1 : Math.max(1, page.cards.length + (page.question === null ? 0 : 2)),
      ),
    );
    grid.style.setProperty("--me-lines", tall);
    grid.style.setProperty("--me-box", boxColour(key(box)));
    names.firstChild.replaceChildren(
      html("b", {}, `${letter(key(box))}?`),
      html("span", { class: "me-wideonly" }, "P(answer)"),
      html("span", { class: "me-narrowonly" }, "P in %"),
    );
    told.forEach(({ page }, i) => {
      cells[i].column.className =
        `me-column${i === at ? " me-chosen" : ""}${page.times > 1 ? " me-many" : ""}`;
      drawAnswer(i, key(box));
      drawPage(i, page);
      for (let s = 0; s < net.slots; s++) drawCell(i, s);
      cells[i].forEach((node, place) => {
        node.tabIndex = i === at && place === (row < 0 ? net.slots : row) ? 0 : -1;
        node.setAttribute(
          "aria-pressed",
          String(i === at && (place === net.slots || place === now().slot)),
        );
      });
    });
    stories.set(now().story);
    asks.set(key(box));
    views.set(view);
    slot.set(now().slot);
    other.set(now().other);
    guest.set(now().guest);
    heads.set(now().head);
    layers?.set(now().layer);
    drawPanels(pages, at);
    drawInside();
    reveal(cells[at].column);
    status.say([news, selection(), result()].filter(Boolean).join(" "));
    news = "";
  }

  const selection = () =>
    news ? "" : `${capital(pageName(now().at))} and slot ${now().slot + 1} chosen.`;

  const drawPanels = (pages, at) => {
    const { page } = told[at],
      many = page.times > 1,
      name = pageName(at);
    pageTitle.textContent = `Change ${name}`;
    places.forEach(({ input }, place) => {
      const card = page.cards.find((some) => some.place === place);
      input.value = card ? letter(card.key) + card.value : "";
    });
    question.input.value = page.question === null ? "" : `${letter(page.question)}?`;
    typed.value = pages[at].words;
    typed.removeAttribute("aria-invalid");
    wrong.textContent = "";
    actTitle.textContent = `Act on the memory at ${name}`;
    const s = now().slot + 1,
      o = now().other + 1,
      from = told[at].first;
    const labels = {
      erase: `Erase slot ${s}`,
      freeze: `Freeze slot ${s} from page ${from} on`,
      swap: `Swap slots ${s} and ${o}`,
      exchange: "Take over its memory",
      gate: `Gate off from page ${from} on`,
    };
    for (const [kind, node] of Object.entries(doings)) {
      node.textContent = labels[kind];
      node.setAttribute(
        "aria-pressed",
        String(pages[at].acts.some((some) => same(some, actNow[kind]()))),
      );
    }
    insideTitle.textContent = `Numbers of ${name}${many ? " (the last of them)" : ""}`;
    const all = pages.flatMap(({ acts }, i) => acts.map((some) => [some, i]));
    done.hidden = !all.length;
    done.replaceChildren(
      ...all.map(
        ([some, i]) =>
          button(`Undo: ${wordsFor(some, i)}`, {
            change: () => {
              const next = copy();
              next[i].acts = next[i].acts.filter((kept) => !same(kept, some));
              changed(next, `Undone: ${wordsFor(some, i)}.`);
              (done.querySelector("button") ?? doings.erase).focus();
            },
          }).node,
      ),
      ...(all.length > 1
        ? [
            button("Undo all", {
              change: () => {
                changed(
                  copy().map(({ words }) => ({ words, acts: [] })),
                  "All undone.",
                );
                doings.erase.focus();
              },
            }).node,
          ]
        : []),
    );
  };

  const legend = html(
    "p",
    { class: "mfl-note me-legend" },
    html(
      "span",
      {},
      html("i", { class: "me-key me-key-holds" }, "A3"),
      " the slot keeps box A = 3, found by erasing it",
    ),
    html(
      "span",
      {},
      html("i", { class: "me-key me-key-stay" }, html("i", {})),
      " part kept, part new",
    ),
    html(
      "span",
      {},
      html("i", { class: "me-key me-key-look" }),
      " read by the question, as wide as its weight",
    ),
    html("span", {}, "\u2717 wrong, ? box not named yet"),
  );
  el.append(
    html("style", {}, STYLE),
    html(
      "div",
      { class: "me-head" },
      data.stories.length > 1 ? stories.node : null,
      html("div", { class: "mfl-options" }, shuffle.node, again.node),
      net.keys > 1 ? asks.node : null,
    ),
    grid,
    html("div", { class: "me-below" }, views.node, legend),
    status.node,
    done,
    html("div", { class: "me-panels" }, pagePanel, actPanel),
    more,
  );
  draw();
  return () => state.stop();
}

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

// A token in words; of noise only its place.
function tokenWord(task, token, place) {
  const cards = task.keys * task.values;
  if (token < cards) return letter(Math.floor(token / task.values)) + (token % task.values);
  return token < cards + task.keys
    ? `${letter(token - cards)}?`
    : place < 0
      ? "–"
      : `– ${place + 1}`;
}

const STYLE = `
.me-head { display: flex; flex-wrap: wrap; align-items: end; gap: 0.8rem 1.5rem; }
.me-head .mfl-dropdown { flex: 1 1 11rem; max-width: 15rem; }
.me-grid { --row: 2.75rem; display: flex; gap: 0.35rem; font-variant-numeric: tabular-nums; }
.me-names { flex: none; width: 3.4rem; font-size: 0.8125rem; }
.me-names > * { display: flex; flex-direction: column; justify-content: center; line-height: 1.25; }
.me-names .me-answer { justify-content: end; padding-bottom: 0.2rem; align-items: start; }
.me-names b { font-size: 1rem; }
.me-names .me-answer span { font-size: 0.6875rem; }
.me-narrowonly { display: none; }
.me-scroll { flex: 1; min-width: 0; overflow-x: auto; padding: 3px; margin: -3px; }
.me-columns { display: flex; }
.me-column { flex: 1 1 2.1rem; min-width: 2.1rem; max-width: 6rem; padding: 0 2px; border-radius: 0.4rem; }
.me-column.me-many { flex: 2 1 4.5rem; min-width: 4.5rem; max-width: 10rem; }
.me-chosen { background: var(--mfl-soft); box-shadow: 0 0 0 1px var(--mfl-line); }
.me-columns .me-answer { container-type: inline-size; }
@container (max-width: 46px) { .me-top s, .me-percent span { display: none; } }
.me-grid .me-answer { height: 7.2rem; display: flex; flex-direction: column; align-items: center; justify-content: end; line-height: 1.2; }
.me-names .me-answer { height: 7.2rem; }
.me-top { font-size: 0.9375rem; white-space: nowrap; }
.me-top s { opacity: 0.75; margin-inline-end: 0.15em; font-size: 0.8125rem; }
.me-bars { display: flex; align-items: end; justify-content: center; gap: 2px; height: 4rem; width: 100%; padding: 0 12%; border-bottom: 1px solid var(--mfl-line); }
.me-bar { flex: 1; max-width: 2rem; border-radius: 2px 2px 0 0; }
.me-right { background: var(--me-box); }
.me-guess { border: 1px solid var(--mfl-neutral); background: repeating-linear-gradient(135deg, var(--mfl-neutral) 0 2px, transparent 2px 6px); }
.me-was { border: 1.5px dashed var(--mfl-neutral); }
.me-thin { border-radius: 0; min-width: 0; }
.me-many .me-bars { gap: 0; padding: 0 4%; }
.me-percent { font-size: 0.6875rem; white-space: nowrap; }
@container mfl (max-width: 479.98px) { .me-names { width: 2.5rem; font-size: 0.75rem; } .me-grid { gap: 0.2rem; } .me-grid .me-column:not(.me-many) { min-width: 1.95rem; padding: 0 1px; } .me-names .me-wideonly { display: none; } .me-names .me-narrowonly { display: inline; } }
.me-grid .me-page, .me-grid .me-cell { display: flex; width: 100%; margin: 0 0 4px; }
.me-grid .me-page { height: calc(1.5rem + var(--me-lines) * 1.2rem); margin-top: 4px; }
.me-grid .me-cell { height: var(--row); }
.me-columns button { position: relative; flex-direction: column; align-items: center; padding: 0; border: 1px solid var(--mfl-line);
  border-radius: 0.3rem; background-color: transparent; color: inherit; font: inherit; font-size: 0.8125rem; line-height: 1.2; cursor: pointer; overflow: hidden; }
.me-columns .me-page { border-radius: 0.15rem 0.5rem 0.15rem 0.15rem; border-color: var(--mfl-muted); gap: 0; }
.me-columns button:hover { border-color: currentColor; }
.me-chosen .me-page[aria-pressed="true"], .me-chosen .me-cell[aria-pressed="true"] { border-color: currentColor; box-shadow: inset 0 0 0 1px currentColor; }
.me-number { width: 100%; padding-inline-start: 0.25rem; text-align: start; font-size: 0.6875rem; line-height: 1.3; color: var(--mfl-muted); }
.me-card { padding: 0 0.2rem; border-bottom: 2.5px solid var(--box); font-weight: 600; line-height: 1.15rem; height: 1.2rem; }
.me-asks, .me-own, .me-noise { line-height: 1.2rem; }
.me-asks { font-style: italic; }
.me-own { font-weight: 600; }
.me-holds { display: flex; flex-direction: column; justify-content: center; flex: 1; font-weight: 600; line-height: 1.15; }
.me-figure { margin: auto; }
.me-stay { position: absolute; inset: auto 0 0; height: 0.35rem; background: var(--mfl-written); }
.me-stay i { display: block; height: 100%; background: var(--mfl-kept); border-inline-end: 2px solid Canvas; }
.me-look { position: absolute; top: 0; inset-inline-start: 0; height: 0.35rem; background: var(--mfl-tokens); }
.me-mark { position: absolute; top: 0.4rem; inset-inline-start: 3px; font-weight: 700; }
.me-columns .me-acted { border: 2px dashed currentColor; }
.me-below { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1.25rem; }
.me-below .mfl-dropdown { flex: none; width: 8.5rem; }
.me-legend { flex: 1 1 16rem; display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; }
.me-key { display: inline-block; position: relative; vertical-align: middle; font-style: normal; }
.me-key-holds { padding: 0 0.25rem; border-radius: 0.2rem; background: color-mix(in srgb, var(--mfl-box-a) 34%, transparent); font-weight: 600; color: inherit; }
.me-key-stay { width: 1.6rem; height: 0.4rem; background: var(--mfl-written); }
.me-key-stay i { display: block; width: 70%; height: 100%; background: var(--mfl-kept); border-inline-end: 2px solid Canvas; }
.me-key-look { width: 1.1rem; height: 0.4rem; background: var(--mfl-tokens); }
.mfl-live .me-below + .mfl-status { margin-top: 0; }
.me-done { display: flex; flex-wrap: wrap; gap: 0.4rem; }
.me-done[hidden] { display: none; }
.me-panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); gap: 1rem 1.75rem; }
.mfl-control.me-panel { display: flex; flex-direction: column; gap: 0.75rem; }
.me-places { display: grid; grid-template-columns: repeat(auto-fit, minmax(4rem, 1fr)); gap: 0.4rem; }
.me-places .mfl-label, .me-pair .mfl-label, .me-panel .mfl-control .mfl-label { font-weight: 400; font-size: 0.8125rem; }
.me-pair { display: flex; flex-wrap: wrap; align-items: end; gap: 0.4rem; }
.me-pair .mfl-control.mfl-dropdown { flex: 0 1 7rem; min-width: 5rem; }
.me-pair .mfl-control.me-wide { flex: 1 1 9rem; max-width: 14rem; }
.me-typed { width: 100%; min-height: 2rem; padding: 0.2rem 0.5rem; border: 1px solid var(--mfl-line); border-radius: 0.4rem; background: transparent; color: inherit; font: inherit; font-size: 0.875rem; }
.me-typed[aria-invalid] { border-color: var(--mfl-slots); border-width: 2px; }
.me-wrong { margin: 0; font-size: 0.8125rem; }
.me-wrong:empty { display: none; }
.mfl-button[aria-pressed="true"] { border-color: var(--mfl-slots); box-shadow: inset 0 0 0 1px var(--mfl-slots); font-weight: 600; }
.me-more summary { cursor: pointer; font-size: 0.875rem; font-weight: 600; min-height: 1.75rem; }
.me-inside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem 1.75rem; margin-top: 0.8rem; }
.me-tablebox { overflow-x: auto; }
.me-tablebox table { margin: 0; border-collapse: separate; border-spacing: 2px; font-size: 0.75rem; width: auto; }
.me-tablebox caption { caption-side: top; padding: 0 0 0.2rem; text-align: start; font-weight: 600; color: inherit; }
.me-tablebox :is(th, td) { padding: 0.15rem 0.3rem; border: 0; text-align: end; font-weight: 400; white-space: nowrap; }
.me-tablebox th[scope="row"] { text-align: start; }
@media (forced-colors: active) {
  .me-bar, .me-stay, .me-look, .me-key-stay, .me-key-look { forced-color-adjust: none; }
  .me-chosen { outline: 2px solid Highlight; }
}
`;
