"""Rules on a chapter's words: glossary, new terms, links."""

import re
from urllib.parse import urlsplit

from book_rules.chapter import ROOT, rule, without_code, without_formulas

# Of the words that the glossary excludes, these have no other use in this book. "Block", "window",
# "cell", "context" and "memory" are right in some sentences (a code cell, a window of attention,
# the argument `context`), so they are excluded only in company, or left to the reviewer.
EXCLUDED = {
    r"chunk(s|ed|ing)?": "segment",
    r"registers?": "slot",
    r"memory (cell|block|register)s?": "slot",
    r"(text|token) blocks?": "segment",
    r"attention logits?": "scores",
}
BOLD = re.compile(r"\*\*(?!\s)(.+?)(?<!\s)\*\*", re.S)


def glossary():
    """The terms of the glossary in lower case; a row may name several, with commas between."""
    text = (ROOT / "book" / "appendix" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| *(.+?) *\|", text.partition("## Terms")[2], re.M)[2:]
    return [[re.sub(r"[`*]", "", name).strip().lower() for name in r.split(",")] for r in rows]


def new_terms(chapter):
    """Bold words that are not labels, with the number of their cell."""
    for cell in chapter.texts:
        for found in BOLD.findall(without_formulas(without_code(cell.source))):
            term = " ".join(found.split())
            if not term.endswith((".", ":", "?", "!")):
                yield cell.number, term.lower()


@rule
def one_word_one_thing(chapter):
    """No word that the glossary replaces, in text or comment."""
    for cell in chapter.cells:
        text = without_code(cell.source)
        if cell.is_code:
            text = "\n".join(re.findall(r"#(.*)", "" if cell.is_setup else cell.source))
        for excluded, instead in EXCLUDED.items():
            for found in re.finditer(rf"\b{excluded}\b", text, re.I):
                yield f"cell {cell.number}: says {found[0]!r}, the book's word is {instead!r}"


@rule
def terms(chapter):
    """A new term is bold once and stands in the glossary."""
    known = {name for row in glossary() for name in row}
    seen = set()
    for number, term in new_terms(chapter):
        if term in seen:
            yield f"cell {number}: **{term}** is bold a second time"
        elif term not in known:
            yield f"cell {number}: **{term}** is not in the glossary (a label ends in . or :)"
        seen.add(term)


@rule
def links(chapter):
    """Links lead to pages of this book that exist, or to https addresses."""
    for cell in chapter.texts:
        for target in re.findall(r"\]\(<?([^)>\s]*)>?\)", without_code(cell.source)):
            url = urlsplit(target)
            if url.scheme:
                host = url.hostname or ""
                if url.scheme != "https" or "." not in host or host.startswith("example."):
                    yield f"cell {cell.number}: {target} is not an https address"
            elif not url.path:
                yield f"cell {cell.number}: {target!r} should name a page"
            elif not (ROOT / "book" / url.path).is_file():
                yield f"cell {cell.number}: {target} does not exist"


@rule
def no_pictograms(chapter):
    """No emoji."""
    for cell in chapter.cells:
        if found := re.search(r"[\U0001F000-\U0001FAFF\u2600-\u26FF\uFE0F]", cell.source):
            yield f"cell {cell.number}: has {found[0]!r}"
