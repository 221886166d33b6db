"""The pictures of chapter 09: their texts hold what is drawn, and bad data is refused."""

import re

import pytest

from memformer_lite.figures import BOXES, INK, NEUTRAL, Picture, remembering

PAGES = ["A3 · ·", "B1 · A?", "A5 C6 ·", "· · A?", "· · C?"]
ROWS = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]
GAPS = {"recipe": {"0": [1.0, 0.9, 0.8], "8": [0.5, 0.4, 0.6]}, "no memory": {0: [0.1], 8: [0.2]}}
RUNS = {"your run": [{"50": 0.5, "100": 0.75}], "recorded": [{5: 0.2, 600: 1.0}, {600: 0.9}]}


def test_stream_finds_the_latest_card_of_each_question():
    drawn = remembering.stream(PAGES)
    assert "A? on page 2: 3, from page 1; A? on page 4: 5, from page 3" in drawn.alt
    assert "page 3 has A5 and C6" in drawn.alt and "C? on page 5: 6, from page 3" in drawn.alt
    assert BOXES["C"].lower() in drawn.svg.lower()
    assert BOXES["D"].lower() not in drawn.svg.lower()


def test_stream_gives_arrows_that_overlap_a_lane_of_their_own():
    def heights(pages):
        """Where the answers 1 and 2 stand under their arrows."""
        svg = remembering.stream(pages).svg
        found = re.findall(r'700[^>]* y="([-\d.]+)"[^>]*>([12])<', svg)
        found = {answer: height for height, answer in found}
        return found["1"], found["2"]

    crossing = heights(["A1 ·", "B2 ·", "· A?", "· B?"])
    following = heights(["A1 ·", "· A?", "B2 ·", "· B?"])
    assert crossing[0] != crossing[1]
    assert following[0] == following[1]


def test_learning_tells_where_each_run_ends():
    drawn = remembering.learning(RUNS, bounds={"chance": 0.125, "last value": 0.72})
    assert "your run: 0.75 after 100 steps" in drawn.alt
    assert "recorded: 1.00, 0.90 after 600 steps" in drawn.alt and drawn.alt.endswith(
        "Dotted: chance at 0.125 and last value at 0.720."
    )
    assert ">recorded (2)<" in drawn.svg and ">your run<" in drawn.svg


def test_belief_counts_the_pages_on_which_it_is_right():
    drawn = remembering.belief(["A0", "A1"], ROWS, [0, 1])
    assert "after A0: 0 with 0.70; after A1: 2 with 0.70" in drawn.alt
    assert "right after 1 of the 2 pages" in drawn.alt
    assert "right after 1 of the 1 pages" in remembering.belief(["–", "A2"], ROWS, [None, 2]).alt


def test_curves_give_means_and_a_grey_baseline():
    drawn = remembering.curves(GAPS, xlabel="pages of noise", bounds={"chance": 0.125})
    assert "recipe: 0.90 at 0, 0.50 at 8" in drawn.alt and "no memory: 0.10 at 0" in drawn.alt
    assert "1 to 3 seeds" in drawn.alt and "Dotted: chance at 0.125." in drawn.alt
    assert NEUTRAL.lower() in drawn.svg.lower()
    assert "Dotted" not in remembering.curves(GAPS, xlabel="pages").alt


def test_spread_shows_every_seed():
    drawn = remembering.spread({"recipe": [0.5, 0.75, 1.0], "other": [0.25]}, xlabel="accuracy")
    assert "recipe 0.750 (0.500 to 1.000); other 0.250 (0.250)" in drawn.alt
    marker = drawn.svg.count("<use")
    more = remembering.spread({"recipe": [0.5, 0.75, 1.0], "other": [0.25] * 3}, xlabel="accuracy")
    assert more.svg.count("<use") == marker + 2


def test_capacity_draws_what_one_value_a_slot_would_give():
    drawn = remembering.capacity({4: {2: [0.5, 0.7]}}, ylabel="accuracy", chance=0.125)
    assert "4 boxes: 0.60 with 2 (0.50 to 0.70)" in drawn.alt
    assert ">4 boxes, one value a slot<" in drawn.svg
    assert remembering.one_each(2, 4, 0.125) == 0.5 + 0.5 * 0.125
    assert remembering.one_each(8, 4, 0.125) == 1.0


def test_advert_tells_what_its_axis_does():
    drawn = remembering.advert(2.2, 2.3, labels=("memory", "none"), ylabel="bits")
    assert "none 2.300, memory 2.200; bits" in drawn.alt and "begins at 2.185" in drawn.alt
    assert "7.7 times as high" in drawn.alt and "factor of 1.045" in drawn.alt


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: remembering.stream(["A3 ·"]), "2 or more"),
        (lambda: remembering.stream(["A3 ·", "A?"]), "equally many"),
        (lambda: remembering.stream(["A3", "E?"]), "'E\\?'"),
        (lambda: remembering.stream(["A3", "B?"]), "an earlier page"),
        (lambda: remembering.stream(["A3 ·", "A5 A?"]), "an earlier page"),
        (lambda: remembering.learning({}, bounds={}), "groups"),
        (lambda: remembering.learning({"a": []}, bounds={}), "groups"),
        (lambda: remembering.belief(["A0"], ROWS, [0]), "1 pages"),
        (lambda: remembering.belief(["A0"], [[0.5, 0.1]], [0]), "sum 1"),
        (lambda: remembering.curves({}, xlabel="x"), "cases"),
        (lambda: remembering.curves({"a": {0: []}}, xlabel="x"), "each of \\[0\\]"),
        (lambda: remembering.curves({"a": {0: [1]}, "b": {1: [1]}}, xlabel="x"), "\\[0, 1\\]"),
        (lambda: remembering.spread({"a": []}, xlabel="x"), "cases"),
        (lambda: remembering.capacity({4: {1: []}}, ylabel="y", chance=0.1), "4 boxes"),
        (lambda: remembering.advert(2, 2, labels=("a", "b"), ylabel="y"), "better < worse"),
    ],
)
def test_bad_data_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_all_text_follows_the_page_or_stands_on_colour():
    """A text without a fill would be black, and so unreadable in dark mode."""
    pictures = [
        remembering.stream(PAGES),
        remembering.learning(RUNS, bounds={"chance": 0.125, "last value": 0.72}),
        remembering.belief(["A0", "A1"], ROWS, [0, 1]),
        remembering.curves(GAPS, xlabel="pages of noise", bounds={"chance": 0.125}),
        remembering.spread({"recipe": [0.5, 0.75]}, xlabel="accuracy", bounds={"chance": 0.125}),
        remembering.capacity({4: {2: [0.5, 0.7]}}, ylabel="accuracy", chance=0.125),
        remembering.advert(2.2, 2.3, labels=("memory", "none"), ylabel="bits"),
    ]
    for drawn in pictures:
        assert isinstance(drawn, Picture) and INK not in drawn.svg
        texts = [part.split(">", 1)[0] for part in drawn.svg.split("<text")[1:]]
        assert texts and all("fill:" in text for text in texts), drawn.alt
