# Installs memformer_lite where it is missing; every other package stays as it is.
import importlib.util
import os
import subprocess
import sys

ADDRESS = ""
SOURCE = os.environ.get("MEMFORMER_LITE_PACKAGE") or (ADDRESS and f"git+{ADDRESS}")
if not importlib.util.find_spec("memformer_lite"):
    if not SOURCE:
        way = "clone the project, run `make book` or `pip install --no-deps .` in it"
        raise ModuleNotFoundError(f"memformer_lite is missing: {way}")
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", SOURCE]
    subprocess.run(pip, check=True)
    importlib.invalidate_caches()
