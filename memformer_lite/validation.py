"""Checks of what a caller hands in; errors name the argument, its value and what was expected.

Each argument is checked once, at the door through which it came. A public call asks `unchecked()`
and checks; around the calls of its own parts it says `with checked():`, and they rely on that.
"""

import math
import numbers
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token

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


def check_heads(dim: int, **heads: int) -> None:
    """Raise unless the width `dim` can be split evenly over each number of heads."""
    check_integers(1, dim=dim, **heads)
    for name, value in heads.items():
        if dim % value:
            raise ValueError(f"dim={dim} cannot be split over {name}={value}: expected a multiple")


def check_number(name: str, value: float, *, low: float, high: float, expected: str) -> None:
    """Raise unless `value` is a number with `low <= value <= high`; nan is refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r}: expected {expected}, got {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: expected {expected}")


def check_dropout(dropout: float) -> None:
    """Raise unless `dropout` is a probability below 1."""
    below_one = math.nextafter(1.0, 0.0)
    check_number("dropout", dropout, low=0.0, high=below_one, expected="a probability in [0, 1)")


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


def check_buckets(bidirectional: bool, num_buckets: int, max_distance: int) -> None:
    """Raise where the buckets cannot hold both an exact and a logarithmic range."""
    check_flag("bidirectional", bidirectional)
    check_integer("num_buckets", num_buckets, at_least=4 if bidirectional else 2)
    check_integer("max_distance", max_distance, at_least=1)
    if bidirectional and num_buckets % 2:
        raise ValueError(
            f"num_buckets={num_buckets}: expected an even number, half for each direction"
        )
    max_exact = num_buckets // 4 if bidirectional else num_buckets // 2
    if max_distance <= max_exact:
        raise ValueError(
            f"max_distance={max_distance}: expected more than {max_exact}, "
            f"the distances that num_buckets={num_buckets} keeps exact"
        )


# Tensors.


def check_tensor(name: str, value: Tensor) -> None:
    """Raise unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def check_integral(name: str, value: Tensor) -> None:
    """Raise unless `value` is a tensor of integers, of any width."""
    dtype = value.dtype if isinstance(value, Tensor) else None
    if dtype is None or dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise TypeError(f"{name}: expected an integer tensor, got {dtype or type(value).__name__}")


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


def check_masks(**masks: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Raise unless each mask is None or a bool tensor of its shape."""
    for name, (mask, shape) in masks.items():
        check_mask(name, mask, shape)


def check_context(
    context: Tensor | None,
    mask: Tensor | None = None,
    *,
    batch: int,
    dim: int,
    like: Tensor,
    name: str = "src_mask",
) -> None:
    """Raise unless `context` is None or (batch, any, dim), and its mask, called `name`, fits it."""
    if context is not None:
        check_features("context", context, (batch, None, dim), like=like)
        check_mask(name, mask, tuple(context.shape[:2]))
    elif mask is not None:
        raise ValueError(f"{name}: expected None, since there is no context to mask")


def check_bias(pos_bias: Tensor | None, shape: tuple[int, int, int, int], like: Tensor) -> None:
    """Raise unless `pos_bias` is None or (1 or b, 1 or h, i, j) for `shape` (b, h, i, j)."""
    if pos_bias is None:
        return
    check_features("pos_bias", pos_bias, (None, None, *shape[2:]), like=like)
    if pos_bias.shape[0] not in (1, shape[0]) or pos_bias.shape[1] not in (1, shape[1]):
        raise ValueError(f"pos_bias: expected 1 or {shape[:2]} first, got {tuple(pos_bias.shape)}")


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


def check_token(name: str, token: int, vocabulary: int) -> None:
    """Raise unless `token` is a token id below `vocabulary`."""
    check_integer(name, token, at_least=0)
    if token >= vocabulary:
        raise ValueError(f"{name}={token}: expected a token id below {vocabulary}")


def check_target(
    tgt: Tensor,
    tgt_mask: Tensor | None,
    *,
    num_tokens: int,
    max_seq_len: int,
    batch: int | None = None,
) -> None:
    """Raise unless `tgt` is a target that a decoder can learn from, and `tgt_mask` fits it."""
    check_tokens(
        "tgt", tgt, num_tokens=num_tokens, max_seq_len=max_seq_len, at_least=2, batch=batch
    )
    check_mask("tgt_mask", tgt_mask, tuple(tgt.shape))


def check_rule(rule: object, result: object, shape: tuple[int, ...]) -> None:
    """Raise unless `result` is what a memory rule must return: (new, gate or None) of `shape`."""
    name = type(rule).__name__
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{name}: expected (new, gate or None), got {type(result).__name__}")
    for part, value in zip(("new", "gate"), result, strict=True):
        if part == "gate" and value is None:
            continue
        check_features(f"{part} of {name}", value, tuple(shape))


# Recurrent steps. A state is a tensor or a tuple of tensors.


def check_recurrence(segments: Sequence, mems: object) -> None:
    """Raise unless there are segments, `mems` is a state, and gradients are switched on."""
    if not segments:
        raise ValueError("segments: expected at least one, got none")
    if not _is_state(mems):
        kind = type(mems).__name__
        raise TypeError(f"mems: expected a tensor, or a tuple of tensors, got {kind}")
    if not torch.is_grad_enabled():
        raise RuntimeError("gradients are switched off here (torch.no_grad or inference_mode)")
    if any(tensor.is_inference() for tensor in (mems if isinstance(mems, tuple) else (mems,))):
        raise ValueError("mems: made in torch.inference_mode, no gradient can use it; clone it")


def check_step(result: object) -> None:
    """Raise unless `result` is what a step must return: a scalar loss or None, and a state."""
    if not isinstance(result, tuple) or len(result) != 2:
        count = len(result) if isinstance(result, tuple) else type(result).__name__
        raise TypeError(f"step: expected to return (loss, state), got {count}")
    loss, state = result
    if loss is not None and not isinstance(loss, Tensor):
        raise TypeError(f"step: expected a tensor or None as loss, got {type(loss).__name__}")
    if loss is not None and loss.ndim:
        raise ValueError(f"step: expected a scalar loss, got shape {tuple(loss.shape)}")
    if not _is_state(state):
        raise TypeError("step: expected a tensor, or a tuple of tensors, as state")


def check_one_each(name: str, value: object, count: int) -> None:
    """Raise unless `value` is a tensor, for the last segment, or a list with `count` entries."""
    if isinstance(value, Tensor):
        return
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a tensor or a list, got {type(value).__name__}")
    if len(value) != count:
        raise ValueError(f"{name}: expected {count} entries, one a segment, got {len(value)}")


def _is_state(value: object) -> bool:
    tensors = value if isinstance(value, tuple) else (value,)
    return all(isinstance(tensor, Tensor) for tensor in tensors)
