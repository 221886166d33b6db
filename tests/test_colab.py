"""Each chapter as Colab runs it: alone in a folder, Colab's versions, the package not yet there.

The environment with Colab's versions is made once, in .venv/colab-…, and never changed: each test
lays a fresh environment over it, into which the chapter's setup cell installs the package.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(os.environ.get("COLAB_PINS", ROOT / "tests" / "colab_pins.txt"))
SETUP = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8")


def shell(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} fails:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def colab():
    """The folder of an environment with Colab's versions."""
    key = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".venv" / f"colab-{key}"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait for the first one
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shell(sys.executable, "-m", "venv", folder)
            shell(folder / "bin" / "python", "-m", "pip", "install", "-q", "-r", PINS)
            (folder / "ready").touch()
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The package as a wheel, built from a copy, so that no file is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "memformer_lite", folder / "memformer_lite")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    shell(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", folder)
    (built,) = (folder / "dist").glob("memformer_lite-*.whl")
    return built


def installed(environment):
    """The folder of installed packages, and the names of the distributions in it."""
    (packages,) = environment.glob("lib/python*/site-packages")
    return packages, {path.name.partition("-")[0] for path in packages.glob("*.dist-info")}


@pytest.fixture
def run_alone(colab, wheel, tmp_path):
    """A function that runs one notebook; it returns the process and the folder's environment."""

    def run(notebook):
        fresh, folder = tmp_path / "fresh", tmp_path / "content"
        shell(sys.executable, "-m", "venv", "--without-pip", fresh)
        packages, _ = installed(fresh)
        (packages / "colab.pth").write_text(str(installed(colab)[0]))
        folder.mkdir()
        nbformat.write(notebook, folder / "chapter.ipynb")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
            "JUPYTER_PATH": str(colab / "share" / "jupyter"),
            "MEMFORMER_LITE_PACKAGE": str(wheel),
        }
        command = [fresh / "bin" / "python", ROOT / "tests" / "run_alone.py", "chapter.ipynb"]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True
        ), fresh

    return run


@pytest.mark.parametrize("path", sorted(ROOT.glob("book/*.ipynb")), ids=lambda path: path.stem)
def test_chapter_runs_alone(run_alone, tmp_path, path):
    done, environment = run_alone(nbformat.read(path, as_version=4))
    assert done.returncode == 0, done.stderr
    packages, names = installed(environment)
    assert (packages / "memformer_lite" / "memformer.py").is_file(), (
        "the setup cell did not install"
    )
    assert names <= {"memformer_lite", "memformer"}, "a cell touches Colab's own packages"
    left = sorted(path.name for path in (tmp_path / "content").iterdir())
    assert left == ["chapter.ipynb"], "the chapter leaves files behind (use tempfile)"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings\nwarnings.warn('old')", "cell 2 writes to stderr"),
        ("import memformer_lite.check\nimport sphinx", "No module named 'sphinx'"),
    ],
    ids=["fails", "warns", "foreign"],
)
def test_a_faulty_chapter_is_noticed(run_alone, code, says):
    done, _ = run_alone(new_notebook(cells=[new_code_cell(SETUP), new_code_cell(code)]))
    assert done.returncode != 0 and says in done.stderr, done.stderr


def test_the_versions_are_colabs(run_alone):
    pins = [line.split("==") for line in PINS.read_text().splitlines() if "==" in line]
    code = "import sys\nfrom importlib.metadata import version\n" + "\n".join(
        f"assert version({name!r}).split('+')[0] == {pinned!r}" for name, pinned in pins
    )
    done, _ = run_alone(new_notebook(cells=[new_code_cell(code)]))
    assert done.returncode == 0, done.stderr
