"""What is said of an answer: its points, its mistake, and where it differs."""

import math

import pytest
import torch

from memformer_lite import check
from memformer_lite.lab import course
from memformer_lite.lab.chapter05 import LerpShare, slot_attention
from memformer_lite.lab.judge import same

NAN = math.nan


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (3, 3.0),
        (3, torch.tensor(3)),
        (3.0, torch.tensor(3.0, dtype=torch.float32)),
        (True, 1),
        (2**70, 2**70),
        ([1, 2], (1, 2)),
        ([1, 2], torch.tensor([1, 2])),
        ([[1.0, 2.0]], torch.tensor([[1, 2]])),
        ("A", "a "),
        ("B", {"b"}),
        ({"a", "b"}, "B, a"),
        ({"a", "b"}, ["b", "A"]),
        ({"b"}, "(b)."),
        ({3}, 3),
        ({1, 2}, torch.tensor([2, 1])),
        ({"x": 1}, {"X": 1.0}),
        ([NAN, math.inf], torch.tensor([NAN, math.inf])),
        (1.0, 1.0 + 1e-9),
        ([1, "a"], (1, "A")),
        (set(), set()),
    ],
)
def test_the_same_answer_in_another_form(wanted, given):
    assert same(wanted, given, 1e-6)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (3, 4),
        (3, NAN),
        (NAN, 3),
        (math.inf, -math.inf),
        (2**70, 2**70 + 1),
        (1.0, 1.001),
        ([1, 2], [2, 1]),
        ([1, 2], [1, 2, 3]),
        ([1, 2], [[1, 2]]),
        ("A", "B"),
        ("A", {"a", "b"}),
        ({"a", "b"}, {"a"}),
        ({"a"}, 5),
        ({"x": 1}, {"x": 1, "y": 2}),
        ({"x": 1}, 1),
        (3, None),
        (3, "3"),
        (torch.zeros(2, 1), torch.zeros(1, 2)),
    ],
)
def test_another_answer(wanted, given):
    assert not same(wanted, given, 1e-6)


def wrong_in_a_new_way(queries, slot_keys, slot_values, token_keys, token_values):
    return 2 * slot_attention(queries, slot_keys, slot_values, token_keys, token_values)


def one_mistake(queries, slot_keys, slot_values, token_keys, token_values):
    return slot_attention(queries * 7, slot_keys, slot_values, token_keys, token_values)


def in_place(queries, slot_keys, slot_values, token_keys, token_values):
    with torch.no_grad():
        queries += 1
    return slot_values


def raising(queries, *others):
    raise KeyError("queries")


def not_a_number(queries, slot_keys, *others):
    return slot_keys * NAN


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (slot_attention, "right", "Values and gradients agree in four shapes"),
        (
            wrong_in_a_new_way,
            "wrong",
            "by no mistake that we know. First at question 1 of 4: output",
        ),
        (lambda *x: x[2][:, :1], "wrong", "output has shape (2, 1, 7); expected (2, 3, 7)"),
        (not_a_number, "wrong", "output has nan in it"),
        (raising, "wrong", "First at question 1 of 4: KeyError: 'queries'"),
        (lambda *x: {"all"}, "wrong", "output is {'all'}; expected"),
        (lambda *x: ..., "open", "open"),
        (..., "open", "open"),
        (7, "wrong", "TypeError: 'int' object is not callable"),
    ],
)
def test_what_is_said_of_a_function(answer, state, says):
    verdict = check.exercise("5.1", answer)
    assert verdict.state == state and says in " ".join(repr(verdict).split())
    assert bool(verdict) == (state == "right") == (verdict.points == 4)


def test_a_mistake_is_named_and_no_number_beside_it():
    wrong = course.exercise("5.1").misconceptions
    for message, answer in wrong.items():
        verdict = check.exercise("5.1", answer)
        assert verdict.mistakes == (message,) and verdict.detail == ""


@pytest.mark.parametrize(
    ("answer", "points", "says"),
    [
        ({"a": 10, "b": 180, "c": 0}, 3, "right"),
        ({"A": 10.0, "b": torch.tensor(-180), "c": False}, 3, "right"),
        ({"a": 10, "b": 180, "c": 1}, 2, "(c) A vector can be brought to length 1 only if"),
        ({"a": 40, "b": 0, "c": 0}, 1, "(b) Slot, bias and sum lie on one line"),
        ({"a": 10, "b": ..., "c": None}, 1, "Look at b, c again"),
        ({"a": 10}, 1, "Look at b, c again"),
        ({"a": 10, "b": NAN, "c": NAN}, 1, "Look at b, c again"),
        (10, 0, "Expected a dict with the keys 'a', 'b', 'c'"),
        ({"a": ..., "b": ..., "c": ...}, 0, "open"),
    ],
)
def test_parts_that_are_right_count_and_what_is_right_is_not_told(answer, points, says):
    verdict = check.exercise("5.2", answer)
    assert verdict.points == points and says in " ".join(repr(verdict).split())
    assert "expected 10" not in repr(verdict)


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (["A", "(b)"], "wrong", ""),
        ("x", "wrong", "Expected a set of letters from a to f"),
        (5, "wrong", "Expected a set of letters, got 5"),
        (set(), "open", ""),
        (set("abcdef"), "wrong", ""),
    ],
)
def test_a_choice_in_another_form_is_told_which_was_asked_for(answer, state, says):
    verdict = check.exercise("10.4", answer)
    assert verdict.state == state and says in verdict.message and verdict.points == 0


def test_a_rule_written_otherwise_is_right_and_the_package_is_refused():
    assert check.exercise("5.5", LerpShare)
    from memformer_lite import SlotAttention

    verdict = check.exercise("5.1", SlotAttention)
    assert verdict.state == "refused" and "without SlotAttention" in verdict.message


@pytest.mark.parametrize("name", ["5.9", "5", "77.1", "", 5.1, "x.1"])
def test_an_exercise_that_is_not_there(name):
    with pytest.raises(ValueError, match="expected"):
        check.exercise(name, 1)


def test_a_salt_asks_otherwise():
    exercise = course.exercise("5.2")
    texts = {exercise.text(exercise.questions(f"salt {i}")[0]) for i in range(20)}
    assert len(texts) > 5
    assert exercise.questions("x") == exercise.questions("x")
    (question,) = exercise.questions("salt 3")
    assert check.exercise("5.2", exercise.right(question), salt="salt 3")
