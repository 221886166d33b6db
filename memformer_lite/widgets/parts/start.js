// How a widget starts: on a page, or as the view of a kernel.

import { guard } from "./failures.js";

// A notebook around the widget takes arrows, letters and Enter for itself, if it hears of them.
const keepKeys = (event) => {
  if (!event.ctrlKey && !event.altKey && !event.metaKey) event.stopPropagation();
};

function begin(root, mount, data, live) {
  const el = root.querySelector(".mfl-live");
  el.hidden = false;
  el.addEventListener("keydown", keepKeys);
  root.dataset.mflState = "ready";
  return guard(el, () => mount(el, data, live)) ?? (() => {});
}

// On a page: into the first element of this key that has not started. Equal widgets are equal.
export function start(key, mount, data) {
  const root = document.querySelector(`.mfl-widget[data-mfl="${key}"]:not([data-mfl-state])`);
  if (root) begin(root, mount, data, null);
}

// With a kernel: an anywidget's view.
export function renderLive({ model, el }, mount) {
  el.innerHTML = model.get("markup");
  const stop = begin(el.firstElementChild, mount, model.get("data"), {
    get: (name) => model.get(name),
    set(name, value) {
      model.set(name, value);
      model.save_changes();
    },
    onChange(name, act) {
      const heard = () => guard(el.firstElementChild, act);
      model.on(`change:${name}`, heard);
      return () => model.off(`change:${name}`, heard);
    },
  });
  return () => stop();
}
