"""Is this the same function? A checker for what a reader builds, used by chapters and tests.

It copies the weights of the finished module into the reader's, compares outputs and gradients in
float64, and says in words what differs.
"""

import copy
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from memformer_lite.lab.judge import Verdict

TOLERANCE = 1e-10  # float64; a real mistake differs by far more


def same_function(mine: Callable, finished: Callable, *inputs, **options) -> str:
    """Compare two functions of tensors: outputs, and gradients of all floating inputs.

    Args:
        mine: the reader's function.
        finished: the function it should equal.
        inputs: positional arguments for both; floating tensors are compared in float64.
        options: keyword arguments for both.

    Returns:
        One sentence that says what agreed.

    Raises:
        AssertionError: the two differ; the message says where, and by how much.
    """
    expected = _run(finished, inputs, options)
    actual = _run(mine, inputs, options)
    count = _compare_outputs(_flatten(actual[0]), _flatten(expected[0]))
    gradients = _compare_gradients(actual[1], expected[1])
    return f"Same: {_count(count, 'output')} and {_count(gradients, 'gradient')} agree."


def same_module(mine: nn.Module, finished: nn.Module, *inputs, **options) -> str:
    """Copy the weights of `finished` into `mine`, then compare outputs and all gradients.

    Both are compared as copies in float64 and in evaluation mode (so without dropout); the modules
    that were passed stay as they are.

    Args:
        mine: the reader's module; its parameters carry the same names as those of `finished`.
        finished: the module it should equal.
        inputs: positional arguments for both; floating tensors are compared in float64.
        options: keyword arguments for both.

    Returns:
        One sentence that says what agreed.

    Raises:
        AssertionError: parameters or results differ; the message says where, and by how much.
    """
    mine, finished = (copy.deepcopy(module).double().eval() for module in (mine, finished))
    _compare_parameters(mine, finished)
    mine.load_state_dict(finished.state_dict())
    expected = _run(finished, inputs, options)
    actual = _run(mine, inputs, options)
    count = _compare_outputs(_flatten(actual[0]), _flatten(expected[0]))
    gradients = _compare_gradients(
        actual[1] + _parameter_gradients(mine), expected[1] + _parameter_gradients(finished)
    )
    return f"Same: {_count(count, 'output')} and {_count(gradients, 'gradient')} agree."


def exercise(name: str, answer: Any, *, salt: str | None = None) -> "Verdict":
    """Say whether an answer to an exercise is right, and if not, which idea is missing.

    Args:
        name: of the exercise, such as "5.1".
        answer: the function, class or value that the exercise asks for.
        salt: of the course that issued the notebook; None: the questions of the book.

    Returns:
        What is said of the answer. It is true where the answer is right. Nothing is raised for
        an answer that is wrong or not there, so that a notebook runs on.

    Raises:
        ValueError: there is no such exercise.
    """
    # Here, since a chapter that checks no exercise needs none of this.
    from memformer_lite.lab import course
    from memformer_lite.lab.judge import Key, judge, read
    from memformer_lite.lab.trying import try_answer

    asked = course.exercise(name)
    questions = asked.questions(salt)
    outcomes = try_answer(asked.use, answer, questions, asked.forbids)
    return judge(Key(asked, questions), read(outcomes))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _run(function: Callable, inputs: tuple, options: dict) -> tuple[object, list]:
    """Call `function` on float64 copies, and send a fixed random gradient back through it."""
    arguments = [*enumerate(inputs, 1), *options.items()]
    copies = {name: _leaf(value) for name, value in arguments}
    given = {name for name, _ in enumerate(inputs, 1)}
    output = function(
        *(copies[name] for name in copies if name in given),
        **{name: value for name, value in copies.items() if name not in given},
    )
    floating = [t for _, t in _flatten(output) if t.is_floating_point() and t.requires_grad]
    generator = torch.Generator().manual_seed(0)
    seeds = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in floating]
    if floating:
        torch.autograd.backward(floating, seeds)
    names = _argument_names(function, len(inputs))
    gradients = [
        (f"argument {names.get(name, name)!r}", value.grad)
        for name, value in copies.items()
        if isinstance(value, Tensor) and value.requires_grad
    ]
    return output, gradients


def _leaf(value: object) -> object:
    """Return a float64 leaf for a floating tensor, anything else as it is."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().double().clone().requires_grad_()
    return value


def _argument_names(function: Callable, count: int) -> dict[int, str]:
    """Name positional arguments as the function's signature does."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        names = list(inspect.signature(called).parameters)
    except (TypeError, ValueError):  # a builtin without a signature keeps plain numbers
        return {}
    return dict(enumerate(names[:count], 1))


def _flatten(output: object, name: str = "the output") -> list[tuple[str, Tensor]]:
    """List the tensors of an output with a name each; None is left out."""
    if isinstance(output, Tensor):
        return [(name, output)]
    if isinstance(output, dict):
        parts = [(f"output {key!r}", value) for key, value in output.items()]
    elif isinstance(output, (tuple, list)):
        fields = getattr(output, "_fields", range(len(output)))
        parts = [(f"output {field!r}", value) for field, value in zip(fields, output, strict=True)]
    else:
        return []
    return [pair for part, value in parts for pair in _flatten(value, part)]


def _parameter_gradients(module: nn.Module) -> list[tuple[str, Tensor | None]]:
    return [(f"parameter {name!r}", p.grad) for name, p in sorted(module.named_parameters())]


def _compare_parameters(mine: nn.Module, finished: nn.Module) -> None:
    have = {name: tuple(value.shape) for name, value in mine.state_dict().items()}
    want = {name: tuple(value.shape) for name, value in finished.state_dict().items()}
    missing, extra = sorted(want.keys() - have.keys()), sorted(have.keys() - want.keys())
    if missing or extra:
        raise AssertionError(
            "The parameters have other names. "
            f"Missing in yours: {', '.join(missing) or 'none'}. "
            f"Only in yours: {', '.join(extra) or 'none'}."
        )
    for name in want:
        if have[name] != want[name]:
            raise AssertionError(
                f"Parameter {name!r} has shape {have[name]}; expected {want[name]}."
            )


def _compare_outputs(actual: list, expected: list) -> int:
    if len(actual) != len(expected):
        raise AssertionError(f"You return {len(actual)} tensor(s); expected {len(expected)}.")
    if not expected:
        raise AssertionError("Neither function returns a tensor, so nothing was compared.")
    for (_, mine), (name, finished) in zip(actual, expected, strict=True):
        _compare(name, mine, finished)
    return len(expected)


def _compare_gradients(actual: list, expected: list) -> int:
    for (name, mine), (_, finished) in zip(actual, expected, strict=True):
        if (mine is None) != (finished is None):
            got, want = ("none" if g is None else "one" for g in (mine, finished))
            raise AssertionError(
                f"The gradient of {name}: yours has {got}, expected {want}. "
                "Is it used, and never detached?"
            )
        if finished is not None:
            _compare(f"the gradient of {name}", mine, finished)
    return sum(gradient is not None for _, gradient in expected)


def _compare(name: str, mine: Tensor, finished: Tensor) -> None:
    """Raise in words where two tensors differ in shape, in being finite, or in value."""
    if mine.shape != finished.shape:
        raise AssertionError(
            f"{name} has shape {tuple(mine.shape)}; expected {tuple(finished.shape)}."
        )
    if mine.is_floating_point() != finished.is_floating_point():
        raise AssertionError(f"{name} has dtype {mine.dtype}; expected {finished.dtype}.")
    if not finished.is_floating_point():
        wrong = mine != finished
        if wrong.any():
            where = tuple(wrong.nonzero()[0].tolist())
            raise AssertionError(
                f"{name} differs in {int(wrong.sum())} of {wrong.numel()} entries, first at "
                f"{where}: {mine[where].item()}; expected {finished[where].item()}."
            )
        return
    mine, finished = mine.double(), finished.double()
    if mine.isnan().any() and not finished.isnan().any():
        raise AssertionError(f"{name} has nan in it. Did a softmax row have nothing to look at?")
    finite = finished.isfinite()
    scale = max([1.0, *finished[finite].abs().flatten().tolist()])
    # Entries that are not finite must be the same ones: inf - inf would hide a difference.
    same = (mine == finished) | (mine.isnan() & finished.isnan())
    difference = (mine - finished).abs().nan_to_num(nan=math.inf).masked_fill(same, 0.0)
    if difference.numel() and difference.max().item() > TOLERANCE * scale:
        where = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
        raise AssertionError(
            f"{name} differs by up to {difference.max().item():.2g}, most at {where}: "
            f"{mine[where].item():.6g}; expected {finished[where].item():.6g}."
        )
