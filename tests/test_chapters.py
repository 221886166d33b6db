"""The lists of chapters in README and on the index page are written from the chapters."""

import importlib
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("chapters")


@pytest.fixture
def tree(tmp_path, tool, monkeypatch):
    """This book, and chapter 12 in its table of contents."""
    (tmp_path / "book").mkdir()
    for path in ["README.md", "_toc.yml", "book/index.md", *ROOT.glob("book/*.ipynb")]:
        shutil.copy(ROOT / path, tmp_path / (ROOT / path).relative_to(ROOT))
    toc = tmp_path / "_toc.yml"
    before, caption, after = toc.read_text().partition("  - caption: Appendix\n")
    toc.write_text(f"{before}      - file: book/12_speed\n{caption}{after}")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return tmp_path


def write(path, **said):
    cells = [nbformat.v4.new_markdown_cell("# 12 Speed\n\nWhy is it slow?")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"book": said}), path)


def test_both_lists_are_current(tool):
    assert tool.main(["--check"]) == 0


def test_a_new_chapter_is_listed_last_in_both_places(tool, tree):
    write(tree / "book" / "12_speed.ipynb", question="Why is it slow?", builds="a profile")
    assert "README.md, book/index.md: the list of chapters is not current" in tool.main(["--check"])
    assert tool.main([]) == 0 and tool.main(["--check"]) == 0
    for name, way in {"README.md": "book/", "book/index.md": ""}.items():
        rows = [row for row in (tree / name).read_text().splitlines() if ".ipynb) |" in row]
        assert rows[-1] == f"| [12 Speed]({way}12_speed.ipynb) | Why is it slow? | a profile |"
        assert len(rows) == 12


def test_a_chapter_that_says_too_little_is_named_and_nothing_written(tool, tree):
    before = (tree / "README.md").read_bytes()
    for said in ({}, {"question": "Why is it slow?"}, {"question": "", "builds": "a profile"}):
        write(tree / "book" / "12_speed.ipynb", **said)
        with pytest.raises(SystemExit, match=r'12_speed.ipynb: .*"question": ., "builds": .'):
            tool.main([])
    assert (tree / "README.md").read_bytes() == before


def test_a_page_without_a_place_for_the_list_is_named(tool, tree):
    write(tree / "book" / "12_speed.ipynb", question="Why is it slow?", builds="a profile")
    page = tree / "book" / "index.md"
    page.write_text(page.read_text().replace("<!-- /chapters -->", ""))
    assert tool.main([]).startswith("book/index.md: expected one list")
