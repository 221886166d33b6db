"""What `conftest.py` promises, seen from outside: a run that leaves something untested fails."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.spread
WORKERS = [[], ["-n", "2"]]


@pytest.fixture
def project(tmp_path):
    """A folder with this conftest.py and settings, and a test, all in order."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_a():\n    assert True\n")
    return tmp_path


def pytest_in(project, *arguments):
    plain = ["-p", "no:cacheprovider", "-p", "no:nbval"]
    command = [sys.executable, "-m", "pytest", "-q", *plain, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "xdist"])
def test_a_run_in_order_passes(project, workers):
    done = pytest_in(project, "tests", *workers)
    assert done.returncode == 0 and "UNTESTED" not in done.stdout, done.stdout


NOTE = """import os, pytest
@pytest.mark.parametrize("i", range(4))
def test(i):
    open(f"{__file__}.{os.environ['PYTEST_XDIST_WORKER']}", "w").close()
"""


def test_the_tests_of_a_file_run_on_one_worker(project):
    for name in "bcd":
        (project / "tests" / f"test_{name}.py").write_text(NOTE)
    done = pytest_in(project, "tests", "-n", "2", "--dist", "loadgroup")
    assert done.returncode == 0, done.stdout + done.stderr
    notes = sorted(path.name.partition(".py.")[0] for path in project.glob("tests/*.py.gw*"))
    assert notes == ["test_b", "test_c", "test_d"], "a file's tests ran on both"


UNTESTED = {
    "skip": "def test(): pytest.skip('no browser')",
    "module": "pytest.skip('no browser', allow_module_level=True)",
    "skipif": "@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "xfail": "@pytest.mark.xfail\ndef test(): assert False",
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


FAULTY = {
    "xpass": ("@pytest.mark.xfail\ndef test(): assert True", "XPASS(strict)"),
    "warns": ("import warnings\ndef test(): warnings.warn('old')", "UserWarning: old"),
    "marker": ("@pytest.mark.solw\ndef test(): pass", "'solw' not found in `markers`"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_would_pass_by_default_does_not_pass(project, name):
    body, says = FAULTY[name]
    (project / "tests" / "test_b.py").write_text(f"import pytest\n{body}\n")
    done = pytest_in(project, "tests")
    assert done.returncode != 0 and says in done.stdout, done.stdout


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
