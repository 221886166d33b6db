"""A chapter as the rules see it, and what they share: reading Markdown."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
RULES = []


def rule(function):
    """Add a rule to the book's."""
    RULES.append(function)
    return function


@dataclass
class Cell:
    """One cell: its place in the file (from 1), its text, and what it showed as text."""

    number: int
    kind: str
    source: str
    tags: set = field(default_factory=set)
    outputs: list = field(default_factory=list)

    @property
    def is_code(self):
        return self.kind == "code"

    @property
    def is_setup(self):
        return "remove-cell" in self.tags


@dataclass
class Chapter:
    """The cells of one notebook; `name` is its file without the ending, as in 02_bucketing."""

    name: str
    cells: list

    @classmethod
    def read(cls, path):
        return cls.of(path.stem, nbformat.read(path, as_version=4))

    @classmethod
    def of(cls, name, notebook):
        cells = []
        for number, cell in enumerate(notebook.cells, 1):
            texts = [o.get("text") or o.data["text/plain"] for o in cell.get("outputs", [])]
            tags = set(cell.metadata.get("tags", []))
            cells.append(Cell(number, cell.cell_type, cell.source, tags, texts))
        return cls(name, cells)

    @property
    def number(self):
        return int(self.name[:2])

    @cached_property
    def texts(self):
        return [cell for cell in self.cells if cell.kind == "markdown"]

    @cached_property
    def code(self):
        """All code cells but the setup cell."""
        return [cell for cell in self.cells if cell.is_code and not cell.is_setup]

    @cached_property
    def markdown(self):
        return "\n\n".join(cell.source for cell in self.texts)

    def section(self, title):
        """The text below a `##` heading, up to the next one."""
        found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", self.markdown, re.M | re.S)
        return found[1] if found else ""


def without_code(text):
    """Markdown without code, fenced or within a line."""
    text = re.sub(r"^(```|~~~).*?^\1[ ]*$", "", text, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", " ", text)


def without_formulas(text):
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.S)
    return re.sub(r"\$[^$\n]+(?:\n[^$\n]+)*\$", " ", text)


def without_folds(text):
    """Markdown without what `<details>` folds away."""
    return re.sub(r"<details>.*?</details>", "", text, flags=re.S)


def words(text):
    """Count the words of a Markdown text; marks, tags and addresses are none."""
    text = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)
    return len(re.findall(r"\w[\w'\u2019.,-]*", text))


def sentences(text):
    """Split Markdown into sentences; a list item, a table row and a heading end one."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+]|\d+\.)\s|\||#)", text):
        line = " ".join(block.split())
        yield from filter(None, re.split(r"(?<=[.!?])\s+(?=[A-Z*`$(\[\u201c\"0-9])", line))
