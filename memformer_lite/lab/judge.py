"""Points and words for an answer, from what came of its questions. Nothing of it is run here."""

import dataclasses
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from memformer_lite.lab import plain
from memformer_lite.lab.exercise import Exercise, Question
from memformer_lite.lab.trying import Outcome, try_answer

UNKNOWN = "It differs, and by no mistake that we know."


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said of one answer.

    Attributes:
        id: the exercise's.
        state: "right", "wrong", "open" or "refused".
        points: how many it earns, `of` at most.
        of: most points.
        message: in terms of the idea; of a right answer, what was tried.
        mistakes: messages of the misconceptions that fit the answer.
        detail: where it differs, in numbers; may tell what is right, so it is for learners only.
    """

    id: str
    state: str
    points: float
    of: int
    message: str
    mistakes: tuple[str, ...] = ()
    detail: str = ""

    def __bool__(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        said = {"right": "right", "wrong": "not yet", "open": "open", "refused": "refused"}
        text = f"Exercise {self.id}: {said[self.state]}. {self.message} {self.detail}"
        return textwrap.fill(" ".join(text.split()), 88)


class Key:
    """The answer key of one list of questions: what is right, and what each mistake gives.

    Made once for all answers to the same questions.
    """

    def __init__(
        self, exercise: Exercise, questions: Sequence[Question], use: Callable | None = None
    ):
        self.exercise = exercise
        self.questions = questions
        self.use = exercise.use if use is None else use
        self.truth = self._outcomes(exercise.right)
        self.mistakes = {
            message: self._outcomes(wrong) for message, wrong in exercise.misconceptions.items()
        }

    def _outcomes(self, answer: Any) -> list[Outcome]:
        if self.exercise.is_object:
            return read(try_answer(self.use, answer, self.questions, ()))
        return [{"value": answer(question)} for question in self.questions]


def read(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return outcomes with their values decoded.

    Raises:
        NotPlainError: a value is not in the form in which `plain.encode` leaves it.
    """
    return [
        {"value": plain.decode(outcome["value"])} if "value" in outcome else outcome
        for outcome in outcomes
    ]


def judge(key: Key, outcomes: Sequence[Outcome]) -> Verdict:
    """Compare what came of an answer with what is right, and with each known mistake.

    Args:
        key: the questions that were asked, with what is known of them.
        outcomes: what came of each, as `trying.try_answer` returns it, read.
    """
    exercise = key.exercise

    def verdict(
        state: str, points: float, message: str, *mistakes: str, detail: str = ""
    ) -> Verdict:
        return Verdict(
            exercise.id, state, points, exercise.points, message, tuple(mistakes), detail
        )

    if names := [outcome["forbidden"] for outcome in outcomes if "forbidden" in outcome]:
        return verdict("refused", 0, f"Write it yourself, without {names[0]}.")
    if any("open" in outcome for outcome in outcomes):
        return verdict("open", 0, "")
    if changed := [outcome["changed"] for outcome in outcomes if "changed" in outcome]:
        return verdict("wrong", 0, f"It changes what it is given, {changed[0]!r}: work on a copy.")
    if forms := [outcome["says"] for outcome in outcomes if outcome.get("raised") == "FormError"]:
        return verdict("wrong", 0, forms[0])
    right = [_parts(t, o, exercise.tolerance) for t, o in zip(key.truth, outcomes, strict=True)]
    if all(all(parts.values()) for parts in right):
        return verdict("right", exercise.points, exercise.tried)
    mistakes = [message for message in key.mistakes if _fits(key, message, outcomes)]
    points = 0.0
    if exercise.kind == "predict":  # parts that are right count; of a choice all must be
        (parts,) = right
        points = round(exercise.points * sum(parts.values()) / len(parts), 2)
    detail = "" if mistakes else _first_difference(key, outcomes)
    return verdict("wrong", points, " ".join(mistakes) or UNKNOWN, *mistakes, detail=detail)


def _fits(key: Key, message: str, outcomes: Sequence[Outcome]) -> bool:
    """Say whether an answer agrees with a mistake on all questions.

    Of an answer in parts a mistake may give some alone, and only those count.
    """
    share = key.exercise.tolerance
    pairs = zip(key.mistakes[message], outcomes, strict=True)
    return all(all(_parts(wrong, outcome, share).values()) for wrong, outcome in pairs)


def _parts(expected: Outcome, outcome: Outcome, share: float) -> dict[Any, bool]:
    """Say of each part whether it agrees; a value in one piece is one part."""
    if "value" not in expected or "value" not in outcome:
        return {None: expected.get("raised", "") == outcome.get("raised", None)}
    wanted, given = expected["value"], outcome["value"]
    if not isinstance(wanted, dict):
        return {None: same(wanted, given, share)}
    if not isinstance(given, dict):
        return dict.fromkeys(wanted, False)
    given = {_key(key): value for key, value in given.items()}
    return {
        part: _key(part) in given and same(wanted[part], given[_key(part)], share)
        for part in wanted
    }


def _key(key: Any) -> Any:
    return key.strip().casefold() if isinstance(key, str) else key


def same(wanted: Any, given: Any, share: float) -> bool:
    """Say whether two values are the same answer, in whatever container and dtype.

    Texts agree in any case; a set is as good as a list of its members, or as one member alone.
    """
    if isinstance(wanted, str):
        if isinstance(given, (set, list, tuple)) and len(given) == 1:
            (given,) = given
        return isinstance(given, str) and _key(wanted) == _key(given)
    if isinstance(wanted, (set, frozenset)):
        return _as_set(wanted) == _as_set(given)
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return False
        given = {_key(key): value for key, value in given.items()}
        keys = {_key(key) for key in wanted}
        return keys == given.keys() and all(
            same(wanted[key], given[_key(key)], share) for key in wanted
        )
    if type(wanted) is int and type(given) is int:  # exactly, however long
        return wanted == given
    one, other = _numbers(wanted), _numbers(given)
    if one is not None and other is not None:
        return one.shape == other.shape and _near(one, other, share)
    if isinstance(wanted, (list, tuple)) and isinstance(given, (list, tuple)):
        return len(wanted) == len(given) and all(
            same(w, g, share) for w, g in zip(wanted, given, strict=True)
        )
    return wanted is None and given is None


def _as_set(value: Any) -> set | None:
    if isinstance(value, str):
        value = re.findall(r"\w+", value)  # "a, b" or "(a)"
    if isinstance(value, Tensor):
        value = value.flatten().tolist()
    if isinstance(value, (int, float)):
        value = [value]
    return {_key(item) for item in value} if isinstance(value, (set, list, tuple)) else None


def _numbers(value: Any) -> Tensor | None:
    """Return numbers, alone or in lists of one shape, as a float64 tensor; None for others."""
    if isinstance(value, Tensor):
        return value.double()
    if isinstance(value, (bool, int, float)):
        try:
            return torch.tensor(float(value), dtype=torch.float64)
        except OverflowError:
            return None
    if isinstance(value, (list, tuple)) and value:
        try:
            return torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, OverflowError):
            pass  # texts, rows of different lengths, or tensors in a list
        parts = [_numbers(item) for item in value]
        if any(part is None or part.shape != parts[0].shape for part in parts):  # type: ignore[union-attr]
            return None
        return torch.stack(parts)  # type: ignore[arg-type]
    return None


def _near(one: Tensor, other: Tensor, share: float) -> bool:
    if torch.equal(one, other):
        return True
    unfinished = ~one.isfinite()
    if unfinished.any():
        same_kind = (one == other) | (one.isnan() & other.isnan())
        if not same_kind[unfinished].all():
            return False
        one, other = one[~unfinished], other[~unfinished]
    bound = share * max(1.0, one.abs().max().item()) if one.numel() else 0.0
    return bool(((one - other).abs() <= bound).all())


def _first_difference(key: Key, outcomes: Sequence[Outcome]) -> str:
    """Say where an answer first differs; what is right is told of functions and classes only."""
    share, count = key.exercise.tolerance, len(outcomes)
    for number, (true, outcome) in enumerate(zip(key.truth, outcomes, strict=True), 1):
        parts = _parts(true, outcome, share)
        if all(parts.values()):
            continue
        where = f"First at question {number} of {count}: " if count > 1 else ""
        in_parts = not key.exercise.is_object and isinstance(true["value"], dict)
        if in_parts and not isinstance(outcome.get("value"), dict):
            return f"Expected a dict with the keys {', '.join(map(repr, true['value']))}."
        if "raised" in outcome:
            return f"{where}{outcome['raised']}: {outcome['says'].rstrip('.')}."
        if "value" not in true:
            return f"{where}it should have raised {true['raised']}."
        if key.exercise.is_object:
            return where + " ".join(_difference(true["value"], outcome["value"], share))
        wrong = [str(part) for part, agrees in parts.items() if not agrees and part is not None]
        return f"Look at {', '.join(wrong)} again." if wrong else ""
    return ""


def _difference(wanted: Any, given: Any, share: float, name: str = "") -> Iterator[str]:
    """Yield one sentence: what differs first."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        for key in wanted:
            if key not in given:
                yield f"{key} is missing."
                return
            if not same(wanted[key], given[key], share):
                yield from _difference(wanted[key], given[key], share, str(key))
                return
        return
    name = name or "the output"
    one, other = _numbers(wanted), _numbers(given)
    if one is None or other is None:
        yield f"{name} is {_short(given)}; expected {_short(wanted)}."
    elif one.shape != other.shape:
        yield f"{name} has shape {tuple(other.shape)}; expected {tuple(one.shape)}."
    elif other.isnan().any() and not one.isnan().any():
        yield f"{name} has nan in it: 0 / 0, or a softmax row that may look at nothing?"
    elif one.dim() == 0:
        yield f"{name} is {other.item():.10g}; expected {one.item():.10g}."
    else:
        far = (one - other).abs().nan_to_num(nan=float("inf")).masked_fill(one == other, 0.0)
        place = tuple(int(i) for i in torch.unravel_index(far.argmax(), far.shape))
        yield (
            f"{name} differs by up to {far.max().item():.2g}, most at {place}: "
            f"{other[place].item():.6g}; expected {one[place].item():.6g}."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
