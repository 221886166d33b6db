"""What all widgets share: data in, one HTML element out, with a kernel or without.

A widget is a class here and an ES module (`<name>.js`) beside it. The module draws and computes;
Python checks the data and hands it over. The same module runs as plain `text/html` on a page, and,
where a kernel runs and `anywidget` is installed, as a live view, which tells Python what the reader
chose. Colab gets the HTML: it would fetch the code of a live view from other hosts, and the HTML
needs none.
"""

import functools
import hashlib
import json
import os
import re
import sys
from pathlib import Path

from memformer_lite.figures import (
    BOXES,
    KEPT,
    NEUTRAL,
    SLOTS,
    TOKENS,
    WRITTEN,
    Picture,
)
from memformer_lite.widgets.bundle import bundle

FOLDER = Path(__file__).parent
STATIC = "MEMFORMER_LITE_STATIC"  # set to anything: no live views, as in the build of the site
_COLOURS = {
    "slots": SLOTS,
    "tokens": TOKENS,
    "kept": KEPT,
    "written": WRITTEN,
    "neutral": NEUTRAL,
    **{f"box-{box.lower()}": colour for box, colour in BOXES.items()},
}


class Widget:
    """A picture that answers: base class of all widgets.

    A subclass sets `name`, checks its arguments, and calls `super().__init__`.

    Args:
        data: what the module's `mount(el, data, live)` gets; plain JSON with finite numbers.
        twin: the still picture, shown in print, without JavaScript, and where the module fails.

    Raises:
        TypeError: `data` is not plain JSON, or `twin` not a `Picture`.
        ValueError: a number in `data` is not finite.
    """

    name = ""  # of the module beside this file, without .js

    def __init__(self, *, data: dict, twin: Picture):
        if not isinstance(twin, Picture):
            raise TypeError(f"twin: expected a Picture, got {type(twin).__name__}")
        try:
            self._json = json.dumps(data, allow_nan=False, separators=(",", ":"))
        except TypeError as error:
            raise TypeError(f"data: expected plain JSON; {error}") from None
        except ValueError as error:
            raise ValueError(f"data: expected finite numbers; {error}") from None
        self.twin = twin
        self._live = None

    @classmethod
    def example(cls) -> "Widget":
        """Return one with contents of its own, as a Markdown page and the tests show it."""
        return cls()

    @classmethod
    def code(cls) -> str:
        """Return one ES module: the widget's own, after all that it imports and what starts it."""
        return _code(cls.name)

    @property
    def data(self) -> dict:
        """What the module gets, a fresh copy."""
        return json.loads(self._json)

    @property
    def state(self) -> dict:
        """What the reader has chosen in the live view; empty where there is none."""
        return dict(self._live.state) if self._live is not None else {}

    def __repr__(self) -> str:
        return f"Widget: {self.twin.alt}"

    def _repr_html_(self) -> str:
        data = self._json.replace("<", "\\u003c")  # nothing in it may end the script
        key = f"{self.name}-{hashlib.sha256(data.encode()).hexdigest()[:8]}"
        start = f'start("{key}", mount, {data});'
        return (
            f"<style>{style(self.name)}</style>\n{self._markup(key)}\n"  # never seen without it
            f"<script>\n(() => {{\n{_inner_code(self.name)}\n{start}\n}})();\n</script>"
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if self._live is None:
            self._live = self._view()
        if self._live is None:
            return bundle
        live = self._live._repr_mimebundle_() or {}
        live, metadata = live if isinstance(live, tuple) else (live, {})
        return {**live, **bundle}, metadata

    def _markup(self, key: str) -> str:
        """Return the element into which the module draws, with the twin in it."""
        return (
            f'<div class="mfl-widget" data-mfl="{key}"><div class="mfl-live" hidden></div>'
            f'<div class="mfl-twin">{self.twin._repr_html_()}</div></div>'
        )

    def _view(self):
        """Return the live view, or None where there is none: no kernel, no anywidget, in Colab."""
        if os.environ.get(STATIC) or "google.colab" in sys.modules or not _kernel_runs():
            return None
        view = _view_class(self.name)
        return view and view(data=self.data, markup=self._markup(self.name))


@functools.cache
def style(name: str) -> str:
    """Return a widget's style sheet: the book's colours, its own rules if any, and those of all."""
    colours = ";".join(f"--mfl-{name}:{colour}" for name, colour in _COLOURS.items())
    paths = [FOLDER / f"{name}.css", FOLDER / "widgets.css"]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
    return "\n".join([f".mfl-widget{{{colours}}}", *texts])


@functools.cache
def _code(name: str) -> str:
    return bundle(FOLDER / "parts" / "start.js", FOLDER / f"{name}.js")


def _inner_code(name: str) -> str:
    """Return the module as the body of a function, for a script that runs where it stands.

    A page reads on only after such a script. So what follows a widget comes when the widget has its
    height, whatever the font, and nothing moves; a module would wait until all has been shown.
    """
    return '"use strict";\n' + re.sub("^export ", "", _code(name), flags=re.MULTILINE)


def live_code(name: str) -> str:
    """Return the module as anywidget wants it, with a default export."""
    return f"{_code(name)}\nexport default {{ render: (view) => renderLive(view, mount) }};\n"


def _kernel_runs() -> bool:
    """Say whether this is the process of a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


@functools.cache
def _view_class(name: str):
    """Return the anywidget class of a module, or None where anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class View(anywidget.AnyWidget):
        _esm = live_code(name)
        _css = style(name)
        data = traitlets.Dict().tag(sync=True)
        markup = traitlets.Unicode().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    View.__name__ = f"View_{name}"  # anywidget tells style sheets and modules apart by it
    return View
