"""Checks of what a caller hands in; errors name the argument, its value and what was expected."""

import torch
from torch import Tensor


def check_integer(name: str, value: int, *, at_least: int) -> None:
    """Raise unless `value` is an integer of at least `at_least`."""
    # A length of an exported graph is a SymInt.
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{name}={value!r}: expected an integer, got {type(value).__name__}")
    if value < at_least:
        raise ValueError(f"{name}={value}: expected at least {at_least}")


def check_heads(dim: int, heads: int, *, name: str = "heads") -> None:
    """Raise unless the width `dim` can be split evenly over `heads` heads."""
    check_integer("dim", dim, at_least=1)
    check_integer(name, heads, at_least=1)
    if dim % heads:
        raise ValueError(f"dim={dim} cannot be split over {name}={heads}: expected a multiple")


def check_number(name: str, value: float, *, low: float, high: float, expected: str) -> None:
    """Raise unless `value` is a number with `low <= value <= high`; nan is refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r}: expected {expected}, got {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: expected {expected}")


def check_dropout(dropout: float) -> None:
    """Raise unless `dropout` is a probability below 1."""
    below_one = 1 - 2**-53  # the largest float64 below 1
    check_number("dropout", dropout, low=0.0, high=below_one, expected="a probability in [0, 1)")


def check_temperature(name: str, value: float) -> None:
    """Raise unless `value` is a finite number above 0."""
    tiny, huge = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    check_number(name, value, low=tiny, high=huge, expected="a finite number above 0")


def check_flag(name: str, value: bool) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: expected True or False, got {type(value).__name__}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def check_tensor(name: str, value: Tensor) -> None:
    """Raise unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def check_features(
    name: str, value: Tensor, shape: tuple[int | None, ...], like: Tensor | None = None
) -> None:
    """Raise unless `value` is a floating tensor of `shape`; None in `shape` stands for any size.

    With `like` (a parameter) the dtypes must agree, except under autocast, which mixes them.
    """
    check_tensor(name, value)
    if not value.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, got {value.dtype}")
    differs = like is not None and value.dtype != like.dtype
    if differs and not torch.is_autocast_enabled(value.device.type):
        raise TypeError(f"{name}: expected {like.dtype} as in the weights, got {value.dtype}")
    fits = value.ndim == len(shape) and all(
        want is None or want == size for want, size in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name}: expected shape ({wanted}), got {tuple(value.shape)}")
    if 0 in value.shape:
        raise ValueError(f"{name}: expected no empty dimension, got shape {tuple(value.shape)}")


def check_mask(name: str, mask: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raise unless `mask` is None or a bool tensor of exactly `shape`; nothing is broadcast."""
    if mask is None:
        return
    check_tensor(name, mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name}: expected torch.bool (True = may look), got {mask.dtype}")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(mask.shape)}")


def check_tokens(
    name: str, tokens: Tensor, *, num_tokens: int, max_seq_len: int | None = None, at_least: int = 1
) -> None:
    """Raise unless `tokens` is a long tensor (b, n) of ids below `num_tokens`.

    `n` must lie between `at_least` and `max_seq_len` (None: no upper limit). The ids are looked
    at only in eager mode: a compiled or exported graph must not depend on values.
    """
    check_tensor(name, tokens)
    if tokens.dtype != torch.long:
        raise TypeError(f"{name}: expected torch.long token ids, got {tokens.dtype}")
    if tokens.ndim != 2 or tokens.shape[0] == 0:
        raise ValueError(f"{name}: expected shape (b, n) with b >= 1, got {tuple(tokens.shape)}")
    length = tokens.shape[1]
    if length < at_least:
        raise ValueError(f"{name}: expected at least {at_least} token(s) a row, got {length}")
    if max_seq_len is not None and length > max_seq_len:
        raise ValueError(f"{name}: expected at most {max_seq_len} tokens a row, got {length}")
    if torch.compiler.is_compiling():
        return
    low, high = (int(bound) for bound in tokens.aminmax())
    if low < 0 or high >= num_tokens:
        wrong = low if low < 0 else high
        raise ValueError(f"{name}: expected token ids from 0 to {num_tokens - 1}, got {wrong}")
