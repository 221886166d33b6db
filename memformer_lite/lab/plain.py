"""Answers and questions as plain data: JSON with bounds, and nothing in it that runs."""

import math
from typing import Any

import torch
from torch import Tensor

MOST_VALUES = 200_000  # numbers, texts and containers in one value
MOST_TEXT = 10_000  # characters of one text, digits of one whole number
DEEPEST = 20
_WHOLE = ("bool", "uint8", "int8", "int16", "int32", "int64")
_FLOATING = ("float16", "bfloat16", "float32", "float64")
_DTYPES = {name: getattr(torch, name) for name in (*_WHOLE, *_FLOATING)}
_UNFINISHED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class NotPlainError(ValueError):
    """A value that is no plain data, or too much of it; the message says which."""


def encode(value: object) -> Any:
    """Return `value` as what JSON can hold, exactly.

    Args:
        value: None, bool, int, float, str, a tensor, or a list, tuple, set or dict of such. A
            NumPy number or array goes as a number or a tensor.

    Raises:
        NotPlainError: anything else, or beyond `MOST_VALUES`, `MOST_TEXT` or `DEEPEST`.
    """
    return _Encoder().encode(value, 0)


class _Encoder:
    def __init__(self) -> None:
        self.left = MOST_VALUES

    def encode(self, value: object, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise NotPlainError(f"expected at most {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise NotPlainError(f"expected at most {DEEPEST} containers in each other")
        if value is None or type(value) is bool:
            return value
        if type(value) is int:
            return self._whole(value)
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is str:
            if len(value) > MOST_TEXT:
                raise NotPlainError(f"expected a text of at most {MOST_TEXT:,} characters")
            return value.encode("utf-8", "replace").decode()
        return self._container(value, depth + 1)

    def _whole(self, value: int) -> Any:
        if value.bit_length() > 3 * MOST_TEXT:
            raise NotPlainError(f"expected a whole number of at most {3 * MOST_TEXT:,} bits")
        # JSON readers may turn a long number into a float; and a text has no limit of digits.
        return value if abs(value) < 2**53 else {"whole": hex(value)}

    def _container(self, value: object, depth: int) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            pairs = [
                [self.encode(key, depth), self.encode(item, depth)] for key, item in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, (set, frozenset)):
            return {"set": [self.encode(item, depth) for item in value]}
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item, depth) for item in value]}
        if isinstance(value, list):
            return [self.encode(item, depth) for item in value]
        if hasattr(value, "dtype") and hasattr(value, "tolist"):  # NumPy's, which is not needed
            return self.encode(value.tolist(), depth)
        for kind in (bool, int, float, str):
            if isinstance(value, kind):  # a subclass, such as an enumeration's member
                return self.encode(kind(value), depth)
        raise NotPlainError(f"expected numbers, texts and tensors, got {type(value).__name__}")

    def _tensor(self, value: Tensor) -> Any:
        name = str(value.dtype).removeprefix("torch.")
        if name not in _DTYPES or value.layout != torch.strided or value.is_nested:
            raise NotPlainError(f"expected a tensor of plain numbers, got {value.dtype}")
        self.left -= value.numel()
        if self.left < 0:
            raise NotPlainError(f"expected at most {MOST_VALUES:,} values")
        value = value.detach().cpu()
        numbers = value.double() if value.is_floating_point() else value
        flat = [
            x if not isinstance(x, float) or math.isfinite(x) else repr(x)
            for x in numbers.flatten().tolist()
        ]
        return {"tensor": name, "shape": list(value.shape), "numbers": flat}


def decode(data: Any) -> Any:
    """Return the value that `encode` made `data` of; a NumPy array comes back as a list.

    Raises:
        NotPlainError: `data` is no such thing, or goes beyond the bounds.
    """
    try:
        return _Decoder().decode(data, 0)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as fault:
        raise NotPlainError(f"not an answer in the form that was asked for: {fault}") from fault


class _Decoder:
    def __init__(self) -> None:
        self.left = MOST_VALUES

    def decode(self, data: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > DEEPEST:
            raise NotPlainError("too many values, or too deep")
        if data is None or isinstance(data, (bool, int, float)):
            return data
        if isinstance(data, str):
            if len(data) > MOST_TEXT:
                raise NotPlainError("too long a text")
            return data
        if isinstance(data, list):
            return [self.decode(item, depth + 1) for item in data]
        if "tensor" in data:
            return self._tensor(data)
        ((form, content),) = data.items()
        if form == "float":
            return _UNFINISHED[content]
        if form == "whole":
            if len(content) > MOST_TEXT:
                raise NotPlainError("too long a number")
            return int(content, 16)
        if form == "dict":
            return {
                self.decode(key, depth + 1): self.decode(item, depth + 1) for key, item in content
            }
        return {"set": set, "tuple": tuple}[form](self.decode(item, depth + 1) for item in content)

    def _tensor(self, data: dict[str, Any]) -> Tensor:
        numbers, shape = data["numbers"], data["shape"]
        self.left -= len(numbers)
        if self.left < 0:
            raise NotPlainError("too many values")
        if len(shape) > DEEPEST or math.prod(shape) != len(numbers) or min([0, *shape]) < 0:
            raise ValueError("a tensor's shape and its numbers do not fit")
        if not all(isinstance(x, (bool, int, float, str)) for x in numbers):
            raise ValueError("a tensor holds numbers")
        numbers = [_UNFINISHED[x] if isinstance(x, str) else x for x in numbers]
        return torch.tensor(numbers, dtype=_DTYPES[data["tensor"]]).reshape(shape)
