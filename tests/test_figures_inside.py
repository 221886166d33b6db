"""The pictures of chapter 10: their texts hold what is drawn, and bad data is refused."""

import pytest

from memformer_lite.figures import BOXES, INK, WRITTEN, Picture, inside

DROP = [[0, 0.9, 0.0], [0.0, 0.0, 0.8]]  # two boxes in slots 2 and 3
SHARED = [[0, 0.9, 0.3], [0.0, 0.8, 0.0]]
CASES = {"recipe": {"0": DROP, "1": SHARED}, "other": {"7": SHARED}}
SIGNS = ([0.5, 0.9, 0.97], [3.2, 0.1, 0.25], [True, False, False])


def test_tables_tell_every_number():
    drawn = inside.tables({"drop": DROP, "change": [[3.04, 0, 1], [0, 1.5, 0]]}, rows=["A?", "B?"])
    assert drawn.alt.startswith("2 tables of 2 rows by 3 slots, m1 to m3, bright where")
    assert "Drop: A? 0.00, 0.90, 0.00; B? 0.00, 0.00, 0.80." in drawn.alt
    assert "Change: A? 3.04, 0.00, 1.00" in drawn.alt
    assert ">.90<" in drawn.svg and ">3.0<" in drawn.svg and ">1.5<" in drawn.svg
    assert "One table of 2 rows" in inside.tables({"drop": DROP}, rows=["A?", "B?"]).alt
    assert ">1<" in inside.tables({"probe": [[0.997, 0.5]]}, rows=["A"]).svg


def test_homes_show_who_holds_what_with_each_seed():
    drawn = inside.homes(CASES)
    assert "Recipe: seed 0 none, A, B; seed 1 none, A and B, A" in drawn.alt
    assert "each box alone in one slot with 1 of 2 seeds. Other: seed 7" in drawn.alt
    assert "with 0 of 1 seeds" in drawn.alt
    filled = [f"fill: {color.lower()}" for color in BOXES.values()]
    counts = [drawn.svg.lower().count(fill) for fill in filled]
    assert counts == [3, 3, 0, 0], "a part of a box, 0.3, is an outline only"


@pytest.mark.parametrize(
    ("table", "one"),
    [
        (DROP, True),
        (SHARED, False),
        ([[0.9, 0.0], [0.9, 0.0]], False),  # both in one slot
        ([[0.9, 0.3], [0.0, 0.9]], False),  # A in two slots
        ([[0.9, 0.0], [0.2, 0.2]], False),  # B nowhere
    ],
)
def test_one_each_means_one_slot_a_box_and_one_box_a_slot(table, one):
    assert inside.one_each(table) == one


def test_a_slot_holds_what_loses_a_quarter():
    assert inside.held_by([[0.25, 0.24], [0.9, 1.0]]) == [[0, 1], [1]]


def test_signs_keep_the_two_kinds_apart():
    drawn = inside.signs(*SIGNS)
    assert "No card for this slot: 2 dots, gate 0.90 to 0.97, change 0.10 to 0.25" in drawn.alt
    assert "a card for a box of this slot: 1 dots, gate 0.50 to 0.50" in drawn.alt
    assert WRITTEN.lower() in drawn.svg.lower()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: inside.tables({}, rows=[]), "1 to 3"),
        (lambda: inside.tables(dict.fromkeys("abcd", DROP), rows=["A", "B"]), "1 to 3"),
        (lambda: inside.tables({"a": DROP, "b": [[1, 2]]}, rows=["A", "B"]), "one shape"),
        (lambda: inside.tables({"a": [[1, 2], [1]]}, rows=["A", "B"]), "one shape"),
        (lambda: inside.tables({"a": DROP}, rows=["A"]), "expected 2 names"),
        (lambda: inside.tables({"a": [[-0.1, 0]]}, rows=["A"]), "from 0 up"),
        (lambda: inside.homes({}), "one or more"),
        (lambda: inside.homes({"a": {}}), "one or more"),
        (lambda: inside.homes({"a": {"0": DROP, "1": [[1.0]]}}), "one shape"),
        (lambda: inside.homes({"a": {"0": [[1.0]] * 5}}), "at most 4 boxes"),
        (lambda: inside.signs([0.5], [1, 2], [True]), "one length"),
        (lambda: inside.signs([0.5, 0.6], [1, 2], [True, True]), "both kinds"),
    ],
)
def test_bad_data_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_all_text_follows_the_page_or_stands_on_colour():
    """A text without a fill would be black, and so unreadable in dark mode."""
    pictures = [
        inside.tables({"drop": DROP}, rows=["A?", "B?"]),
        inside.homes(CASES),
        inside.signs(*SIGNS),
    ]
    for drawn in pictures:
        assert isinstance(drawn, Picture) and INK not in drawn.svg
        texts = [part.split(">", 1)[0] for part in drawn.svg.split("<text")[1:]]
        assert texts and all("fill:" in text for text in texts), drawn.alt
