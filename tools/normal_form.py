"""The one form in which a chapter is committed: code, text and text outputs, nothing else.

Nothing in it depends on the machine, the time or the number of runs.
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat

SETUP = Path(__file__).with_name("setup_cell.py")
STYLE = Path(__file__).parents[1] / "book" / "ruff.toml"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT = ("book",)  # what a chapter says of itself: see chapters.py
SOLUTION = "# @title Solution of "  # Colab shows this line of a folded cell
FOLDED = {  # in Colab, in JupyterLab, on the site
    "cellView": "form",
    "jupyter": {"source_hidden": True},
    "mystnb": {"code_prompt_hide": "Hide solution", "code_prompt_show": "Show solution"},
}
MACHINE = re.compile(r"0x[0-9a-f]{6,}|(?<![\w./])/(tmp|home|root|Users|work|usr|opt|content)/\w")


class Unfit(Exception):
    """The notebook cannot be brought into its normal form; the author must mend it."""


def stamp(notebook):
    """Put the setup cell second, in place of the cell tagged `remove-cell`."""
    old = [cell for cell in notebook.cells if "remove-cell" in cell.metadata.get("tags", [])]
    if len(old) > 1:
        raise Unfit(f"{len(old)} cells are tagged remove-cell; only the setup cell may be")
    setup = nbformat.v4.new_code_cell(SETUP.read_text(encoding="utf-8").rstrip("\n"))
    setup.metadata["tags"] = ["remove-cell"]
    notebook.cells = [cell for cell in notebook.cells if cell not in old]
    notebook.cells.insert(1, setup)


def formatted(notebook):
    """Return the notebook with its code laid out by `ruff format`, in the width of a chapter."""
    command = [sys.executable, "-m", "ruff", "format", "--no-cache", "--config", STYLE]
    done = subprocess.run(
        [*command, "--stdin-filename", "chapter.ipynb", "-"],
        input=nbformat.writes(notebook),
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise Unfit(f"its code cannot be formatted:\n{done.stderr}")
    return nbformat.reads(done.stdout, as_version=4)


def normalise(notebook):
    """Return the normal form of a notebook: a pure function of its cells and their outputs."""
    notebook = nbformat.from_dict(notebook)
    stamp(notebook)
    notebook = formatted(notebook)
    said = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(METADATA | said)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    seen = set()
    for number, cell in enumerate(notebook.cells, 1):
        tags = set(cell.metadata.get("tags", []))
        cell.source = cell.source.strip("\n")
        cell.metadata = nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = text_outputs(cell, f"cell {number}")
            if tags & {"nbval-ignore-output", "remove-cell"}:
                cell.outputs = []  # nothing compares them, so nothing may rely on them
            if cell.source.startswith(SOLUTION):
                tags = {"hide-cell"}
                cell.metadata = nbformat.from_dict(FOLDED)
        if tags:
            cell.metadata["tags"] = sorted(tags)
        cell.id = identifier(cell, seen)
    return notebook


def text_outputs(cell, place):
    """Return what the cell printed and its values as plain text; neighbouring prints are one."""
    kept = []
    for output in cell.outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain") or ""
        if output.output_type == "error":
            raise Unfit(f"{place} ends in {output.ename}: {output.evalue}")
        if output.get("name") == "stderr":
            raise Unfit(f"{place} writes to stderr (a warning?):\n{text}")
        if found := MACHINE.search(text):
            raise Unfit(f"{place} prints {found[0]!r}…, which differs between machines")
        if output.output_type != "stream":
            if text:
                data = {"text/plain": text}
                kept.append(nbformat.v4.new_output(output.output_type, data=data))
        elif kept and kept[-1].output_type == "stream":
            kept[-1].text += text
        else:
            kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
    return kept


def identifier(cell, seen):
    """Name a cell after its own text, so that an edit elsewhere does not rename it."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    name, copy = digest, 1
    while name in seen:
        copy += 1
        name = f"{digest}-{copy}"
    seen.add(name)
    return name


def dumps(notebook):
    """Return the bytes of the file, as Jupyter itself writes them."""
    nbformat.validate(notebook)
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()
