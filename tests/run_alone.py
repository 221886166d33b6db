"""Run a notebook with this Python in the current folder; any error or warning ends it.

python run_alone.py NOTEBOOK
"""

import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
for number, cell in enumerate(notebook.cells, 1):
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            sys.exit(f"cell {number} writes to stderr:\n{output.text}")
