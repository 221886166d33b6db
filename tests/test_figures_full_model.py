"""The pictures of chapter 07: their texts hold what is drawn, and bad data is refused."""

import pytest
import torch

from memformer_lite.figures import SLOTS, TOKENS, full_model

SIZES = {name: f"({place})" for place, name in enumerate(full_model.TENSORS)}
COUNTS = {"encoder": 60, "slots": 10, "write": 30}


def test_shapes_writes_each_beside_its_name():
    drawn = full_model.shapes({**SIZES, "mems": (2, 3, 5), "loss": ()})
    assert "old memory (2, 3, 5)" in drawn.alt and "loss ()" in drawn.alt
    for name, size in SIZES.items():
        if name not in ("mems", "loss"):
            assert drawn.svg.count(size) == 1, f"{name} is not drawn once"
            assert f"{full_model.TENSORS[name]} {size}" in drawn.alt


def test_parameters_gives_shares_and_marks_the_memory():
    drawn = full_model.parameters({"tiny": COUNTS}, memory=["slots", "write"])
    assert "In the tiny model, 100 in all: encoder 60.0 %, slots 10.0 %, write 30.0 %" in drawn.alt
    colours = drawn.svg.lower()
    assert colours.count(SLOTS.lower()) == 2 and colours.count(TOKENS.lower()) == 1


def test_long_run_says_where_each_line_begins_and_ends():
    drawn = full_model.long_run({"a": [8.0, 4.0, 3.0]}, {"a": [-0.01, 0.5, 0.97]})
    assert "over 2 segments, 1 lines" in drawn.alt
    assert "a: norm 8 before, 3 after, cosine 0.0 before, 1.0 after" in drawn.alt


def test_likeness_maps_leaves_the_diagonal_out_of_the_mean():
    cosines = torch.tensor([[1.0, 0.4, 0.2], [0.4, 1.0, 0.3], [0.2, 0.3, 1.0]])
    assert "now: 0.3." in full_model.likeness_maps({"now": cosines}).alt


def test_reached_names_what_gets_nothing():
    drawn = full_model.reached({"read": [True, True], "write": [False, True]}, ["one", "two"])
    assert "one: nothing for write; two: a gradient for all" in drawn.alt
    assert drawn.svg.count(">nothing<") == 1 and drawn.svg.count(">gradient<") == 3


def test_reach_back_writes_powers_of_ten():
    drawn = full_model.reach_back(torch.tensor([[0.1, 0.0], [0.001, 1.0]]))
    assert "2 losses by 2 pages" in drawn.alt and "last row reads -3.0, 0.0" in drawn.alt


def test_timeline_starts_anew_where_the_document_changes():
    drawn = full_model.timeline(["PPQ", "RRR"])
    assert "anew for row 1 before page 3;" in drawn.alt
    assert drawn.svg.count(">Q fresh<") == 1 and drawn.svg.count(">R<") == 3
    assert "anew for no row;" in full_model.timeline(["PP"]).alt


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        ("shapes", ({"src": "(b, n)"},), "sizes"),
        ("parameters", ({"a": COUNTS, "b": {"encoder": 1}}, ["slots"]), "same parts"),
        ("parameters", ({"a": COUNTS}, ["read"]), "read"),
        ("long_run", ({"a": [1.0, 2.0]}, {"a": [1.0]}), "equally long"),
        ("long_run", ({"a": [1.0]}, {"b": [1.0]}), "same runs"),
        ("likeness_maps", ({"now": torch.ones(2, 3)},), "square"),
        ("reached", ({"read": [True]}, ["one", "two"]), "2 entries"),
        ("reach_back", (torch.ones(2, 3),), "square"),
        ("reach_back", (-torch.ones(2, 2),), "sizes"),
        ("timeline", (["PP", "R"],), "same length"),
    ],
)
def test_bad_data_is_refused(function, arguments, says):
    with pytest.raises(ValueError, match=says):
        getattr(full_model, function)(*arguments)
