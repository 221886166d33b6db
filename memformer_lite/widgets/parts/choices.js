// What the reader chose: shared by all views of a live widget.

// `state.values` holds the choices, `state.change({ name: value })` takes new ones; `draw` follows.
export function choices(live, initial, draw) {
  const known = (given) =>
    Object.fromEntries(Object.entries(given ?? {}).filter(([name]) => name in initial));
  const state = { values: { ...initial, ...known(live?.get("state")) } };
  const shown = () => JSON.stringify(state.values);
  state.change = (some) => {
    Object.assign(state.values, some);
    live?.set("state", { ...state.values });
    draw(state.values);
  };
  state.stop =
    live?.onChange("state", () => {
      const before = shown();
      Object.assign(state.values, known(live.get("state")));
      if (shown() !== before) draw(state.values);
    }) ?? (() => {});
  return state;
}
