"""Pictures of chapter 11: sick memories, drawn from the records of experiments or from tensors.

A record is what `memformer_lite.experiments.load_record` returns. Every picture of a record shows
each seed, or the mean with a bar from the lowest to the highest seed.
"""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.colors import Normalize

from memformer_lite.figures import (
    DIVERGING,
    INK,
    KEPT,
    NEUTRAL,
    SLOTS,
    TOKENS,
    WRITTEN,
    Picture,
    canvas,
    picture,
)

FONT = 11
LINES = [
    ("-", "o", SLOTS),
    ("--", "s", TOKENS),
    ("-.", "D", KEPT),
    (":", "^", WRITTEN),
    ((0, (5, 1, 1, 1, 1, 1)), "v", NEUTRAL),
    ((0, (1, 1)), "X", INK),
]


def runs_of(record: Mapping, case: str) -> list[Mapping]:
    """Return the runs of a case, one a seed.

    Raises:
        ValueError: the record has no such case, or no run of it.
    """
    if case not in record["cases"]:
        raise ValueError(f"case={case!r}: expected one of {', '.join(record['cases'])}")
    runs = list(record["cases"][case]["runs"].values())
    if not runs:
        raise ValueError(f"case={case!r}: not run yet, see {record['command']!r}")
    return runs


def values_of(record: Mapping, case: str, *path: str) -> list[float]:
    """Return one result of each seed: `values_of(record, case, "recall", "64")`.

    Raises:
        ValueError: no such case, no run of it, or no such result.
    """
    values = []
    for run in runs_of(record, case):
        value = run["results"]
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                raise ValueError(f"path={path}: the record has no {key!r} there")
            value = value[key]
        values.append(float(value))
    return values


def waiting_room(record: Mapping, patients: Mapping[str, str], *, chance: float) -> Picture:
    """Draw accuracy on held-out questions against training steps, one line a patient.

    Args:
        record: with scores in each run.
        patients: name to show -> case; one to six.
        chance: accuracy of guessing.

    Raises:
        ValueError: no or too many patients, a case without runs, or runs scored at other steps.
    """
    _check_count("patients", patients, len(LINES))
    figure, axes = canvas(5.6, 4.0)
    ends = {}
    for (name, case), (style, marker, color) in zip(patients.items(), LINES, strict=False):
        curves = [run["scores"] for run in runs_of(record, case)]
        if any(list(curve) != list(curves[0]) for curve in curves) or not curves[0]:
            raise ValueError(f"case={case!r}: expected scores after the same steps with each seed")
        steps = [int(step) for step in curves[0]]
        seeds = [list(curve.values()) for curve in curves]
        low, middle, high = zip(*(_spread(at) for at in zip(*seeds, strict=True)), strict=True)
        axes.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
        look = {"color": color, "linestyle": style, "marker": marker, "markersize": 4}
        axes.plot(steps, middle, linewidth=2, **look)
        ends[name] = (middle[-1], low[-1], high[-1], color)
    axes.axhline(chance, color=NEUTRAL, linewidth=1)
    _write(axes, steps[0], chance - 0.015, f"chance {chance:.3f}", va="top", color=NEUTRAL)
    heights = _apart([end[0] for end in ends.values()], 0.06)
    for (name, (*_, color)), height in zip(ends.items(), heights, strict=True):
        _write(axes, steps[-1] * 1.03, height, name, va="center", color=color)
    axes.set(ylim=(0, 1.04), xlim=(0, steps[-1] * 1.03))
    axes.set(xlabel="training steps", ylabel="accuracy on held-out questions")
    axes.grid(True, axis="y")
    count = len(runs_of(record, next(iter(patients.values()))))
    told = ", ".join(f"{name} {m:.2f} ({a:.2f} to {b:.2f})" for name, (m, a, b, _) in ends.items())
    guess = [name for name, (_, a, b, _) in ends.items() if a - 0.03 <= chance <= b + 0.03]
    return picture(
        figure,
        f"{len(ends)} lines, accuracy on held-out questions over {steps[-1]} training steps; each "
        f"is the mean of {count} seeds, with a band from the lowest to the highest. At the end: "
        f"{told}. Chance is {chance:.3f}; still there at the end: "
        f"{' and '.join(guess) or 'nobody'}.",
    )


def memories(tables: Mapping[str, Sequence[Sequence[float]]]) -> Picture:
    """Draw memories as tables of coloured numbers, a row a slot.

    Args:
        tables: name -> slots, each a list of numbers; all of one shape, two slots or more.

    Raises:
        ValueError: no table, or tables of different shapes.
    """
    shapes = {(len(table), *{len(row) for row in table}) for table in tables.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[0] < 2:
        raise ValueError("tables: expected one or more, of one shape with two slots or more")
    slots, width = next(iter(shapes))
    largest = max(abs(x) for table in tables.values() for row in table for x in row) or 1.0
    figure, panels = canvas(
        5.6, 0.75 * slots * len(tables) * 0.55 + 1.2, rows=len(tables), columns=1, squeeze=False
    )
    told = []
    for axes, (name, table) in zip(panels[:, 0], tables.items(), strict=True):
        image = axes.imshow(
            [list(row) for row in table],
            cmap=DIVERGING,
            norm=Normalize(-largest, largest),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_yticks(range(slots), [f"m{i + 1}" for i in range(slots)])
        axes.set_title(name, loc="left", fontsize=FONT)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        apart = max(abs(a - b) for row in table for a, b in zip(row, table[0], strict=True))
        told.append(
            f"in {name!r} all {slots} rows are equal"
            if apart < 1e-6
            else f"in {name!r} rows differ by up to {apart:.1f}"
        )
    panels[-1, 0].set_xlabel(f"the {width} numbers of a slot")
    bar = figure.colorbar(image, ax=panels[:, 0].tolist(), fraction=0.06)
    bar.set_label("content (no unit)", color=INK)
    bar.ax.tick_params(color=INK, labelcolor=INK)
    bar.outline.set_visible(False)
    return picture(
        figure,
        f"{len(tables)} tables of {slots} slots by {width} numbers, coloured from blue (negative) "
        f"to red (positive). Compared row by row, {'; '.join(told)}.",
    )


def changes(record: Mapping, cases: Iterable[str]) -> Picture:
    """Draw how far slots move on a page with a card and on a page of noise, each seed a mark.

    Args:
        record: with results `change_card` and `change_noise`.
        cases: which of its cases, top to bottom.

    Raises:
        ValueError: no case, or one without these results.
    """
    cases = list(cases)
    _check_count("cases", cases, 12)
    figure, axes = canvas(5.6, 0.62 * len(cases) + 1.25)
    kinds = {"change_card": ("o", WRITTEN), "change_noise": ("s", KEPT)}
    told = []
    for y, case in enumerate(cases):
        means = {}
        for key, (marker, color) in kinds.items():
            values = values_of(record, case, key)
            _range(axes, values, y, color)
            axes.plot(values, [y] * len(values), marker, color=color, markersize=7, alpha=0.85)
            means[key] = sum(values) / len(values)
        _write(axes, 0.0, y - 0.22, case, va="bottom", transform=axes.get_yaxis_transform())
        told.append(f"{case} {means['change_card']:.2g} and {means['change_noise']:.2g}")
    for key, x, text in (("change_noise", 0.0, "■ on noise"), ("change_card", 1.0, "● on a card")):
        look = {"ha": "left" if x == 0 else "right", "color": kinds[key][1], "va": "bottom"}
        _write(axes, x, 1.01, text, transform=axes.transAxes, **look)
    every = [v for case in cases for key in kinds for v in values_of(record, case, key)]
    axes.set_xscale("log")
    ticks = [
        t
        for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
        if min(every) / 1.5 <= t <= 1.5 * max(every)
    ]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.grid(True, axis="x")
    axes.set(ylim=(len(cases) - 0.6, -0.75), xlim=(min(every) / 1.5, 1.5 * max(every)))
    axes.set(xlabel="mean distance a slot moves (log scale)", yticks=[])
    axes.spines["left"].set_visible(False)
    return picture(
        figure,
        f"{len(cases)} rows, on each a round mark a seed for the slot that moves most on a page "
        "with a card, and a square a seed for the mean slot on a page of noise; the axis is "
        f"logarithmic. Means, card and noise: {'; '.join(told)}. A healthy memory has its squares "
        "far to the left of its circles.",
    )


def pointedness(rows: Mapping[str, Sequence[float]]) -> Picture:
    """Draw writing weights in order of size, one line a writer, and the flat line.

    Args:
        rows: name -> mean weight of the place with the largest weight, the second, …; sum 1.

    Raises:
        ValueError: no or too many rows, other lengths, weights that do not fall or do not sum to 1.
    """
    _check_count("rows", rows, len(LINES))
    places = len(next(iter(rows.values())))
    figure, axes = canvas(5.6, 3.4)
    for (name, weights), (style, marker, color) in zip(rows.items(), LINES, strict=False):
        falls = all(a >= b for a, b in zip(weights, list(weights)[1:], strict=False))
        if len(weights) != places or not falls or abs(sum(weights) - 1) > 1e-4:
            raise ValueError(f"{name}: expected {places} falling weights of sum 1, got {weights}")
        look = {"color": color, "linestyle": style, "marker": marker, "label": name}
        axes.plot(range(1, places + 1), weights, linewidth=2, markersize=6, **look)
    flat = 1 / places
    axes.axhline(flat, color=NEUTRAL, linewidth=1)
    _write(axes, places, flat + 0.02, f"flat: {flat:.2f}", ha="right", va="bottom", color=NEUTRAL)
    axes.set(ylim=(0, 1), xticks=range(1, places + 1))
    axes.set(xlabel="place, by size of its weight", ylabel="mean weight in the write")
    axes.legend(loc="upper right", fontsize=FONT, labelcolor=INK, frameon=False)
    told = "; ".join(f"{name} {weights[0]:.2f}" for name, weights in rows.items())
    nearest = min(rows, key=lambda name: rows[name][0])
    return picture(
        figure,
        f"{len(rows)} falling lines, the weights of a slot over its {places} places in order of "
        f"size. The largest weight: {told}; a flat write would have {flat:.2f} everywhere. Nearest "
        f"to flat is {nearest!r}.",
    )


def against_gap(record: Mapping, cases: Mapping[str, str], *, chance: float) -> Picture:
    """Draw recall and the norm of the slots against the gap, with bars over the seeds.

    Args:
        record: with results `recall` and `norm` by gap.
        cases: name to show -> case; one to six.
        chance: recall of guessing.

    Raises:
        ValueError: no or too many cases, or one without these results.
    """
    _check_count("cases", cases, len(LINES))
    figure, (upper, lower) = canvas(5.6, 6.0, rows=2, columns=1, sharex=True)
    told = []
    for number, (name, case) in enumerate(cases.items()):
        style, marker, color = LINES[number]
        gaps = list(runs_of(record, case)[0]["results"]["recall"])
        for axes, key in ((upper, "recall"), (lower, "norm")):
            spreads = [_spread(values_of(record, case, key, gap)) for gap in gaps]
            low, middle, high = zip(*spreads, strict=True)
            shift = 0.06 * (number - (len(cases) - 1) / 2)
            places = [x + shift for x in range(len(gaps))]
            bars = [
                [m - a for m, a in zip(middle, low, strict=True)],
                [b - m for m, b in zip(middle, high, strict=True)],
            ]
            look = {"color": color, "linestyle": style, "marker": marker, "label": name}
            axes.errorbar(places, middle, bars, linewidth=2, markersize=6, capsize=4, **look)
            if key == "recall":
                recalled = middle[-1]
            else:
                told.append(
                    f"{name}: recall {recalled:.2f}, norm {middle[0]:.1f} to {middle[-1]:.1f}"
                )
    upper.axhline(chance, color=NEUTRAL, linewidth=1)
    _write(upper, 0, chance + 0.02, f"chance {chance:.3f}", va="bottom", color=NEUTRAL)
    upper.set(ylim=(0, 1.05), ylabel="recall (part answered right)")
    lower.set(ylim=(0, None), ylabel="mean norm of the slots", xticks=range(len(gaps)))
    lower.set_xticklabels(gaps)
    lower.set_xlabel("gap: pages of noise before the question (not to scale)")
    lower.legend(loc="upper left", fontsize=FONT, labelcolor=INK, frameon=False)
    for axes in (upper, lower):
        axes.grid(True, axis="y")
    count = len(runs_of(record, next(iter(cases.values()))))
    return picture(
        figure,
        f"Two panels over the gap from {gaps[0]} to {gaps[-1]} pages of noise, {len(cases)} lines "
        f"each: recall above, the slots' mean norm below, means of {count} seeds with bars from "
        f"the lowest to the highest. At the longest gap, and norm from the shortest to it: "
        f"{'; '.join(told)}.",
    )


def by_seed(
    record: Mapping,
    cases: Mapping[str, str],
    path: Sequence[str],
    *,
    quantity: str,
    chance: float | None = None,
    color: Mapping[str, str] | None = None,
) -> Picture:
    """Draw one result of several cases, each seed a mark, from 0 to 1.

    Args:
        record: with the result at `path` in each run.
        cases: name to show -> case, top to bottom.
        path: keys of the result, as `("recall", "64")`.
        quantity: what it is, for the axis.
        chance: result of guessing; None draws no line.
        color: beginning of a case's name -> colour; others are orange.

    Raises:
        ValueError: no or too many cases, one without this result, or a result outside 0 to 1.
    """
    _check_count("cases", cases, 16)
    figure, axes = canvas(5.6, 0.55 * len(cases) + 1.0)
    told = {}
    for y, (name, case) in enumerate(cases.items()):
        values = values_of(record, case, *path)
        if not all(0 <= value <= 1 for value in values):
            raise ValueError(f"case={case!r}: expected results from 0 to 1, got {values}")
        tints = [tint for start, tint in (color or {}).items() if case.startswith(start)]
        tint = tints[0] if tints else SLOTS
        low, middle, high = _spread(values)
        _range(axes, values, y, tint)
        axes.plot(values, [y] * len(values), "o", color=tint, markersize=7, alpha=0.85)
        axes.plot([middle] * 2, [y - 0.18, y + 0.18], color=INK, linewidth=1.5)
        _write(axes, 0.0, y - 0.2, name, va="bottom", transform=axes.get_yaxis_transform())
        told[name] = (middle, low, high)
    if chance is not None:
        axes.axvline(chance, color=NEUTRAL, linewidth=1, linestyle="--")
        _write(axes, chance, -0.78, f" chance {chance:.3f}", va="center", color=NEUTRAL)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(cases) - 0.5, -1.0), xlabel=quantity, yticks=[])
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    count = len(values)
    best = max(told, key=lambda name: told[name][0])
    worst = min(told, key=lambda name: told[name][0])
    said = "; ".join(f"{name}: {m:.2f} ({a:.2f} to {b:.2f})" for name, (m, a, b) in told.items())
    return picture(
        figure,
        f"{len(told)} rows with {count} dots each, one a seed, and a stroke at their mean: "
        f"{quantity}. Mean and range: {said}. The highest mean has {best!r}, the lowest {worst!r}.",
    )


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest, the mean and the highest."""
    return min(values), sum(values) / len(values), max(values)


def _range(axes, values, y, color) -> None:
    axes.plot([min(values), max(values)], [y, y], color=color, linewidth=3, alpha=0.45)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Move heights below 1 at least `least` apart, downwards, so that labels do not overlap."""
    moved, last = [0.0] * len(heights), 1.0 + least
    for index in sorted(range(len(heights)), key=lambda i: -heights[i]):
        last = moved[index] = min(heights[index], last - least)
    return moved


def _check_count(name: str, given: Sequence, most: int) -> None:
    if not 1 <= len(given) <= most:
        raise ValueError(f"{name}: expected 1 to {most}, got {len(given)}")


def _write(axes, x, y, text, *, color=INK, fontsize=FONT, **options) -> None:
    """Write text into axes, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, text, color=color, fontsize=fontsize, **options)
