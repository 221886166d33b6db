"""An answer is tried on questions: what came of each, as plain data. It knows no right answer."""

import contextlib
import functools
import io
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from memformer_lite.lab import plain

Outcome = dict[str, Any]
OPEN: Outcome = {"open": True}


def try_answer(
    use: Callable[[Any, dict], Any], answer: Any, questions: Sequence[dict], forbids: Sequence[str]
) -> list[Outcome]:
    """Return what comes of each question.

    Args:
        use: see `Exercise`.
        answer: what the notebook calls by the exercise's name.
        questions: plain data and tensors.
        forbids: names of the package's finished pieces that the answer may not use.

    Returns:
        For each question one of `{"value": …}` (see `plain.encode`), `{"open": True}`,
        `{"raised": class, "says": message}`, `{"changed": the question's part}`, or
        `{"forbidden": name}`.
    """
    if name := next(forbidden(answer, forbids), None):
        return [{"forbidden": name}] * len(questions)
    return [_one(use, answer, question) for question in questions]


def _one(use: Callable, answer: Any, question: dict) -> Outcome:
    if is_open(answer):
        return OPEN
    if isinstance(answer, dict):  # parts that are not there yet are wrong, and others count
        answer = {part: value for part, value in answer.items() if not is_open(value)}
    given = {name: _copy(value) for name, value in question.items()}
    try:
        # What it prints is not what it answers.
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(0)  # `torch.manual_seed` wakes all devices
            value = use(answer, given)
        if is_open(value):
            return OPEN
        value = plain.encode(value)
    except NotImplementedError:
        return OPEN
    except plain.NotPlainError as fault:
        return {"raised": "answer", "says": str(fault)}
    except Exception as fault:
        return {"raised": type(fault).__name__, "says": str(fault)[:300]}
    for name, before in question.items():
        if not _equal(before, given[name]):
            return {"changed": name}
    return {"value": value}


def is_open(value: object) -> bool:
    """Say whether `value` is what stands where nobody has answered: `...`, or only such."""
    if value is None or value is ...:
        return True
    if isinstance(value, dict) and value:
        return all(part is ... or part is None for part in value.values())
    return False


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(item) for item in value)
    return value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def forbidden(answer: Any, names: Sequence[str]) -> Iterator[str]:
    """Yield those of `names` that `answer` is, or that its code names or reaches."""
    if not names:
        return
    pieces = {id(piece): name for name in names if (piece := _piece(name)) is not None}
    seen: set[int] = set()
    waiting = [answer]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) in pieces:
            yield pieces[id(value)]
        elif isinstance(value, types.MethodType):
            waiting += [value.__func__, value.__self__]
        elif isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, types.FunctionType):
            if _ours(value):
                continue  # the package may use its own pieces
            code = list(_codes(value.__code__))
            used = {name for part in code for name in part.co_names}
            yield from (name for name in names if name in used)
            waiting += [value.__globals__[name] for name in used if name in value.__globals__]
            waiting += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
            waiting += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        elif isinstance(value, type) and not _ours(value):
            waiting += [part for part in vars(value).values() if callable(part)]
            waiting += value.__bases__
        elif isinstance(value, torch.nn.Module):
            waiting += [type(part) for part in value.modules()]


def _piece(name: str) -> Any:
    import memformer_lite

    return getattr(memformer_lite, name, None)


def _ours(value: Any) -> bool:
    module = str(getattr(value, "__module__", ""))
    return module.split(".")[0] == "memformer_lite" and ".lab." not in module


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # not bound yet
        return False


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
