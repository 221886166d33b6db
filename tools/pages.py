"""Sphinx extension: what the theme leaves out of a page's head, and what it need not load."""

import html
import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

# Draws icons that a site adds; the theme's own icons come from its style sheet and font.
ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
# A list whose entries are none, to a screen reader.
FALSE_ROLES = re.compile(r' role="(list(?=" class="citation)|doc-biblioentry)"')
UNUSED = (
    "_static/scripts/fontawesome.js",
    "_static/**/*.map",
    "_static/**/*.ttf",
    "_static/*.html",
)


def describe(app, page, template, context, doctree):
    """Give the page a description: the beginning of its first paragraph."""
    if doctree is None:
        text = f"{context.get('title', page).capitalize()} of the book {app.config.html_title}."
    else:
        paragraphs = (" ".join(p.astext().split()) for p in doctree.findall(nodes.paragraph))
        text = next((p for p in paragraphs if len(p) > 40), context["title"])
    text = html.escape(textwrap.shorten(text, 160, placeholder=" …"), quote=True)
    tag = f'\n<meta name="description" content="{text}">'
    context["metatags"] = context.get("metatags", "") + tag


def finish(app, error):
    """Leave out a script of half a megabyte, files that no page asks for, and false roles."""
    site = Path(app.outdir)
    if error or app.builder.name != "html":
        return
    for file in [file for pattern in UNUSED for file in site.glob(pattern)]:
        file.unlink()
    for page in set(site.rglob("*.html")) - {site / "index.html"}:  # that one is a redirect
        text, found = ICON_SCRIPT.subn("", page.read_text(encoding="utf-8"))
        if not found:
            raise ExtensionError(f"{page}: the theme no longer loads its icon script")
        page.write_text(FALSE_ROLES.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
