"""The pictures of chapter 04 tell in words what they show, and refuse data they cannot show."""

import pytest
import torch

from memformer_lite.figures import encoder as pictures

KEYS = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
VALUES = torch.tensor([[0.0, 3.0], [0.0, 1.0]])
QUERY = torch.tensor([2.0, 0.0])
EVEN = torch.full((2, 4), 0.25)
SHARP = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.7, 0.1, 0.1, 0.1]])


def test_road_names_the_exits_in_order():
    shown = pictures.road()
    places = [shown.alt.index(part) for part in ("looks around", "looks up", "thinks")]
    assert places == sorted(places)
    for part in ("look around", "look up", "think", "M  (b, k, d)", "position bias"):
        assert part in shown.svg
    assert "without a norm" in shown.alt and shown.svg.count(">norm<") == 3


def test_who_answers_tells_scores_weights_and_mix():
    shown = pictures.who_answers(QUERY, KEYS, VALUES, ["A3", "B1"], asks="A?")
    assert "slot A3 has score 1.41, weight 0.94 and value (0, 3)" in shown.alt
    assert "Slot A3 answers most; the mix of the values is (0, 2.89)" in shown.alt
    assert ">0.06<" in shown.svg
    other = pictures.who_answers(-QUERY, KEYS, VALUES, ["A3", "B1"], asks="B?")
    assert "Slot B1 answers most; the mix of the values is (0, 1.11)" in other.alt


@pytest.mark.parametrize(
    ("query", "keys", "values", "names"),
    [
        (QUERY, KEYS, VALUES, ["A3"]),
        (torch.ones(3), KEYS, VALUES, ["A3", "B1"]),
        (QUERY, KEYS, VALUES[:, :1], ["A3", "B1"]),
        (QUERY, KEYS[0], VALUES, ["A3", "B1"]),
        (QUERY * float("nan"), KEYS, VALUES, ["A3", "B1"]),
    ],
)
def test_who_answers_refuses_what_does_not_fit(query, keys, values, names):
    with pytest.raises(ValueError, match="expected"):
        pictures.who_answers(query, keys, values, names, asks="A?")


def test_weight_maps_tells_where_each_token_looks():
    maps = {"before": EVEN, "after": SHARP}
    shown = pictures.weight_maps(maps, ["A?", "B?"], ["C6", "A5", "D2", "B1"])
    assert "before: all tokens alike read all slots equally;" in shown.alt
    assert "after: A? reads almost only A5, B? reads mostly C6" in shown.alt
    mixed = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    assert (
        "t reads several slots, 0 most"
        in pictures.weight_maps({"m": mixed}, ["t"], list("0123")).alt
    )
    assert shown.svg.count(">0.25<") == 8


@pytest.mark.parametrize(
    ("maps", "rows", "columns"),
    [
        ({}, ["A?", "B?"], list("0123")),
        ({"m": EVEN}, ["A?"], list("0123")),
        ({"m": EVEN}, ["A?", "B?"], list("012")),
        ({"m": 2 * EVEN}, ["A?", "B?"], list("0123")),
        ({"m": EVEN[0]}, ["A?", "B?"], list("0123")),
    ],
)
def test_weight_maps_refuses_what_does_not_fit(maps, rows, columns):
    with pytest.raises(ValueError, match="expected"):
        pictures.weight_maps(maps, rows, columns)


def test_torn_out_tells_which_answers_fall():
    shares = torch.cat((torch.ones(1, 2), torch.tensor([[0.1, 0.95], [0.8, 0.7]])))
    alt = pictures.torn_out(shares, "AB").alt
    assert "mostly wrong for A;" in alt and "3 of the 4 other shares lie above 0.9" in alt
    assert "mostly wrong for none" in pictures.torn_out(torch.ones(3, 2), "AB").alt
    for wrong in (torch.ones(2, 2), 2 * shares, torch.ones(3, 3)):
        with pytest.raises(ValueError, match="accuracy: expected"):
            pictures.torn_out(wrong, "AB")


def test_cost_counts_pairs_and_draws_them_to_scale():
    shown = pictures.cost(7, 3, 5)
    for part in ("looking around 49", "in 3 slots 21", "5 earlier segments 245"):
        assert part in shown.alt
    assert "n × k = 21 pairs" in shown.svg
    with pytest.raises(ValueError, match="k=0"):
        pictures.cost(7, 0, 5)


def test_two_scales_tells_that_only_one_factor_matters():
    memory = torch.tensor([[0.4, 0.35, 0.25], [0.99, 0.01, 0.0]])
    tokens = memory[:1].repeat(2, 1)
    alt = pictures.two_scales([0.1, 10.0], tokens, memory).alt
    assert "from 0.1 to 10" in alt and "moves no weight by more than 0.01" in alt
    assert "from 0.40, 0.35, 0.25 to 0.99, 0.01, 0.00: the largest goes from 0.40 to 0.99" in alt
    moved = pictures.two_scales([0.1, 10.0], memory, memory).alt
    assert "moves no weight by more than 0.59" in moved
    for factors, weights in (([1.0], memory), ([0.0, 1.0], memory), ([0.1, 1.0], memory / 2)):
        with pytest.raises(ValueError, match="expected"):
            pictures.two_scales(factors, tokens, weights)
