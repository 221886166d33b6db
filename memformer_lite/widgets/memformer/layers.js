// The parts of the encoder. `net.w` has each parameter under the name it has in torch.

import { gelu, plus, softmax } from "./numbers.js";

const STACK = "memformer.encoder.layer_blocks";

// y = x Wᵀ + b for each row of x; W is (out, in) as in torch.nn.Linear.
export function linear(x, weight, bias) {
  const outs = bias.length;
  const ins = weight.length / outs;
  const rows = x.length / ins;
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

// The linear map of this name.
export const project = (net, name, x) => linear(x, net.w[`${name}.weight`], net.w[`${name}.bias`]);

export function layerNorm(net, name, x) {
  const weight = net.w[`${name}.weight`];
  const bias = net.w[`${name}.bias`];
  const d = weight.length;
  const y = new Float64Array(x.length);
  for (let r = 0; r < x.length; r += d) {
    let mean = 0;
    let variance = 0;
    for (let i = 0; i < d; i++) mean += x[r + i] / d;
    for (let i = 0; i < d; i++) variance += (x[r + i] - mean) ** 2 / d;
    const scale = 1 / Math.sqrt(variance + net.eps);
    for (let i = 0; i < d; i++) y[r + i] = (x[r + i] - mean) * scale * weight[i] + bias[i];
  }
  return y;
}

// Rows of x look at rows of source. Returns { out, weights }; weights are (h, i, j).
export function attend(net, name, x, source, bias) {
  const { dim: d, heads } = net;
  const e = d / heads;
  const n = x.length / d;
  const m = source.length / d;
  const queries = project(net, `${name}.to_q`, x);
  const both = project(net, `${name}.to_kv`, source);
  const weights = new Float64Array(heads * n * m);
  const mixed = new Float64Array(n * d);
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
  return { out: project(net, `${name}.to_out`, mixed), weights };
}

export function feedForward(net, name, norm, x) {
  const inner = project(net, `${name}.net.0`, layerNorm(net, norm, x));
  return plus(x, project(net, `${name}.net.2`, inner.map(gelu)));
}

export function embed(net, tokens) {
  const d = net.dim;
  const table = net.w["memformer.encoder.token_emb.weight"];
  const x = new Float64Array(tokens.length * d);
  for (const [i, token] of tokens.entries()) x.set(table.subarray(token * d, token * d + d), i * d);
  return x;
}

// Tokens look around among each other, with T5's bias; `net.buckets` are those of the offsets
// 1 - n to n - 1.
export function lookAround(net, layer, x) {
  const block = `${STACK}.layers.${layer}`;
  const table = net.w[`${STACK}.rel_pos_emb.relative_attention_bias.weight`];
  const middle = (net.buckets.length - 1) / 2;
  const bias = (h, i, j) => table[net.buckets[j - i + middle] * net.heads + h];
  const around = layerNorm(net, `${block}.look_around_norm`, x);
  return plus(x, attend(net, `${block}.look_around`, around, around, bias).out);
}

// Tokens read the memory, then think. Returns { out (n, d), weights of reading (h, n, k) }.
export function readAndThink(net, layer, x, mems) {
  const block = `${STACK}.layers.${layer}`;
  const { out, weights } = attend(
    net,
    `${block}.read`,
    layerNorm(net, `${block}.read_norm`, x),
    mems,
  );
  return {
    out: feedForward(net, `${block}.think`, `${block}.think_norm`, plus(x, out)),
    weights,
  };
}

// Encode the tokens of a segment. Returns { out (n, d), read (l, h, n, k) }.
export function encode(net, tokens, mems) {
  const size = net.heads * tokens.length * (mems.length / net.dim);
  const read = new Float64Array(net.depth * size);
  let x = embed(net, tokens);
  for (let layer = 0; layer < net.depth; layer++) {
    const looked = readAndThink(net, layer, lookAround(net, layer, x), mems);
    read.set(looked.weights, layer * size);
    x = looked.out;
  }
  return { out: layerNorm(net, "memformer.encoder.norm", x), read };
}
