"""An answer is tried as it is: nothing leaks out, and forbidden pieces are found."""

import functools

import pytest
import torch

import memformer_lite
from memformer_lite import SlotAttention
from memformer_lite.lab.trying import forbidden, try_answer

QUESTION = {"x": torch.zeros(2), "names": ["a"], "deep": {"y": [torch.ones(1)]}}


def use(answer, question):
    return answer(**question)


def tried(answer, *forbids):
    (outcome,) = try_answer(use, answer, [QUESTION], forbids)
    return outcome


def test_what_comes_of_an_answer(capsys):
    def prints(**question):
        print("loud")
        return 1

    assert tried(prints) == {"value": 1} and capsys.readouterr().out == ""
    assert tried(lambda **q: None) == {"open": True}
    assert tried(lambda **q: 1 / 0) == {"raised": "ZeroDivisionError", "says": "division by zero"}
    assert tried(lambda **q: object())["raised"] == "answer"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda q: q["x"].add_(1), "x"),
        (lambda q: q["names"].append("b"), "names"),
        (lambda q: q["deep"]["y"][0].mul_(2), "deep"),
        (lambda q: q["deep"].clear(), "deep"),
    ],
)
def test_a_changed_argument_is_seen_and_the_question_stays(change, name):
    def answer(**question):
        change(question)
        return 1

    assert tried(answer) == {"changed": name}
    assert torch.equal(QUESTION["x"], torch.zeros(2)) and QUESTION["names"] == ["a"]


def test_random_numbers_outside_go_on_as_if_nothing_was_tried():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = tried(lambda **q: torch.rand(2))
    assert torch.equal(torch.rand(3), expected)
    assert tried(lambda **q: torch.rand(2)) == first


ALIAS = SlotAttention


class Holder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.part = SlotAttention(4, heads=2)

    def forward(self, x):
        return x


class Quiet:
    part = Holder

    def call(self):
        return self


def by_default(x, attention=SlotAttention):
    return attention


def closure():
    attention = SlotAttention
    return lambda x: attention(x)


def helper(x):
    return ALIAS(x)


@pytest.mark.parametrize(
    "answer",
    [
        SlotAttention,
        SlotAttention(4, heads=2),
        lambda x: SlotAttention(x),
        lambda x: ALIAS(x),
        lambda x: memformer_lite.SlotAttention(x),
        lambda x: memformer_lite.memory.SlotAttention(x),
        lambda x: helper(x),
        lambda x: [SlotAttention(y) for y in x],
        by_default,
        closure(),
        Holder,
        Holder(),
        Quiet,
        functools.partial(SlotAttention, 4),
        SlotAttention(4, heads=2).forward,
        type("Mine", (SlotAttention,), {}),
    ],
)
def test_a_forbidden_piece_is_found(answer):
    assert "SlotAttention" in forbidden(answer, ["SlotAttention"])
    assert tried(answer, "SlotAttention") == {"forbidden": "SlotAttention"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: torch.softmax(x, -1),
        lambda x: memformer_lite.FeedForward(x),
        memformer_lite.MemoryWriter,
        type("Mine", (memformer_lite.MemoryRule,), {"forward": lambda self, w, m, s: (w, None)}),
        3,
        "SlotAttention",
    ],
)
def test_other_answers_are_not_taken_for_it(answer):
    assert not list(forbidden(answer, ["SlotAttention"]))
