"""Sphinx extension: the theme's icons, cut at build time to those that the pages show.

The theme brings three fonts and a style sheet with rules for 1,800 icons; a page shows ten.
"""

import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.errors import ExtensionError

RULE = re.compile(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]+"\}')
FACE = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*\}")
OWN = re.compile(r'--pst-icon-[\w-]+:"(.)"')  # what style sheets themselves put beside words
CODE = re.compile(r'content:"\\(f[0-9a-f]{3})"')
NAME = re.compile(r"\bfa-[a-z0-9-]+")
NEW_FACE = (
    "@font-face{font-display:block;font-family:Font Awesome\\ 6 Free;font-style:normal;"
    'font-weight:900;src:url(../icons.woff) format("woff")}'
)


def cut_icons(app, error):
    """Write _static/icons.woff, and the theme's style sheet without the rules of other icons."""
    static = Path(app.outdir, "_static")
    if error or app.builder.name != "html":
        return
    sheet, fonts = static / "styles/pydata-sphinx-theme.css", static / "vendor/fontawesome/webfonts"
    text = sheet.read_text(encoding="utf-8")
    readers = [*Path(app.outdir).rglob("*.html"), *static.glob("scripts/*.js")]
    names = {name for file in readers for name in NAME.findall(file.read_text(encoding="utf-8"))}

    def keep(rule):
        return "" if names.isdisjoint(NAME.findall(rule[0])) else rule[0]

    text, rules = RULE.subn(keep, text)
    text, faces = FACE.subn("", text)
    if not rules or not faces:
        raise ExtensionError("the theme's icons are no longer where tools/icons.py expects them")
    sheet.write_text(text + NEW_FACE, encoding="utf-8")
    styles = "".join(file.read_text(encoding="utf-8") for file in static.rglob("*.css"))
    codes = [int(code, 16) for code in CODE.findall(styles)]
    font = TTFont(fonts / "fa-solid-900.ttf")
    options = subset.Options(flavor="woff", drop_tables=["FFTM"])
    cut = subset.Subsetter(options)
    cut.populate(unicodes=codes, text="".join(OWN.findall(styles)))
    cut.subset(font)
    subset.save_font(font, static / "icons.woff", options)
    for old in fonts.iterdir():
        old.unlink()


def setup(app):
    app.connect("build-finished", cut_icons, priority=600)  # after tools/pages.py
    return {"parallel_read_safe": True, "parallel_write_safe": True}
