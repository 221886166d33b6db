"""What a course lab shows to teachers and students, as Markdown."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from memformer_lite.lab.exercise import Exercise

_INTRODUCTION = """# What students get wrong

<!-- `make lab-proof` writes this page from the exercises' declarations, once it has proved that an
answer with such a mistake gets its message, and no other. -->

For instructors: every mistake that the checks know by name. An answer that agrees with one of them
on every question gets its sentence. An answer that is wrong in another way is told where it differs
first. All of it gives the reason away, so do the exercises before you read on.

Points and minutes are estimates; a course may set its own.
"""


def misconceptions_page(exercises: Iterable[Exercise]) -> str:
    """Return the page that lists, for each exercise, the mistakes that have a name."""
    return "\n".join([_INTRODUCTION, *_chapters(exercises)])


def _chapters(exercises: Iterable[Exercise]) -> Iterator[str]:
    for chapter, group in groupby(exercises, key=lambda exercise: exercise.chapter):
        yield f"## Chapter {chapter:02}\n"
        for exercise in group:
            yield (
                f"**Exercise {exercise.id}**, `{exercise.name}`: {exercise.kind}, "
                f"{exercise.points} points, {exercise.minutes} minutes. A right answer is told: "
                f"{exercise.tried}\n"
            )
            yield from (f"- {message}" for message in exercise.misconceptions)
            yield ""
