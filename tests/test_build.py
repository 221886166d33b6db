"""Building the site fails loudly: each fault is planted in a small book and must end the build."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.spread
TOC = """format: jb-book
root: book/index
chapters:
  - file: book/chapter
"""
INDEX = """# A small book

This page leads to [the chapter](chapter.ipynb) and has a formula, $a < b$.

```{widget} Lamp
```
"""
WIDGETS = """__all__ = ["Lamp"]


class Lamp:
    example = classmethod(lambda cls: cls())

    def _repr_html_(self):
        return "<p>The lamp is on.</p>"
"""


@pytest.fixture
def tree(tmp_path):
    """A small book with the project's own configuration and tools, and a package of its own."""
    for name in ("_config.yml", "requirements.txt", "constraints.txt", "references.bib"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("assets", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book" / "index.md").write_text(INDEX)
    (tmp_path / "memformer_lite").mkdir()
    (tmp_path / "memformer_lite" / "__init__.py").write_text("ANSWER = 'first answer'\n")
    (tmp_path / "memformer_lite" / "widgets.py").write_text(WIDGETS)
    write_chapter(tmp_path, "import memformer_lite\n\nmemformer_lite.ANSWER")
    return tmp_path


def write_chapter(tree, code):
    title = new_markdown_cell("# A chapter\n\nIt shows what the package says.")
    cells = [title, new_code_cell(code)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tree / "book" / "chapter.ipynb")


def build(tree):
    """The build's exit status and all that it says."""
    command = [sys.executable, str(tree / "tools" / "build_site.py")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def test_a_good_book_is_built_and_follows_its_package(tree):
    config = (tree / "_config.yml").read_text(encoding="utf-8")
    config = config.replace('  url: ""', '  url: "https://github.com/owner/repo"')
    config = config.replace('colab_url: ""', 'colab_url: "https://colab.research.google.com"')
    (tree / "_config.yml").write_text(config, encoding="utf-8")
    status, said = build(tree)
    assert status == 0, said
    assert "_build/html/index.html" in said and "http.server" in said
    html = tree / "_build" / "html"
    chapter = (html / "book" / "chapter.html").read_text(encoding="utf-8")
    assert "first answer" in chapter
    assert "Executing notebook" not in said, "it runs before, on all cores"
    assert "colab.research.google.com/github/owner/repo/blob/main/book/chapter.ipynb" in chapter
    assert "<p>The lamp is on.</p>" in (html / "book" / "index.html").read_text(encoding="utf-8")
    index = (html / "index.html").read_text(encoding="utf-8")
    assert '<html lang="en">' in index and "<title>" in index and 'href="book/index.html"' in index

    (tree / "memformer_lite" / "__init__.py").write_text("ANSWER = 'second answer'\n")
    status, said = build(tree)
    assert status == 0, said
    assert "second answer" in (html / "book" / "chapter.html").read_text(encoding="utf-8")


def test_a_page_that_is_not_there_ends_the_build(tree):
    (tree / "_toc.yml").write_text(TOC + "  - file: book/lost\n")
    status, said = build(tree)
    assert status == 1 and "do not exist: book/lost" in said


def test_an_unknown_widget_ends_the_build(tree):
    (tree / "book" / "index.md").write_text(INDEX.replace("Lamp", "Candle"))
    status, said = build(tree)
    assert status == 1 and "widget='Candle': expected one of Lamp" in said


def test_a_failing_cell_ends_the_build(tree):
    write_chapter(tree, "1 / 0")
    status, said = build(tree)
    assert status == 1 and "ZeroDivisionError" in said


def test_what_a_cell_writes_to_stderr_ends_the_build(tree):
    write_chapter(tree, "import warnings\n\nwarnings.warn('old')")
    status, said = build(tree)
    assert status == 1 and "stderr was found in the cell outputs" in said


FAULTS = {  # on a page -> what the warning says
    "A [link](nowhere.md).": "nowhere.md",
    "$$\n\\begin{tikzcd} a \\end{tikzcd}\n$$": "unknown environment tikzcd",
    "A formula $\\frac{a}$.": "an argument is missing",
    "A formula $\\unknown{a}$.": "cannot render \\unknown",
}


def test_warnings_end_the_build_and_each_is_told(tree):
    (tree / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tree / "book" / "index.md").write_text("\n\n".join(["# A small book", *FAULTS]) + "\n")
    status, said = build(tree)
    assert status == 1
    for named in FAULTS.values():
        assert re.search(rf"WARNING: .*{re.escape(named)}", said), said
