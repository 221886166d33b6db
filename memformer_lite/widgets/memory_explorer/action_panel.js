// Below the grid: act on the memory at the page that is chosen, and undo what was done.

import { hasGate } from "../memformer.js";
import { button, dropdown } from "../parts/controls.js";
import { html } from "../parts/elements.js";
import { insertPage } from "./page_panel.js";
import { actionWords, capital, nameOf } from "./words.js";

const NOISE = 50; // pages that a press adds

// An action of each kind with what is chosen now.
const ACTIONS = {
  erase: ({ slot }) => ({ kind: "erase", slot }),
  freeze: ({ slot }) => ({ kind: "freeze", slot }),
  swap: ({ slot, other }) => ({
    kind: "swap",
    slot: Math.min(slot, other),
    other: Math.max(slot, other),
  }),
  exchange: ({ donor }) => ({ kind: "exchange", story: donor }),
  gate: () => ({ kind: "gate" }),
};

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Take an action or, the second time, undo it.
function toggle(session, kind) {
  const { values, entries, stories } = session;
  if (kind === "swap" && values.slot === values.other) {
    session.refuse("Choose two different slots to swap.");
    return;
  }
  const action = ACTIONS[kind](values);
  const words = actionWords(action, entries[values.at], stories);
  const pages = session.copy();
  const { actions } = pages[values.at];
  const there = actions.findIndex((other) => same(other, action));
  if (there >= 0) actions.splice(there, 1);
  else actions.push(action);
  session.rewrite(pages, there >= 0 ? `Undone: ${words}.` : `${capital(words)}.`);
}

function actionLabel(kind, { slot, other }, { first }) {
  return {
    erase: `Erase slot ${slot + 1}`,
    freeze: `Freeze slot ${slot + 1} from page ${first} on`,
    swap: `Swap slots ${slot + 1} and ${other + 1}`,
    exchange: "Take over its memory",
    gate: `Gate off from page ${first} on`,
  }[kind];
}

// The dropdowns: which slot is acted on, with which it is swapped, which story gives its memory.
function targets(session) {
  const { net, stories, values } = session;
  const slots = Array.from({ length: net.slots }, (_, slot) => [slot, `slot ${slot + 1}`]);
  const target = (label, name, options, words) =>
    dropdown(label, {
      options,
      value: values[name],
      change: (value) => session.choose({ [name]: Number(value) }, words(Number(value))),
    });
  const donorWords = (i) => `Story “${stories[i].name}” chosen to take the memory from.`;
  const names = stories.map(({ name }, i) => [i, name]);
  return {
    slot: target("Slot", "slot", slots, (slot) => `Slot ${slot + 1} chosen.`),
    other: target("Swap with", "other", slots, (slot) => `Slot ${slot + 1} chosen to swap with.`),
    donor: target("Another story", "donor", names, donorWords),
  };
}

// Returns { node, draw, focus }.
export function actionPanel(session) {
  const { net } = session;
  const title = html("legend", {});
  const chosen = targets(session);
  chosen.donor.node.classList.add("me-wide");
  const press = (kind) =>
    button("", { "aria-pressed": "false", change: () => toggle(session, kind) }).node;
  const buttons = Object.fromEntries(Object.keys(ACTIONS).map((kind) => [kind, press(kind)]));
  const noise = button(`Add ${NOISE} pages of noise after it`, {
    change: () => insertPage(session, `– × ${NOISE}`, `Added ${NOISE} pages of noise.`),
  }).node;
  const options = (...nodes) => html("div", { class: "mfl-options" }, nodes);
  const pair = (control, ...nodes) => html("div", { class: "me-pair" }, control, options(...nodes));
  const several = net.slots > 1;
  const node = html(
    "fieldset",
    { class: "mfl-control me-panel" },
    title,
    pair(several ? chosen.slot.node : null, buttons.erase, buttons.freeze),
    several ? pair(chosen.other.node, buttons.swap) : null,
    pair(chosen.donor.node, buttons.exchange),
    options(hasGate(net) ? buttons.gate : null, noise),
  );
  function draw() {
    const { values, entries } = session;
    const entry = entries[values.at];
    title.textContent = `Act on the memory at ${nameOf(entry)}`;
    for (const [name, control] of Object.entries(chosen)) control.set(values[name]);
    for (const [kind, pressed] of Object.entries(buttons)) {
      const { actions } = values.pages[values.at];
      const taken = actions.some((some) => same(some, ACTIONS[kind](values)));
      pressed.textContent = actionLabel(kind, values, entry);
      pressed.setAttribute("aria-pressed", String(taken));
    }
  }
  return { node, draw, focus: () => buttons.erase.focus() };
}

// A button to undo each action, and one for all. `leave()` takes the focus when none is left.
export function undoList(session, leave) {
  const node = html("div", { class: "me-done" });
  const undo = (at, action, words) => {
    const pages = session.copy();
    pages[at].actions = pages[at].actions.filter((kept) => !same(kept, action));
    session.rewrite(pages, `Undone: ${words}.`);
    const next = node.querySelector("button");
    if (next) next.focus();
    else leave();
  };
  const undoAll = () => {
    session.rewrite(
      session.copy().map(({ words }) => ({ words, actions: [] })),
      "All undone.",
    );
    leave();
  };
  function draw() {
    const { values, entries, stories } = session;
    const buttons = values.pages.flatMap(({ actions }, at) =>
      actions.map((action) => {
        const words = actionWords(action, entries[at], stories);
        return button(`Undo: ${words}`, { change: () => undo(at, action, words) });
      }),
    );
    if (buttons.length > 1) buttons.unshift(button("Undo all", { change: undoAll }));
    node.hidden = !buttons.length;
    node.replaceChildren(...buttons.map((one) => one.node));
  }
  return { node, draw };
}
