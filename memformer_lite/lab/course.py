"""Which exercises there are: the modules `chapterNN`, read when they are asked for."""

from importlib import import_module
from importlib.util import find_spec

from memformer_lite.lab.exercise import Exercise


def chapter(number: int) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter; no other chapter's module is imported."""
    return import_module(f"memformer_lite.lab.chapter{number:02}").EXERCISES


def exercise(name: str) -> Exercise:
    """Return the exercise called "5.1", say.

    Raises:
        ValueError: there is no such exercise.
    """
    number = name.split(".")[0] if isinstance(name, str) else ""
    known = number.isdecimal() and find_spec(f"memformer_lite.lab.chapter{int(number):02}")
    names = [one.id for one in chapter(int(number))] if known else []
    if name not in names:
        expected = f"one of {', '.join(names)}" if names else 'a name such as "5.1"'
        raise ValueError(f"exercise {name!r}: expected {expected}")
    return chapter(int(number))[names.index(name)]


def exercises() -> list[Exercise]:
    """Return the exercises of all chapters, in order."""
    numbers = (n for n in range(1, 100) if find_spec(f"memformer_lite.lab.chapter{n:02}"))
    return [one for number in numbers for one in chapter(number)]
