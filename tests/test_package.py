"""The package as it is installed: nothing of it is left behind, and it says what it is."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import memformer_lite
from tools import lower_bounds

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_every_module_and_data_file(wheel):
    package = ROOT / "memformer_lite"
    there = {p.relative_to(ROOT).as_posix() for p in package.rglob("*") if p.is_file()}
    there = {name for name in there if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == there
    assert {f"memformer_lite/{part}" for part in ("py.typed", "widgets/widgets.css")} <= inside


def test_recording_is_imported_when_it_is_asked_for():
    """Most of an import's time went there, and a model that is not recorded needs none of it."""
    code = """
import sys
import memformer_lite
assert {"record", "Trace", "RecordedSegment"} <= set(dir(memformer_lite)), dir(memformer_lite)
assert "memformer_lite.inside" not in sys.modules
assert callable(memformer_lite.record) and "memformer_lite.inside" in sys.modules
from memformer_lite import *
print(Trace.__name__, RecordedSegment.__name__)
memformer_lite.unknown
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "Trace RecordedSegment\n", done.stderr
    assert "module 'memformer_lite' has no attribute 'unknown'" in done.stderr


def test_the_version_stands_in_one_place(wheel):
    assert wheel.name.split("-")[1] == memformer_lite.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_version_is_read_without_an_import(tmp_path):
    """A build has no torch: an import of the package would fail in it."""
    (tmp_path / "torch.py").write_text("raise ImportError('imported')")
    code = (
        "from setuptools.config.expand import read_attr; "
        f"print(read_attr('memformer_lite.__version__', root_dir={str(ROOT)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == memformer_lite.__version__, done.stderr


def test_lower_bounds_are_read_from_every_list():
    project = {
        "dependencies": ["torch>=2.4"],
        "optional-dependencies": {"a": ["tqdm>=4.66"], "b": ["memformer-lite[a]", "einops>=0.7"]},
    }
    assert lower_bounds.bounds(project) == ["einops==0.7", "torch==2.4", "tqdm==4.66"]


def test_each_requirement_has_one_version_in_the_constraints():
    """`make lock` was run since requirements.txt changed."""

    def pins(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {line.lower().replace("_", "-") for line in lines if "==" in line}

    assert pins("requirements.txt") <= pins("constraints.txt")
