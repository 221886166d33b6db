"""The paper map of the appendix names only lines, functions and tests that exist."""

import ast
import importlib
import re
from pathlib import Path

import memformer
import pytest
from book_rules.code import BUILT_IN

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "book/appendix/paper_map.md").read_text(encoding="utf-8")
LINES = sorted(set(re.findall(r"`(\w+\.py):(\d+) (\w+)`", TEXT)))
MODULES = "|".join(module for modules in BUILT_IN.values() for module in modules)
OBJECTS = sorted(set(re.findall(rf"`({MODULES})\.(\w+)`", TEXT)))
TESTS = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", TEXT)))


def test_the_map_has_something_to_check():
    assert len(LINES) >= 10 and len(OBJECTS) >= 8 and len(TESTS) >= 30


@pytest.mark.parametrize(("file", "number", "word"), LINES)
def test_reference_line_holds_what_the_map_says(file, number, word):
    lines = (Path(memformer.__file__).parent / file).read_text(encoding="utf-8").splitlines()
    line = lines[int(number) - 1]
    assert word in line, f"{file}:{number} is {line.strip()!r}; the map says it holds {word}"


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_function_of_ours_exists(module, name):
    assert hasattr(importlib.import_module(f"memformer_lite.{module}"), name)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_test_exists(file, name):
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert name in names, f"{file} has no {name}"
