"""The pictures of chapter 03 tell in words what they show, and refuse data they cannot show."""

import pytest
import torch

from memformer_lite.figures import attention as pictures

KEYS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, -2.0]])
QUERY = torch.tensor([1.0, 0.0])
VALUES = torch.tensor([3.0, 1.0, 6.0])


def test_soft_lookup_tells_weights_and_answer():
    shown = pictures.soft_lookup(["A3", "B1", "C6"], QUERY, KEYS, VALUES)
    assert "A3 0.576, B1 0.140, C6 0.284" in shown.alt
    assert "balance at 3.572" in shown.alt and "key of A3 reaches furthest" in shown.alt
    assert "C6: 0.284" in shown.svg
    other = pictures.soft_lookup(["A3", "B1", "C6"], -QUERY, KEYS, VALUES)
    assert "balance at 2.700" in other.alt and "key of B1 reaches furthest" in other.alt


def test_soft_lookup_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="for 2 cards"):
        pictures.soft_lookup(["A3", "B1"], QUERY, KEYS, VALUES)


def test_effective_keys_tells_both_ends():
    alt = pictures.effective_keys([2, 512], [27.04, 1.18], [39.3, 40.8], n=64).alt
    for part in ("of 64", "from 2 to 512", "from 27.0 to 1.2", "between 39.3 and 40.8"):
        assert part in alt


def test_effective_keys_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="equal lengths"):
        pictures.effective_keys([2, 512], [27.0], [39.3, 40.8], n=64)
    with pytest.raises(ValueError, match=r"0\.5: expected"):
        pictures.effective_keys([2, 512], [27.0, 0.5], [39.3, 40.8], n=64)


def test_heads_split_draws_every_number_twice():
    shown = pictures.heads_split(["A", "B", "C"], dim=4, heads=2)
    assert "3 rows (A, B and C) and 4 columns" in shown.alt
    assert "2 tables of 3 rows and 2 columns" in shown.alt
    assert all(shown.svg.count(f">{box}{i}<") == 2 for box in "abc" for i in "₁₂₃₄")


@pytest.mark.parametrize(
    ("names", "dim", "heads"),
    [(["A"], 5, 2), (["A"], 4, 0), (["A"], 10, 2), (["E"], 4, 2), ([], 4, 2)],
)
def test_heads_split_refuses(names, dim, heads):
    with pytest.raises(ValueError, match="expected"):
        pictures.heads_split(names, dim, heads)


def test_masks_tells_who_sees_whom():
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    writing = torch.cat((torch.eye(2), torch.ones(2, 1)), dim=1).bool()
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    panels = {"causal": causal, "writing": writing, "padding": nothing}
    alt = pictures.masks(panels, slots={"writing": 2}).alt
    assert "causal (t1: t1; t2: t1 t2; t3: t1 t2 t3)" in alt
    assert "writing (s1: s1 t1; s2: s2 t1)" in alt
    assert "padding (t1: nothing)" in alt


def test_masks_refuses_what_is_no_bool_table():
    for panels in ({}, {"a": torch.ones(2, 2)}, {"a": torch.ones(2, dtype=torch.bool)}):
        with pytest.raises(ValueError, match="bool mask"):
            pictures.masks(panels)


def test_weights_tells_sums_or_what_is_seen():
    table = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    assert "right (row 1 on 1; row 2 on 1 2)" in pictures.weights({"right": table}).alt
    shown = pictures.weights({"right": table}, sums=True)
    assert "right (rows 1.00 1.00; columns 1.25 0.75)" in shown.alt
    assert ">1.25<" in shown.svg


def test_weights_refuses_what_are_no_weights():
    for panels in ({}, {"a": torch.ones(2)}, {"a": torch.full((2, 2), 1.5)}):
        with pytest.raises(ValueError, match="from 0 to 1"):
            pictures.weights(panels)
    with pytest.raises(ValueError, match="from 0 to 1"):
        pictures.weights({"a": torch.full((2, 2), torch.nan)})


def test_puzzle_weights_are_weights_of_three_different_masks():
    puzzle = pictures.puzzle_weights()
    assert {name: tuple(t.shape) for name, t in puzzle.items()} == {
        "P": (6, 6),
        "Q": (6, 6),
        "R": (2, 6),
    }
    for table in puzzle.values():
        torch.testing.assert_close(table.sum(1), torch.ones(len(table), dtype=table.dtype))
    assert (puzzle["P"] > 0).sum(1).tolist() == [1, 2, 3, 3, 3, 3]
    assert (puzzle["Q"] > 0).sum(1).tolist() == [1, 2, 3, 4, 1, 2]
    assert (puzzle["R"] > 0).sum(1).tolist() == [4, 4]


def test_before_after_tells_the_right_card():
    alt = pictures.before_after(["B6", "A3", "D0"], "A", [0.3, 0.4, 0.3], [0.0, 0.98, 0.02]).alt
    assert "right card A3 gets 0.40" in alt and "it gets 0.98" in alt and "share 0.02" in alt


def test_before_after_refuses_a_box_that_is_not_there():
    with pytest.raises(ValueError, match="question='C'"):
        pictures.before_after(["B6", "A3"], "C", [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="equal lengths"):
        pictures.before_after(["B6", "A3"], "A", [0.5], [0.5, 0.5])
