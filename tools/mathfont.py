"""Sphinx extension: the formulas' font, cut at build time from DejaVu Serif as matplotlib ships it.

Browsers stretch braces and sums only with a font that has an OpenType MATH table, and many systems
have none. The font comes inside a style sheet, which only pages with formulas load, and is read
before their text is laid out: nothing moves when a font arrives.
"""

import base64
import io
from pathlib import Path

from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib import get_data_path

CHARACTERS = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x100),
    *range(0x300, 0x340),  # accents
    *range(0x391, 0x3F6),  # Greek
    *range(0x2000, 0x2070),  # dashes, primes, bars
    *range(0x2100, 0x2150),  # letterlike
    *range(0x2190, 0x2200),  # arrows
    *range(0x2200, 0x2400),  # operators, fences
    *range(0x239B, 0x23B4),  # pieces of tall fences
    *range(0x27E6, 0x27F0),
    *range(0x1D400, 0x1D800),  # letters of mathematics
)
# One-letter identifiers are set in these; DejaVu has the Latin italics but no Greek ones.
ITALIC_GREEK = ((0x1D6E2, 0x391, 25), (0x1D6FC, 0x3B1, 25))

SHEET = "math.css"
# DejaVu leaves these at 0, so that scripts and limits would stand on the line; here in ems.
HEIGHTS = {
    "SubscriptShiftDown": 0.2,
    "SubscriptBaselineDropMin": 0.2,
    "SuperscriptShiftUp": 0.36,
    "SuperscriptShiftUpCramped": 0.29,
    "SuperscriptBaselineDropMax": 0.25,
    "SuperscriptBottomMin": 0.12,
    "FractionNumeratorShiftUp": 0.45,
    "FractionNumeratorDisplayStyleShiftUp": 0.68,
    "FractionDenominatorShiftDown": 0.45,
    "FractionDenominatorDisplayStyleShiftDown": 0.69,
    "UpperLimitGapMin": 0.11,
    "UpperLimitBaselineRiseMin": 0.2,
    "LowerLimitGapMin": 0.17,
    "LowerLimitBaselineDropMin": 0.6,
}


FACE = '@font-face{font-family:"Memformer Math";src:url(data:font/woff;base64,%s) format("woff")}'
LOAD = """document.fonts.load('1em "Memformer Math"');"""  # before the text is laid out


def load_font(app, page, template, context, doctree):
    """Let a page with formulas load the font."""
    if doctree and next(doctree.findall(lambda n: isinstance(n, nodes.math | nodes.math_block)), 0):
        app.add_css_file(SHEET)
        app.add_js_file(None, body=LOAD)


def write_font(app, error):
    """Write the font's style sheet."""
    if error or app.builder.name != "html":
        return
    font = TTFont(Path(get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf"))
    for table in font["cmap"].tables:
        if table.format == 12:  # the one that reaches beyond the first 65,536 characters
            for italic, upright, count in ITALIC_GREEK:
                for i in range(count):
                    if upright + i in table.cmap:
                        table.cmap.setdefault(italic + i, table.cmap[upright + i])
    constants = font["MATH"].table.MathConstants
    for name, ems in HEIGHTS.items():
        getattr(constants, name).Value = round(ems * font["head"].unitsPerEm)
    constants.ScriptPercentScaleDown = 72
    options = subset.Options(flavor="woff", layout_features=["ssty", "kern", "mark", "mkmk"])
    options.drop_tables.append("FFTM")  # FontForge's time stamps
    cut = subset.Subsetter(options)
    cut.populate(unicodes=CHARACTERS)
    cut.subset(font)
    woff = io.BytesIO()
    subset.save_font(font, woff, options)
    text = FACE % base64.b64encode(woff.getvalue()).decode()
    Path(app.outdir, "_static", SHEET).write_text(text, encoding="utf-8")


def setup(app):
    app.connect("html-page-context", load_font)
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
