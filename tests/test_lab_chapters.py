"""What a chapter says of its exercises is what the lab declares."""

import re

import pytest
from book_rules.chapter import ROOT, Chapter
from book_rules.exercises import exercises

from memformer_lite import check
from memformer_lite.lab import course

CHAPTERS = [Chapter.read(path) for path in sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))]
ASKED = [
    pytest.param(number, texts, cells, id=number)
    for chapter in CHAPTERS
    for heading, texts, cells in exercises(chapter)
    for number in [heading.split()[2]]
]


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_all_exercises_are_declared_and_no_others(chapter):
    written = [heading.split()[2] for heading, *_ in exercises(chapter)]
    assert [exercise.id for exercise in course.chapter(chapter.number)] == written


@pytest.mark.parametrize(("number", "texts", "cells"), ASKED)
def test_the_statement_asks_what_the_lab_asks(number, texts, cells):
    exercise, statement = course.exercise(number), words("\n".join(texts))
    assert f"**Time:** {exercise.minutes} minutes" in statement
    if exercise.text is not None:
        assert words(exercise.text(exercise.book)) in statement
    assert f'check.exercise("{number}", {exercise.name})' in cells[2].source
    assert "right." in words("".join(cells[2].outputs)), "the chapter's own solution"


@pytest.mark.parametrize(("number", "texts", "cells"), ASKED)
def test_a_stub_is_open(number, texts, cells):
    names = {}
    chapter = next(chapter for chapter in CHAPTERS if chapter.number == int(number.split(".")[0]))
    for cell in chapter.code:  # a stub may use what the chapter imports
        imports = re.findall(
            r"^(?:import|from) [^(]*?$|^from \S+ import \(.*?^\)", cell.source, re.M | re.S
        )
        exec("\n".join(imports), names)
    exec(cells[0].source, names)
    assert check.exercise(number, names[course.exercise(number).name]).state == "open"
