"""Rules on a chapter's shape: its sections, and the length and kind of its cells."""

import re
import statistics

from book_rules.chapter import (
    ROOT,
    rule,
    sentences,
    without_code,
    without_folds,
    without_formulas,
    words,
)

SETUP = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8").rstrip("\n")
SECTIONS = ["You need", "What can go wrong", "Exercises", "Summary", "Sources"]
TAGS = {"remove-cell", "build", "stub", "hide-cell", "nbval-ignore-output"}


def lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


@rule
def title(chapter):
    """It opens with its number and name, and then asks."""
    first = chapter.cells[0].source
    if not re.match(rf"# {chapter.number:02} \S", first):
        yield f"cell 1: should open with `# {chapter.number:02} Name`"
    if "?" not in first:
        yield "cell 1: should open with a question"
    if len(re.findall(r"^# ", without_code(chapter.markdown), re.M)) > 1:
        yield "has a second `# ` heading"


@rule
def sections(chapter):
    """The required sections stand there once, in order, and Sources comes last."""
    found = re.findall(r"^## (.+?)\s*$", without_code(chapter.markdown), re.M)
    for name in SECTIONS:
        if found.count(name) != 1:
            yield f"has {found.count(name)} sections `## {name}`, should have 1"
    if [name for name in found if name in SECTIONS] != SECTIONS or found[-1] != "Sources":
        yield f"sections should come in the order {SECTIONS}, the last one last; are {found}"


@rule
def summary(chapter):
    """The summary is three sentences (a second paragraph may lead on)."""
    text = re.split(r"\n\s*\n(?![-*\d])", chapter.section("Summary").strip())[0]
    count = len(list(sentences(text)))
    if count != 3:
        yield f"`## Summary` has {count} sentences, should have 3"


@rule
def length(chapter):
    """1,500 to 4,000 words."""
    count = words(without_formulas(chapter.markdown))
    if not 1500 <= count <= 4000:
        yield f"has {count} words, should have 1500 to 4000"


@rule
def setup_cell(chapter):
    """The second cell is the setup cell, the same in every chapter."""
    second = chapter.cells[1]
    if second.source != SETUP or second.tags != {"remove-cell"} or not second.is_code:
        yield "cell 2: is not tools/setup_cell.py, run `make notebooks`"


@rule
def tags(chapter):
    """No cell is left out of the tests."""
    for cell in chapter.cells:
        if cell.tags - TAGS:
            yield f"cell {cell.number}: tag {sorted(cell.tags - TAGS)} is not used in this book"
        if cell.is_code and re.search(r"#\s*(NBVAL_|PYTEST_)", cell.source):
            yield f"cell {cell.number}: a comment steers nbval; use the tag nbval-ignore-output"


@rule
def cell_lengths(chapter):
    """Code cells are short (blank lines not counted) and at most 88 columns wide."""
    for cell in chapter.code:
        limit = 30 if cell.tags & {"build", "hide-cell"} else 15
        if lines(cell) > limit:
            yield f"cell {cell.number}: has {lines(cell)} lines, at most {limit}"
        for line in cell.source.splitlines():
            if len(line) > 88:
                yield f"cell {cell.number}: has {len(line)} columns, at most 88: {line}"
    median = statistics.median(map(lines, chapter.code)) if chapter.code else 0
    if median > 8:
        yield f"the median code cell has {median} lines, at most 8"


@rule
def code_often(chapter):
    """At most 150 words between two code cells, and 250 before the first.

    What is folded away, formulas and tables do not count.
    """
    count, limit = 0, 250
    last = chapter.code[-1].number if chapter.code else len(chapter.cells)
    for cell in chapter.cells[:last]:
        if cell.is_setup:
            continue
        if cell.is_code:
            if count > limit:
                yield f"cell {cell.number}: {count} words since the last code cell, at most {limit}"
            count, limit = 0, 150
        else:
            text = without_formulas(without_folds(cell.source))
            count += words(re.sub(r"^\|.*$", "", text, flags=re.M))


@rule
def predictions(chapter):
    """The reader predicts before seeing: each `**Predict.**` is followed by a code cell."""
    asking = [cell for cell in chapter.texts if "**Predict.**" in cell.source]
    if not asking:
        yield "has no `**Predict.**`"
    for cell in asking:
        following = chapter.cells[cell.number : cell.number + 1]
        if not following or not following[0].is_code:
            yield f"cell {cell.number}: `**Predict.**` should be followed by the cell that tells"


@rule
def plain_markdown(chapter):
    """Only what Colab, GitHub and the site all show: no MyST, no pictures from files."""
    marks = {
        r"^```+\s*\{": "a MyST directive",
        r"^:::": "a MyST directive",
        r"\{[\w:+-]+\}`": "a MyST role",
        r"^\([\w-]+\)=\s*$": "a MyST label",
        r"^%": "a MyST comment",
        r"!\[|<img": "a picture that is not drawn by memformer_lite.figures",
    }
    for cell in chapter.texts:
        for mark, name in marks.items():
            if re.search(mark, cell.source, re.M):
                yield f"cell {cell.number}: has {name}"


@rule
def folds(chapter):
    """`<details>` are closed, and blank lines let their content be read as Markdown."""
    for cell in chapter.texts:
        opened = len(re.findall(r"<details\b", cell.source))
        right = r"^<details><summary>[^\n]+</summary>\n\n(?:(?!<details).)+?\n\n</details>$"
        if opened != len(re.findall(right, cell.source, re.M | re.S)):
            yield (
                f"cell {cell.number}: a fold should be `<details><summary>…</summary>`, a blank"
                " line, text, a blank line, `</details>`"
            )
