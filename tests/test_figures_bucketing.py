"""Pictures of chapter 02: their words hold what their data do, and bad data are refused."""

import pytest
import torch

from memformer_lite.bucketing import relative_position_bucket
from memformer_lite.figures import Picture
from memformer_lite.figures import bucketing as figures


def offset_grid(length):
    positions = torch.arange(length)
    return positions[None, :] - positions[:, None]


def says(picture, *facts):
    assert isinstance(picture, Picture) and "<svg" in picture.svg
    missing = [fact for fact in facts if fact not in picture.alt]
    assert not missing, f"{missing} not in: {picture.alt}"
    return picture


def test_offset_table_counts_offsets_and_draws_every_cell():
    picture = says(figures.offset_table(offset_grid(5)), "25 cells", "from -4 to 4", "9 different")
    assert picture.svg.count(">\N{MINUS SIGN}1<") == 4  # one text a cell, on the diagonal


@pytest.mark.parametrize("wrong", [offset_grid(5).T, offset_grid(5)[:3], torch.arange(3)])
def test_offset_table_refuses_what_is_no_table_of_offsets(wrong):
    with pytest.raises(ValueError, match="offsets"):
        figures.offset_table(wrong)


def test_pairs_per_row_names_the_most_and_the_least_used_rows():
    grid = offset_grid(11)
    buckets = relative_position_bucket(grid, bidirectional=True, num_buckets=8, max_distance=16)
    least = buckets.unique(return_counts=True)[1].min().item()
    says(
        figures.pairs_per_row(grid, buckets),
        "21 offsets",
        "offset 0 has 11 pairs",
        "farthest offsets only 1. With",
        f"7 rows are in use and the rarest has {least} pairs",
    )
    with pytest.raises(ValueError, match="buckets"):
        figures.pairs_per_row(grid, buckets[1:])


def test_bucket_line_lists_the_tiles():
    line = torch.arange(-7, 8)
    buckets = relative_position_bucket(line, bidirectional=True, num_buckets=8, max_distance=16)
    says(
        figures.bucket_line(line, buckets),
        "-7 to -6 in bucket 3, -5 to -2 in bucket 2, -1 in bucket 1, 0 in bucket 0",
        "1 in bucket 5, 2 to 5 in bucket 6, 6 to 7 in bucket 7",
    )
    with pytest.raises(ValueError, match="consecutive"):
        figures.bucket_line(line * 2, buckets)
    with pytest.raises(ValueError, match="one for each offset"):
        figures.bucket_line(line, buckets[1:])


def test_staircase_counts_steps_in_both_directions():
    line = torch.arange(-120, 121)
    both = relative_position_bucket(line, bidirectional=True)
    past = relative_position_bucket(line, bidirectional=False)
    says(
        figures.staircase(line, both, past),
        "16 buckets, the last from offset -91 on; in the future 15,",
        "32 buckets, the last from offset -113 on; in the future 1,",
        "flat in bucket 0",
    )
    with pytest.raises(ValueError, match="buckets"):
        figures.staircase(line, both, past[1:])


def test_sight_counts_what_can_be_told_apart_ahead():
    grid = offset_grid(5)
    right = relative_position_bucket(grid, bidirectional=True)
    swapped = relative_position_bucket(grid, bidirectional=False)
    says(figures.sight(right, swapped), "4 different buckets", "there is 1 bucket, number 0")
    with pytest.raises(ValueError, match="square"):
        figures.sight(right, swapped[:3])


def test_learned_bias_tells_a_slope_from_a_flat_line():
    line = torch.arange(5)
    slope, flat = torch.tensor([[0.0, 4.0, 3.0, 2.0, 1.5]]), torch.ones(2, 5)
    picture = says(
        figures.learned_bias(line, {"right": slope, "swapped": flat}),
        "right: over the future offsets a head's bias changes by up to 2.5",
        "swapped: over the future offsets a head's bias changes by up to 0.0",
    )
    assert "head 1" in picture.svg
    for wrong in ({}, {"right": slope[:, 1:]}):
        with pytest.raises(ValueError, match="biases"):
            figures.learned_bias(line, wrong)


def test_accuracies_give_the_range_and_the_bound():
    results = {"right": [0.9, 0.95], "swapped": [0.5, 0.52]}
    says(
        figures.accuracies(results, {"swapped": 0.5}),
        "right: 0.90 to 0.95;",
        "swapped: 0.50 to 0.52, bound 0.500",
    )
    for wrong, bounds in (({}, {}), ({"a": []}, {}), ({"a": [1.2]}, {}), (results, {"b": 0.5})):
        with pytest.raises(ValueError, match="results"):
            figures.accuracies(wrong, bounds)
