// What is said, and numbers.

import { fixed, plural } from "../parts/words.js";

const MOST_SAID = 6; // numbers of an answer: more of them nobody listens to

export const number = (value, digits = 2) => (Number.isNaN(value) ? "nan" : fixed(value, digits));

// What the chosen row looks at, its answer, and how much is closed.
export function statusWords(data, settings, { columns, allowed, scores, weights, answers }) {
  const row = settings.query;
  const names = [...data.tokens, ...data.slots];
  const shut = allowed.map((cells) => cells.filter((open) => !open).length);
  const closed = shut.reduce((sum, count) => sum + count, 0);
  const counts =
    `Closed: ${shut[row]} of its ${plural(columns.length, "key")}, ` +
    `${closed} of ${columns.length * data.tokens.length} cells; by hand: ${settings.closed.length}.`;
  const who = `${names[row]} in head ${settings.head + 1}`;
  const said = answers[row]
    .slice(0, MOST_SAID)
    .map((value) => number(value))
    .join(", ");
  const more = answers[row].length - MOST_SAID;
  const answer = `Its answer: (${said}${more > 0 ? ` and ${more} more` : ""}).`;
  if (shut[row] < columns.length) {
    const best = weights[row].indexOf(Math.max(...weights[row]));
    const found =
      settings.show === "weights"
        ? `with weight ${number(weights[row][best])}`
        : `with score ${number(scores[row][best], 1)}`;
    return `${who} looks most at ${names[columns[best]]}, ${found}. ${answer} ${counts}`;
  }
  const blind = {
    zero: "In this book all its weights are 0, and its answer is 0: only the bias of to_out is left.",
    even: `The reference gives ${number(1 / columns.length)} to each key, closed or not. ${answer}`,
    nan: "Plain softmax divides 0 by 0: weights and answer are nan, and so are gradients.",
  };
  return `${who} may look at nothing. ${blind[settings.blind]} ${counts}`;
}
