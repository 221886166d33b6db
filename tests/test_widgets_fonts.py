"""Widgets in four fonts and with larger text: nothing moves, no word is cut.

Whatever the reader does in a widget, what follows it stays where it is, and each word stays in its
box or can be scrolled to. `tools/browser.py` installs the fonts; a page that is set in another one
fails.
"""

import http.server
import itertools
import threading
import time

import pytest
from helpers import WIDGETS, record_story
from widget_pages import faults_at_any_step, shifted

from memformer_lite.widgets import MemoryTimeLapse, ReplayStage
from tools.browser import FONTS

SIZES = {100: [390, 720], 130: [320, 1280]}  # text in % -> widths of the window
MAKE = {name: widget.example for name, widget in WIDGETS.items()}
MAKE |= {  # with numbers of many digits, and two runs
    "ReplayStage": lambda: ReplayStage(a=0.25, losses="every", pages=6),
    "MemoryTimeLapse": lambda: MemoryTimeLapse(record_story(), other=record_story(1)),
}
pytestmark = pytest.mark.spread("kind")
MOVED = 2  # px: less is not seen
every_widget = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture(scope="module")
def made(bench):
    bench.widgets = {kind: make() for kind, make in MAKE.items()}
    return bench


def styled(made, kind, font, size):
    """A page with this widget in that font."""
    style = f"<style>*{{font-family:'{font}'!important}}html{{font-size:{size}%!important}}</style>"
    return made.write(made.widgets[kind], change=lambda place, html: style + html)


def fonts_of(tab, selector):
    """The fonts in which a browser really sets an element."""
    client = tab.context.new_cdp_session(tab)
    for domain in ("DOM", "CSS"):
        client.send(f"{domain}.enable")
    root = client.send("DOM.getDocument")["root"]["nodeId"]
    query = {"nodeId": root, "selector": selector}
    node = client.send("DOM.querySelector", query)["nodeId"]
    used = client.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return {font["familyName"] for font in used}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("font", FONTS)
@every_widget
def test_nothing_moves_and_no_word_is_cut(made, kind, font, size):
    name = styled(made, kind, font, size)
    with made.tab(name, width=1280) as tab:
        assert fonts_of(tab, ".mfl-live legend") == {font}, "is its package installed?"
        faults = []
        for width in SIZES[size]:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.reload(wait_until="load")
            tab.wait_for_timeout(60)
            faults += [f"{width}: {fault}" for fault in faults_at_any_step(tab)]
        assert not faults, "\n".join(faults)


def test_without_a_font_of_its_own_a_page_is_set_in_dejavu(made):
    with made.tab(made.write(next(iter(made.widgets.values())))) as tab:
        assert fonts_of(tab, ".mfl-live legend") == {"DejaVu Sans"}


class Slow(http.server.BaseHTTPRequestHandler):
    """Sends a page in three parts: the first are shown before the widget's script is there."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        page = self.server.page
        places = [0, page.rindex(b"<script") + 20, page.rindex(b"start("), len(page)]
        for first, last in itertools.pairwise(places):
            self.wfile.write(page[first:last])
            self.wfile.flush()
            time.sleep(0.2)

    def log_message(self, *_):
        pass


@every_widget
def test_nothing_moves_while_a_slow_page_comes_in(made, kind):
    name = styled(made, kind, "DejaVu Sans", 130)
    page = (made.folder / name).read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.page = page
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = made.browser.new_page(viewport={"width": 1280, "height": 1400})
        tab.goto(f"http://127.0.0.1:{server.server_port}/", wait_until="load")
        tab.wait_for_timeout(100)
        assert tab.locator(".mfl-live").is_visible()
        assert shifted(tab) < 0.001
        tab.close()
        server.shutdown()
