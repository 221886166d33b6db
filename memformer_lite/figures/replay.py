"""Pictures of chapter 08: what is kept while learning, how gradients are handed back, the cost."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from memformer_lite.figures import (
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

FONT = 11
LINES = [("-", "o", NEUTRAL), ("--", "s", TOKENS), ("-", "D", SLOTS), (":", "^", WRITTEN)]


def kept(pages: int) -> Picture:
    """Draw what three ways of learning keep, moment by moment.

    Args:
        pages: number of pages, from 2 to 6.

    Raises:
        ValueError: another number of pages.
    """
    if not 2 <= pages <= 6:
        raise ValueError(f"pages={pages}: expected 2 to 6")
    runs = {
        "full BPTT": schedule("full", pages),
        "truncated after each page": schedule("truncated", pages),
        "memory replay": schedule("replay", pages),
    }
    longest = max(len(moments) for moments in runs.values())
    figure, panels = canvas(6.2, 3 * (0.75 + 0.27 * pages) + 0.4, rows=3, sharex=True)
    told = []
    for axes, (name, moments) in zip(panels, runs.items(), strict=True):
        for x, (_, page, graphs, notes) in enumerate(moments):
            for y in range(1, pages + 1):
                look = {"fill": False, "edgecolor": NEUTRAL, "linewidth": 0.4}
                if y in graphs:
                    look = {"facecolor": TOKENS}
                axes.add_patch(Rectangle((x - 0.45, y - 0.42), 0.9, 0.84, **look))
                if y in notes:
                    axes.add_patch(Circle((x - 0.25, y), 0.17, facecolor=SLOTS))
            forward = moments[x][0] == "read"
            colour = ink_on(TOKENS) if page in graphs else INK
            _write(axes, x + 0.15, page, "→" if forward else "←", ha="center", color=colour)
        axes.set(xlim=(-0.6, longest - 0.4), ylim=(0.4, pages + 0.6), ylabel="page")
        axes.set_yticks(range(1, pages + 1), [str(y) for y in range(1, pages + 1)])
        axes.set_xticks([])
        axes.set_title(name, loc="left", fontsize=FONT)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        most = max(len(graphs) for _, _, graphs, _ in moments)
        noted = max(len(notes) for _, _, _, notes in moments)
        told.append(
            f"{name}: {len(moments)} moments, the graphs of at most {most} page(s)"
            + (f" and {noted} memories" if noted else "")
        )
    panels[-1].set_xlabel("time: → a page is read, ← its gradient is computed")
    return picture(
        figure,
        f"Three panels, {pages} pages upwards and time to the right; blue is a graph that is kept, "
        f"an orange dot a memory that is kept. {'; '.join(told)}. Replay reads all pages but the "
        "last without a graph, then reads each once more, last first, with its graph alone.",
    )


def schedule(kind: str, pages: int) -> list[tuple[str, int, set, set]]:
    """Return the moments of learning: (action, page, graphs alive, memories kept)."""
    every = range(1, pages + 1)
    if kind == "full":
        reading = [("read", page, set(range(1, page + 1)), set()) for page in every]
        return reading + [
            ("back", page, set(range(1, page + 1)), set()) for page in reversed(every)
        ]
    if kind == "truncated":
        return [(do, page, {page}, set()) for page in every for do in ("read", "back")]
    moments = [("read", page, set(), set(range(1, page + 1))) for page in range(1, pages)]
    for page in reversed(every):
        notes = set(range(1, page + 1))
        moments += [(do, page, {page}, notes) for do in ("read", "back")]
    return moments


def chain(states: Sequence[float], handed: Sequence[float], earned: Sequence[float]) -> Picture:
    """Draw the scalar recurrence: states forwards, gradients handed back, what each page adds.

    Args:
        states: the T + 1 states.
        handed: the derivative of the loss by each of them.
        earned: what each of the T pages adds to the derivative by the parameter.

    Raises:
        ValueError: lengths that do not belong together.
    """
    pages = len(earned)
    if not pages or len(states) != pages + 1 or len(handed) != pages + 1:
        raise ValueError(
            f"expected T + 1 states and gradients and T shares, got {len(states)}, "
            f"{len(handed)}, {pages}"
        )
    figure, axes = canvas(6.2, 2.9)
    _bare(axes)
    for t, (state, gradient) in enumerate(zip(states, handed, strict=True)):
        axes.add_patch(Circle((2 * t, 1.9), 0.42, facecolor=SLOTS))
        _write(axes, 2 * t, 1.9, f"{state:g}", ha="center", color=ink_on(SLOTS))
        _write(axes, 2 * t, 2.65, f"$m_{t}$", ha="center")
        axes.add_patch(Rectangle((2 * t - 0.55, 0.25), 1.1, 0.6, facecolor=WRITTEN))
        _write(axes, 2 * t, 0.55, f"{gradient:g}", ha="center", color=ink_on(WRITTEN))
        if t:
            _arrow(axes, (2 * t - 1.53, 1.9), (2 * t - 0.47, 1.9))
            _arrow(axes, (2 * t - 0.6, 0.55), (2 * t - 1.4, 0.55))
            _write(axes, 2 * t - 1, 2.2, f"page {t}", ha="center", fontsize=10)
            _write(axes, 2 * t - 1, -0.25, f"adds {earned[t - 1]:g}", ha="center", fontsize=10)
    _write(axes, -1.15, 1.9, "state", ha="right")
    _write(axes, -0.8, 0.55, "gradient", ha="right")
    axes.set(xlim=(-2.4, 2 * pages + 0.7), ylim=(-0.6, 3.0))
    states, handed, earned = (", ".join(f"{x:g}" for x in row) for row in (states, handed, earned))
    return picture(
        figure,
        f"A chain of {pages} pages. Above, from left to right, the states {states}. Below, handed "
        f"from right to left, the derivatives of the loss by them, in the same order: {handed}. "
        f"Under each page what it adds to the derivative by the parameter: {earned}.",
    )


def pile(sizes: Sequence[int]) -> Picture:
    """Draw the bytes that wait for the backward pass, as a pile that grows page by page.

    Args:
        sizes: bytes that each page adds.

    Raises:
        ValueError: no page, or a size that is not positive.
    """
    if not sizes or min(sizes) <= 0:
        raise ValueError(f"sizes={list(sizes)}: expected at least one, all above 0")
    kib = [size / 1024 for size in sizes]
    figure, axes = canvas(5.6, 3.1)
    for read in range(1, len(kib) + 1):
        bottom = 0.0
        for page, height in enumerate(kib[:read], 1):
            colour = WRITTEN if page == read else TOKENS
            axes.bar(read, height, bottom=bottom, width=0.8, color=colour, edgecolor=INK, lw=0.4)
            bottom += height
    axes.set(xlabel="pages read", ylabel="kept for the backward pass, KiB")
    axes.set_xticks(range(1, len(kib) + 1))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return picture(
        figure,
        f"{len(kib)} piles, one after each page. Each page adds a block on top and nothing is "
        f"taken away: {kib[0]:.0f} KiB after the first page, {sum(kib):.0f} KiB after page "
        f"{len(kib)}.",
    )


def cost(curves: Mapping[str, Mapping[int, float]], what: str) -> Picture:
    """Draw what each way of learning needs against the number of pages, both axes logarithmic.

    Args:
        curves: way -> number of pages -> amount above 0; the same numbers of pages everywhere.
        what: the amount with its unit, for the axis.

    Raises:
        ValueError: no curve, too many, other numbers of pages in one, or an amount not above 0.
    """
    pages = list(next(iter(curves.values()), {}))
    if not pages or len(curves) > len(LINES):
        raise ValueError(f"curves: expected 1 to {len(LINES)} of them, got {len(curves)}")
    for name, curve in curves.items():
        if list(curve) != pages or min(curve.values()) <= 0:
            raise ValueError(f"curves[{name!r}]: expected amounts above 0 at {pages}")
    figure, axes = canvas(5.8, 3.4)
    for (name, curve), (style, marker, colour) in zip(curves.items(), LINES, strict=False):
        axes.plot(pages, list(curve.values()), style, marker=marker, color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(pages, [str(count) for count in pages])
    low, high = (f(v for curve in curves.values() for v in curve.values()) for f in (min, max))
    ticks = [m * 10**p for p in range(-3, 7) for m in (1, 2, 5) if low / 1.5 < m * 10**p < high * 2]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(True)
    axes.set(xlabel="pages", ylabel=what)
    axes.legend(fontsize=10, labelcolor=INK, frameon=False)
    told = "; ".join(
        f"{name} {_number(curve[pages[0]])} at {pages[0]} pages, "
        f"{_number(curve[pages[-1]])} at {pages[-1]}"
        for name, curve in curves.items()
    )
    grown = ", ".join(
        f"{name} {curve[pages[-1]] / curve[pages[0]]:.2f} times" for name, curve in curves.items()
    )
    return picture(
        figure,
        f"{len(curves)} lines, {what} against the number of pages: {told}. From the left end to "
        f"the right they grow: {grown}.",
    )


def differences(table: Mapping[str, float]) -> Picture:
    """Draw the relative error of the gradient for several versions, on a logarithmic axis.

    Args:
        table: version -> size of the difference from BPTT's gradient, divided by its size.

    Raises:
        ValueError: no version, or a negative or infinite difference.
    """
    if not table or not all(0 <= d < math.inf for d in table.values()):
        raise ValueError(f"table={dict(table)}: expected finite differences, none negative")
    figure, axes = canvas(6.0, 0.9 + 0.42 * len(table))
    floor = 1e-17
    for y, value in enumerate(table.values()):
        right = value < 1e-10
        axes.barh(y, max(value, floor * 3), left=floor, color=KEPT if right else SLOTS, height=0.6)
        _write(axes, 60, y, "equal" if right else f"{100 * value:.0f} %", ha="right")
    axes.set_xscale("log")
    axes.set(xlim=(floor, 100), xlabel="difference from BPTT's gradient, relative")
    axes.set_xticks([1e-16, 1e-12, 1e-8, 1e-4, 1], ["1e-16", "1e-12", "1e-8", "1e-4", "1"])
    axes.minorticks_off()
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    told = "; ".join(
        f"{name}: {'equal' if value < 1e-10 else f'off by {100 * value:.0f} %'}"
        for name, value in table.items()
    )
    return picture(
        figure,
        "Bars on a logarithmic axis, how far each version's gradient is from that of BPTT. "
        f"One by one, {told}.",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bare(axes: Axes) -> None:
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _write(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Write text, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, text, **{"color": INK, "fontsize": FONT, "va": "center"} | options)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "->", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
