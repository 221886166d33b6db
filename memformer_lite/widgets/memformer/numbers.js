// Numbers and rows of numbers. A table (rows, d) is one Float64Array, row after row.

import { need } from "../parts/failures.js";

// Numbers in half precision, little endian, as base64.
export function halves(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const numbers = new Float64Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    need(exponent < 31, "expected finite weights");
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    numbers[i] = sign * size;
  }
  return numbers;
}

// erf by the series whose terms are all positive: exact to the last digits.
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const gelu = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

export function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

export const plus = (a, b) => a.map((value, i) => value + b[i]);

export const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

export const argmax = (numbers) => numbers.indexOf(Math.max(...numbers));

export const norm = (x) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

// Each row of x divided by its norm, as torch.nn.functional.normalize has it; x is changed.
export function normalize(x, d) {
  for (let r = 0; r < x.length; r += d) {
    const length = Math.max(norm(x.subarray(r, r + d)), 1e-12);
    for (let i = 0; i < d; i++) x[r + i] /= length;
  }
}
