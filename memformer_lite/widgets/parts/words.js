// Numbers and counts in words.

export const signed = (number) => (number < 0 ? `\u2212${-number}` : `${number}`);
export const fixed = (number, digits = 2) =>
  number
    .toFixed(digits)
    .replace(/^-(0(\.0*)?)$/, "$1")
    .replace("-", "\u2212");
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
