// What happens at each step of learning, equal to Python's, and what it costs.

// m_0 to m_T.
export function memories(pages, a) {
  const found = [2];
  for (let page = 1; page <= pages; page += 1) found.push(a * found[page - 1] + page);
  return found;
}

export const range = (first, last) =>
  Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);

// Action, page, graphs alive and notes in the buffer, step by step.
function* order({ method, pages, losses, detach_every: every }) {
  if (method === "replay") {
    for (const page of range(1, pages - 1)) yield ["note", page, [], range(1, page)];
    for (const page of range(1, pages).reverse()) {
      yield [page === pages ? "read" : "reread", page, [page], range(1, page - 1)];
      yield ["back", page, [page], range(1, page - 1)];
    }
  } else {
    const size = method === "truncated" ? every : pages;
    for (let first = 1; first <= pages; first += size) {
      const last = Math.min(first + size - 1, pages);
      for (const page of range(first, last)) yield ["read", page, range(first, page), []];
      if (losses === "every" || last === pages) {
        for (const page of range(first, last).reverse())
          yield ["back", page, range(first, page), []];
      }
      if (last < pages) yield ["cut", last, [], []];
    }
  }
  yield ["end", 0, [], []];
}

// One moment for each step; its fields are explained at Python's `Moment`.
export function schedule(options) {
  const { method, pages, losses, a } = options;
  const m = memories(pages, a);
  const gradients = Array(pages + 1).fill(null);
  const shares = Array(pages).fill(null);
  let [forwards, backwards] = [0, 0];
  return [...order(options)].map(([action, page, graphs, notes]) => {
    let handed = null;
    if (["read", "note", "reread"].includes(action)) forwards += 1;
    if (action === "back") {
      backwards += 1;
      gradients[page] += losses === "every" || page === pages ? 2 * m[page] : 0;
      shares[page - 1] = gradients[page] * m[page - 1];
      const first = method !== "replay" && page > 1 && graphs.length === 1; // after a cut
      if (!first) {
        handed = a * gradients[page];
        gradients[page - 1] = handed;
      }
    }
    return {
      action,
      page,
      graphs,
      notes,
      gradients: [...gradients],
      handed,
      shares: [...shares],
      forwards,
      backwards,
    };
  });
}

// The running cost up to moment `at`, and what was learned by then.
export function costOf(moments, at) {
  const { forwards, backwards, shares, gradients } = moments[at];
  const most = (kind) => Math.max(...moments.slice(0, at + 1).map((moment) => moment[kind].length));
  return {
    forwards,
    backwards,
    graphs: most("graphs"),
    notes: most("notes"),
    byA: shares.reduce((sum, share) => sum + share, 0),
    byM0: gradients[0],
  };
}
