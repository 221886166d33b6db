"""Bucket explorer (chapter 02): the buckets of all offsets, and the same with the flag swapped."""

import torch

from memformer_lite.bucketing import relative_position_bucket
from memformer_lite.figures import NEUTRAL, TOKENS, Picture, canvas, picture
from memformer_lite.validation import check_integer
from memformer_lite.widgets.base import Widget

REACHES = (20, 150, 300)  # offsets shown; the last is the farthest that can be chosen
BUCKETS = (4, 64)  # fewest and most
DISTANCES = (16, 256)  # shortest and longest maximal distance


class BucketExplorer(Widget):
    """Choose an offset and the options; see its bucket, and the one with the flag swapped.

    Args:
        offset: chosen at the start, in tokens, from -300 to 300; negative = past.
        num_buckets: at the start, from 4 to 64.
        max_distance: at the start, in tokens, from 16 to 256.
        bidirectional: at the start; True for an encoder, False for a decoder.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option outside its range, or what `relative_position_bucket` refuses.
    """

    name = "bucket_explorer"

    def __init__(
        self,
        *,
        offset: int = -100,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
    ):
        ranges = {
            "offset": (offset, -REACHES[-1], REACHES[-1]),
            "num_buckets": (num_buckets, *BUCKETS),
            "max_distance": (max_distance, *DISTANCES),
        }
        for name, (value, lowest, highest) in ranges.items():
            check_integer(name, value, at_least=lowest)
            if value > highest:
                raise ValueError(f"{name}={value}: expected at most {highest}")
        options = {"num_buckets": num_buckets, "max_distance": max_distance}
        # Raises where there is no map; the swapped one may be missing.
        relative_position_bucket(torch.tensor(offset), bidirectional=bidirectional, **options)
        data = {
            "start": {"offset": offset, **options, "bidirectional": bidirectional},
            "buckets": BUCKETS,
            "distances": DISTANCES,
            "reaches": REACHES,
        }
        super().__init__(data=data, twin=_twin(offset, bidirectional, options))


def _twin(offset: int, bidirectional: bool, options: dict[str, int]) -> Picture:
    """Draw both maps with the chosen offset marked."""
    reach = next(size for size in REACHES if abs(offset) <= size)
    line = torch.arange(-reach, reach + 1)
    figure, panels = canvas(6.4, 2.8, columns=2, sharex=True, sharey=True)
    words = []
    for axes, flag in zip(panels, (bidirectional, not bidirectional), strict=True):
        name = "T5" if flag == bidirectional else "flag swapped"
        axes.set_title(f"{name}: bidirectional={flag}")
        axes.set_xlabel("offset (tokens): past < 0 < future")
        try:
            buckets = relative_position_bucket(line, bidirectional=flag, **options)
        except ValueError as error:  # the swapped map may be impossible where the right one is not
            words.append(f"{name}: refused ({error})")
            continue
        chosen = int(buckets[offset + reach])
        axes.step(line, buckets, where="mid", color=TOKENS, linewidth=2)
        axes.plot(offset, chosen, "o", color=TOKENS, markersize=9)
        axes.axvline(offset, color=NEUTRAL, linestyle="--", linewidth=1)
        axes.grid(axis="y")
        ahead = len(buckets[line > 0].unique())
        words.append(
            f"{name} (bidirectional={flag}): bucket {chosen} for offset {offset}, "
            f"and {ahead} bucket{'' if ahead == 1 else 's'} for the future"
        )
    panels[0].set_ylabel("bucket")
    return picture(
        figure,
        f"Bucket against offset, from {-reach} to {reach}, with num_buckets="
        f"{options['num_buckets']} and max_distance={options['max_distance']}, as two maps. "
        f"{'. '.join(words)}.",
    )
