"""An environment with Colab's versions, made once, in .venv/colab-…"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(os.environ.get("COLAB_PINS", ROOT / "tests" / "colab_pins.txt"))


def shell(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} fails:\n{done.stdout}\n{done.stderr}"
    return done


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
            shell(folder / "bin" / "python", "-m", "pip", "install", "-q", "-r", PINS)
            (folder / "ready").touch()
    return folder
