"""The pictures of chapter 05: their texts hold what is drawn, and bad data is refused."""

import pytest

from memformer_lite.figures import BOXES, INK, Picture, memory

PAGES = ["A3", "·", "A5", "·", "D2"]
FALLING = [[value] * 2 for value in (5.0, 4.0, 3.0, 2.0, 1.5)]
LEVEL = [[0.25, 0.75]] * 5


def test_who_looks_counts_its_cells():
    drawn = memory.who_looks(3, ["A5", "·"], slot=2)
    for fact in (
        "3 slots",
        "2 tokens",
        "Slot m3",
        "15 places",
        "3 on the diagonal",
        "6 in",
        "other 6",
    ):
        assert fact in drawn.alt
    assert drawn.svg.count(">never<") == 6 and drawn.svg.count(">keep<") == 3


def test_shares_gives_weights_and_results():
    rows = {"temperature 1": [0.2, 0.7, 0.1], "temperature 2": [0.3, 0.5, 0.2]}
    drawn = memory.shares(rows, ["A5", "B1"], ["4.1", "3.7"])
    assert "temperature 2: keep 0.30, A5 0.50, B1 0.20, 3.7" in drawn.alt
    assert BOXES["A"].lower() in drawn.svg.lower() and BOXES["B"].lower() in drawn.svg.lower()


def test_survival_computes_powers_and_half_lives():
    drawn = memory.survival([0.5, 0.9], 10)
    assert "z = 0.5: 0.098 % (half gone after 1.0 pages)" in drawn.alt
    assert "z = 0.9: 35 % (half gone after 6.6 pages)" in drawn.alt


def test_walk_lists_its_angles():
    drawn = memory.walk({1.0: [80.0, 40.0, 20.0]})
    assert "bias 1: 80, 40, 20 degrees" in drawn.alt
    assert ">20° left<" in drawn.svg


def test_story_says_so_only_where_the_change_falls():
    drawn = memory.story(PAGES, LEVEL, LEVEL, FALLING)
    assert "weight on itself 0.25 to 0.75" in drawn.alt and "5.0, 4.0, 3.0, 2.0, 1.5" in drawn.alt
    assert "It falls from each page" in drawn.alt
    rising = memory.story(PAGES, LEVEL, LEVEL, FALLING[::-1])
    assert "It falls from each page" not in rising.alt


def test_trace_tells_what_the_rewriting_page_takes():
    drawn = memory.trace(PAGES, [100, 90, 40, 30, 20], rewritten=2)
    assert "page 3 takes 50 of it" in drawn.alt and "before took 10" in drawn.alt


def test_norms_names_the_highest_line():
    drawn = memory.norms({"rests": [5.0, 4.0, 3.0], "climbs": [5.0, 9.0, 30.0]})
    assert "climbs: 5 after the first page, 30 at the end" in drawn.alt
    assert drawn.alt.endswith("'climbs'.")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: memory.who_looks(1, ["A5"]), "2 slots"),
        (lambda: memory.who_looks(2, []), "1 token"),
        (lambda: memory.who_looks(2, ["A5"], slot=2), "slot=2"),
        (lambda: memory.shares({"t": [0.2, 0.9]}, ["A5"], ["x"]), "sum 1"),
        (lambda: memory.shares({"t": [0.2, 0.8]}, ["A5", "B1"], ["x"]), "expected 3 weights"),
        (lambda: memory.shares({"t": [0.2, 0.8]}, ["A5"], []), "results"),
        (lambda: memory.survival([0.5, 1.0], 10), "gates"),
        (lambda: memory.survival([0.5], 1), "pages=1"),
        (lambda: memory.walk({}), "angles"),
        (lambda: memory.walk({1.0: [190.0]}), "190"),
        (lambda: memory.story(PAGES, LEVEL, LEVEL[:4], FALLING), "update gate z: expected 5"),
        (lambda: memory.trace(PAGES, [100], rewritten=2), "5 shares"),
        (lambda: memory.trace(PAGES, [100] * 5, rewritten=1), "rewritten=1"),
        (lambda: memory.norms({}), "curves"),
        (lambda: memory.norms({"a": [1.0], "b": [1.0, 2.0]}), "same length"),
    ],
)
def test_bad_data_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_all_text_follows_the_page_or_stands_on_colour():
    """A text without a fill would be black, and so unreadable in dark mode."""
    pictures = [
        memory.who_looks(2, ["A5", "·"]),
        memory.shares({"t": [0.2, 0.8]}, ["A5"], ["x"]),
        memory.survival([0.5], 4),
        memory.walk({1.0: [80.0, 40.0]}),
        memory.story(PAGES, LEVEL, LEVEL, FALLING),
        memory.trace(PAGES, [100, 90, 40, 30, 20], rewritten=2),
        memory.norms({"rests": [5.0, 4.0, 3.0]}),
    ]
    for drawn in pictures:
        assert isinstance(drawn, Picture) and INK not in drawn.svg
        texts = [part.split(">", 1)[0] for part in drawn.svg.split("<text")[1:]]
        assert texts and all("fill:" in text for text in texts), drawn.alt
