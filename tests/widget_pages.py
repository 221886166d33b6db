"""Pages with widgets, served from here or opened as files, in tabs that reach nothing else."""

import json
from contextlib import contextmanager

from browsing import opened

from tools.build_site import ROOT

WAYS = ["server", "file"]
MOVED = 2  # px: less is not seen
BOOK = (ROOT / "assets" / "book.css").read_text(encoding="utf-8")
STEPS = (ROOT / "tests" / "widget_steps.js").read_text(encoding="utf-8")
HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>A page of widgets</title><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><style>%s
body { margin: 0 auto; padding: 0 0.75rem; max-width: 50rem; font: 1rem/1.68 sans-serif;
  color: var(--pst-color-text-base); background: var(--pst-color-background, #fff); }
html[data-theme="dark"] { color-scheme: dark; }</style>
<script>
document.documentElement.dataset.theme =
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
globalThis.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map((one) => one.value)))
  .observe({ type: "layout-shift", buffered: true });
</script></head><body><main><article class="bd-article"><h1>A page</h1>"""


class Bench:
    """A browser, a folder of pages and a server for it."""

    def __init__(self, browser, folder, address):
        self.browser, self.folder, self.address = browser, folder, address

    def write(self, *widgets, change=None):
        """Write a page with these widgets; `change` may spoil each one's HTML. Return its name."""
        parts = [widget._repr_html_() for widget in widgets]
        if change:
            parts = [change(place, part) for place, part in enumerate(parts)]
        text = HEAD % BOOK + "".join(f"{part}<p>What follows.</p>" for part in parts)
        name = f"page{len(list(self.folder.iterdir()))}.html"
        (self.folder / name).write_text(f"{text}</article></main></body></html>", "utf-8")
        return name

    @contextmanager
    def tab(self, name, *, way="file", width=1280, height=1400, wait=True, **options):
        """A tab on that page; `tab.troubles` lists what went wrong, `tab.asked` what it loaded."""
        base = self.address if way == "server" else self.folder.as_uri()
        size = {"width": width, "height": height}
        with opened(self.browser, f"{base}/", viewport=size, **options) as tab:
            tab.set_default_timeout(15_000)
            tab.goto(f"{base}/{name}", wait_until="load")
            if wait:
                tab.wait_for_function(
                    "[...document.querySelectorAll('.mfl-widget')].every((e) => e.dataset.mflState)"
                )
                tab.wait_for_timeout(60)  # drawings take their width
            yield tab
        assert not tab.troubles, "\n".join(tab.troubles)


def faults_at_any_step(tab):
    """What moves and which words are cut in the first widget, whatever the reader does in it."""
    tab.evaluate(f"{STEPS};0")
    found = tab.evaluate("walk(document.querySelector('.mfl-widget'))")
    moved = [f"moves by {found['moved']} px at {found['where']}"] if found["moved"] > MOVED else []
    cut = [f"{words} at {step}" for words, step in found["cut"].items()]
    return moved + cut + [f"too wide: {what}" for what in tab.evaluate("siteChecks.sideways()")]


def shifted(tab):
    """How far things moved while the page came in: 0 is nothing, 0.1 a page to be mended."""
    return tab.evaluate("shifts.reduce((sum, one) => sum + one, 0)")


def blank(tab):
    """How many px are empty at the end of the first widget, inside its frame."""
    return tab.evaluate(
        """() => {
          const live = document.querySelector(".mfl-live");
          const ends = [...live.children].map((part) => part.getBoundingClientRect().bottom);
          const frame = parseFloat(getComputedStyle(live).paddingBottom) + 1;
          return live.getBoundingClientRect().bottom - frame - Math.max(...ends);
        }"""
    )


def compute(tab, widget, body, argument=None):
    """The value of the JavaScript `body`, which sees the widget's exports as `m`."""
    return tab.evaluate(
        """async ([code, body, argument]) => {
          const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
          const m = await import(address);
          return new Function("m", "argument", body)(m, argument);
        }""",
        [widget.code(), body, argument],
    )


def spoiled(html, **parts):
    """The widget's HTML with some of its data replaced; None takes a part away."""
    line = next(line for line in html.splitlines() if line.startswith("start("))
    head, _, rest = line.partition("mount, ")
    data = json.loads(rest.removesuffix(");")) | parts
    data = {name: value for name, value in data.items() if value is not None}
    return html.replace(line, f"{head}mount, {json.dumps(data)});")
