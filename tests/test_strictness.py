"""What `conftest.py` promises, seen from outside: a run that leaves something untested fails."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
WORKERS = [[], ["-n", "2"]]


@pytest.fixture
def project(tmp_path):
    """A folder with this conftest.py, a chapter and a test, all in order."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "_toc.yml").write_text("chapters:\n- file: book/01_x\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_a():\n    assert True\n")
    (tmp_path / "book").mkdir()
    write_chapter(tmp_path)
    return tmp_path


def write_chapter(project, source="print(value)", output="2\n", kind="stdout", tags=()):
    outputs = [new_output("stream", name=kind, text=output)] if output else []
    cell = new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})
    cells = [new_code_cell("value = 2"), cell]  # one kernel must run both
    nbformat.write(new_notebook(cells=cells), project / "book" / "01_x.ipynb")


def pytest_in(project, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "xdist"])
def test_a_run_in_order_passes(project, workers):
    for arguments in (["tests"], ["--nbval", "book"]):
        done = pytest_in(project, *arguments, *workers)
        assert done.returncode == 0, done.stdout
        assert "UNTESTED" not in done.stdout


WARNS = "import sys; _ = sys.stderr.write('2\\n')"


@pytest.mark.parametrize(
    ("chapter", "says"),
    [
        ({"output": "3\n"}, "Cell outputs differ"),
        ({"output": ""}, "Unexpected output fields"),
        ({"source": "x = 2"}, "Missing output fields"),
        ({"source": "print(2); 1 / 0"}, "ZeroDivisionError"),
        ({"source": WARNS, "kind": "stderr"}, "writes to stderr"),
        ({"source": WARNS, "tags": ["nbval-ignore-output"]}, "writes to stderr"),
        ({"tags": ["nbval-skip"]}, "UNTESTED"),
    ],
    ids=["changed", "new", "gone", "raises", "stderr", "stderr-unchecked", "skipped"],
)
def test_nbval_is_strict(project, chapter, says):
    write_chapter(project, **chapter)
    done = pytest_in(project, "--nbval", "book")
    assert done.returncode == 1 and says in done.stdout, done.stdout


def test_nbval_compares_text_and_no_pictures(project):
    source = "class P:\n    def _repr_html_(self): return str(id(self))\n"
    source += (
        "    def _repr_svg_(self): return str(id(self))\n    def __repr__(self): return 'text'\n"
    )
    for text, code in (("text", 0), ("other", 1)):
        output = new_output("execute_result", data={"text/plain": text})
        cell = new_code_cell(f"{source}P()", outputs=[output])
        nbformat.write(new_notebook(cells=[cell]), project / "book" / "01_x.ipynb")
        done = pytest_in(project, "--nbval", "book")
        assert done.returncode == code, done.stdout


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "xdist"])
def test_a_chapter_without_cells_does_not_pass(project, workers):
    (project / "_toc.yml").write_text("chapters:\n- file: book/01_x\n- file: book/02_y\n")
    done = pytest_in(project, "--nbval", "book", *workers)
    assert done.returncode == 1
    assert "no cell collected: book/02_y.ipynb" in done.stdout
    assert pytest_in(project, "--nbval", "book/01_x.ipynb", *workers).returncode == 0


UNTESTED = {
    "skip": "def test(): pytest.skip('no browser')",
    "module": "pytest.skip('no browser', allow_module_level=True)",
    "skipif": "@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "xfail": "@pytest.mark.xfail\ndef test(): assert False",
    "xpass": "@pytest.mark.xfail\ndef test(): assert True",
    "empty": "@pytest.mark.parametrize('x', [])\ndef test(x): pass",
}


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "xdist"])
def test_an_untested_test_does_not_pass(project, workers):
    for name, body in UNTESTED.items():
        (project / "tests" / f"test_{name}.py").write_text(f"import pytest\n{body}\n")
    done = pytest_in(project, "tests", *workers)
    assert done.returncode == 1
    named = re.findall(r"UNTESTED.*tests/test_(\w+)\.py", done.stdout)
    assert sorted(named) == sorted(UNTESTED), done.stdout


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "xdist"])
def test_tests_left_out_by_a_setting_do_not_pass_but_by_hand_they_do(project, workers):
    (project / "tests" / "test_b.py").write_text("def test_b():\n    assert True\n")
    (project / "pytest.ini").write_text("[pytest]\naddopts = -k test_a\n")
    done = pytest_in(project, "tests", *workers)
    assert done.returncode == 1 and "deselected: tests/test_b.py::test_b" in done.stdout
    assert pytest_in(project, "tests", "-k", "test_a", *workers).returncode == 0


def test_tests_that_were_not_reached_do_not_pass(project):
    body = "import pytest\ndef test_b(): pytest.exit('bye', returncode=0)\ndef test_c(): pass\n"
    (project / "tests" / "test_b.py").write_text(body)
    done = pytest_in(project, "tests")
    assert done.returncode == 1 and "not run: tests/test_b.py::test_c" in done.stdout
