"""The pictures of chapter 11: their texts hold what the records say, and bad data is refused."""

from itertools import pairwise

import pytest

from memformer_lite.figures import INK, TOKENS, Picture, failures

GAPS = ("0", "16", "64")


def run(score, *, noise=0.1, norm=5.0):
    """A run as a record holds it; recall falls by a fifth at each gap, the norm rises by one."""
    return {
        "scores": {"50": score / 2, "100": score},
        "results": {
            "accuracy": {"6": score},
            "recall": {gap: score - 0.2 * at for at, gap in enumerate(GAPS)},
            "norm": {gap: norm + at for at, gap in enumerate(GAPS)},
            "change_card": 3.0,
            "change_noise": noise,
        },
    }


def record(**cases):
    """A record of cases, each with a run a seed of the given scores."""
    return {
        "command": "python -m somewhere",
        "cases": {
            name: {"runs": {str(seed): run(score) for seed, score in enumerate(scores)}}
            for name, scores in cases.items()
        },
    }


GOOD = record(well=[0.9, 0.94, 0.98], ill=[0.11, 0.12, 0.13])
EMPTY = {"command": "python -m somewhere", "cases": {"well": {"runs": {}}}}
WEIGHTS = {"sharp": [0.9, 0.08, 0.02], "blunt": [0.4, 0.35, 0.25]}
TABLES = {"own": [[1.0, -1.0], [0.5, 0.0]], "twins": [[1.0, 2.0], [1.0, 2.0]]}


def test_values_of_gives_each_seed_in_order():
    assert failures.values_of(GOOD, "well", "accuracy", "6") == [0.9, 0.94, 0.98]
    assert failures.values_of(GOOD, "ill", "change_card") == [3.0] * 3


def test_waiting_room_tells_ends_and_who_never_left_chance():
    drawn = failures.waiting_room(GOOD, {"P": "well", "Q": "ill"}, chance=0.125)
    for fact in (
        "2 lines",
        "100 training steps",
        "mean of 3 seeds",
        "P 0.94 (0.90 to 0.98)",
        "Q 0.12 (0.11 to 0.13)",
        "still there at the end: Q.",
    ):
        assert fact in drawn.alt
    alone = failures.waiting_room(GOOD, {"P": "well"}, chance=0.125)
    assert alone.alt.endswith("nobody.")


def test_memories_tells_twins_from_others():
    drawn = failures.memories(TABLES)
    assert "2 tables of 2 slots by 2 numbers" in drawn.alt
    assert "in 'own' rows differ by up to 1.0" in drawn.alt
    assert "in 'twins' all 2 rows are equal" in drawn.alt


def test_changes_gives_the_means():
    loud = record(well=[0.9], ill=[0.1])
    loud["cases"]["ill"]["runs"]["0"] = run(0.1, noise=2.0)
    drawn = failures.changes(loud, ["well", "ill"])
    assert "Means, card and noise: well 3 and 0.1; ill 3 and 2." in drawn.alt


def test_pointedness_names_the_flattest():
    drawn = failures.pointedness(WEIGHTS)
    assert "sharp 0.90; blunt 0.40" in drawn.alt and "0.33 everywhere" in drawn.alt
    assert drawn.alt.endswith("'blunt'.")


def test_against_gap_tells_the_longest_gap():
    drawn = failures.against_gap(GOOD, {"with a gate": "well"}, chance=0.125)
    assert "from 0 to 64 pages" in drawn.alt and "means of 3 seeds" in drawn.alt
    assert "with a gate: recall 0.54, norm 5.0 to 7.0" in drawn.alt


def test_by_seed_draws_a_dot_a_seed_and_names_best_and_worst():
    cases = {"healthy": "well", "sick": "ill"}
    drawn = failures.by_seed(GOOD, cases, ("accuracy", "6"), quantity="accuracy", chance=0.125)
    assert "2 rows with 3 dots" in drawn.alt
    assert "healthy: 0.94 (0.90 to 0.98); sick: 0.12 (0.11 to 0.13)" in drawn.alt
    assert drawn.alt.endswith("The highest mean has 'healthy', the lowest 'sick'.")
    tinted = failures.by_seed(GOOD, cases, ("accuracy", "6"), quantity="x", color={"ill": TOKENS})
    assert TOKENS.lower() in tinted.svg.lower() and TOKENS.lower() not in drawn.svg.lower()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: failures.values_of(GOOD, "dead", "accuracy"), "case='dead'"),
        (lambda: failures.values_of(EMPTY, "well", "accuracy"), "not run yet"),
        (lambda: failures.values_of(GOOD, "well", "accuracy", "7"), "has no '7'"),
        (lambda: failures.values_of(GOOD, "well", "change_card", "6"), "has no '6'"),
        (lambda: failures.waiting_room(GOOD, {}, chance=0.1), "patients"),
        (
            lambda: failures.waiting_room(
                {"cases": {"a": {"runs": {"0": {"scores": {"1": 0.1}}, "1": {"scores": {}}}}}},
                {"P": "a"},
                chance=0.1,
            ),
            "same steps",
        ),
        (lambda: failures.memories({}), "tables"),
        (lambda: failures.memories({"a": [[1.0]]}), "two slots"),
        (lambda: failures.memories({"a": [[1.0], [2.0, 3.0]]}), "one shape"),
        (lambda: failures.changes(GOOD, []), "cases"),
        (lambda: failures.pointedness({"a": [0.2, 0.8]}), "falling"),
        (lambda: failures.pointedness({"a": [0.8, 0.1]}), "sum 1"),
        (lambda: failures.pointedness({**WEIGHTS, "a": [0.8, 0.2]}), "3 falling"),
        (lambda: failures.against_gap(GOOD, {}, chance=0.1), "cases"),
        (
            lambda: failures.by_seed(GOOD, {"a": "well"}, ("change_card",), quantity="x"),
            "from 0 to 1",
        ),
        (lambda: failures.by_seed(GOOD, {}, ("accuracy", "6"), quantity="x"), "cases"),
    ],
)
def test_bad_data_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_all_text_follows_the_page_or_stands_on_colour():
    """A text without a fill would be black, and so unreadable in dark mode."""
    pictures = [
        failures.waiting_room(GOOD, {"P": "well", "Q": "ill"}, chance=0.125),
        failures.memories(TABLES),
        failures.changes(GOOD, ["well", "ill"]),
        failures.pointedness(WEIGHTS),
        failures.against_gap(GOOD, {"a": "well", "b": "ill"}, chance=0.125),
        failures.by_seed(GOOD, {"a": "well"}, ("accuracy", "6"), quantity="x", chance=0.125),
    ]
    for drawn in pictures:
        assert isinstance(drawn, Picture) and INK not in drawn.svg
        texts = [part.split(">", 1)[0] for part in drawn.svg.split("<text")[1:]]
        assert texts and all("fill:" in text for text in texts), drawn.alt


def test_labels_are_moved_apart_and_stay_in_the_picture():
    moved = failures._apart([0.99, 0.98, 0.5, 0.97], 0.06)
    ordered = sorted(moved)
    assert all(b - a > 0.0599 for a, b in pairwise(ordered))
    assert ordered[-1] <= 1.0 and moved[2] == 0.5
