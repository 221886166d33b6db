"""Rules on exercises: each is complete, and its solution is a cell of its own."""

import ast
import re

from book_rules.chapter import rule

SOLUTION = "# @title Solution of "
PARTS = {
    "**Goal:**": r"\*\*Goal:\*\* \S",
    "**Time:** … minutes": r"\*\*Time:\*\* [\d–-]+ minutes?",
    "**Difficulty:** ●○○": r"\*\*Difficulty:\*\* (●○○|●●○|●●●)(?!\S)",
    "**Expected:**": r"\*\*Expected:\*\* \S",
    "a fold `Hint`": r"<summary>Hint\b",
    "a fold `I get …`": r"<summary>I get\b",
}


def exercises(chapter):
    """Pairs of a heading and its cells, up to the next heading of any kind."""
    current = None
    for cell in chapter.cells:
        if cell.kind == "markdown":
            for piece in re.split(r"^(?=###? )", cell.source, flags=re.M):
                if piece.startswith("### Exercise"):
                    if current:
                        yield current
                    current = (piece.splitlines()[0], [piece], [])
                elif piece.startswith("## ") and current:
                    yield current
                    current = None
                elif current:
                    current[1].append(piece)
        elif current:
            current[2].append(cell)
    if current:
        yield current


@rule
def three_exercises(chapter):
    """Three exercises or more, numbered through, all of them in their section."""
    found = re.findall(r"^### Exercise (\S+)", chapter.markdown, re.M)
    if len(found) < 3:
        yield f"has {len(found)} exercises, should have at least 3"
    if found != [f"{chapter.number}.{i}" for i in range(1, len(found) + 1)]:
        yield f"exercises should be numbered {chapter.number}.1, {chapter.number}.2, …: {found}"
    if re.findall(r"^### Exercise (\S+)", chapter.section("Exercises"), re.M) != found:
        yield "an exercise stands outside of `## Exercises`"


@rule
def complete(chapter):
    """Goal, time, difficulty, what to expect, hint, a likely error; then stub, solution, check."""
    for heading, texts, cells in exercises(chapter):
        text = "\n\n".join(texts)
        for name, pattern in PARTS.items():
            if not re.search(pattern, text):
                yield f"{heading}: has no {name}"
        number = heading.split()[2]
        stub, solution, check = (*(cell.source for cell in cells[:3]), "", "", "")[:3]
        if not cells or "stub" not in cells[0].tags or "..." not in stub:
            yield f"{heading}: its first cell should be the stub, tagged so, with `...` in it"
        if solution.splitlines()[:1] != [f"{SOLUTION}{number}"]:
            yield f"{heading}: its second cell should open with `{SOLUTION}{number}`"
        call = f'check.exercise("{number}", '
        if call not in check:
            yield f"{heading}: its third cell should call `{call}…)`"


@rule
def solutions(chapter):
    """A solution binds what its stub binds; both stand in exercises only."""
    in_exercises = [cell for *_, cells in exercises(chapter) for cell in cells]
    for cell in chapter.code:
        if ("stub" in cell.tags or SOLUTION in cell.source) and cell not in in_exercises:
            yield f"cell {cell.number}: a stub or a solution outside of an exercise"
    for heading, _, cells in exercises(chapter):
        stub, solution = [bound(cell.source) for cell in cells[:2]] if cells[1:] else [set(), set()]
        if not stub or not stub <= solution:
            yield f"{heading}: the stub binds {stub or 'nothing'}, the solution {solution or '{}'}"


def bound(source):
    """Names that a cell binds, imports not counted."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names
