"""Checks of what a caller hands in; errors name the argument, its value and what was expected.

Each argument is checked once, at the door through which it came. A public call asks `unchecked()`
and checks; around the calls of its own parts it says `with checked():`, and they rely on that.
"""

import math
import numbers
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from typing import Any

import torch
from torch import Tensor

_checked: ContextVar[bool] = ContextVar("checked", default=False)


def unchecked() -> bool:
    """Say whether this call is the door: no caller has checked its arguments.

    Where a graph is traced every call checks: that costs nothing in the graph.
    """
    return torch.compiler.is_compiling() or not _checked.get()


def checked(done: bool = True) -> AbstractContextManager:
    """Tell the calls inside a `with` block that their arguments were checked; False takes it back.

    False is for code that is not ours, such as a reader's memory rule: what it calls is checked.
    """
    return nullcontext() if torch.compiler.is_compiling() else _Checked(done)


class _Checked:
    def __init__(self, done: bool):
        self.done = done
        self.token: Token | None = None

    def __enter__(self) -> None:
        self.token = _checked.set(self.done)

    def __exit__(self, *fault: object) -> None:
        if self.token is not None:
            _checked.reset(self.token)


# Options.


def check_integers(at_least: int, **values: int | None) -> None:
    """Raise unless each value is an integer of at least `at_least`."""
    for name, value in values.items():
        # A length of an exported graph is a SymInt.
        if isinstance(value, bool) or not isinstance(value, (numbers.Integral, torch.SymInt)):
            raise TypeError(f"{name}={value!r}: expected an integer, got {type(value).__name__}")
        if value < at_least:
            raise ValueError(f"{name}={value}: expected at least {at_least}")


def check_integer(name: str, value: int, *, at_least: int) -> None:
    """Raise unless `value` is an integer of at least `at_least`."""
    check_integers(at_least, **{name: value})


def check_number(name: str, value: float, *, low: float, high: float, expected: str) -> None:
    """Raise unless `value` is a number with `low <= value <= high`; nan is refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r}: expected {expected}, got {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: expected {expected}")


def check_temperature(name: str, value: float) -> None:
    """Raise unless `value` is a finite number above 0."""
    tiny, huge = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    check_number(name, value, low=tiny, high=huge, expected="a finite number above 0")


def check_flag(name: str, value: bool) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: expected True or False, got {type(value).__name__}")


def check_choice(name: str, value: object, choices: Iterable, otherwise: str = "") -> None:
    """Raise unless `value` is one of `choices`; `otherwise` names what is accepted beside them."""
    if not isinstance(value, str | numbers.Real) or value not in choices:
        raise ValueError(
            f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}{otherwise}"
        )


# What each option of the package may be, by its name.
_COUNTS = (
    *("dim", "depth", "heads", "mult", "max_distance", "num_tokens", "max_seq_len", "max_length"),
    *("num_updates", "num_memory_slots", "num_mem_updates", "mem_update_attn_heads"),
    *("enc_num_tokens", "enc_max_seq_len", "enc_depth", "enc_heads"),
    *("dec_num_tokens", "dec_max_seq_len", "dec_depth", "dec_heads"),
    *("batch_size", "seq_len", "q_len", "k_len", "detach_every"),
)
_FLAGS = (
    *("causal", "raw_self", "feed_forward", "mem_feed_forward", "encoder_only", "return_logits"),
    *("bidirectional", "bidirectional_buckets", "use_cache"),
)


def check_options(**options: Any) -> None:
    """Raise unless each option is what its name stands for; heads must divide a `dim` beside them.

    Raises:
        TypeError: an option of another type.
        ValueError: an option outside its range.
    """
    check_integers(1, **{name: value for name, value in options.items() if name in _COUNTS})
    for name, value in options.items():
        if name in _FLAGS:
            check_flag(name, value)
        elif name.endswith("temperature"):
            check_temperature(name, value)
        elif name == "dropout":
            below_one = math.nextafter(1.0, 0.0)
            check_number(name, value, low=0.0, high=below_one, expected="a probability in [0, 1)")
        elif name == "position_buckets":
            check_choice(name, value, ("t5", "reference"))
        elif name not in _COUNTS:
            raise KeyError(name)
    for name, heads in options.items():
        dim = options.get("dim", heads)
        if name.endswith("heads") and dim % heads:
            raise ValueError(f"dim={dim} cannot be split over {name}={heads}: expected a multiple")


# Tensors.


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
    if (
        like is not None
        and value.dtype != like.dtype
        and not torch.is_autocast_enabled(value.device.type)  # some devices know no autocast
    ):
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
    name: str,
    tokens: Tensor,
    *,
    num_tokens: int,
    max_seq_len: int | None = None,
    at_least: int = 1,
    batch: int | None = None,
) -> None:
    """Raise unless `tokens` is a long tensor (b, n) of ids below `num_tokens`.

    `n` must lie between `at_least` and `max_seq_len` (None: no upper limit), and b be `batch`. The
    ids are looked at only in eager mode: a graph, or `torch.func.vmap`, must not depend on values.
    """
    check_tensor(name, tokens)
    if tokens.dtype != torch.long:
        raise TypeError(f"{name}: expected torch.long token ids, got {tokens.dtype}")
    if tokens.ndim != 2 or tokens.shape[0] == 0:
        raise ValueError(f"{name}: expected shape (b, n) with b >= 1, got {tuple(tokens.shape)}")
    if batch is not None and tokens.shape[0] != batch:
        raise ValueError(f"{name}: expected batch {batch} as in src, got {tokens.shape[0]}")
    length = tokens.shape[1]
    if length < at_least:
        raise ValueError(f"{name}: expected at least {at_least} token(s) a row, got {length}")
    if max_seq_len is not None and length > max_seq_len:
        raise ValueError(f"{name}: expected at most {max_seq_len} tokens a row, got {length}")
    if torch.compiler.is_compiling():
        return
    try:
        low, high = torch.stack(tokens.aminmax()).tolist()  # one wait for the device
    except RuntimeError:  # inside vmap no value can be looked at
        return
    if low < 0 or high >= num_tokens:
        wrong = low if low < 0 else high
        raise ValueError(f"{name}: expected token ids from 0 to {num_tokens - 1}, got {wrong}")
