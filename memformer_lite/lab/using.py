"""What an exercise's `use` may import beside the package: it runs where no right answer is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


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
