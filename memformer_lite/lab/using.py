"""What an exercise's `use` may import beside the package: it runs where no right answer is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class FormError(ValueError):
    """An answer is not in the form that was asked for; the message says which that is."""


def letters(answer: Any, places: str) -> dict[str, bool] | None:
    """Return of each letter whether it was chosen; None for an empty answer.

    Args:
        answer: letters as a set, list or text, with or without brackets; or a dict of bools.
        places: the letters that there are.

    Raises:
        FormError: another letter, or none of these forms.
    """
    said = isinstance(answer, dict)  # of each letter, so that none is an answer too
    if isinstance(answer, dict):
        answer = [letter for letter, chosen in answer.items() if chosen]
    if not isinstance(answer, (str, set, list, tuple)):
        raise FormError(f"Expected a set of letters, got {answer!r}.")
    chosen = {str(letter).strip(" ().,").lower() for letter in answer} - {""}
    if chosen - set(places):
        raise FormError(f"Expected a set of letters from {places[0]} to {places[-1]}.")
    return {letter: letter in chosen for letter in places} if chosen or said else None


def with_gradients(function: Callable, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Call a function of tensors, and send a fixed gradient back through what it returns.

    Args:
        function: the answer.
        arguments: in order; each floating tensor among them gets a gradient.
        options: by name; likewise.

    Returns:
        "output", or "output 1", "output 2", … of a tuple, and the gradient of each floating
        tensor by its place or name; None where it has none.
    """
    given = {f"argument {i}": value for i, value in enumerate(arguments, 1)} | options
    leaves = {
        name: value.detach().clone().requires_grad_() if _floating(value) else value
        for name, value in given.items()
    }
    positional = [leaves[f"argument {i}"] for i in range(1, len(arguments) + 1)]
    output = function(*positional, **{name: leaves[name] for name in options})
    several = isinstance(output, (tuple, list))
    outputs = list(output) if several else [output]
    back = [x for x in outputs if isinstance(x, Tensor) and x.requires_grad]
    if back:
        torch.autograd.backward(back, [_weights(x) for x in back])
    named = {f"output {i}": x for i, x in enumerate(outputs, 1)} if several else {"output": output}
    gradients = {
        f"the gradient of {name}": value.grad for name, value in leaves.items() if _floating(value)
    }
    return named | gradients


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _weights(like: Tensor) -> Tensor:
    """Numbers of which no two are alike, so that a gradient tells every entry from the others."""
    return torch.arange(1, like.numel() + 1, dtype=like.dtype).cos().view(like.shape)
