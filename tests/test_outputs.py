"""The outputs in the chapters' files are what their cells gave when `make book` ran them.

It ran each chapter from first cell to last in a new kernel, with this tree's package, and keeps
what they gave as long as neither the cells nor what they run on change.
"""

import nbformat
import pytest
import yaml
from jupyter_cache import get_cache
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.build_site import BUILD, CACHE, ROOT, fingerprint, pages, source
from tools.normal_form import Unfit, normalise

PAGES = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
CHAPTERS = [path for page in PAGES if (path := source(page)).suffix == ".ipynb"]
STALE = "no run of it in _build: run `make book` first"


def texts(notebook):
    """What each code cell shows: kind and text of its outputs."""
    return [
        [(output.output_type, output.get("text") or output.data) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def disagreements(committed, given):
    """The cells whose committed outputs are not those that they gave."""
    pairs = zip(texts(committed), texts(normalise(given)), strict=True)
    for number, (here, there) in enumerate(pairs, 1):
        if here != there:
            yield f"code cell {number} is committed with {here} and gave {there}"


def test_what_the_cells_run_on_is_what_the_site_was_built_with():
    mark = BUILD / "fingerprint"
    assert mark.is_file() and mark.read_text() == fingerprint(), STALE


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_shows_what_its_cells_gave(path):
    committed = nbformat.read(path, as_version=4)
    try:
        _, given = get_cache(CACHE).merge_match_into_notebook(committed)
    except KeyError:
        pytest.fail(STALE)
    assert list(disagreements(committed, given)) == []


def chapter(*outputs, tags=()):
    """A chapter of one cell, after its title, that gave these outputs."""
    cell = new_code_cell("print(2)", outputs=list(outputs), metadata={"tags": list(tags)})
    return new_notebook(cells=[new_markdown_cell("# 01 Title"), cell])


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def value(**data):
    names = {"text": "text/plain", "html": "text/html", "svg": "image/svg+xml"}
    return new_output("execute_result", data={names[name]: data[name] for name in data})


TWO = normalise(chapter(printed("2\n")))


@pytest.mark.parametrize(
    "given", [[printed("3\n")], [], [printed("2\n"), value(text="2")], [value(text="2\n")]]
)
def test_a_cell_that_gives_something_else_is_named(given):
    (said,) = disagreements(TWO, chapter(*given))
    assert said.startswith("code cell 2 is committed with [('stream', '2\\n')] and gave")


@pytest.mark.parametrize("tags", [[], ["nbval-ignore-output"]])
@pytest.mark.parametrize(
    ("output", "says"),
    [
        (printed("old", name="stderr"), "writes to stderr"),
        (new_output("error", ename="ZeroDivisionError", evalue="0"), "ends in ZeroDivisionError"),
    ],
)
def test_warnings_and_errors_are_refused_also_where_nothing_is_compared(output, says, tags):
    with pytest.raises(Unfit, match=says):
        list(disagreements(TWO, chapter(output, tags=tags)))


def test_texts_are_compared_and_pictures_are_not():
    committed = normalise(chapter(value(text="a picture", html="<b>1</b>")))
    again = chapter(value(text="a picture", html="<b>2</b>", svg="<svg/>"))
    assert list(disagreements(committed, again)) == []
    (said,) = disagreements(committed, chapter(value(text="another", html="<b>1</b>")))
    assert "a picture" in said and "another" in said


def test_pieces_of_one_print_are_one():
    assert list(disagreements(TWO, chapter(printed("2"), printed("\n")))) == []
