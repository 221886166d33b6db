"""The chapters' files are in their normal form, and the tool that brings them there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "notebooks.py"
SETUP = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8").rstrip("\n")


def tool(*arguments):
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True)


def write(path, *cells):
    """A chapter with a title, as a program would leave it that knows nothing of this book."""
    notebook = new_notebook(cells=[new_markdown_cell("# 01 Title"), *cells])
    notebook.metadata |= {"widgets": {"state": "much"}, "book": {"question": "What?"}}
    nbformat.write(notebook, path)
    return path


def read(path):
    return nbformat.read(path, as_version=4)


def printed(*values):
    return new_code_cell("\n".join(f"print({value!r})" for value in values))


def test_every_chapter_is_normalised():
    done = tool("--check")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(".ipynb … ok") == len(list(ROOT.glob("book/*.ipynb")))


def test_check_names_a_file_that_is_not_normalised_and_leaves_it(tmp_path):
    path = write(tmp_path / "01_x.ipynb", printed(1))
    before = path.read_bytes()
    done = tool("--check", path)
    assert done.returncode == 1
    assert "01_x.ipynb … FAILS: not normalised" in done.stdout
    assert path.read_bytes() == before


def test_run_stores_text_outputs_and_nothing_else(tmp_path):
    picture = "class P:\n    def _repr_html_(self): return '<b>x</b>'\n"
    picture += "    def __repr__(self): return 'Picture: a letter'\nP()"
    path = write(tmp_path / "01_x.ipynb", printed("a", "b"), new_code_cell(picture))
    assert tool(path).returncode == 0
    notebook = read(path)
    _, _, prints, shown = notebook.cells
    assert prints.outputs == [new_output("stream", name="stdout", text="a\nb\n")]
    assert [o.data for o in shown.outputs] == [{"text/plain": "Picture: a letter"}]
    assert all(cell.execution_count is None for cell in notebook.cells[1:])
    assert set(notebook.metadata) == {"book", "kernelspec", "language_info"}
    assert tool("--check", path).returncode == 0
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert tool(path).returncode == 0
    assert path.read_bytes() == content, "a second run changes the file"


def test_the_chapter_runs_in_an_empty_folder_with_this_package(tmp_path):
    code = "import os, memformer_lite\nfrom pathlib import Path\n"
    code += f"assert not os.listdir()\nassert Path({str(ROOT)!r}) in Path("
    path = write(tmp_path / "01_x.ipynb", new_code_cell(code + "memformer_lite.__file__).parents"))
    done = tool(path)
    assert done.returncode == 0, done.stdout


def test_prints_that_came_in_pieces_become_one(tmp_path):
    pieces = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    path = write(tmp_path / "01_x.ipynb", new_code_cell("print(1)", outputs=pieces))
    assert tool("--stamp", path).returncode == 0
    assert [output.text for output in read(path).cells[2].outputs] == ["a\nb\n"]


@pytest.mark.parametrize("place", ["missing", "second", "later"])
def test_stamp_puts_the_setup_cell_second_and_runs_nothing(tmp_path, place):
    old = new_code_cell("# setup", metadata={"tags": ["remove-cell"]})
    cells = [new_code_cell("1 / 0")]
    if place != "missing":
        cells.insert(0 if place == "second" else 1, old)
    path = write(tmp_path / "01_x.ipynb", *cells)
    assert tool("--stamp", path).returncode == 0
    sources = [cell.source for cell in read(path).cells]
    assert sources == ["# 01 Title", SETUP, "1 / 0"]
    assert read(path).cells[1].metadata == {"tags": ["remove-cell"]}


def test_solution_is_folded_and_unchecked_output_is_dropped(tmp_path):
    solution = new_code_cell("# @title Solution of 1.1\nx = 1")
    timed = new_code_cell("print(7)", metadata={"tags": ["nbval-ignore-output", "build"]})
    path = write(tmp_path / "01_x.ipynb", solution, timed)
    assert tool(path).returncode == 0
    _, _, solution, timed = read(path).cells
    assert solution.metadata.tags == ["hide-cell"]
    assert solution.metadata.mystnb.code_prompt_show == "Show solution"
    assert solution.metadata.jupyter == {"source_hidden": True}
    assert solution.metadata.cellView == "form"
    assert timed.metadata.tags == ["build", "nbval-ignore-output"]
    assert timed.outputs == []


def test_code_is_laid_out_in_the_width_of_a_chapter(tmp_path):
    longest = f"value = '{'x' * 76}'"  # 86 columns
    path = write(tmp_path / "01_x.ipynb", new_code_cell(f"{longest}; print( value )"))
    assert tool("--stamp", path).returncode == 0
    assert read(path).cells[2].source == longest.replace("'", '"') + "\nprint(value)"
    path = write(tmp_path / "01_x.ipynb", new_code_cell("call(" + "argument, " * 9 + "1)"))
    assert tool("--stamp", path).returncode == 0
    assert "\n    argument,\n" in read(path).cells[2].source, "more than 88 columns in one line"


def test_code_that_is_not_python_is_named(tmp_path):
    path = write(tmp_path / "01_x.ipynb", new_code_cell("print(…)"))
    done = tool("--stamp", path)
    assert done.returncode == 1
    assert "its code cannot be formatted" in done.stdout and "chapter.ipynb:3:" in done.stdout


def test_cell_ids_differ_and_survive_an_edit_elsewhere(tmp_path):
    twins = [printed(1), printed(1), printed(2)]
    one = write(tmp_path / "01_x.ipynb", *twins)
    other = write(tmp_path / "02_x.ipynb", new_markdown_cell("Before."), *twins)
    assert tool("--stamp", one, other).returncode == 0
    ids = [cell.id for cell in read(one).cells]
    assert len(set(ids)) == len(ids)
    assert ids[2:] == [cell.id for cell in read(other).cells][3:]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError"),
        ("import warnings\nwarnings.warn('old')", "cell 3 writes to stderr"),
        ("object()", "cell 3 prints '0x"),
        ("print('/home/me/x')", "cell 3 prints '/home/m'"),
        ("import os\nos._exit(1)", "kernel"),
    ],
    ids=["fails", "warns", "address", "path", "dies"],
)
def test_a_cell_that_does_not_fit_is_named_and_the_old_file_stays(tmp_path, code, says):
    bad = write(tmp_path / "01_bad.ipynb", new_code_cell(code))
    good = write(tmp_path / "02_good.ipynb", printed(1))
    before = bad.read_bytes()
    done = tool(bad, good)
    assert done.returncode == 1
    assert "[1/2] 01_bad.ipynb … FAILS" in done.stdout and says in done.stdout, done.stdout
    assert "[2/2] 02_good.ipynb … ok" in done.stdout
    assert bad.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["01_bad.ipynb", "02_good.ipynb"]


def test_an_interrupted_run_leaves_the_old_file(tmp_path):
    started = tmp_path / "started"
    wait = f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(100)"
    path = write(tmp_path / "01_x.ipynb", new_code_cell(wait))
    before = path.read_bytes()
    process = subprocess.Popen([sys.executable, TOOL, path], start_new_session=True)
    for _ in range(300):
        if started.exists():
            break
        time.sleep(0.1)
    assert started.exists(), "the cell did not start within 30 seconds"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["01_x.ipynb", "started"]


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    import notebooks

    path = tmp_path / "01_x.ipynb"
    path.write_bytes(b"old")
    monkeypatch.setattr(notebooks.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        notebooks.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_cells_tagged_as_setup_are_refused(tmp_path):
    tagged = [new_code_cell(c, metadata={"tags": ["remove-cell"]}) for c in ("a = 1", "b = 2")]
    path = write(tmp_path / "01_x.ipynb", *tagged)
    done = tool("--stamp", path)
    assert done.returncode == 1 and "2 cells are tagged remove-cell" in done.stdout


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    path = tmp_path / "01_x.ipynb"
    path.write_text("{}")
    assert tool("--check", path).returncode == 1
    assert tool("--check", tmp_path / "02_missing.ipynb").returncode == 1
