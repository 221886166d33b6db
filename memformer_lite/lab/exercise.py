"""What an exercise is: how it asks, what is right, and which mistakes have a name."""

import hashlib
import inspect
import random
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Question = dict[str, Any]  # plain data and tensors, by name: see `plain`
KINDS = ("build", "detect", "predict", "choose")


class Draw:
    """Where questions come from: the same name gives the same draws, on any machine.

    Attributes:
        random: for whole numbers, choices and orders.
    """

    def __init__(self, name: str):
        # `hash()` differs from one process to the next; a digest does not.
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
        self.random = random.Random(seed)
        self._torch = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Return float64 numbers around 0, to four places, so that they read well."""
        return (
            torch.randn(*shape, generator=self._torch, dtype=torch.float64).mul(1e4).round() / 1e4
        )

    def whole(self, low: int, high: int, *shape: int) -> Tensor:
        """Return whole numbers from `low` to `high - 1`, long."""
        return torch.randint(low, high, shape, generator=self._torch)


def as_it_is(answer, question):
    """Return the answer: nothing is done with a value."""
    return answer


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise: a question, its right answers, and the mistakes that people make.

    An answer of kind "build" or "detect" is an object, a function or a class, that is tried on
    drawn questions. One of kind "predict" or "choose" is a value for one drawn question, or a dict
    of values, one a part.

    Attributes:
        id: chapter and number, such as "5.1".
        kind: one of `KINDS`.
        points: most points.
        minutes: how long it takes, an estimate.
        name: what the answer is called in the notebook.
        ask: draws the questions. Together they tell every two of the answers below apart.
        use: what is done with an answer and a question; returns plain data (see `plain`). Its
            source alone is sent to where a stranger's answer runs, so it imports what it needs.
        right: kinds "build" and "detect": an answer. Else a function from the question to it.
        also_right: right answers written otherwise, in the form of `right`.
        misconceptions: wrong answers by the message that each deserves, in the form of `right`.
            Of an answer in parts a mistake may give some parts only.
        tried: what is said of a right answer: what it was tried on.
        forbids: finished pieces of the package, by their names, that may not stand in an answer.
        book: kinds "predict" and "choose": the question as the chapter asks it.
        text: kinds "predict" and "choose": from a question, the words in which it is asked.
        tolerance: numbers may differ by this share of the largest.
    """

    id: str
    kind: str
    points: int
    minutes: int
    name: str
    ask: Callable[[Draw], Sequence[Question]]
    right: Any
    also_right: Sequence[Any]
    misconceptions: Mapping[str, Any]
    tried: str
    use: Callable[[Any, Question], Any] = as_it_is
    forbids: Sequence[str] = ()
    book: Question | None = None
    text: Callable[[Question], str] | None = None
    tolerance: float = 1e-6

    @property
    def is_object(self) -> bool:
        """Say whether an answer is a function or a class, and not a value."""
        return self.kind in ("build", "detect")

    @property
    def chapter(self) -> int:
        """The chapter's number."""
        return int(self.id.split(".")[0])

    def questions(self, salt: str | None = None) -> list[Question]:
        """Return the questions of a course with this salt; None: those of the book."""
        if salt is None and self.book is not None:
            return [self.book]
        return list(self.ask(Draw(f"{self.id} {salt or 'book'}")))

    def answers(self, answer: Any, questions: Sequence[Question]) -> list[Any]:
        """Return what `answer`, one of this exercise's own, gives to each question."""
        if self.is_object:
            return [self.use(answer, question) for question in questions]
        return [answer(question) for question in questions]

    @cached_property
    def use_source(self) -> str:
        """The source of `use`, to be run elsewhere."""
        return textwrap.dedent(inspect.getsource(self.use))
