"""What a page of the site costs its reader: bytes, requests, presses of the tab key, movement.

Used by `make site-report` and by the tests of the site.
"""

import functools
import gzip
import http.server
import io
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.build_site import SITE

PACKED = ("text/", "image/svg+xml", "application/json", "application/javascript")
MOST_KB, MOST_KB_WITH_WIDGETS = 700, 900
MOST_TABS = 10
MOST_SHIFT = 0.02
FORBIDDEN = ("require.js", "require.min.js", "html-manager", "vnd.jupyter.widget")
SHIFTS = """globalThis.shifted = 0;
new PerformanceObserver((list) => {
  for (const { value } of list.getEntries()) shifted += value;
}).observe({ type: "layout-shift", buffered: true });"""
# In the article, or after it in the same column: an article of plain text takes no focus.
IN_CONTENT = """(() => {
  const article = document.querySelector("article"), here = document.activeElement;
  const after = article.compareDocumentPosition(here) & Node.DOCUMENT_POSITION_FOLLOWING;
  return article.parentElement.contains(here) && Boolean(after);
})()"""
ON_SKIP_LINK = "document.activeElement.closest('.skip-link') !== null"


@functools.lru_cache(maxsize=256)
def _packed(path: Path, changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder as web hosts do: text compressed, one connection for several requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_head(self):
        path = Path(self.translate_path(self.path))
        kind = self.guess_type(str(path))
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not (accepted and path.is_file() and kind.startswith(PACKED)):
            return super().send_head()
        body = _packed(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


@contextmanager
def served(folder: Path = SITE):
    """The address of a folder, by default the site's."""
    assert folder != SITE or SITE.is_dir(), "no site in _build/html: run `make book` first"
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(frozen=True)
class Measures:
    """What one visit to a page showed."""

    widgets: int
    kilobytes: float  # 1,000 bytes; all answers behind gzip with their headers, nothing cached
    requests: int
    foreign: list[str]  # addresses that were asked on other hosts
    forbidden: list[str]  # scripts of the machinery that widgets here do without
    tabs: int  # presses of the tab key until the focus is in the article
    presses: int  # the same by the skip link: its tab, Enter, and the tabs that follow
    shift: float  # sum of all layout shifts, the larger of a wide and a narrow window

    def faults(self) -> list[str]:
        """Each bar that is missed, in words."""
        most = MOST_KB_WITH_WIDGETS if self.widgets else MOST_KB
        bars = {
            f"{self.kilobytes:.0f} kB, allowed are {most}": self.kilobytes <= most,
            f"asks other hosts: {', '.join(self.foreign)}": not self.foreign,
            f"loads {', '.join(self.forbidden)}": not self.forbidden,
            f"{self.tabs} tabs to the content, allowed are {MOST_TABS}": self.tabs <= MOST_TABS,
            f"{self.presses} presses by the skip link": self.presses <= MOST_TABS,
            f"moves by {self.shift:.3f}, allowed is {MOST_SHIFT}": self.shift < MOST_SHIFT,
        }
        return [words for words, held in bars.items() if not held]


def measure(chromium, address: str, page: str) -> Measures:
    """Visit a page twice, wide and narrow, each time with an empty cache.

    Args:
        chromium: a browser of Playwright.
        address: where the site is served, without a slash at its end.
        page: its name in `_toc.yml`.

    Raises:
        RuntimeError: the page is not there, or the tab key does not reach the content.
    """
    shifts = []
    for width in (390, 1280):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        tab, asked = context.new_page(), []
        tab.on("request", lambda request, asked=asked: asked.append(request))
        tab.add_init_script(SHIFTS)
        answer = tab.goto(f"{address}/{page}.html", wait_until="networkidle")
        if not answer.ok:
            raise RuntimeError(f"{page}: the server answered {answer.status}")
        shifts.append(tab.evaluate("shifted"))
        if width == 1280:
            asked = [one for one in asked if not one.url.startswith("data:")]
            sizes = [one.sizes() for one in asked if one.response()]
            scripts = tab.evaluate("[...document.scripts].map((e) => `${e.src} ${e.type}`)")
            loaded = [*scripts, *(one.url for one in asked)]
            measures = Measures(
                widgets=tab.locator(".mfl-widget").count(),
                kilobytes=sum(s["responseBodySize"] + s["responseHeadersSize"] for s in sizes)
                / 1e3,
                requests=len(asked),
                foreign=[one.url for one in asked if not one.url.startswith(f"{address}/")],
                forbidden=[part for part in FORBIDDEN if any(part in one for one in loaded)],
                tabs=_tabs(tab),
                presses=_presses_by_skip_link(tab),
                shift=max(shifts),
            )
        context.close()
    return measures


def _tabs(tab) -> int:
    """Press the tab key until the focus is in the article; return how often."""
    for count in range(1, 100):
        tab.keyboard.press("Tab")
        if tab.evaluate(IN_CONTENT):
            return count
    raise RuntimeError(f"{tab.url}: the tab key does not reach the content")


def _presses_by_skip_link(tab) -> int:
    """Load the page again and take the skip link, which must come first."""
    tab.reload(wait_until="networkidle")
    tab.keyboard.press("Tab")
    if not tab.evaluate(ON_SKIP_LINK):
        raise RuntimeError(f"{tab.url}: the first press of the tab key finds no skip link")
    tab.keyboard.press("Enter")
    return 2 + _tabs(tab)
