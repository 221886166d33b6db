// Pages of cards in words, as Python's `Cards` has them: which token a word is, and back.
// A task is { keys, values, noise, content } and `constants`, which Python sets.

import { need } from "./parts/failures.js";
import { plural } from "./parts/words.js";

export const letter = (key) => String.fromCharCode(65 + key);

// Tokens: cards, then questions, then noise.
const firstQuestion = ({ keys, values }) => keys * values;
export const firstNoise = (task) => firstQuestion(task) + task.keys;

export const questionPage = (task, key) => [
  ...Array(task.content).fill(firstNoise(task)),
  firstQuestion(task) + key,
];

// A page such as "A3 – B?", or "– × 50": fifty pages of noise. Throws where a word is unknown.
export function parsePage(task, text) {
  const times = repeats(task, text);
  const page = {
    tokens: Array(task.content + 1).fill(firstNoise(task)),
    cards: [],
    question: null,
    times: times ?? 1,
  };
  if (times !== null) return page;
  const words = text.trim().split(/\s+/).filter(Boolean);
  words.forEach((word, place) => {
    takeWord(task, page, word, place, words.length);
  });
  return page;
}

// How many pages of noise a text such as "– × 50" stands for; null where it is none such.
function repeats({ constants }, text) {
  const many = /^[–-]\s*[×x*]\s*(\d{1,4})$/i.exec(text.trim());
  if (!many) return null;
  const times = Number(many[1]);
  need(
    times >= 1 && times <= constants.repeats,
    `expected 1 to ${constants.repeats} pages of noise, got ${times}`,
  );
  return times;
}

// Put a word into its place on the page.
function takeWord(task, page, word, place, count) {
  const { keys, values, content } = task;
  const key = word.toUpperCase().charCodeAt(0) - 65;
  const rest = word.slice(1);
  const known = key >= 0 && key < keys;
  if (known && rest === "?") {
    need(place === count - 1, `expected the question “${word}” at the end of the page`);
    page.question = key;
    page.tokens[content] = firstQuestion(task) + key;
    return;
  }
  need(place < content, `expected at most ${plural(content, "card")} on a page`);
  if (known && /^\d+$/.test(rest) && Number(rest) < values) {
    page.tokens[place] = key * values + Number(rest);
    page.cards.push({ place, key, value: Number(rest) });
    return;
  }
  const last = letter(keys - 1);
  need(
    word === "–" || word === "-",
    `expected cards A0 to ${last}${values - 1}, questions A? to ` +
      `${last}? or – for noise, got “${word}”`,
  );
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

// A token in words; of noise only its place, below 0 none.
export function tokenWord(task, token, place) {
  if (token < firstQuestion(task)) {
    return letter(Math.floor(token / task.values)) + (token % task.values);
  }
  if (token < firstNoise(task)) return `${letter(token - firstQuestion(task))}?`;
  return place < 0 ? "–" : `– ${place + 1}`;
}

// Page i in a row of noise pages: always the same, but no two places alike by rule.
export function noisePage(task, i) {
  const { noise_factor: factor, noise_shift: shift } = task.constants;
  return Array.from({ length: task.content + 1 }, (_, place) => {
    const mixed = Math.imul(i * (task.content + 1) + place + 1, factor) >>> shift;
    return firstNoise(task) + (mixed % task.noise);
  });
}

// The words of all cards.
export const cardWords = ({ keys, values }) =>
  Array.from(
    { length: keys * values },
    (_, token) => letter(Math.floor(token / values)) + (token % values),
  );
