"""The setup cell where the package is missing, with pip replaced by a print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[1] / "tools" / "setup_cell.py"
SOURCE = SETUP.read_text(encoding="utf-8").rstrip("\n")
SHOW_PIP = "import subprocess\nsubprocess.run = lambda command, **_: print(*command[1:])\n"


def run(folder, address="", package=None):
    """Run the cell in a Python that has no packages, and so does not find memformer_lite."""
    code = SHOW_PIP + re.sub(r'(?m)^ADDRESS = ".*"$', f'ADDRESS = "{address}"', SOURCE)
    environment = {k: v for k, v in os.environ.items() if k != "MEMFORMER_LITE_PACKAGE"}
    if package:
        environment["MEMFORMER_LITE_PACKAGE"] = package
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_without_a_source_it_says_what_to_do(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: memformer_lite is missing: clone the project")


@pytest.mark.parametrize(
    ("address", "package", "source"),
    [
        ("https://host.invalid/a/b", None, "git+https://host.invalid/a/b"),
        ("", "x/memformer_lite.whl", "x/memformer_lite.whl"),
        ("https://host.invalid/a/b", "x/memformer_lite.whl", "x/memformer_lite.whl"),
    ],
    ids=["address", "package", "package-first"],
)
def test_it_installs_the_package_and_none_of_its_dependencies(tmp_path, address, package, source):
    done = run(tmp_path, address, package)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"-m pip install -qq --no-deps {source}\n"


def test_it_has_one_line_for_the_address():
    assert len(re.findall(r'(?m)^ADDRESS = ".*"$', SOURCE)) == 1


def test_it_is_short():
    lines = SOURCE.splitlines()
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 88
