"""Sphinx extension: what a page of the theme lacks, and what it need not load."""

import html
import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

SKIP_TO_CHAPTERS = (
    '<div class="skip-link to-chapters d-print-none">'
    '<a href="#pst-primary-sidebar">Skip to the list of chapters</a></div>'
)
DARK = 'matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"'
MODE = "document.documentElement.dataset.mode"
# What each page of the theme holds once, and what comes in its place.
MENDS = [
    # It draws icons that a site adds; the theme's own come from its style sheet and font.
    (r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>', ""),
    # The theme knows light and dark only when its script runs: the page would move and flash.
    (r'localStorage\.getItem\("theme"\) \|\| "auto"', f'{MODE} !== "auto" ? {MODE} : {DARK}'),
    (r'(<html [^>]*)data-theme="auto"', r'\1data-theme="light"'),  # without JavaScript
    # A bar with hidden buttons that would take the clicks of those above the text; empty, since
    # the theme measures it.
    (r'(<header id="pst-header"[^>]*>).*?(</header>)', r"\1\2"),
    # The list of chapters stands to the left and comes after the content: the tab key goes
    # through few buttons to the text. A second link leads to the chapters at once.
    (
        r'(<dialog id="pst-primary-sidebar-modal">.*?)(<main id="main-content".*</main>)',
        r"\2\n\1",
    ),
    (
        r'(<div id="pst-skip-link".*?href="#)main-content(">.*?</div>)',
        r"\1main-text\2" + SKIP_TO_CHAPTERS,
    ),
    (r'<(article class="bd-article|div class="bd-search-container)"', r'<\1" id="main-text"'),
]
# Scripts that no other script in the head waits for.
EAGER = re.compile(r'<script src="(?![^"]*documentation_options\.js)')
# A list whose entries are none, to a screen reader.
FALSE_ROLES = re.compile(r' role="(list(?=" class="citation)|doc-biblioentry)"')
UNUSED = (
    "_static/scripts/fontawesome.js",
    "_static/**/*.map",
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
    """Mend each page of the theme, and leave out the files that no page asks for."""
    site = Path(app.outdir)
    if error or app.builder.name != "html":
        return
    for file in [file for pattern in UNUSED for file in site.glob(pattern)]:
        file.unlink()
    for page in set(site.rglob("*.html")) - {site / "index.html"}:  # that one is a redirect
        text = page.read_text(encoding="utf-8")
        for pattern, new in MENDS:
            text, found = re.subn(pattern, new, text, flags=re.DOTALL)
            if found != 1:
                raise ExtensionError(f"{page}: expected once in a page of the theme: {pattern}")
        text = EAGER.sub('<script defer src="', FALSE_ROLES.sub("", text))
        page.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
