"""Pictures of chapter 02: offsets, the buckets they fall into, and what the buckets let one see."""

from collections import Counter

import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from torch import Tensor

from memformer_lite.figures import (
    DIVERGING,
    INK,
    NEUTRAL,
    TOKENS,
    Picture,
    canvas,
    ink_on,
    picture,
)


def offset_table(offsets: Tensor) -> Picture:
    """Draw the offsets of every key from every query, (n, n), with equal offsets in one colour.

    Raises:
        ValueError: `offsets` is not key position minus query position for n >= 2 tokens.
    """
    rows = offsets.tolist() if offsets.ndim == 2 else []
    length = len(rows)
    if length < 2 or rows != [[j - i for j in range(length)] for i in range(length)]:
        raise ValueError("offsets: expected an (n, n) table of key position - query position")
    figure, axes = canvas(4.2, 3.9)
    _cells(axes, rows, rows)
    axes.set_xlabel("position of the key (looked at)")
    axes.set_ylabel("position of the query (looking)")
    axes.set_title("offset: key minus query, in tokens")
    alt = (
        f"A table of {length} queries by {length} keys; each of the {length * length} cells shows "
        f"key position minus query position, from {1 - length} to {length - 1}. Every diagonal "
        f"holds one number: the table has only {2 * length - 1} different offsets. Below the main "
        "diagonal lies the past (blue, negative), above it the future (red, positive)."
    )
    return picture(figure, alt)


def pairs_per_row(offsets: Tensor, buckets: Tensor) -> Picture:
    """Count the query-key pairs of a segment behind each offset, and behind each bucket.

    Raises:
        ValueError: the two tables are empty or differ in shape.
    """
    if offsets.shape != buckets.shape or offsets.numel() == 0:
        raise ValueError(
            f"buckets: expected one for each offset, {tuple(offsets.shape)}, "
            f"got {tuple(buckets.shape)}"
        )
    by_offset = Counter(offsets.flatten().tolist())
    by_bucket = Counter(buckets.flatten().tolist())
    rarest = min(by_offset.values()), min(by_bucket.values())
    figure, (above, below) = canvas(5.0, 4.4, rows=2)
    above.bar(list(by_offset), list(by_offset.values()), width=1.0, color=TOKENS)
    above.set_title("a row for each offset")
    above.set_xlabel("offset (tokens)")
    below.bar(list(by_bucket), list(by_bucket.values()), width=0.8, color=TOKENS)
    below.set_title("a row for each bucket")
    below.set_xlabel("bucket")
    for axes in (above, below):
        axes.set_ylabel("pairs a segment")
        axes.set_yscale("log")
        axes.set_ylim(0.7, None)
        axes.set_yticks([1, 10, 100], ["1", "10", "100"])
        axes.minorticks_off()
        axes.grid(axis="y")
    alt = (
        "Two bar charts, on a logarithmic axis: how many query-key pairs of one segment use each "
        f"row of the table. With a row for each of {len(by_offset)} offsets they form a hill: "
        f"offset 0 has {by_offset[0]} pairs, the farthest offsets only {rarest[0]}. With a row for "
        f"each bucket, {len(by_bucket)} rows are in use and the rarest has {rarest[1]} pairs, so "
        "every row gets enough examples to learn from."
    )
    return picture(figure, alt)


def bucket_line(offsets: Tensor, buckets: Tensor) -> Picture:
    """Draw buckets as tiles over a line of consecutive offsets.

    Raises:
        ValueError: the offsets are not consecutive, or there is not one bucket for each.
    """
    steps, tiles = _runs(offsets, buckets)
    figure, axes = canvas(5.2, 1.7)
    limit = max(map(abs, steps))
    for bucket, (first, last) in tiles:
        middle = (first + last) / 2
        color = _signed(middle, limit)
        tile = Rectangle((first - 0.5, 0), last - first + 1, 1, facecolor=color, edgecolor=NEUTRAL)
        axes.add_patch(tile)
        axes.text(middle, 0.5, str(bucket), ha="center", va="center", color=ink_on(color))
    axes.set_xlim(steps[0] - 0.5, steps[-1] + 0.5)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    near = {first if first > 0 else last for _, (first, last) in tiles}
    axes.set_xticks(sorted({edge for edge in near if abs(edge) != 1} | {steps[0], steps[-1]}))
    axes.tick_params(axis="x", labelsize=10)
    axes.set_xlabel("offset (tokens): past on the left, future on the right")
    axes.set_title("the bucket of each offset")
    told = ", ".join(
        f"{first} in bucket {bucket}" if first == last else f"{first} to {last} in bucket {bucket}"
        for bucket, (first, last) in tiles
    )
    alt = (
        f"A line of the offsets {steps[0]} to {steps[-1]}, covered by tiles with bucket numbers: "
        f"{told}. The tiles near offset 0 hold one offset each; the farther away, the wider."
    )
    return picture(figure, alt)


def staircase(offsets: Tensor, both_ways: Tensor, past_only: Tensor) -> Picture:
    """Plot the bucket against the offset, once for each kind of bucket.

    Raises:
        ValueError: the offsets are not consecutive, or there is not one bucket for each.
    """
    figure, (above, below) = canvas(5.0, 5.2, rows=2, sharex=True, sharey=True)
    facts = []
    for axes, buckets, title in (
        (above, both_ways, "bidirectional=True (encoder)"),
        (below, past_only, "bidirectional=False (decoder)"),
    ):
        steps, tiles = _runs(offsets, buckets)
        axes.step(steps, buckets.tolist(), where="mid", color=TOKENS, linewidth=2)
        axes.axvline(0, color=NEUTRAL, linewidth=1, linestyle="--")
        axes.set_title(title)
        axes.set_ylabel("bucket")
        axes.grid(axis="y")
        past = [tile for tile in tiles if tile[1][0] <= 0]
        future = [tile for tile in tiles if tile[1][1] > 0]
        facts.append(
            f"in the past {len(past)} buckets, the last from offset {past[0][1][1]} on"
            + f"; in the future {len({bucket for bucket, _ in future})}"
        )
    below.set_xlabel("offset (tokens): past < 0 < future")
    alt = (
        f"Bucket against offset, from {offsets.min()} to {offsets.max()}. Above, bidirectional: "
        f"{facts[0]}, in a second staircase that starts higher. Below, not bidirectional: "
        f"{facts[1]}, as every future offset lies flat in bucket {int(past_only[-1])}. "
        "Each staircase is steep near offset 0 and flattens with distance."
    )
    return picture(figure, alt)


def sight(right: Tensor, swapped: Tensor) -> Picture:
    """Show the buckets of every query-key pair, (n, n), with the right flag and with the other.

    A cell is coloured by the mean offset of its bucket: what the model can know about the offset.

    Raises:
        ValueError: the two tables are not square or differ in shape.
    """
    if right.ndim != 2 or right.shape[0] != right.shape[1] or right.shape != swapped.shape:
        raise ValueError(
            f"swapped: expected a square table like right, {tuple(right.shape)}, "
            f"got {tuple(swapped.shape)}"
        )
    length = right.shape[0]
    figure, (left_axes, right_axes) = canvas(5.4, 3.1, columns=2, sharey=True)
    for axes, table, title in (
        (left_axes, right, "both directions"),
        (right_axes, swapped, "flag swapped"),
    ):
        known = _known_offsets(table)
        _cells(axes, table.tolist(), [[known[b] for b in row] for row in table.tolist()])
        axes.set_title(title)
        axes.set_xlabel("key")
    left_axes.set_ylabel("query")
    ahead = [
        len({table[i, j].item() for i in range(length) for j in range(i + 1, length)})
        for table in (right, swapped)
    ]
    alt = (
        f"Two tables of buckets for {length} queries and {length} keys. On the left, both "
        f"directions: above the diagonal (the future) {ahead[0]} different buckets appear, in "
        f"stripes. On the right, the flag swapped: above the diagonal there is {ahead[1]} "
        f"bucket{'' if ahead[1] == 1 else 's'}, number {swapped[0, -1].item()}, so one flat area "
        "covers the whole future. Below the diagonal (the past) both have stripes."
    )
    return picture(figure, alt)


def learned_bias(offsets: Tensor, biases: dict[str, Tensor]) -> Picture:
    """Plot what training left in the table: the bias by offset, (h, offsets) under each title.

    Raises:
        ValueError: nothing to draw, or a bias does not have one column for each offset.
    """
    if not biases or any(b.ndim != 2 or b.shape[1] != len(offsets) for b in biases.values()):
        raise ValueError(f"biases: expected tables (h, {len(offsets)}), one column for each offset")
    figure, all_axes = canvas(
        5.0, 2.3 * len(biases), rows=len(biases), sharex=True, sharey=True, squeeze=False
    )
    facts = []
    for axes, (title, bias) in zip(all_axes[:, 0], biases.items(), strict=True):
        bias = bias.detach()
        for number, line in enumerate(bias.tolist(), 1):
            style = ["-", "--", ":", "-."][(number - 1) % 4]
            axes.plot(
                offsets.tolist(), line, style, color=TOKENS, linewidth=2, label=f"head {number}"
            )
        axes.set_title(title)
        axes.set_ylabel("bias")
        axes.grid(axis="y")
        ahead = bias[:, offsets > 0]
        spread = (ahead.max(1).values - ahead.min(1).values).max().item()
        facts.append(
            f"{title}: over the future offsets a head's bias changes by up to {spread:.1f}"
        )
    lines, names = all_axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=4, fontsize=10, frameon=False)
    all_axes[-1, 0].set_xlabel("offset (tokens)")
    alt = (
        f"The learned bias against the offset, a line for each head. {'. '.join(facts)}. "
        "Where the line is flat the model cannot prefer one position to another."
    )
    return picture(figure, alt)


def accuracies(results: dict[str, list[float]], bounds: dict[str, float]) -> Picture:
    """Draw the accuracy of every seed (from 0 to 1) under its condition's name, and its bound.

    Args:
        results: for each condition, one accuracy a seed.
        bounds: for some conditions, the accuracy that no model of that kind can pass.

    Raises:
        ValueError: a condition without results, an accuracy outside 0 to 1, or an unknown bound.
    """
    if not results or not all(results.values()):
        raise ValueError("results: expected at least one accuracy for each condition")
    if any(not 0 <= value <= 1 for values in results.values() for value in values):
        raise ValueError("results: expected accuracies from 0 to 1")
    if unknown := sorted(bounds.keys() - results.keys()):
        raise ValueError(f"bounds: {unknown[0]!r} is not a condition of results")
    figure, axes = canvas(5.2, 0.62 * len(results) + 0.9)
    told = []
    for row, (name, values) in enumerate(results.items()):
        axes.plot(values, [row] * len(values), "o", color=TOKENS, markersize=8, alpha=0.7)
        fact = f"{name}: {min(values):.2f} to {max(values):.2f}"
        if name in bounds:
            axes.plot([bounds[name]] * 2, [row - 0.38, row + 0.38], color=INK, linewidth=2)
            fact += f", bound {bounds[name]:.3f}"
        told.append(fact)
    axes.set_yticks(range(len(results)), results)
    axes.invert_yaxis()
    axes.set_xlim(0.4, 1.03)
    axes.set_xlabel("share of right answers (a dot a seed; bar: bound)")
    axes.grid(axis="x")
    alt = (
        "Share of right answers on new pages, one dot for each seed, with a bar where a bound is "
        f"known. {'; '.join(told)}."
    )
    return picture(figure, alt)


def _cells(axes, labels: list[list], values: list[list]) -> None:
    """Fill `axes` with square cells: a label each, coloured by a signed value."""
    limit = max(abs(value) for row in values for value in row) or 1
    for i, (texts, row) in enumerate(zip(labels, values, strict=True)):
        for j, (text, value) in enumerate(zip(texts, row, strict=True)):
            color = _signed(value, limit)
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=color, edgecolor=NEUTRAL))
            text = f"{text}".replace("-", "\N{MINUS SIGN}")
            axes.text(j, i, text, ha="center", va="center", color=ink_on(color))
    axes.set_xlim(-0.5, len(labels[0]) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xticks(range(len(labels[0])))
    axes.set_yticks(range(len(labels)))
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _signed(value: float, limit: float) -> tuple[float, float, float]:
    """Return the colour of a signed number between -limit and limit, pale ends kept legible."""
    return to_rgb(matplotlib.colormaps[DIVERGING](0.5 + 0.4 * value / limit))


def _known_offsets(table: Tensor) -> dict[int, float]:
    """Return the mean offset of the cells of each bucket."""
    offsets: dict[int, list[int]] = {}
    for i, row in enumerate(table.tolist()):
        for j, bucket in enumerate(row):
            offsets.setdefault(bucket, []).append(j - i)
    return {bucket: sum(found) / len(found) for bucket, found in offsets.items()}


def _runs(offsets: Tensor, buckets: Tensor) -> tuple[list[int], list]:
    """Return the offsets, and (bucket, (first offset, last offset)) for each run of one bucket."""
    steps, numbers = offsets.tolist(), buckets.tolist()
    if len(steps) < 2 or steps != list(range(steps[0], steps[0] + len(steps))):
        raise ValueError("offsets: expected consecutive integers")
    if len(numbers) != len(steps):
        raise ValueError(f"buckets: expected {len(steps)}, one for each offset, got {len(numbers)}")
    tiles = []
    for step, bucket in zip(steps, numbers, strict=True):
        if tiles and tiles[-1][0] == bucket:
            tiles[-1][1][1] = step
        else:
            tiles.append((bucket, [step, step]))
    return steps, tiles
