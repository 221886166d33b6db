"""An environment with Colab's versions, made once, in .venv/colab-…"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(os.environ.get("COLAB_PINS", ROOT / "tests" / "colab_pins.txt"))


def shell(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} fails:\n{done.stdout}\n{done.stderr}"
    return done


def with_all_that_it_needs(name: str, known: dict) -> dict:
    """The installed packages that this one needs, itself included, by name."""
    if name not in known:
        try:
            known[name] = distribution(name)
        except PackageNotFoundError:  # of another system
            return known
        for line in known[name].requires or []:
            if "extra ==" not in line:
                with_all_that_it_needs(re.match(r"[\w.-]+", line)[0], known)
    return known


def packages(environment: Path) -> Path:
    """The folder into which pip installs."""
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def borrow_torch(environment: Path) -> None:
    """Lend an environment our torch, which is large; pip can put another one before it."""
    folder = environment / "borrowed"
    folder.mkdir()
    for package in with_all_that_it_needs("torch", {}).values():
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            (folder / top).symlink_to(package.locate_file(top))
    (packages(environment) / "borrowed.pth").write_text(str(folder))


def colab_environment() -> Path:
    """The folder of the environment; the first call takes minutes."""
    key = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".venv" / f"colab-{key}"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait for the first one
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shell(sys.executable, "-m", "venv", folder)
            borrow_torch(folder)
            pip = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--no-compile"]
            shell(*pip, "-r", PINS)
            (folder / "ready").touch()
    return folder
