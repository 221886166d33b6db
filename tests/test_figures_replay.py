"""The pictures of chapter 08: their texts hold what is drawn, and bad data is refused."""

import math

import pytest

from memformer_lite.figures import SLOTS, TOKENS, replay


def test_kept_counts_graphs_and_memories():
    drawn = replay.kept(4)
    assert "full BPTT: 8 moments, the graphs of at most 4 page(s);" in drawn.alt
    assert "truncated after each page: 8 moments, the graphs of at most 1 page(s);" in drawn.alt
    assert "replay: 11 moments, the graphs of at most 1 page(s) and 4 memories" in drawn.alt
    colours = drawn.svg.lower()
    assert colours.count(TOKENS.lower()) >= 2 * (1 + 2 + 3 + 4) + 8 + 8


@pytest.mark.parametrize("pages", [2, 3, 5])
def test_the_schedule_is_that_of_the_algorithm(pages):
    moments = replay.schedule("replay", pages)
    read = [page for action, page, _, _ in moments if action == "read"]
    back = [page for action, page, _, _ in moments if action == "back"]
    assert read == [*range(1, pages), *range(pages, 0, -1)], "2S - 1 forward passes"
    assert back == list(range(pages, 0, -1)), "S backward passes, last first"
    for _, page, graphs, notes in moments:
        assert page in notes and graphs <= {page}
    full = replay.schedule("full", pages)
    alive = [len(graphs) for _, _, graphs, _ in full]
    assert alive == [*range(1, pages + 1), *range(pages, 0, -1)]


def test_chain_writes_each_number():
    drawn = replay.chain([2, 2.5, 3], [1, 2, 4.25], [7, 8])
    assert "states 2, 2.5, 3." in drawn.alt and "order: 1, 2, 4.25." in drawn.alt
    assert "parameter: 7, 8." in drawn.alt
    for text in (">2.5<", ">4.25<", ">adds 7<", ">adds 8<", ">page 2<"):
        assert drawn.svg.count(text) == 1, text


def test_pile_says_its_height():
    drawn = replay.pile([2048, 1024, 1024])
    assert "2 KiB after the first page, 4 KiB after page 3" in drawn.alt


def test_cost_says_where_each_line_begins_and_ends():
    drawn = replay.cost({"one": {2: 3.0, 32: 4800.0}, "other": {2: 5.0, 32: 5.5}}, "MiB")
    assert "one 3 at 2 pages, 4,800 at 32; other 5 at 2 pages, 5.5 at 32" in drawn.alt
    assert "grow: one 1600.00 times, other 1.10 times" in drawn.alt


def test_differences_tell_equal_from_wrong():
    drawn = replay.differences({"mine": 3e-16, "zero": 0.0, "other": 0.5})
    assert "mine: equal; zero: equal; other: off by 50 %" in drawn.alt
    assert SLOTS.lower() in drawn.svg.lower() and ">50 %<" in drawn.svg


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        ("kept", (1,), "pages=1"),
        ("kept", (7,), "pages=7"),
        ("chain", ([1, 2], [1], [1]), "2, 1, 1"),
        ("chain", ([1], [1], []), "states"),
        ("pile", ([],), "sizes"),
        ("pile", ([4, 0],), "sizes"),
        ("cost", ({}, "MiB"), "curves"),
        ("cost", ({str(i): {1: 1.0} for i in range(5)}, "MiB"), "got 5"),
        ("cost", ({"a": {2: 1.0}, "b": {4: 1.0}}, "MiB"), "'b'"),
        ("cost", ({"a": {2: 0.0}}, "MiB"), "'a'"),
        ("differences", ({},), "table"),
        ("differences", ({"a": -1.0},), "table"),
        ("differences", ({"a": math.inf},), "table"),
    ],
)
def test_bad_data_is_refused(function, arguments, says):
    with pytest.raises(ValueError, match=says):
        getattr(replay, function)(*arguments)
