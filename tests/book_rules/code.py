"""Rules on a chapter's code: what it imports, builds and draws."""

import ast
import re
import sys

from book_rules.chapter import ROOT, rule, sentences

BUILT_IN = {  # the modules of each chapter, in the order in which one may import the other
    2: ["bucketing"],
    3: ["attention"],
    4: ["encoder"],
    5: ["memory"],
    6: ["sampling", "decoder"],
    7: ["memformer", "reference"],
    8: ["replay"],
}
PACKAGES = {"torch", "einops", "memformer_lite", "memformer", *sys.stdlib_module_names}


def tree_of(module):
    path = ROOT / "memformer_lite" / f"{module}.py"
    return ast.parse(path.read_text(encoding="utf-8"))


def public_names(module):
    """Classes and functions that a module of the package defines and the package exports."""
    exported = next(
        ast.literal_eval(node.value)
        for node in tree_of("__init__").body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [n.name for n in tree_of(module).body if isinstance(n, kinds) and n.name in exported]


def parse(cell):
    """The cell's syntax tree; empty where `plain_python` has something to say."""
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.Module([], [])


def built(chapter):
    """Classes and functions that the chapter defines, by the name that the package gives them."""
    for cell in chapter.code:
        for node in parse(cell).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield re.sub(r"^(My|my_)", "", node.name), cell.number


def imports(cell):
    """Full names of what a cell imports, and the names they get there."""
    for node in ast.walk(parse(cell)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, name.asname or name.name
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield f"{node.module}.{name.name}", name.asname or name.name


@rule
def plain_python(chapter):
    """Code cells are Python, without shell commands or magics."""
    for cell in chapter.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"cell {cell.number}: is not plain Python: {error}"


@rule
def known_packages(chapter):
    """Only torch, einops, the standard library, this package, and the reference to compare with."""
    for cell in chapter.code:
        for name, _ in imports(cell):
            if name.split(".")[0] not in PACKAGES:
                yield f"cell {cell.number}: imports {name}; draw in memformer_lite.figures"


@rule
def builds_its_module(chapter):
    """A chapter builds each piece of its own module, and none of another chapter's."""
    names = dict(built(chapter))
    modules = [(number, module) for number, found in BUILT_IN.items() for module in found]
    for number, module in modules:
        for name in public_names(module):
            if number == chapter.number and name not in names:
                yield f"does not build {name} of memformer_lite/{module}.py (as {name} or My{name})"
            if number != chapter.number and name in names:
                yield f"cell {names[name]}: builds {name}, which chapter {number:02} builds"


@rule
def pictures(chapter):
    """There is one at least, and where a cell draws, its saved output is the picture's text.

    A cell that measures time saves no output; the tests of the site look at its picture.
    """
    drawing, texts = set(), []
    for cell in chapter.code:
        drawing |= {
            short for name, short in imports(cell) if name.startswith("memformer_lite.figures")
        }
        called = [n.func for n in ast.walk(parse(cell)) if isinstance(n, ast.Call)]
        if not any(ast.unparse(function).split(".")[0] in drawing for function in called):
            continue
        shown = [text for text in cell.outputs if text.startswith("Picture: ")]
        if not shown and "nbval-ignore-output" not in cell.tags:
            yield f"cell {cell.number}: draws a picture and does not show it (last expression?)"
        for text in shown:
            if not 2 <= len(list(sentences(text.removeprefix("Picture: ")))) <= 4:
                yield f"cell {cell.number}: the picture's text should be 2 to 4 sentences: {text}"
            if text in texts:
                yield f"cell {cell.number}: the picture's text was used before: {text}"
        texts += shown
    if not texts:
        yield "has no picture"
