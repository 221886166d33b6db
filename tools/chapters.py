"""Write the list of chapters, in README.md and on the index page, from the chapters themselves.

python tools/chapters.py           write both lists
python tools/chapters.py --check   only say where the list is not current

`_toc.yml` gives the order. Each chapter gives its title, in its first line, and in the notebook's
metadata the question that it asks and what its reader builds:

    "book": {"question": "What is lost at a cut?", "builds": "a notebook of two numbers"}
"""

import re
import sys
from pathlib import Path

import nbformat
import yaml
from notebooks import replace

ROOT = Path(__file__).resolve().parents[1]
PLACES = {"README.md": "book/", "book/index.md": ""}  # and the way from there to a chapter
LIST = re.compile(r"(?s)(?<=<!-- chapters -->\n).*?(?=<!-- /chapters -->)")


def chapters():
    """For each chapter, in reading order: its file, title, question, and what one builds."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page["file"] for part in toc["parts"] for page in part["chapters"]]
    for path in [ROOT / f"{page}.ipynb" for page in pages if re.match(r"book/\d\d_", page)]:
        notebook = nbformat.read(path, as_version=4)
        said = notebook.metadata.get("book", {})
        if not said.get("question") or not said.get("builds"):
            raise SystemExit(
                f'{path.name}: its metadata should hold "book": {{"question": …, "builds": …}}'
            )
        title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
        yield path.name, title, said.question, said.builds


def table(way):
    """The list as Markdown; `way` leads to the folder of the chapters."""
    rows = ["| chapter | the question | you build |", "| --- | --- | --- |"]
    for name, title, question, builds in chapters():
        rows.append(f"| [{title}]({way}{name}) | {question} | {builds} |")
    return "\n" + "\n".join(rows) + "\n\n"


def main(arguments):
    stale = []
    for name, way in PLACES.items():
        path, rows = ROOT / name, table(way)
        before = path.read_text(encoding="utf-8")
        after, count = LIST.subn(lambda _, rows=rows: rows, before)
        if count != 1:
            return f"{name}: expected one list between <!-- chapters --> and <!-- /chapters -->"
        if after != before:
            stale.append(name)
            if "--check" not in arguments:
                replace(path, after.encode())
    if stale and "--check" in arguments:
        return f"{', '.join(stale)}: the list of chapters is not current, run `make notebooks`"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
