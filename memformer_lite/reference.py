"""The weights of PyPI `memformer` 0.3.1, in and out; its names stand here only (chapter 07)."""

import re

from torch import Tensor

from memformer_lite.memformer import Memformer
from memformer_lite.memory import GRUGate

# A layer of the reference is a list of three, each a Residual around a PreNorm around a part.
_LAYER = re.compile(r"(.*\.layers\.\d+)\.(look_around|read|think)(_norm)?\.(.*)")
_STEPS = ("look_around", "read", "think")
# All other names are the reference's own.
_WRITER = {
    "memory_writer.attention.": "mem_updater.",
    "memory_writer.rule.cell.": "gru.",
    "memory_writer.rule.feed_forward.": "mem_ff.",
}


def reference_name(name: str) -> str:
    """Return what the reference calls the parameter that is `name` here."""
    if found := _LAYER.fullmatch(name):
        layer, step, norm, rest = found.groups()
        return f"{layer}.{_STEPS.index(step)}.fn.{'norm' if norm else 'fn'}.{rest}"
    for ours, theirs in _WRITER.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def load_reference(model: Memformer, state_dict: dict[str, Tensor]) -> None:
    """Load the weights of PyPI `memformer` 0.3.1 into `model`, all of them or none.

    For the reference's numbers the model must have been built with
    `position_buckets="reference"`, as well as `mem_update="gru"` and `mem_feed_forward=True`.

    Args:
        model: of the same sizes as the reference's model.
        state_dict: what `state_dict()` of the reference's model returns.

    Raises:
        ValueError: a parameter is missing, unknown or of another shape; each is named, by the
            reference's name, and `model` stays as it is.
    """
    expected = reference_state_dict(model)
    problems = [f"missing {name}" for name in expected if name not in state_dict]
    problems += [f"unknown {name}" for name in state_dict if name not in expected]
    problems += [
        f"{name} has shape {tuple(state_dict[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state_dict and state_dict[name].shape != value.shape
    ]
    if problems:
        raise ValueError(f"state_dict does not fit the model: {'; '.join(problems)}")
    model.load_state_dict({name: state_dict[reference_name(name)] for name in model.state_dict()})


def reference_state_dict(model: Memformer) -> dict[str, Tensor]:
    """Return the weights of `model` under the names of PyPI `memformer` 0.3.1.

    Raises:
        ValueError: `model` has no counterpart there (another rule than "gru", or no feed-forward).
    """
    rule = model.memory_writer.rule
    if type(rule) is not GRUGate or rule.feed_forward is None:
        raise ValueError(
            "model: expected mem_update='gru' and mem_feed_forward=True, the only writer that "
            "the reference has"
        )
    return {reference_name(name): value for name, value in model.state_dict().items()}
