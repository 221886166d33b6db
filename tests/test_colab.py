"""Each chapter as Colab runs it: alone in a folder, Colab's versions, the package not yet there.

The environment with Colab's versions is never changed: each test lays a fresh environment over it,
into which the chapter's setup cell installs the package.
"""

import os
import subprocess
import sys

import nbformat
import pytest
from colab_environment import PINS, ROOT, colab_environment, packages, shell
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.spread
SETUP = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def colab():
    return colab_environment()


@pytest.fixture
def run_alone(colab, wheel, tmp_path):
    """A function that runs one notebook; it returns the process and the folder's environment."""

    def run(notebook):
        fresh, folder = tmp_path / "fresh", tmp_path / "content"
        shell(sys.executable, "-m", "venv", "--without-pip", fresh)
        layers = [packages(colab), colab / "borrowed"]
        (packages(fresh) / "colab.pth").write_text("\n".join(map(str, layers)))
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
    folder = packages(environment)
    names = {path.name.partition("-")[0] for path in folder.glob("*.dist-info")}
    assert (folder / "memformer_lite" / "memformer.py").is_file(), "the setup cell did not install"
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


WIDGETS = """
from memformer_lite.learning.recipes import Recipe, Stage
from memformer_lite.learning.tasks import Cards
from memformer_lite.learning.train import Run
from memformer_lite.widgets import AttentionExplorer, BucketExplorer, MemoryExplorer

run = Run(Recipe(stages=(Stage(Cards(), steps=2, segments=(2, 2)),), dim=16, slots=3), seed=1)
losses = [run.advance() for _ in range(2)]
widgets = [BucketExplorer(), AttentionExplorer.of_cards(), MemoryExplorer(run.learner)]
for widget in widgets:
    display(widget)
"""
VIEWS = """
from memformer_lite.widgets.memory_explorer import pack

for widget in widgets:
    bundle, _ = get_ipython().display_formatter.format(widget)
    assert bundle["text/html"] == widget._repr_html_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == widget._live.model_id, "shown twice, it stays one view"
    state = widget._live.get_state()
    assert "export default { render" in state["_esm"] and ".mfl-widget" in state["_css"]
    assert state["data"] == widget.data and state["markup"]
assert widgets[-1].data["model"] == pack(run.learner), "not the model just trained"
"""
IN_COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
HTML_ALONE = """
for widget in widgets:
    bundle, _ = get_ipython().display_formatter.format(widget)
    assert set(bundle) == {"text/plain", "text/html"}, "Colab would fetch the view's code"
    assert widget.state == {}
"""


@pytest.mark.parametrize("codes", [[WIDGETS, VIEWS], [IN_COLAB + WIDGETS, HTML_ALONE]])
def test_widgets_of_a_model_just_trained(run_alone, monkeypatch, codes):
    """Not in Colab, its versions give live view and HTML in one output; in Colab the HTML."""
    monkeypatch.delenv("MEMFORMER_LITE_STATIC")
    done, _ = run_alone(new_notebook(cells=[new_code_cell(code) for code in [SETUP, *codes]]))
    assert done.returncode == 0, done.stderr


def test_the_versions_are_colabs(run_alone):
    pins = [line.split("==") for line in PINS.read_text().splitlines() if "==" in line]
    code = "import sys\nfrom importlib.metadata import version\n" + "\n".join(
        f"assert version({name!r}).split('+')[0] == {pinned!r}" for name, pinned in pins
    )
    done, _ = run_alone(new_notebook(cells=[new_code_cell(code)]))
    assert done.returncode == 0, done.stderr
