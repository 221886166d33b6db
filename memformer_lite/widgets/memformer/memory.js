// Writing the memory: slot attention, then a rule. Rules have the names of Python's classes.

import { feedForward, linear, project } from "./layers.js";
import { normalize, plus, sigmoid, softmax } from "./numbers.js";

const WRITER = "memformer.memory_writer";
const RULE = `${WRITER}.rule`;

// What each slot would write, (k, d), and its weights (h, k, 1 + n): first itself, then the tokens.
export function slotAttention(net, mems, encoded) {
  const { dim: d, write_heads: heads } = net;
  const e = d / heads;
  const k = mems.length / d;
  const n = encoded.length / d;
  const name = `${WRITER}.attention`;
  const raw = RULES[net.rule].rawSlot;
  const queries = project(net, `${name}.to_q`, mems);
  const slots = project(net, `${name}.to_kv`, mems);
  const tokens = project(net, `${name}.to_kv`, encoded);
  const weights = new Float64Array(heads * k * (1 + n));
  const mixed = new Float64Array(k * d);
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
  return { written: raw ? mixed : project(net, `${name}.to_out`, mixed), weights };
}

// The rule's residual feed-forward, where it has one.
const refine = (net, x) =>
  net.feed_forward
    ? feedForward(net, `${RULE}.feed_forward.fn.fn`, `${RULE}.feed_forward.fn.norm`, x)
    : x;

// The update gate z decides between old (z = 1) and new. `open` sets z to 0 everywhere.
function gruGate(net, written, mems, open) {
  const d = net.dim;
  const cell = (kind, x) =>
    linear(x, net.w[`${RULE}.cell.weight_${kind}`], net.w[`${RULE}.cell.bias_${kind}`]);
  const fromNew = cell("ih", written);
  const fromOld = cell("hh", mems);
  const after = new Float64Array(mems.length);
  const gate = new Float64Array(mems.length);
  for (let i = 0; i < mems.length; i++) {
    const at = Math.floor(i / d) * 3 * d + (i % d);
    const reset = sigmoid(fromNew[at] + fromOld[at]);
    const z = open ? 0 : sigmoid(fromNew[at + d] + fromOld[at + d]);
    const fresh = Math.tanh(fromNew[at + 2 * d] + reset * fromOld[at + 2 * d]);
    gate[i] = z;
    after[i] = (1 - z) * fresh + z * mems[i];
  }
  return { after: refine(net, after), gate };
}

function bmn(net, written) {
  const after = plus(refine(net, written), net.w["memformer.memory_slots"]);
  normalize(after, net.dim);
  return { after, gate: null };
}

// What slot attention's own value is, whether there is a gate, the memory at the start from the
// learned slots, and the memory after: write(net, written, mems, open) gives { after, gate (k, d) }.
export const RULES = {
  GRUGate: { rawSlot: false, gated: true, start: () => {}, write: gruGate },
  BMN: { rawSlot: true, gated: false, start: normalize, write: bmn },
};
