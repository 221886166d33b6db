"""What tests share: a browser for each worker, its font, and what is made once for all."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from colab_environment import ROOT, shell

torch.set_num_threads(1)  # small models: more threads only get in each other's way
os.environ["FONTCONFIG_FILE"] = str(ROOT / "tests" / "fonts.conf")  # of the browser


@pytest.fixture(scope="session")
def wheel(tmp_path_factory, testrun_uid) -> Path:
    """The package as a wheel, built from a copy, so that no file is left in the tree."""
    folder = tmp_path_factory.getbasetemp().parent / f"wheel-{testrun_uid}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait for the first one
        if not list(folder.glob("dist/*.whl")):
            shutil.copytree(ROOT / "memformer_lite", folder / "memformer_lite")
            for name in ("pyproject.toml", "README.md"):
                shutil.copy(ROOT / name, folder)
            command = ["pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", folder]
            shell(sys.executable, "-m", *command)
    (built,) = folder.glob("dist/memformer_lite-*.whl")
    return built


@pytest.fixture(scope="session")
def chromium():
    from browsing import launched  # most tests need no browser

    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def bench(chromium, tmp_path_factory):
    """A folder of pages with widgets, each of which opens in a tab of its own."""
    from widget_pages import Bench

    from tools.measure import served

    folder = tmp_path_factory.mktemp("pages")
    with served(folder) as address:
        yield Bench(chromium, folder, address)
