"""The book as it is committed: every chapter keeps every rule, and all parts fit together."""

import ast
import re
from collections import defaultdict
from itertools import pairwise

import pytest
import yaml
from book_rules import ROOT, RULES, Chapter
from book_rules.code import BUILT_IN
from book_rules.prose import glossary, new_terms

PACKAGE = ROOT / "memformer_lite"
FILES = sorted((ROOT / "book").glob("*.ipynb"))
CHAPTERS = [Chapter.read(path) for path in FILES]
BUILDING = [module for number in sorted(BUILT_IN) for module in BUILT_IN[number]]
# Each module of the model, then each folder: none imports from one that comes after it.
ROOMS = [*BUILDING, "learning", "inside", "experiments"]
SHARED = {"validation", "doors", "extras"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_rule(chapter, rule):
    broken = [f"\n  book/{chapter.name}.ipynb, {fault}" for fault in rule(chapter)]
    assert not broken, f"{rule.__doc__.splitlines()[0]}{''.join(broken)}"


def pages_of_the_toc():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


def test_toc_names_every_page_and_no_other():
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in FILES}
    texts = (ROOT / "book").rglob("*.md")
    pages |= {path.relative_to(ROOT).with_suffix("").as_posix() for path in texts}
    assert sorted(pages_of_the_toc()) == sorted(pages)


def test_chapters_are_numbered_in_the_order_of_the_toc():
    numbers = [int(n) for page in pages_of_the_toc() for n in re.findall(r"^book/(\d\d)_", page)]
    assert numbers == sorted(set(numbers))
    assert set(BUILT_IN) <= set(numbers), "a module of the package has no chapter"


def test_new_terms_are_bold_in_one_chapter():
    places = defaultdict(set)
    for chapter in CHAPTERS:
        for _, term in new_terms(chapter):
            places[term].add(chapter.name)
    twice = {term: sorted(names) for term, names in places.items() if len(names) > 1}
    assert not twice, f"bold in more than one chapter: {twice}"


def test_glossary_is_alphabetical_and_says_each_term_once():
    rows = glossary()
    assert len(rows) > 20, "the table of terms was not found"
    misplaced = [late[0] for early, late in pairwise(rows) if late[0] < early[0]]
    assert not misplaced, f"not in alphabetical order: {misplaced}"
    names = [name for row in rows for name in row]
    assert len(names) == len(set(names)), sorted(names)


@pytest.mark.parametrize("path", sorted((ROOT / "book").rglob("*.md")), ids=lambda p: p.name)
def test_links_of_the_other_pages(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(<?([^)>\s#]+)[^)]*\)", text)
    broken = [t for t in targets if "://" not in t and not (path.parent / t).is_file()]
    assert not broken, f"{path.name}: links to {broken}, which do not exist"


def test_readme_says_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("make book", "make test"):
        assert re.search(rf"^ *{command}\b|`{command}`", text, re.M), f"README.md: no `{command}`"


def imported(path):
    """The modules of this package that a file imports, anywhere in its text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{name.name}" for name in node.names]
            prefix = "memformer_lite." if node.level else ""
            yield from (prefix + name for name in names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_module_imports_none_of_a_later_chapter(room):
    allowed = {*ROOMS[: ROOMS.index(room)], *SHARED}
    files = [PACKAGE / f"{room}.py"]
    if (PACKAGE / room).is_dir():
        files, allowed = sorted((PACKAGE / room).glob("*.py")), allowed | {room}
    for path in files:
        ours = [name for name in imported(path) if name.startswith("memformer_lite.")]
        wrong = [name for name in ours if name.split(".")[1] not in allowed]
        assert not wrong, f"{path.name} imports {wrong}; it may import from {sorted(allowed)}"


def test_validation_imports_nothing_of_the_package():
    path = PACKAGE / "validation.py"
    assert not [name for name in imported(path) if name.startswith("memformer_lite")]
