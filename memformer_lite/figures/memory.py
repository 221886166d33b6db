"""Pictures of chapter 05: who looks at whom, keeping or taking, forgetting, and growing norms."""

import itertools
import math
from collections.abc import Mapping, Sequence

from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from memformer_lite.figures import (
    BOXES,
    COLORMAP,
    INK,
    KEPT,
    NEUTRAL,
    SLOTS,
    TOKENS,
    WRITTEN,
    Picture,
    canvas,
    ink_on,
    picture,
)

BLANK = "·"  # a token without news


def who_looks(num_slots: int, tokens: Sequence[str], *, slot: int = 1) -> Picture:
    """Draw what one slot looks at, and below it the same rule for all slots as a mask.

    Args:
        num_slots: number of slots k, at least 2.
        tokens: the page, one label a token.
        slot: the slot whose arrows are drawn, counted from 0.

    Raises:
        ValueError: fewer than 2 slots, no token, or a slot that is not there.
    """
    if num_slots < 2 or not tokens:
        raise ValueError(f"expected 2 slots and 1 token or more: {num_slots=}, {len(tokens)=}")
    if not 0 <= slot < num_slots:
        raise ValueError(f"slot={slot}: expected 0 to {num_slots - 1}")
    figure, (scene, grid) = canvas(5.2, 5.4, rows=2, columns=1, height_ratios=[1, 1.05])
    columns = num_slots + len(tokens)
    for column in range(columns):
        is_slot = column < num_slots
        color = SLOTS if is_slot else TOKENS
        text = f"m{column + 1}" if is_slot else tokens[column - num_slots]
        if is_slot:
            scene.add_patch(Rectangle((column - 0.34, -0.34), 0.68, 0.68, color=color))
        else:
            scene.add_patch(Circle((column, 0), 0.36, color=color))
        _write(scene, column, 0, text, ha="center", va="center", color=ink_on(color), fontsize=12)
        if not is_slot:
            bend = -0.35 - 0.05 * (column - num_slots)
            scene.add_patch(_arrow((slot, 0.42), (column, 0.42), WRITTEN, bend))
    scene.add_patch(_arrow((slot - 0.2, -0.38), (slot + 0.2, -0.38), KEPT, 1.9))
    _write(scene, slot, -1.12, "keep: itself", ha="center", va="top", color=KEPT)
    middle = (slot + num_slots + len(tokens) - 1) / 2
    _write(scene, middle, 2.15, "take: every token of the page", ha="center", color=WRITTEN)
    scene.set(xlim=(-0.6, columns - 0.4), ylim=(-1.55, 2.5), aspect="equal")
    scene.axis("off")
    for row in range(num_slots):
        for column in range(columns):
            own, token = row == column, column >= num_slots
            color = KEPT if own else WRITTEN if token else "none"
            grid.add_patch(
                Rectangle((column, row), 1, 1, facecolor=color, edgecolor=NEUTRAL, linewidth=1)
            )
            text = "keep" if own else "take" if token else "never"
            ink = ink_on(color) if own or token else INK
            _write(
                grid,
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                color=ink,
                fontsize=10,
            )
    labels = [f"m{i + 1}" for i in range(num_slots)] + list(tokens)
    grid.set(xlim=(0, columns), ylim=(num_slots, 0), xlabel="looked at")
    _label_ticks(grid.xaxis, [i + 0.5 for i in range(columns)], labels)
    _label_ticks(grid.yaxis, [i + 0.5 for i in range(num_slots)], labels[:num_slots])
    grid.set_ylabel("who looks")
    _bare(grid)
    page = " ".join(tokens)
    return picture(
        figure,
        f"Above: {num_slots} slots, m1 to m{num_slots}, and a page of {len(tokens)} tokens, "
        f"{page}. Slot m{slot + 1} has one arrow to itself (keep) and one to every token (take); "
        "no arrow joins two slots. Below, the same rule for all slots as a table: of "
        f"{num_slots * columns} places, {num_slots} on the diagonal say keep, "
        f"{num_slots * len(tokens)} in the token columns say take, and the other "
        f"{num_slots * (num_slots - 1)}, from a slot to a neighbour, say never.",
    )


def shares(
    rows: Mapping[str, Sequence[float]], cards: Sequence[str], results: Sequence[str]
) -> Picture:
    """Draw the weights of one slot as bars that sum to 1: the slot itself, then each token.

    Args:
        rows: label of each bar and its weights, the slot itself first.
        cards: label of each weight after the first: `A5` takes the colour of box A.
        results: what is written, one text a bar.

    Raises:
        ValueError: weights that do not sum to 1, or lengths that do not fit.
    """
    if len(results) != len(rows):
        raise ValueError(f"results: expected {len(rows)}, got {len(results)}")
    figure, axes = canvas(5.2, 0.75 * len(rows) + 1.4)
    labels = ["keep", *cards]
    colors = [KEPT, *(BOXES.get(card[0], NEUTRAL) for card in cards)]
    for y, (name, weights) in enumerate(rows.items()):
        if len(weights) != len(labels) or abs(sum(weights) - 1) > 1e-4:
            raise ValueError(f"{name}: expected {len(labels)} weights of sum 1, got {weights}")
        left = 0.0
        for label, color, weight in zip(labels, colors, weights, strict=True):
            axes.barh(y, weight, left=left, height=0.5, color=color)
            if weight > 0.06:
                place = left + weight / 2
                _write(axes, place, y, label, ha="center", va="center", color=ink_on(color))
            left += weight
        _write(axes, 0, y - 0.3, f"{name}: {results[y]}", va="bottom")
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.55, -0.75), xlabel="attention weight of the slot")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    told = "; ".join(
        f"{name}: {', '.join(f'{la} {w:.2f}' for la, w in zip(labels, weights, strict=True))}, "
        f"{result}"
        for (name, weights), result in zip(rows.items(), results, strict=True)
    )
    return picture(
        figure,
        f"{len(rows)} bars, each the weights of one slot from 0 to 1: first what it keeps of "
        f"itself, then what it takes from each token. {told}. The lower the temperature, the "
        "more of the bar belongs to the highest score.",
    )


def survival(gates: Sequence[float], pages: int) -> Picture:
    """Draw what is left of a slot's old content after 0 to `pages` pages, one line a gate.

    Args:
        gates: one to four values of the update gate z, above 0 and below 1 (z = 1 keeps).
        pages: how many pages, at least 2.

    Raises:
        ValueError: a gate outside (0, 1), no or more than four gates, or less than 2 pages.
    """
    if pages < 2 or not 1 <= len(gates) <= 4 or not all(0 < z < 1 for z in gates):
        raise ValueError(f"expected 1 to 4 gates in (0, 1) and 2 pages or more: {gates=}, {pages=}")
    figure, axes = canvas(5.2, 3.2)
    styles = ["-", "--", "-.", ":"]
    for z, style, height in zip(sorted(gates), styles, (12, 30, 65, 82), strict=False):
        axes.plot([100 * z**t for t in range(pages + 1)], color=KEPT, linestyle=style, linewidth=2)
        page = min(math.log(height / 100) / math.log(z), 0.8 * pages)
        _write(axes, page + 0.02 * pages, 100 * z**page, f"z = {z:g}", va="bottom")
    axes.axhline(50, color=NEUTRAL, linewidth=1)
    _write(axes, pages, 51.5, "half", ha="right", color=NEUTRAL)
    axes.set(xlabel="pages read since", ylabel="left of the old content (%)")
    axes.set(xlim=(0, pages), ylim=(0, 102))
    told = ", ".join(
        f"z = {z:g}: {100 * z**pages:.2g} % (half gone after {math.log(0.5) / math.log(z):.1f} "
        "pages)"
        for z in sorted(gates)
    )
    return picture(
        figure,
        f"{len(gates)} falling curves, the share of a slot's old content that is left while "
        f"pages go by. After {pages} pages: {told}. The closer the gate is to 1, the longer the "
        "memory; a gate that looks nearly shut still forgets.",
    )


def walk(angles: Mapping[float, Sequence[float]]) -> Picture:
    """Draw slots that walk round the unit circle towards their bias, one row a bias.

    Args:
        angles: length of the bias -> angle between slot and bias after each page, in degrees.

    Raises:
        ValueError: no walk, or an angle outside 0 to 180.
    """
    if not angles or any(not 0 <= a <= 180 for steps in angles.values() for a in steps):
        raise ValueError(f"expected angles from 0 to 180 degrees, got {dict(angles)}")
    figure, rows = canvas(5.2, 2.05 * len(angles) + 0.3, rows=len(angles), columns=1, squeeze=False)
    for axes, (length, steps) in zip(rows[:, 0], angles.items(), strict=True):
        arc = [math.radians(a) for a in range(181)]
        axes.plot([math.cos(a) for a in arc], [math.sin(a) for a in arc], color=NEUTRAL)
        axes.annotate(
            "",
            (length, 0),
            (0, 0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": INK,
                "linewidth": 2.5,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        _write(axes, length / 2, -0.07, "bias", ha="center", va="top", color=INK)
        for page, degrees in enumerate(steps):
            x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            axes.plot([0, x], [0, y], color=SLOTS, linewidth=0.8, alpha=0.6)
            axes.plot(x, y, "o", color=SLOTS, markersize=7)
            if page == 0 or degrees > 13:
                _write(axes, 1.11 * x, 1.11 * y, page, ha="center", va="center", fontsize=10)
        _write(axes, 1.25, 0.75, f"‖v‖ = {length:g}", fontsize=12)
        _write(axes, 1.25, 0.45, f"after {len(steps) - 1} pages:", va="center")
        _write(axes, 1.25, 0.2, f"{steps[-1]:.0f}° left", va="center")
        axes.set(xlim=(-1.3, max(2.4, length + 0.1)), ylim=(-0.27, 1.25), aspect="equal")
        axes.axis("off")
    told = "; ".join(
        f"bias {length:g}: {', '.join(f'{a:.0f}' for a in steps)} degrees"
        for length, steps in angles.items()
    )
    return picture(
        figure,
        f"{len(angles)} half circles of radius 1. Dots numbered by page mark a slot; an arrow "
        "from the centre to the right is its bias. Angle between slot and bias, page by page, "
        f"{told}. The longer the bias, the sooner the slot lies on it: strong bias, fast "
        "forgetting.",
    )


def story(
    pages: Sequence[str],
    keep: Sequence[Sequence[float]],
    gate: Sequence[Sequence[float]],
    change: Sequence[Sequence[float]],
) -> Picture:
    """Draw what each slot does with each page, as three maps of pages × slots.

    Args:
        pages: label of each page.
        keep: weight of the slot on itself, 0 to 1, a row a page and a column a slot.
        gate: mean update gate z, 0 to 1 (z = 1 keeps), likewise.
        change: distance that the slot moves, likewise.

    Raises:
        ValueError: maps that do not have one row a page and one column a slot.
    """
    maps = {"weight on itself": keep, "update gate z": gate, "change of the slot": change}
    slots = len(keep[0])
    for name, rows in maps.items():
        if len(rows) != len(pages) or any(len(row) != slots for row in rows):
            raise ValueError(f"{name}: expected {len(pages)} rows of {slots}")
    figure, axes = canvas(5.6, 0.36 * len(pages) + 1.1, rows=1, columns=3, sharey=True)
    for axis, (name, rows) in zip(axes, maps.items(), strict=True):
        top = max(max(row) for row in rows) if name.startswith("change") else 1.0
        image = axis.imshow(rows, cmap=COLORMAP, vmin=0, vmax=top, aspect="auto")
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                ink = ink_on(image.cmap(value / top)[:3])
                text = f"{value:.1f}" if top > 1 else f"{value:.2f}".lstrip("0")
                _write(axis, x, y, text, ha="center", va="center", color=ink, fontsize=10)
        axis.set_title(name, fontsize=11)
        _label_ticks(axis.xaxis, range(slots), [f"m{i + 1}" for i in range(slots)])
        _bare(axis)
    _label_ticks(axes[0].yaxis, range(len(pages)), pages)
    axes[0].set_ylabel("page")
    ranges = [
        f"{name} {min(map(min, rows)):.2f} to {max(map(max, rows)):.2f}"
        for name, rows in maps.items()
    ]
    means = [sum(row) / slots for row in change]
    falls = all(a > b for a, b in itertools.pairwise(means))
    return picture(
        figure,
        f"Three tables of {len(pages)} pages ({', '.join(pages)}) by {slots} slots. Over all "
        f"places: {', '.join(ranges)}. Mean change page by page: "
        f"{', '.join(f'{m:.1f}' for m in means)}."
        + (" It falls from each page to the next, whatever the page holds." if falls else ""),
    )


def trace(pages: Sequence[str], share: Sequence[float], *, rewritten: int) -> Picture:
    """Draw how much of the first card is left after each page, beside what a notebook would do.

    Args:
        pages: label of each page.
        share: what is left after each page, in percent of what was left after the first.
        rewritten: index of the page that replaces the card, at least 2.

    Raises:
        ValueError: not one share a page, or no such page.
    """
    if len(share) != len(pages) or not 1 < rewritten < len(pages):
        raise ValueError(f"expected {len(pages)} shares and a page to rewrite, got {rewritten=}")
    figure, axes = canvas(5.2, 3.1)
    xs = range(len(pages))
    ideal = [100 if x < rewritten else 0 for x in xs]
    axes.plot(xs, ideal, color=KEPT, linestyle="--", linewidth=2.2, drawstyle="steps-post")
    _write(axes, rewritten - 0.1, 103, "a good notebook", color=KEPT, ha="right", va="bottom")
    axes.plot(xs, share, "o-", color=SLOTS, linewidth=2.2)
    _write(axes, 0.6, share[0] * 0.42, "untrained", color=SLOTS, va="top")
    _label_ticks(axes.xaxis, xs, pages)
    axes.set(ylim=(-3, 118), xlabel="after page", ylabel="trace of the first card (%)")
    return picture(
        figure,
        f"Two lines over the pages {', '.join(pages)}. A good notebook keeps 100 % of the trace of "
        f"the first card until page {rewritten + 1}, {pages[rewritten]}, and none from there on. "
        f"The untrained writer has {', '.join(f'{s:.0f}' for s in share)} %: page "
        f"{rewritten + 1} takes {share[rewritten - 1] - share[rewritten]:.0f} of it, and the page "
        f"before took {share[rewritten - 2] - share[rewritten - 1]:.0f}.",
    )


def norms(curves: Mapping[str, Sequence[float]]) -> Picture:
    """Draw the mean norm of the slots over many empty pages, one line a writer.

    Args:
        curves: name of each writer -> norm after each page.

    Raises:
        ValueError: no curve, or curves of different lengths.
    """
    if len({len(curve) for curve in curves.values()}) != 1:
        raise ValueError("curves: expected one or more, all of the same length")
    figure, axes = canvas(5.2, 3.3)
    styles = [("-", WRITTEN), ("--", NEUTRAL), ("-.", KEPT), (":", SLOTS)]
    for (name, curve), (style, color) in zip(curves.items(), styles, strict=False):
        axes.plot(
            range(1, len(curve) + 1), curve, linestyle=style, color=color, linewidth=2.2, label=name
        )
    axes.set(xscale="log", yscale="log")
    ticks = [t for t in (1, 3, 10, 30, 100, 300, 1000) if t <= len(next(iter(curves.values())))]
    _label_ticks(axes.xaxis, ticks, ticks)
    high = max(max(curve) for curve in curves.values())
    heights = [t for t in (1, 3, 10, 30, 100, 300, 1000) if t <= 2 * high]
    _label_ticks(axes.yaxis, heights, heights)
    axes.minorticks_off()
    axes.grid(True)
    axes.set(xlabel="empty pages read", ylabel="mean norm of the slots")
    axes.legend(loc="upper left", fontsize=11, labelcolor=INK, frameon=False)
    told = "; ".join(
        f"{name}: {curve[0]:.0f} after the first page, {curve[-1]:.0f} at the end"
        for name, curve in curves.items()
    )
    pages = len(next(iter(curves.values())))
    highest = max(curves, key=lambda name: curves[name][-1])
    return picture(
        figure,
        f"{len(curves)} lines, the slots' mean norm over {pages} empty pages, on logarithmic axes. "
        f"{told}. The line that ends highest is that of the writer called {highest!r}.",
    )


def _arrow(start, end, color, bend) -> FancyArrowPatch:
    return FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        mutation_scale=13,
        color=color,
        linewidth=1.8,
        shrinkA=1,
        shrinkB=1,
    )


def _write(axes, x, y, text, *, color=INK, fontsize=11, **options) -> None:
    """Write text into axes, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, text, color=color, fontsize=fontsize, **options)


def _label_ticks(axis, places, labels) -> None:
    axis.set_ticks(list(places), [str(label) for label in labels])
    axis.set_tick_params(color=INK, labelcolor=INK, labelsize=11)


def _bare(axes) -> None:
    """Take ticks and frame away, keep the labels."""
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
