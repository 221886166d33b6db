"""The pictures of chapter 06: their texts hold what is drawn, and bad data is refused."""

import pytest
import torch

from memformer_lite.figures import BOXES, INK, KEPT, WRITTEN, Picture, decoder

PAGE = ["C", "6", "."]
LOSSES = {"perfect": [0.69, -0.0, 0.0], "trained": [0.8, 0.1, 0.0]}
TABLE = torch.ones(3, 3).tril().bool()


def test_surprise_tells_each_loss_and_the_mean():
    drawn = decoder.surprise(PAGE, LOSSES)
    assert "perfect (C 0.69, 6 0.00, . 0.00; mean 0.230)" in drawn.alt
    assert "trained (C 0.80, 6 0.10, . 0.00; mean 0.300)" in drawn.alt
    assert BOXES["C"].lower() in drawn.svg.lower() and "-0.00" not in drawn.svg


def test_shift_gives_each_token_its_follower():
    drawn = decoder.shift(list(">C6."))
    assert "given: > C 6." in drawn.alt and "guess: C 6 .." in drawn.alt
    assert "3 guesses" in drawn.alt


def test_who_sees_counts_what_lies_in_the_future():
    leak = TABLE.clone()
    leak[0, 2] = True
    drawn = decoder.who_sees({"tight": TABLE, "leaking": leak}, PAGE)
    assert "tight: 6 filled, 0 of them in the future" in drawn.alt
    assert "leaking: 7 filled, 1 of them in the future" in drawn.alt
    assert drawn.svg.count(">!<") == 1
    tight = decoder.who_sees({"tight": TABLE}, PAGE)
    assert WRITTEN.lower() not in tight.svg.lower()


def test_choices_leaves_out_what_cannot_be_chosen():
    drawn = decoder.choices(["5", "3"], {"all": [0.75, 0.25], "greedy": [1.0, 0.0]})
    assert "“all” 5 0.75 3 0.25; under “greedy” 5 1.00." in drawn.alt
    assert drawn.svg.count(">–<") == 1


def test_kept_lists_the_counts():
    drawn = decoder.kept([0.1, 0.9], {"ours": [1, 4], "theirs": [4, 1]}, tokens=5)
    assert "ours: 1 at 0.1, 4 at 0.9; theirs: 4 at 0.1, 1 at 0.9" in drawn.alt


def test_work_counts_both_staircases():
    drawn = decoder.work(5)
    assert "all 15 squares" in drawn.alt and "5 in all" in drawn.alt
    assert drawn.svg.lower().count(f"fill: {KEPT.lower()}") == 10


@pytest.mark.parametrize(
    "draw",
    [
        lambda: decoder.surprise(PAGE, LOSSES),
        lambda: decoder.shift(PAGE),
        lambda: decoder.who_sees({"tight": TABLE}, PAGE),
        lambda: decoder.choices(["5", "3"], {"all": [0.75, 0.25]}),
        lambda: decoder.kept([0.1, 0.9], {"ours": [1, 4]}, tokens=5),
        lambda: decoder.work(3),
    ],
)
def test_pictures_follow_the_page(draw):
    drawn = draw()
    assert isinstance(drawn, Picture) and drawn.svg == draw().svg
    assert INK not in drawn.svg and "currentColor" in drawn.svg


@pytest.mark.parametrize(
    "draw",
    [
        lambda: decoder.surprise(PAGE, {"short": [0.1]}),
        lambda: decoder.surprise(PAGE, {"below": [0.1, -0.1, 0.0]}),
        lambda: decoder.surprise(PAGE, {}),
        lambda: decoder.shift([">"]),
        lambda: decoder.who_sees({"float": TABLE.double()}, PAGE),
        lambda: decoder.who_sees({"small": TABLE[:2]}, PAGE),
        lambda: decoder.choices(["5", "3"], {"too much": [0.9, 0.3]}),
        lambda: decoder.choices(["5", "3"], {}),
        lambda: decoder.kept([0.1, 0.9], {"none": [0, 1]}, tokens=5),
        lambda: decoder.kept([0.1, 0.9], {}, tokens=5),
        lambda: decoder.work(1),
        lambda: decoder.work(13),
    ],
)
def test_bad_data_is_refused(draw):
    with pytest.raises(ValueError, match="expected"):
        draw()
