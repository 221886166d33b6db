"""Does each exercise accept what is right, and reject each mistake for its own reason?"""

import builtins
import json
from collections.abc import Iterator
from typing import Any

from memformer_lite.lab import plain
from memformer_lite.lab.exercise import Exercise, Question
from memformer_lite.lab.judge import Key, judge, read
from memformer_lite.lab.trying import Outcome, forbidden, try_answer

LEAST = {"build": (5, 2), "detect": (5, 2), "predict": (3, 1), "choose": (3, 1)}


def problems(exercise: Exercise, salts: list[str | None]) -> Iterator[str]:
    """Yield a sentence for each thing that does not hold for one of the salts; None: the book."""
    mistakes, others = LEAST[exercise.kind]
    if len(exercise.misconceptions) < mistakes:
        yield f"has {len(exercise.misconceptions)} misconceptions, expected {mistakes} or more"
    if len(exercise.also_right) < others:
        yield f"has {len(exercise.also_right)} other right answers, expected {others} or more"
    if not exercise.is_object and (exercise.text is None or exercise.book is None):
        yield "a value is asked for: expected `text` and `book`"
    yield from _refusals(exercise)
    seen = set()
    for salt in salts:
        # As a stranger's answer meets them: as plain data.
        asked = json.dumps(plain.encode(exercise.questions(salt)))
        if asked not in seen:  # some exercises ask every course the same
            seen.add(asked)
            for problem in _at(exercise, plain.decode(json.loads(asked)), twice=len(seen) == 1):
                yield f"salt {salt}: {problem}"


def _at(exercise: Exercise, questions: list[Question], *, twice: bool) -> Iterator[str]:
    """Yield what does not hold; `twice` tries each mistake again, for one that throws dice."""
    if not exercise.is_object and len(questions) != 1:
        yield f"a value answers one question, not {len(questions)}"
        return
    use = compiled(exercise)  # from its source alone, as it is sent to a stranger's answer
    key = Key(exercise, questions, use)
    for number, answer in enumerate((exercise.right, *exercise.also_right)):
        verdict = judge(key, answered(exercise, use, answer, questions))
        if verdict.state != "right":
            yield f"right answer {number} is {verdict!r}"
    for message, wrong in exercise.misconceptions.items():
        known = exercise.is_object and not twice
        outcomes = key.mistakes[message] if known else answered(exercise, use, wrong, questions)
        verdict = judge(key, outcomes)
        if verdict.mistakes != (message,) or verdict.points >= exercise.points:
            yield f"expected {message!r}, got {verdict.mistakes or verdict}"
        raised = [outcome.get("raised", "") for outcome in key.mistakes[message]]
        if all(hasattr(builtins, name) for name in raised):
            # An error that any answer may meet says nothing of the idea.
            yield f"{message!r} only raises {raised[0]}"
    verdict = judge(key, read(try_answer(use, ..., questions, ())))
    if verdict.state != "open":
        yield f"an answer that is not there is {verdict!r}"


def answered(exercise: Exercise, use: Any, answer: Any, questions: list[Question]) -> list[Outcome]:
    """Return what comes of one of the exercise's own answers, as of a student's."""
    if exercise.is_object:
        return read(try_answer(use, answer, questions, ()))
    (question,) = questions
    value = answer(question)
    if isinstance(value, dict):  # parts that the mistake leaves alone are right
        value = exercise.right(question) | value
    return read(try_answer(use, value, questions, ()))


def compiled(exercise: Exercise) -> Any:
    """Return `use`, made of its source alone."""
    names: dict[str, Any] = {}
    exec(compile(exercise.use_source, f"use of {exercise.id}", "exec"), names)
    (made,) = (value for name, value in names.items() if name != "__builtins__")
    return made


def _refusals(exercise: Exercise) -> Iterator[str]:
    import memformer_lite

    for name in exercise.forbids:
        piece = getattr(memformer_lite, name, None)
        if piece is None:
            yield f"forbids {name}, which the package does not have"
        elif name not in forbidden(piece, exercise.forbids):
            yield f"{name} itself is not refused"
    for answer in (exercise.right, *exercise.also_right) if exercise.is_object else ():
        if found := list(forbidden(answer, exercise.forbids)):
            yield f"a right answer uses {found[0]}, which is forbidden"
