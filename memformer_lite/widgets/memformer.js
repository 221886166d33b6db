// A trained learner of cards, from its weights: the encoder, the memory and the read-out.

import { firstNoise, questionPage } from "./cards.js";
import { embed, encode, layerNorm, lookAround, project, readAndThink } from "./memformer/layers.js";
import { RULES, slotAttention } from "./memformer/memory.js";
import { halves, norm, softmax } from "./memformer/numbers.js";
import { need } from "./parts/failures.js";

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

// Take a packed learner apart: its sizes, and each parameter under the name it has in torch.
export function unpack(model) {
  for (const name of COUNTS) {
    need(
      Number.isInteger(model[name]) && model[name] > 0,
      `expected a whole number above 0 as ${name}, got ${model[name]}`,
    );
  }
  const known = Object.keys(RULES);
  need(known.includes(model.rule), `expected ${known.join(" or ")} as rule, got ${model.rule}`);
  const net = { ...model, w: weightsOf(model), boxes: [...Array(model.keys).keys()] };
  net.start = Float64Array.from(net.w["memformer.memory_slots"]);
  RULES[net.rule].start(net.start, net.dim);
  const tried = step(net, questionPage(net, 0), net.start);
  need(
    [...tried.answer, ...tried.after].every(Number.isFinite),
    "expected a model that gives finite numbers",
  );
  return net;
}

function weightsOf(model) {
  const { values, noise, content, dim, depth, slots } = model;
  const numbers = halves(model.weights);
  const w = {};
  let at = 0;
  for (const [name, size] of model.parameters) {
    w[name] = numbers.subarray(at, at + size);
    at += size;
  }
  need(at === numbers.length, `expected ${at} weights, got ${numbers.length}`);
  const sizes = {
    "memformer.memory_slots": slots * dim,
    "memformer.encoder.token_emb.weight": (firstNoise(model) + noise) * dim,
    [`memformer.encoder.layer_blocks.layers.${depth - 1}.look_around_norm.weight`]: dim,
    "read_out.weight": values * dim,
  };
  for (const [name, size] of Object.entries(sizes)) {
    const found = w[name]?.length;
    need(found === size, `expected ${size} weights as ${name}, got ${found ?? "none"}`);
  }
  const offsets = 2 * content + 1;
  need(model.buckets?.length === offsets, `expected ${offsets} buckets of offsets`);
  return w;
}

const readOut = (net, rows) => project(net, "read_out", rows);

// The probabilities of the answers to the question at the end of a page; nothing is written.
export function ask(net, tokens, mems) {
  const { out, read } = encode(net, tokens, mems);
  return { answer: softmax(readOut(net, out.subarray(-net.dim))), read };
}

// One segment: read, answer, write. All that happens is recorded:
// read (l, h, n, k), answer (values), write (h, k, 1 + n), gate (k, d; null in a rule without one),
// before and after (k, d), and for each slot norm_before, norm_after and change.
// `frozen` slots stay as they are; `open` takes the gate away.
export function step(net, tokens, mems, { frozen = [], open = false } = {}) {
  const d = net.dim;
  const { out, read } = encode(net, tokens, mems);
  const answer = softmax(readOut(net, out.subarray(-d)));
  const { written, weights } = slotAttention(net, mems, out);
  const { after, gate } = RULES[net.rule].write(net, written, mems, open);
  if (!net.use_memory) after.set(net.start);
  for (const slot of frozen) after.set(mems.subarray(slot * d, slot * d + d), slot * d);
  const slots = Array.from({ length: mems.length / d }, (_, slot) => [slot * d, slot * d + d]);
  return {
    tokens,
    read,
    answer,
    write: weights,
    gate,
    before: mems,
    after,
    norm_before: slots.map(([from, to]) => norm(mems.subarray(from, to))),
    norm_after: slots.map(([from, to]) => norm(after.subarray(from, to))),
    change: slots.map(([from, to]) =>
      norm(after.subarray(from, to).map((value, i) => value - mems[from + i])),
    ),
  };
}

// The questions of all boxes, each on a page of its own that is never written.
// Returns for each box { answer (values), read (k): the mean over layers and heads }.
export function askAll(net, mems) {
  return net.depth > 1 ? askEach(net, mems) : askTogether(net, mems);
}

function askEach(net, mems) {
  const k = mems.length / net.dim;
  const n = net.content + 1;
  return net.boxes.map((box) => {
    const { answer, read } = ask(net, questionPage(net, box), mems);
    const rows = read.length / (n * k);
    const last = Array(k).fill(0);
    for (let r = 0; r < rows; r++) {
      for (let s = 0; s < k; s++) last[s] += read[(r * n + n - 1) * k + s] / rows;
    }
    return { answer, read: last };
  });
}

// With one layer, all before the reading is the same whatever the memory holds.
function askTogether(net, mems) {
  const { dim, heads, keys, values, boxes } = net;
  const k = mems.length / dim;
  const page = (box) => lookAround(net, 0, embed(net, questionPage(net, box))).subarray(-dim);
  net.asked ??= Float64Array.from(boxes.flatMap((box) => [...page(box)]));
  const { out, weights } = readAndThink(net, 0, net.asked, mems);
  const logits = readOut(net, layerNorm(net, "memformer.encoder.norm", out));
  return boxes.map((box) => {
    const read = Array(k).fill(0);
    for (let h = 0; h < heads; h++) {
      for (let s = 0; s < k; s++) read[s] += weights[(h * keys + box) * k + s] / heads;
    }
    return { answer: softmax(logits.subarray(box * values, (box + 1) * values)), read };
  });
}

export const hasGate = (net) => RULES[net.rule].gated;
