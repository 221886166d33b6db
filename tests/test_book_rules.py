"""Each rule of the book accepts a good chapter, and rejects it with a fault planted."""

import re
from pathlib import Path

import pytest
from book_rules import RULES, Chapter
from book_rules.chapter import Cell
from book_rules.code import BUILT_IN, builds_its_module, public_names
from book_rules.form import SETUP

GOOD = Path(__file__).with_name("good_chapter.txt").read_text(encoding="utf-8")
NAMED = {rule.__name__: rule for rule in RULES}
SHOWS = "The picture shows it."
MANY = "\n".join(f"a = {number}" for number in range(12, 0, -1))

# Rule, text of the good chapter, what stands there instead, and a part of what the rule says.
FAULTS = [
    ("title", "# 01 A good", "# A good", "cell 1: should open with `# 01 Name`"),
    ("title", "fixed size?", "fixed size.", "cell 1: should open with a question"),
    ("title", "## By hand", "# By hand", "has a second `# ` heading"),
    ("sections", "## You need", "## Needed", "has 0 sections `## You need`"),
    ("sections", "## By hand", "## Summary", "has 2 sections `## Summary`"),
    ("sections", "## Sources", "## Sources\n\n## More", "the last one last"),
    ("summary", "A mean forgets.", "", "`## Summary` has 2 sentences"),
    ("length", "word word", "word", "words, should have 1500 to 4000"),
    ("length", "word word", "word " * 6, "words, should have 1500 to 4000"),
    ("setup_cell", "=== setup", "=== code build\n1\n=== setup", "cell 2: is not tools/setup_cell"),
    ("tags", "=== code build", "=== code nbval-skip", "cell 7: tag ['nbval-skip']"),
    ("tags", "=== code build", "=== code raises-exception", "cell 7: tag ['raises-exception']"),
    ("tags", "class Mean:", "class Mean:  # NBVAL_SKIP", "cell 7: a comment steers nbval"),
    ("cell_lengths", "sum(values)", MANY + "\nb = 1\nb", "cell 4: has 16 lines, at most 15"),
    ("cell_lengths", "self.total = 0", f"pass\n{MANY}\n{MANY}\n{MANY}", "cell 7: has 39 lines"),
    ("cell_lengths", "sum(values)", "sum(values)" + " " * 70 + "# more so", "cell 4: has 90 col"),
    ("cell_lengths", "=== code", f"=== code\n{MANY[:60]}", "the median code cell has 12.0 lines"),
    ("code_often", "Most readers say", "so " * 240, "cell 4: 309 words since the last code cell"),
    ("code_often", SHOWS, "so " * 151, "cell 6: 151 words since the last code cell, at most 150"),
    ("predictions", "**Predict.**", "", "has no `**Predict.**`"),
    (
        "predictions",
        "the three values?",
        "it?\n=== markdown\nSo.",
        "should be followed by the cell",
    ),
    ("plain_markdown", SHOWS, "```{note}\nSo.\n```", "cell 5: has a MyST directive"),
    ("plain_markdown", SHOWS, ":::{note}\nSo.\n:::", "cell 5: has a MyST directive"),
    ("plain_markdown", SHOWS, "See {ref}`slots`.", "cell 5: has a MyST role"),
    ("plain_markdown", SHOWS, "(slots)=", "cell 5: has a MyST label"),
    ("plain_markdown", SHOWS, "![four bars](bars.png)", "cell 5: has a picture that is not"),
    ("folds", "</summary>\n\nUse the plus", "</summary>\nUse the plus", "cell 8: a fold should"),
    ("folds", "plus sign.\n\n</details>", "plus sign.", "cell 8: a fold should be"),
    ("one_word_one_thing", SHOWS, "A chunk of text.", "cell 5: says 'chunk'"),
    ("one_word_one_thing", SHOWS, "Two memory cells.", "cell 5: says 'memory cells'"),
    ("one_word_one_thing", "# the mean", "# the registers", "cell 7: says 'registers'"),
    ("terms", SHOWS, "Again a **slot**.", "cell 5: **slot** is bold a second time"),
    ("terms", SHOWS, "A **flurb** is new.", "cell 5: **flurb** is not in the glossary"),
    ("links", "glossary.md", "glosary.md", "cell 1: appendix/glosary.md does not exist"),
    ("links", "https://arxiv", "http://arxiv", "is not an https address"),
    ("links", "https://arxiv.org", "https://example.org", "is not an https address"),
    ("links", "appendix/glossary.md", "#slots", "cell 1: '#slots' should name a page"),
    ("no_pictograms", SHOWS, "It works \U0001f680", "cell 5: has '\U0001f680'"),
    ("numbers", "37.5 %", "38.5 %", "cell 1: 38.5 % is in no code cell or output"),
    ("numbers", "1,024", "1,025", "cell 1: 1,025 is in no"),
    ("numbers", "2.5×", "2.6×", "cell 1: 2.6× is in no"),
    ("numbers", "$0.25$", "$0.35$", "cell 3: 0.35 is in no"),
    ("numbers", "$0.25$", "`0.35`", "cell 3: 0.35 is in no"),
    ("numbers", "$0.25$", "$3 \\cdot 10^{13}$", "cell 3: 13 is in no"),
    ("numbers", SHOWS, "So 13 of them stay.", "cell 5: 13 is in no"),
    ("numbers", SHOWS, "So 1,027 of them stay.", "cell 5: 1,027 is in no"),
    ("numbers", SHOWS, "It moves by 4e-16.", "cell 5: 4e-16 is in no"),
    ("numbers", "The paper claims 8.1", "It takes 8.1", "cell 3: 8.1 is in no"),
    ("numbers", "(https://arxiv.org/abs/2010.06891) it", "it", "cell 3: 99.9 % is in no"),
    ("three_exercises", "### Exercise 1.3", "### Question 1.3", "has 2 exercises"),
    ("three_exercises", "### Exercise 1.2", "### Exercise 1.4", "should be numbered 1.1, 1.2"),
    ("three_exercises", "## Exercises", "## Exercises\n\n## More", "stands outside of"),
    ("complete", "**Goal:** add", "To add", "Exercise 1.1 Add: has no **Goal:**"),
    ("complete", "15 minutes", "a while", "Exercise 1.2 Subtract: has no **Time:**"),
    ("complete", "●●●", "hard", "Exercise 1.3 Think: has no **Difficulty:**"),
    ("complete", "**Expected:** 7.", "Seven.", "Exercise 1.1 Add: has no **Expected:**"),
    ("complete", "<summary>Hint", "<summary>Help", "Exercise 1.1 Add: has no a fold `Hint`"),
    ("complete", "<summary>I get B", "<summary>If B", "has no a fold `I get …`"),
    ("complete", "=== code stub\nanswer", "=== code\nanswer", "should be the stub, tagged so"),
    ("complete", "answer_1_3 = ...", "answer_1_3 = 0", "with `...` in it"),
    ("complete", "# @title Solution of 1.2", "# @title Solution of 1.1", "Solution of 1.2`"),
    ("complete", 'check.exercise("1.2", ', 'check.exercise("1.1", ', "third cell should call"),
    (
        "solutions",
        "def add(a, b):\n    return",
        "def plus(a, b):\n    return",
        "Exercise 1.1 Add: the",
    ),
    ("solutions", "sum(values)", "# @title Solution of 1.1\nsum(values)", "outside of an exercise"),
    ("plain_python", "sum(values)", "!pip install torch", "cell 4: is not plain Python"),
    ("known_packages", "sum(values)", "import matplotlib.pyplot", "cell 4: imports matplotlib"),
    ("builds_its_module", "class Mean", "class MyAttention", "Attention, which chapter 03 builds"),
    (
        "builds_its_module",
        "def add(a, b):\n    return",
        "def my_top_k(a, b):\n    return",
        "builds top_k, which chapter 06 builds",
    ),
    ("pictures", "Picture: Four", "Four", "cell 6: draws a picture and does not show it"),
    ("pictures", "Four bars, of which one is high. ", "", "should be 2 to 4 sentences"),
    ("pictures", "=== markdown\n" + SHOWS, GOOD.partition(SHOWS)[2][:160], "was used before"),
    ("pictures", "\nnotebook(values)", "\nvalues", "has no picture"),
]


def chapter(text, name="01_good"):
    """Read the cells of `good_chapter.txt`, and fill it up to the length of a chapter."""
    cells = []
    for piece in re.split(r"^=== ", text, flags=re.M)[1:]:
        head, _, source = piece.partition("\n")
        kind, *tags = head.split()
        source = source.rstrip("\n")
        if kind == "output":
            cells[-1].outputs.append(source)
        elif kind == "setup":
            cells.append(Cell(len(cells) + 1, "code", SETUP, {"remove-cell"}))
        else:
            cells.append(Cell(len(cells) + 1, kind, source, set(tags)))
    return Chapter(name, cells)


GOOD += "word word\n" * 750


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_chapter_is_accepted(rule):
    assert list(rule(chapter(GOOD))) == []


@pytest.mark.parametrize(("name", "right", "wrong", "says"), FAULTS, ids=lambda value: value[:40])
def test_a_fault_is_found(name, right, wrong, says):
    assert right in GOOD
    faults = list(NAMED[name](chapter(GOOD.replace(right, wrong))))
    assert any(says in fault for fault in faults), faults


def test_every_rule_has_a_fault():
    assert {name for name, *_ in FAULTS} == set(NAMED)


def test_a_renewed_setup_cell_is_asked_for():
    old = chapter(GOOD)
    old.cells[1].source += "\n# an older line"
    assert list(NAMED["setup_cell"](old))


@pytest.mark.parametrize("number", BUILT_IN)
def test_a_chapter_must_build_each_piece_of_its_module(number):
    pieces = [name for module in BUILT_IN[number] for name in public_names(module)]
    text = "".join(f"=== code\ndef {name}(): pass\n" for name in pieces)
    assert not list(builds_its_module(chapter(text, f"{number:02}_x")))
    for name in pieces:
        less = text.replace(f"def {name}(", "def other(")
        assert f"does not build {name} " in "".join(
            builds_its_module(chapter(less, f"{number:02}_x"))
        )
