"""How long the memory explorer takes in Chromium: for one step of the model, and to draw.

The bar is a step in less than 16 ms, one frame of a screen with 60 a second. No test is timed, as
a busy machine would fail it.
"""

import os
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from memformer_lite.widgets import MemoryExplorer
from tools import browser

BAR = 16  # ms
STEP = """async ([code, data]) => {
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const module = await import(address), net = module.unpack(data.model), times = [];
  for (let run = 0; run < 50; run++) {
    let mems = net.start;
    for (const words of data.stories[0].pages) {
      const { tokens } = module.parsePage(net, words), start = performance.now();
      mems = module.step(net, tokens, mems).after;
      times.push(performance.now() - start);
    }
  }
  return times;
}"""
# One press, and the layout that it asks for: all columns, cells, panels and tables are drawn.
PRESS = """() => {
  const times = [], chosen = [...document.querySelectorAll("[data-place$=' 0']")];
  for (let run = 0; run < 200; run++) {
    const start = performance.now();
    chosen[run % chosen.length].click();
    document.body.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times;
}"""
# The first page says something new: the whole story is computed again, and what each slot keeps.
STORY = """() => {
  const times = [], field = document.querySelector(".me-typed");
  document.querySelector("[data-place='0 -1']").click();
  for (let run = 0; run < 40; run++) {
    field.value = `${"ABCD"[run % 4]}${run % 8} ${"ABCD"[(run >> 2) % 4]}${(run >> 3) % 8}`;
    const start = performance.now();
    field.dispatchEvent(new Event("change"));
    document.body.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times;
}"""


def show(what: str, times: list[float]) -> None:
    """Print the median and the 95th percentile of some times in ms."""
    late = statistics.quantiles(times, n=20)[-1]
    print(f"{what:<44}{statistics.median(times):>10.2f} ms{late:>10.2f} ms", flush=True)


def measure(tab: Page) -> None:
    explorer = MemoryExplorer()
    tab.set_content(f"<!doctype html><body>{explorer._repr_html_()}</body>")
    tab.wait_for_selector("[data-mfl-state=ready] .me-cell")
    title = f"memory explorer in Chromium {tab.context.browser.version}"
    print(f"{title:<44}{'median':>13}{'95 %':>13}")
    step = tab.evaluate(STEP, [explorer.code(), explorer.data])
    show(f"a step of the model (bar: {BAR} ms)", step)
    show("a press: everything is drawn again", tab.evaluate(PRESS))
    pages = len(explorer.data["stories"][0]["pages"])
    show(f"a new first page: {pages} pages computed and drawn", tab.evaluate(STORY))


def main() -> None:
    path = browser.find()
    if not path:
        sys.exit(browser.ADVICE)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with sync_playwright() as playwright:
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        measure(playwright.chromium.launch(executable_path=path, args=flags).new_page())


if __name__ == "__main__":
    main()
