// What is said: in the status line, and of each page and slot to who does not see them.

import { letter, wordsOf } from "../cards.js";
import { argmax } from "../memformer/numbers.js";
import { fixed } from "../parts/words.js";
import { keptShare } from "./follow.js";

const MOVED = 0.05; // probability: a smaller change of an answer is none

export const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
export const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
export const listed = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

export const nameOf = ({ first, last }) =>
  first === last ? `page ${first}` : `pages ${first} to ${last}`;

export const cardOf = ({ key, value }) => letter(key) + value;

// An action on the memory of this entry.
export function actionWords(action, entry, stories) {
  const after = `after ${nameOf(entry)}`;
  const slot = `slot ${action.slot + 1}`;
  if (action.kind === "erase") return `${slot} erased ${after}`;
  if (action.kind === "freeze") return `${slot} frozen from page ${entry.first} on`;
  if (action.kind === "swap") {
    return `slots ${action.slot + 1} and ${action.other + 1} swapped ${after}`;
  }
  if (action.kind === "exchange") {
    return `memory taken from the end of “${stories[action.story].name}” ${after}`;
  }
  return `gate off from page ${entry.first} on`;
}

// The likeliest answer about a box, here and in the baseline: { top, share, old, was, moved }.
export function answersAbout(entry, baseline, box) {
  const [{ answer }, { answer: before }] = [entry.asked[box], baseline.asked[box]];
  const [top, old] = [argmax(answer), argmax(before)];
  const moved = top !== old || Math.abs(answer[top] - before[top]) > MOVED;
  return { top, share: answer[top], old, was: before[old], moved };
}

function verdict({ truth, seen }, box, value) {
  if (truth[box] === value) return "right";
  if (seen[box] === value) return "as the other story says";
  return truth[box] === undefined
    ? "a guess, since no page has named this box"
    : `wrong: the story says ${truth[box]}`;
}

// What became of the answer at the end; null where nothing did.
function answerChange(entry, baseline, box) {
  const { top, share, old, was, moved } = answersAbout(entry, baseline, box);
  if (!moved) return null;
  const from = `${letter(box)}? ${old} (${percent(was)})`;
  return `${from} becomes ${top} (${percent(share)}), ${verdict(entry, box, top)}`;
}

// The answer at the end; once something was done to the memory, what became of all answers.
export function resultWords({ entries, baseline, values, box, question }) {
  const [last, before] = [entries.at(-1), baseline.at(-1)];
  if (!values.pages.some(({ actions }) => actions.length)) {
    const { top, share } = answersAbout(last, before, box);
    const answered = `the model answers ${top} (${percent(share)})`;
    return `Asked ${question} at the end, ${answered}, ${verdict(last, box, top)}.`;
  }
  const others = [...last.asked.keys()].filter((other) => other !== box && other in last.truth);
  const changes = [box, ...others].map((one) => [one, answerChange(last, before, one)]);
  const moved = changes.map(([, words]) => words).filter(Boolean);
  const stay = changes
    .filter(([, words]) => !words)
    .map(([one]) => `${letter(one)}? ${argmax(last.asked[one].answer)}`);
  if (!moved.length) return `All answers at the end are as before: ${listed(stay)}.`;
  const rest = stay.length ? `As before: ${listed(stay)}.` : "";
  return `At the end ${moved.join("; ")}. ${rest}`.trim();
}

// As long as what is said of an action that changes two answers; longer words scroll.
export function longWords({ boxes }) {
  const change = ", wrong: the story says 0";
  const moved = boxes
    .slice(0, 2)
    .map((box) => `${letter(box)}? 0 (100\u00a0%) becomes 0 (100\u00a0%)`);
  const stay = boxes.slice(2, 4).map((box) => `${letter(box)}? 0`);
  return (
    `Slot 0 erased after page 10. At the end ${moved.map((words) => words + change).join("; ")}. ` +
    `As before: ${listed(stay)}.`
  );
}

// Which page and slot are chosen.
export const selectionWords = ({ entries, values }) =>
  `${capital(nameOf(entries[values.at]))} and slot ${values.slot + 1} chosen.`;

// How the model answers a page's own question: { value, sign, words }; null without a question.
export function ownAnswer({ page, segment, truth }) {
  if (page.question === null) return null;
  const value = argmax(segment.answer);
  const right = truth[page.question];
  const [sign, words] =
    right === undefined
      ? ["?", "a guess: no page named this box"]
      : value === right
        ? ["\u2713", "right"]
        : ["\u2717", `wrong: it is ${right}`];
  const asks = `It asks ${letter(page.question)}? and the model answers`;
  return { value, sign, words: ` ${asks} ${value}, ${percent(segment.answer[value])}, ${words}.` };
}

export function pageLabel({ net, box, question }, entry) {
  const words = wordsOf(net, entry.page);
  const { answer } = entry.asked[box];
  const top = argmax(answer);
  return (
    `${capital(nameOf(entry))}: ${words === "–" ? "noise" : words}.` +
    `${ownAnswer(entry)?.words ?? ""} ` +
    `Asked ${question} after it: ${top}, ${percent(answer[top])}.` +
    `${entry.lasting.open ? " The gate is off." : ""}`
  );
}

export function slotLabel({ net, box, question }, entry, slot, marks) {
  const { segment, keeps, lasting, asked } = entry;
  const boxes = keeps[slot];
  const kept = boxes.length ? `keeps ${listed(boxes.map(cardOf))}` : "keeps no box";
  return (
    `After ${nameOf(entry)}, slot ${slot + 1} ${kept}. ` +
    `${lasting.open ? "Gate off" : `Kept ${fixed(keptShare(net, segment, slot))}`}, ` +
    `change ${fixed(segment.change[slot], 1)}, norm ${fixed(segment.norm_after[slot], 1)}, ` +
    `read by ${question} with ${fixed(asked[box].read[slot])}.${marks}`
  );
}
