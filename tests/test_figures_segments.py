"""Chapter 01's pictures say what their data say, and refuse data that make no sense."""

import pytest
import torch

from memformer_lite.figures import SLOTS, Picture, segments

STORY = ["A3", "B1 C6", "", "A5", "A?"]
NAN = float("nan")


def test_story_names_every_card_and_the_question():
    shown = segments.story_pages(STORY)
    assert isinstance(shown, Picture)
    for told in (
        "A story of 5 pages",
        "page 1 says box A holds 3",
        "page 2 says box B holds 1 and says box C holds 6",
        "page 3 says nothing of interest",
        "page 5 asks for box A",
    ):
        assert told in shown.alt
    for card in ("A3", "B1", "C6", "A5", "A?"):
        assert f">{card}</text>" in shown.svg


@pytest.mark.parametrize("pages", [[], "A3", ["E3"], ["A8"], ["A3 B"]])
def test_story_refuses_what_is_no_card(pages):
    with pytest.raises(ValueError, match="pages"):
        segments.story_pages(pages)


@pytest.mark.parametrize(
    ("tokens", "segment", "cut"), [(16, 4, "the 64 in"), (7, 3, "the 19 in"), (5, 5, "the 25 in")]
)
def test_area_counts_scores_also_of_a_short_last_segment(tokens, segment, cut):
    alt = segments.attention_area(tokens, segment, query=tokens - 1, answer=0).alt
    assert f"all {tokens**2} are" in alt
    assert cut in alt


@pytest.mark.parametrize(("answer", "seen"), [(12, "still inside"), (11, "no longer among them")])
def test_area_says_whether_the_question_sees_its_answer(answer, seen):
    shown = segments.attention_area(16, 4, query=13, answer=answer)
    assert seen in shown.alt
    assert ("card not seen" in shown.svg) == (seen != "still inside")


@pytest.mark.parametrize(
    ("tokens", "segment", "query", "answer", "named"),
    [
        (4, 5, 1, 0, "segment=5"),
        (4, 0, 1, 0, "segment=0"),
        (4, 2, 4, 0, "query=4"),
        (4, 2, 1, 2, "answer=2"),
    ],
)
def test_area_refuses_places_outside_the_text(tokens, segment, query, answer, named):
    with pytest.raises(ValueError, match=named):
        segments.attention_area(tokens, segment, query=query, answer=answer)


def test_curves_are_told_as_steps():
    curves = {"narrow": [1.0, 0.12, 0.13], "wide": [1.0, 1.0, 0.11]}
    shown = segments.accuracy_by_distance(curves, chance=0.125)
    assert "narrow: 1.00 at 0, 0.12 at 1 to 2" in shown.alt
    assert "wide: 1.00 at 0 to 1, 0.11 at 2" in shown.alt
    assert "chance, 0.125" in shown.svg
    assert "distance from card to question (pages)" in shown.svg


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "expected 1 to 4, got 0"),
        ({name: [1.0] for name in "abcde"}, "expected 1 to 4, got 5"),
        ({"a": [1.0], "b": [1.0, 0.5]}, "equal lengths"),
        ({"a": []}, "equal lengths"),
        ({"a": [1.2]}, "got 1.2"),
        ({"a": [NAN]}, "got nan"),
    ],
)
def test_curves_refuse_what_is_no_share(curves, message):
    with pytest.raises(ValueError, match=message):
        segments.accuracy_by_distance(curves, chance=0.125)


def test_notes_have_the_colour_of_slots():
    curves = {"window": [1.0, 0.1], "notes": [1.0, 1.0]}
    assert SLOTS.lower() not in segments.accuracy_by_distance(curves, chance=0.125).svg
    marked = segments.accuracy_by_distance(curves, chance=0.125, notes=["notes"])
    assert SLOTS.lower() in marked.svg
    with pytest.raises(ValueError, match="name no curve"):
        segments.accuracy_by_distance(curves, chance=0.125, notes=["note"])


def test_three_ways_counts_rows():
    shown = segments.three_ways(layers=2, kept=5, squeezed=3, slots=4)
    assert "10 rows" in shown.alt
    assert "16 rows" in shown.alt
    assert "Notes are 4 slots" in shown.alt


@pytest.mark.parametrize("name", ["layers", "kept", "squeezed", "slots"])
@pytest.mark.parametrize("value", [0, 7])
def test_three_ways_refuses_what_does_not_fit(name, value):
    sizes = {"layers": 2, "kept": 3, "squeezed": 2, "slots": 4} | {name: value}
    with pytest.raises(ValueError, match=f"{name}={value}"):
        segments.three_ways(**sizes)


def test_trace_counts_written_and_kept_and_tells_the_end():
    notes = torch.tensor([[3, NAN], [3, 1], [3, 1], [4.5, 1], [4.5, 1]])
    shown = segments.notebook_trace(STORY, {"mean": notes})
    assert "3 of the numbers were just written, 6 kept" in shown.alt
    assert "mean ends with 4.5 for A and 1 for B" in shown.alt
    untouched = torch.full((5, 2), NAN)
    assert "nothing for A" in segments.notebook_trace(STORY, {"none": untouched}).alt


@pytest.mark.parametrize("shape", [(4, 2), (5, 1), (5,)])
def test_trace_refuses_notes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="expected shape"):
        segments.notebook_trace(STORY, {"rule": torch.zeros(shape)})


def test_diagram_names_the_parts_and_brings_out_some():
    plain = segments.model_diagram()
    for part in ("self-attention", "read", "feed-forward", "write", "update gate", "decoder"):
        assert f">{part}</text>" in plain.svg
    assert "Brought out" not in plain.alt
    assert "(b, k, d)" not in plain.svg
    marked = segments.model_diagram(("write", "gate"), shapes=True)
    assert "Brought out: write" in marked.alt
    assert marked.svg.count("(b, k, d)") == 2
    assert marked.svg.count("opacity") > plain.svg.count("opacity")


def test_diagram_refuses_an_unknown_part():
    with pytest.raises(ValueError, match="'memory' is none of"):
        segments.model_diagram(("memory",))


@pytest.mark.parametrize(
    "shown",
    [
        segments.story_pages(STORY),
        segments.attention_area(6, 2, query=5, answer=0),
        segments.accuracy_by_distance({"a": [1.0, 0.1]}, chance=0.125),
        segments.three_ways(1, 1, 1, 1),
        segments.notebook_trace(STORY, {"rule": torch.zeros(5, 2)}),
        segments.model_diagram(("read",), shapes=True),
    ],
    ids=["story", "area", "accuracy", "ways", "trace", "diagram"],
)
def test_every_text_follows_the_page_or_stands_on_a_colour(shown):
    """Text without a fill of its own is black in dark mode, or whatever the page makes of it."""
    texts = [piece.partition(">")[0] for piece in shown.svg.split("<text")[1:]]
    assert texts
    assert all("fill" in text for text in texts)
