// What tests of widgets ask of a page, from inside it: does anything move, is a word cut?

const CLOSE = 1; // px: what nobody sees
const styles = new WeakMap();
const styleOf = (e) => {
  if (!styles.has(e)) {
    const { display, overflowX, overflowY, fontSize } = getComputedStyle(e);
    const scrolls = overflowX === "auto" || overflowY === "auto";
    styles.set(e, { display, scrolls, clips: overflowX !== "visible", size: parseFloat(fontSize) });
  }
  return styles.get(e);
};
const nameOf = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""}`;
const boxOf = (e) => (styleOf(e).display === "inline" ? boxOf(e.parentElement) : e);

// How far one rectangle reaches beyond another.
const beyond = (inner, outer) =>
  Math.max(
    outer.left - inner.left,
    inner.right - outer.right,
    outer.top - inner.top,
    inner.bottom - outer.bottom,
  );

const range = document.createRange();

// Where the letters of a text stand: they take one em of each line, in its middle.
function placeOf(text) {
  range.selectNodeContents(text);
  const { left, right, top, bottom, width } = range.getBoundingClientRect();
  const size = styleOf(text.parentElement).size;
  const less = bottom - top < 2 * size ? (bottom - top - size) / 2 : 0.2 * size;
  return { left, right, top: top + less, bottom: bottom - less, width };
}

// Where a text is cut: beyond its own box, or beyond any around it that does not scroll.
function cutIn(root, text) {
  const place = placeOf(text);
  if (!place.width) return null;
  const own = boxOf(text.parentElement);
  for (let box = own; box !== root.parentElement; box = box.parentElement) {
    const { display, scrolls, clips } = styleOf(box);
    if (scrolls) return null;
    if (display === "inline" || !(clips || box === own || box === root)) continue;
    const by = beyond(place, box.getBoundingClientRect());
    if (by > CLOSE) return `"${text.data}": ${by.toFixed(1)} px beyond ${nameOf(box)}`;
  }
  return null;
}

function textsOf(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const plain = !walker.currentNode.parentElement.closest("svg, select, style, sub, sup");
    const seen = plain && walker.currentNode.parentElement.checkVisibility();
    if (seen && walker.currentNode.data.trim()) found.push(walker.currentNode);
  }
  return found;
}

// In a drawing: words beyond it, on each other, or wider than the pill that they stand in.
function cutInDrawing(drawing) {
  const whole = drawing.getBoundingClientRect();
  const texts = [...drawing.querySelectorAll("text")].filter((e) => e.textContent.trim());
  const places = texts.map((e) => e.getBoundingClientRect());
  return texts.flatMap((text, i) => {
    const faults = [];
    const say = (words) => faults.push(`"${text.textContent}": ${words}`);
    const by = Math.max(whole.left - places[i].left, places[i].right - whole.right);
    if (by > CLOSE) say(`${by.toFixed(1)} px beyond its drawing`);
    const pill = text.previousElementSibling;
    if (!text.matches(".mfl-row") && pill?.matches("rect.mfl-slot, rect.mfl-gradient")) {
      const over = beyond(places[i], pill.getBoundingClientRect());
      if (over > CLOSE) say(`${over.toFixed(1)} px wider than its pill`);
    }
    for (let j = 0; j < i; j++) {
      const [a, b] = [places[i], places[j]];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > CLOSE && down > 5) say(`on "${texts[j].textContent}"`); // lines have room
    }
    return faults;
  });
}

globalThis.cutsOf = (root) => [
  ...textsOf(root)
    .map((text) => cutIn(root, text))
    .filter(Boolean),
  ...[...root.querySelectorAll("svg")].flatMap(cutInDrawing),
];

const set = (control, value, kind = control.type === "range" ? "input" : "change") => {
  control.value = value;
  control.dispatchEvent(new Event(kind, { bubbles: true }));
};
const known = (e) => e.getAttribute("aria-label") ?? e.textContent.trim();

// A slider from its first value to its last; of a long one some values between.
function* slide(control, most) {
  const [low, high, step] = [control.min, control.max, control.step || 1].map(Number);
  const all = Math.round((high - low) / step);
  const places = Math.min(all, most);
  for (let k = 0; k <= places; k++) {
    const value = low + Math.round((k * all) / places) * step;
    set(control, value);
    yield `${known(control)} ${value}`;
  }
}

// Each control through all that it offers, one after the other, and all steps from each choice.
function* everyControl(root) {
  const all = (selector) => [...root.querySelectorAll(selector)];
  const sliders = all("input[type=range]");
  for (const control of all(".mfl-option input, .mfl-check input")) {
    if (control.matches(":disabled")) continue;
    control.click();
    yield known(control.parentElement);
    const through = sliders.find((one) => known(one) === "Step");
    if (through) yield* slide(through, 17);
  }
  for (const control of sliders) yield* slide(control, 5);
  for (const control of all("select")) {
    for (const option of control.options) {
      set(control, option.value);
      yield option.text;
    }
  }
  for (const control of all("button")) {
    if (control.disabled || !control.isConnected) continue;
    control.click();
    yield known(control);
  }
}

// Of the memory explorer: each story, question and view, a page as full as can be, a wrong word, a
// row of pages, each action, and the numbers.
function* everyRoom(root) {
  const named = (words) =>
    [...root.querySelectorAll("button:not(.me-cell, .me-page)")].find((one) =>
      one.textContent.includes(words),
    );
  const press = (words) => {
    named(words).click();
    return words;
  };
  const [story, view] = root.querySelectorAll("select");
  for (const list of [story, view]) {
    for (const { value, text } of [...list.options]) {
      set(list, value);
      yield text;
    }
    set(list, list.options[0].value);
  }
  for (const control of root.querySelectorAll(".mfl-option input")) {
    control.click();
    yield known(control.parentElement);
  }
  for (const words of ["A1 B2 C3 A?", "A1 X9"]) {
    set(root.querySelector(".me-typed"), words);
    yield words;
  }
  root.querySelector('[data-place="1 3"]').click();
  yield "slot 4 of page 2";
  for (const words of ["Erase", "Freeze", "Swap", "Take over", "Gate off"]) yield press(words);
  root.querySelector("summary").parentElement.open = true;
  yield press("Move left");
  yield press("Add 50");
  yield press("Remove it");
  yield press("Undo all");
  yield press("Start again");
}

// All steps of one widget: how many, how far what follows it moved, and what was cut.
globalThis.walk = async (root) => {
  const live = root.querySelector(".mfl-live");
  let follows = root.nextElementSibling;
  while (follows.matches("style, script")) follows = follows.nextElementSibling;
  const bottom = () => follows.getBoundingClientRect().top + scrollY;
  const fold = live.querySelector("details");
  let start = bottom();
  let open = false;
  const found = { steps: 0, moved: 0, where: "", cut: {} };
  const look = (step) => {
    found.steps += 1;
    const by = Math.abs(bottom() - start);
    if (by > found.moved) Object.assign(found, { moved: by, where: step });
    for (const fault of globalThis.cutsOf(live)) found.cut[fault] ??= step;
  };
  if (!start) throw new Error("nothing follows the widget");
  look("start");
  for (const step of fold ? everyRoom(live) : everyControl(live)) {
    if (fold && fold.open !== open) {
      await new Promise((done) => setTimeout(done, 50)); // what a reader opens moves the rest
      [open, start] = [fold.open, bottom()];
    }
    look(step);
  }
  return found;
};
