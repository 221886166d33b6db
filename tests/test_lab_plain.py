"""Answers as plain data: exact there and back, bounded, and nothing in it that runs."""

import enum
import json
import math

import pytest
import torch

from memformer_lite.lab.plain import MOST_TEXT, MOST_VALUES, NotPlainError, decode, encode

ALL = {
    "none": None,
    "numbers": [True, 0, -3, 2**53, -(2**200), 0.1, 1e-300],
    "unfinished": (math.inf, -math.inf),
    "texts": ["", "ä→", "\x00"],
    3: {1, "a", (2, 3)},
    "nested": {"x": [{"y": ()}]},
}
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64")
DTYPES += ("float16", "bfloat16", "float32", "float64")


def there_and_back(value):
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def test_values_come_back_as_they_were():
    back = there_and_back(ALL)
    assert back == ALL and list(map(type, back["numbers"])) == list(map(type, ALL["numbers"]))
    assert math.isnan(there_and_back(math.nan))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 3)])
def test_tensors_come_back_exactly(dtype, shape):
    dtype = getattr(torch, dtype)
    value = torch.randn(shape).mul(3).to(dtype)
    back = there_and_back(value)
    assert back.dtype == dtype and back.shape == value.shape and torch.equal(back, value)


def test_unfinished_numbers_in_a_tensor():
    value = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    assert torch.equal(there_and_back(value).nan_to_num(7.0), value.nan_to_num(7.0))
    assert there_and_back(value)[0].isnan()


def test_subclasses_and_arrays_go_as_what_they_are():
    numpy = pytest.importorskip("numpy")

    class Colour(enum.IntEnum):
        RED = 3

    assert there_and_back([Colour.RED, numpy.float32(0.5), numpy.arange(2)]) == [3, 0.5, [0, 1]]
    assert type(there_and_back(Colour.RED)) is int


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "got object"),
        (lambda: 1, "got function"),
        (1j, "got complex"),
        (b"x", "got bytes"),
        (torch.nn.Linear(2, 2), "got Linear"),
        (torch.zeros(2, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(2, 2).to_sparse(), "tensor of plain numbers"),
        ("x" * (MOST_TEXT + 1), "at most 10,000 characters"),
        (1 << (4 * MOST_TEXT), "at most 30,000 bits"),
        ([0] * (MOST_VALUES + 1), "at most 200,000 values"),
        (torch.zeros(MOST_VALUES + 1), "at most 200,000 values"),
        ([torch.zeros(MOST_VALUES // 2)] * 3, "at most 200,000 values"),
        (nested(30), "at most 20 containers"),
    ],
    ids=lambda part: part if isinstance(part, str) and len(part) < 50 else "",
)
def test_what_is_no_answer_is_refused_in_words(value, says):
    with pytest.raises(NotPlainError, match=says):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        {"tensor": "float32", "shape": [2], "numbers": [1]},
        {"tensor": "float32", "shape": [-1, -1], "numbers": [1]},
        {"tensor": "object", "shape": [], "numbers": [1]},
        {"tensor": "float32", "shape": [1], "numbers": ["__import__"]},
        {"tensor": "float32", "shape": [1] * 99, "numbers": [1]},
        {"tensor": "int8", "shape": [1], "numbers": [999]},
        {"tensor": "float32", "shape": [1], "numbers": [[1]]},
        {"tensor": "float32", "shape": [0, 10**30], "numbers": {}},
        {"tensor": "float32"},
        {"float": "1"},
        {"whole": "zz"},
        {"whole": "0x" + "f" * 20_000},
        {"set": [[1]]},
        {"dict": [[[1], 2]]},
        {"dict": [[1, 2, 3]]},
        {"pickle": "x"},
        {},
        {"set": 3, "dict": []},
        {"tuple": None},
        "x" * 20_000,
        nested(500),
        [0] * 300_000,
    ],
    ids=lambda data: repr(data)[:40] if isinstance(data, dict) else type(data).__name__,
)
def test_forged_data_are_refused_in_words(data):
    with pytest.raises(NotPlainError):
        decode(data)
