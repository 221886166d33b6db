"""Rules on exercises: each is complete, and its solution can be taken out."""

import ast
import re

from book_rules.chapter import rule

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
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


def stub(source):
    """The cell as a student gets it."""
    pattern = rf"^([ \t]*){BEGIN}[ \t]*\n.*?^\1{END}[ \t]*$"
    return re.sub(pattern, r"\1raise NotImplementedError", source, flags=re.M | re.S)


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
    """Goal, time, difficulty, what to expect, hint, a likely error, and then one solution."""
    for heading, texts, cells in exercises(chapter):
        text = "\n\n".join(texts)
        for name, pattern in PARTS.items():
            if not re.search(pattern, text):
                yield f"{heading}: has no {name}"
        solved = [cell for cell in cells if BEGIN in cell.source]
        if len(solved) != 1:
            yield f"{heading}: has {len(solved)} solution cells, should have 1"
        elif cells[0] is not solved[0]:
            yield f"{heading}: cell {cells[0].number} comes before the solution cell"


@rule
def solutions(chapter):
    """A solution can be cut out, and what is left is Python; solutions stand in exercises only."""
    in_exercises = [cell for *_, cells in exercises(chapter) for cell in cells]
    for cell in chapter.code:
        begins, ends = cell.source.count(BEGIN), cell.source.count(END)
        if not begins + ends:
            continue
        student = stub(cell.source)
        if (begins, ends) != (1, 1) or BEGIN in student or END in student:
            yield f"cell {cell.number}: should have one {BEGIN} and, as far indented, one {END}"
            continue
        solution = cell.source.partition(BEGIN)[2].partition(END)[0]
        if not re.search(r"^\s*[^#\s]", solution, re.M):
            yield f"cell {cell.number}: the solution is empty"
        try:
            ast.parse(student)
        except SyntaxError as error:
            yield f"cell {cell.number}: without its solution it is not Python: {error}"
        if cell not in in_exercises:
            yield f"cell {cell.number}: a solution outside of an exercise"
