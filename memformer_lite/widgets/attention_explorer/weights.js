// Masks, softmax and answers, from the scores and values of Python.

// Which keys are shown, as columns of `scores`: the n tokens, the k slots, or both.
export function columnsOf({ tokens, slots }, keys) {
  const n = tokens.length;
  const all = [...Array(n + slots.length).keys()];
  if (keys === "tokens") return all.slice(0, n);
  return keys === "slots" ? all.slice(n) : all;
}

// Who may look at whom: a row for each token, a bool for each shown key. `closed` lists pairs
// "row,column" that the reader has closed; `causal` orders tokens only, slots come before all.
export function allowedOf(data, { keys, causal, queryMask, kvMask, closed }) {
  const n = data.tokens.length;
  return data.tokens.map((_, row) =>
    columnsOf(data, keys).map(
      (column) =>
        !(causal && column < n && column > row) &&
        !(queryMask && !data.real[row]) &&
        !(kvMask && column < n && !data.real[column]) &&
        !closed.includes(`${row},${column}`),
    ),
  );
}

// Weights of one row. A row that may look at nothing: "zero" weights as in this book, "even" ones
// as in the reference, or "nan", the softmax of minus infinities.
export function weightsOf(scores, allowed, blind) {
  if (!allowed.some(Boolean)) {
    return scores.map(() => ({ zero: 0, even: 1 / scores.length, nan: NaN })[blind]);
  }
  const top = Math.max(...scores.filter((_, place) => allowed[place]));
  const grown = scores.map((score, place) => (allowed[place] ? Math.exp(score - top) : 0));
  const sum = grown.reduce((total, part) => total + part, 0);
  return grown.map((part) => part / sum);
}

// All of one head: { columns, allowed, scores, weights, answers }, a row for each token.
export function attend(data, settings) {
  const columns = columnsOf(data, settings.keys);
  const allowed = allowedOf(data, settings);
  const scores = data.scores[settings.head].map((row) => columns.map((column) => row[column]));
  const weights = scores.map((row, place) => weightsOf(row, allowed[place], settings.blind));
  const values = columns.map((column) => data.values[settings.head][column]);
  const answers = weights.map((row) =>
    values[0].map((_, part) =>
      row.reduce((sum, weight, place) => sum + weight * values[place][part], 0),
    ),
  );
  return { columns, allowed, scores, weights, answers };
}
