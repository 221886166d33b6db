"""Pictures of the book: one palette, inline SVG that follows the page's colours, a real text each.

Each chapter's pictures are functions in the module of its name here; they return a `Picture`.
"""

import hashlib
import html
import io
import re
from dataclasses import dataclass

from memformer_lite.extras import extra

with extra("book"):
    import matplotlib
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Colours by meaning. All are mid-tones, at least 3:1 on white and on near-black, and differ in
# lightness or hue for colour-blind readers (after Okabe and Ito).
SLOTS = "#D55E00"
TOKENS = "#2E7EB8"
KEPT = "#0B8F6B"
WRITTEN = "#B4568F"
NEUTRAL = "#7A7F87"
# The four boxes A-D of the cards story; pictures also name them, never colour alone.
BOXES = {"A": "#C46A00", "B": "#3B7DD8", "C": "#128F5B", "D": "#A855A0"}
COLORMAP = "cividis"  # for weights from 0 to 1: readable in grey and by colour-blind readers
DIVERGING = "RdBu_r"  # for signed numbers around 0

_INK = "#010203"  # drawn as this, written as currentColor: text follows light and dark mode
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": NEUTRAL,
    "grid.alpha": 0.35,
}
INK = _INK


@dataclass(frozen=True, repr=False)
class Picture:
    """An SVG picture and the text that stands for it.

    Args:
        svg: the `<svg>` element.
        alt: what one sees and what follows from it, in two to four sentences.

    Raises:
        ValueError: `alt` is too short to tell what the picture shows.
    """

    svg: str
    alt: str

    def __post_init__(self):
        if len(self.alt.strip()) < 40:
            raise ValueError(f"alt={self.alt!r}: expected a description of at least 40 characters")

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"

    def _repr_html_(self) -> str:
        label = html.escape(self.alt, quote=True)
        svg = re.sub(r"<svg\b", f'<svg role="img" aria-label="{label}"', self.svg, count=1)
        return f'<figure class="picture">{svg}</figure>'


def ink_on(color) -> str:
    """Return near-black or white, whichever stands out more on `color`, in any form of matplotlib.

    The relative luminance is WCAG's. Pure black is never returned: SVG need not write its default
    colour, and the page could then recolour it.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#050505" if luminance > 0.179 else "#ffffff"


def canvas(width: float = 7.0, height: float = 3.0, *, rows: int = 1, columns: int = 1, **options):
    """Return a figure and its axes in the book's style, `width` × `height` inches.

    `options` go to `Figure.subplots`, for example `sharey=True` or `squeeze=False`.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def picture(figure: Figure, alt: str) -> Picture:
    """Turn a matplotlib figure into a `Picture`; the same figure gives the same bytes.

    Text in matplotlib's default "black" follows the page; say "#000000" where it must stay black.
    """
    for text in figure.findobj(Text):  # those added after `canvas` have matplotlib's defaults
        color = text.get_color()
        if isinstance(color, str) and color == "black":
            text.set_color(_INK)
    salt = hashlib.sha256(alt.encode()).hexdigest()[:8]  # keeps ids of two pictures apart
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # What would reach beyond the picture goes: its style sheet, and group ids, which repeat
    # between pictures. What would ignore the page goes too: its own font and fixed size.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(
        r' width="([\d.]+)pt" height="[\d.]+pt"', r' style="width: 100%; max-width: \1pt"', svg
    )
    svg = re.sub(re.escape(_INK), "currentColor", svg, flags=re.IGNORECASE)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    return Picture(svg=svg, alt=alt)
