"""Run the chapters and bring their files into the form that is committed.

python tools/notebooks.py [FILE …]           run, then normalise (default: all chapters)
python tools/notebooks.py --stamp [FILE …]   only normalise and renew the setup cell
python tools/notebooks.py --check [FILE …]   only name the files that are not normalised
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from normal_form import Unfit, dumps, normalise, stamp

ROOT = Path(__file__).resolve().parents[1]
SECONDS_PER_CELL = 300
FAULTS = (CellExecutionError, CellTimeoutError, DeadKernelError)  # what `run` may raise


def run(notebook):
    """Execute all cells in an empty folder, with the package of this tree."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = os.environ.get("OMP_NUM_THREADS", "1")  # models are small: more only get in the way
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": threads,
        "TQDM_DISABLE": "1",  # a progress bar is for who waits
        "MEMFORMER_LITE_STATIC": "1",  # a live widget would need its kernel
    }
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            record_timing=False,  # it would stand in the cells, and the cache not know them again
            resources={"metadata": {"path": empty}},
        )
        client.execute(env=env)


def replace(path, content):
    """Write the file whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def handle(path, mode):
    """Treat one file; return what is wrong with it, or None."""
    try:
        before = path.read_bytes()
        notebook = nbformat.reads(before.decode(), as_version=4)
        if mode == "run":
            stamp(notebook)
            run(notebook)
        content = dumps(normalise(notebook))
    except CellExecutionError as error:
        return "a cell fails\n" + re.sub(r"\x1b\[[\d;]*m", "", str(error))
    except (CellTimeoutError, DeadKernelError) as error:
        return f"a cell never ends, or kills the kernel\n{error}"
    except (Unfit, ValueError, OSError, nbformat.ValidationError) as error:
        return str(error)
    if content == before:
        return None
    if mode == "check":
        return "not normalised, run `make notebooks`"
    replace(path, content)
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: book/*.ipynb")
    parser.add_argument("--check", dest="mode", action="store_const", const="check", default="run")
    parser.add_argument("--stamp", dest="mode", action="store_const", const="stamp")
    options = parser.parse_args(arguments)
    files = options.files or sorted(ROOT.glob("book/*.ipynb"))
    if not files:
        parser.error("no chapters in book/")
    faults = 0
    for number, path in enumerate(files, 1):
        print(f"[{number}/{len(files)}] {path.name} …", end=" ", flush=True)
        start = time.monotonic()
        fault = handle(path, options.mode)
        faults += fault is not None
        print(f"FAILS: {fault}" if fault else f"ok, {time.monotonic() - start:.1f} s", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
