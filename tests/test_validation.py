"""Each check by itself: what it lets pass, what it refuses, and in which words."""

import math

import numpy as np
import pytest
import torch
from helpers import INF, NAN, refused

from memformer_lite.validation import (
    check_choice,
    check_features,
    check_flag,
    check_integer,
    check_mask,
    check_number,
    check_options,
    check_temperature,
    check_tokens,
)

HALF = {"low": 0.0, "high": 0.5, "expected": "a half"}
GOOD = [
    (check_integer, (1, np.int64(2), 10**30), {"at_least": 1}),
    (check_number, (0, 0.5, np.float32(0.25), np.int64(0)), HALF),
    (check_temperature, (1, 0.01, 1e6, np.float64(2)), {}),
    (check_flag, (True, False), {}),
    (check_choice, ("a", "b", 1, np.int64(1)), {"choices": ("a", "b", 1)}),
]
BAD = [  # a check, what it refuses as of a wrong type and as of a wrong value, its options
    (check_integer, (2.0, "2", None, True, NAN), (0, -1, np.int64(0)), {"at_least": 1}),
    (check_number, ("0.1", None, True, [0.1]), (-0.1, 0.51, NAN, INF, -INF), HALF),
    (check_temperature, ("1", None, True), (0, 0.0, -1.0, NAN, INF), {}),
    (check_flag, (1, 0, "no", None, np.bool_(True)), (), {}),
    (check_choice, (), ("c", "A", 2, None, ["a"], torch.ones(2)), {"choices": ("a", "b", 1)}),
]


def cases(kind):
    return [
        pytest.param(check, value, options, id=f"{check.__name__}-{value!r}")
        for check, types, values, options in BAD
        for value in (types if kind is TypeError else values)
    ]


@pytest.mark.parametrize(("check", "values", "options"), GOOD)
def test_what_is_asked_for_passes(check, values, options):
    for value in values:
        check("name", value, **options)


@pytest.mark.parametrize(("check", "value", "options"), cases(TypeError))
def test_a_wrong_type_is_named(check, value, options):
    shown = value if isinstance(value, str) else repr(value)
    refused(TypeError, lambda: check("name", value, **options), "name", shown, "expected")


@pytest.mark.parametrize(("check", "value", "options"), cases(ValueError))
def test_a_wrong_value_is_named(check, value, options):
    refused(ValueError, lambda: check("name", value, **options), "name", "expected")


def test_an_option_is_checked_as_what_its_name_stands_for():
    check_options(dim=6, heads=3, dropout=0.0, mem_temperature=1, causal=True)
    refused(ValueError, lambda: check_options(dropout=1.0), "dropout", "1.0", "expected")
    check_options(dropout=math.nextafter(1.0, 0.0))
    with pytest.raises(KeyError, match="colour"):
        check_options(colour=3)


F32, F64, LONG, BOOL = torch.float32, torch.float64, torch.long, torch.bool


def a(*shape, dtype=F64):
    return torch.zeros(shape, dtype=dtype)


def test_features_masks_and_tokens_that_fit_pass():
    check_features("x", a(2, 5, 6), (2, None, 6), like=a(1))
    check_features("x", a(2, 5, 6, dtype=F32), (None, 5, None))
    check_mask("m", None, (2, 5))
    check_mask("m", a(2, 5, dtype=BOOL), (2, 5))
    check_tokens("t", a(2, 5, dtype=LONG) + 6, num_tokens=7, max_seq_len=5, at_least=5, batch=2)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TypeError, [[1.0]]),
        (TypeError, None),
        (TypeError, a(2, 5, 6, dtype=LONG)),
        (TypeError, a(2, 5, 6, dtype=F32)),
        (ValueError, a(2, 5, 7)),
        (ValueError, a(1, 5, 6)),
        (ValueError, a(5, 6)),
        (ValueError, a(2, 0, 6)),
        (ValueError, a(1, 2, 5, 6)),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_features_that_do_not_fit_are_named(kind, value):
    refused(kind, lambda: check_features("x", value, (2, None, 6), like=a(1)), "x", "expected")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TypeError, [[True]]),
        (TypeError, a(2, 5)),
        (TypeError, a(2, 5, dtype=LONG)),
        (ValueError, a(1, 5, dtype=BOOL)),
        (ValueError, a(3, 5, dtype=BOOL)),
        (ValueError, a(2, 4, dtype=BOOL)),
        (ValueError, a(5, 2, dtype=BOOL)),
        (ValueError, a(5, dtype=BOOL)),
        (ValueError, a(2, 1, 5, dtype=BOOL)),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_masks_that_do_not_fit_are_named(kind, value):
    refused(kind, lambda: check_mask("m", value, (2, 5)), "m", "expected")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (TypeError, [[1]], ()),
        (TypeError, a(2, 5), ()),
        (TypeError, a(2, 5, dtype=torch.int32), ()),
        (TypeError, a(2, 5, dtype=BOOL), ()),
        (ValueError, a(5, dtype=LONG), (5,)),
        (ValueError, a(1, 2, 5, dtype=LONG), ()),
        (ValueError, a(0, 5, dtype=LONG), (0, 5)),
        (ValueError, a(3, 5, dtype=LONG), (2, 3)),
        (ValueError, a(2, 1, dtype=LONG), (2, 1)),
        (ValueError, a(2, 6, dtype=LONG), (5, 6)),
        (ValueError, a(2, 5, dtype=LONG) + 7, (0, 6, 7)),
        (ValueError, a(2, 5, dtype=LONG) - 1, (0, 6, 1)),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_tokens_that_do_not_fit_are_named(kind, value, words):
    sizes = {"num_tokens": 7, "max_seq_len": 5, "at_least": 2, "batch": 2}
    refused(kind, lambda: check_tokens("t", value, **sizes), "t", "expected", *words)
