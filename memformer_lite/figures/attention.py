"""Pictures of chapter 03: soft look-ups, masks and weights."""

import math

import matplotlib
import torch
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from memformer_lite.figures import (
    BOXES,
    COLORMAP,
    INK,
    NEUTRAL,
    SLOTS,
    TOKENS,
    Picture,
    canvas,
    ink_on,
    picture,
)


def soft_lookup(cards: list[str], query: Tensor, keys: Tensor, values: Tensor) -> Picture:
    """Draw one look-up: query and keys in the plane, weights over the values, and their mean.

    Args:
        cards: box and value of each card, such as "A3".
        query: (2,).
        keys: (n, 2).
        values: (n,), numbers from 0 to 7.

    Raises:
        ValueError: the sizes do not fit each other.
    """
    query, keys, values = (torch.as_tensor(t).double() for t in (query, keys, values))
    n = len(cards)
    shapes = (tuple(query.shape), tuple(keys.shape), tuple(values.shape))
    if shapes != ((2,), (n, 2), (n,)):
        raise ValueError(f"expected shapes (2,), ({n}, 2), ({n},) for {n} cards, got {shapes}")
    weights = (keys @ query / math.sqrt(2)).softmax(0)
    answer = (weights @ values).item()
    figure, (plane, line) = canvas(4.8, 5.6, rows=2, height_ratios=(1.5, 1))
    for card, key in zip(cards, keys.tolist(), strict=True):
        length = math.hypot(*key) or 1.0
        beyond = tuple(part * (1 + 0.5 / length) for part in key)
        _arrow(plane, key, BOXES[card[0]], card, beyond)
    _arrow(plane, query.tolist(), INK, "query", (query[0] / 2, query[1] / 2 + 0.35))
    ends = torch.cat((keys, query[None], torch.zeros(1, 2)))
    (left, low), (right, high) = (ends.amin(0) - 0.9).tolist(), (ends.amax(0) + 0.9).tolist()
    plane.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    plane.set(xticks=range(math.ceil(left), math.floor(right) + 1))
    plane.set(xlabel="first number", ylabel="second number")
    plane.grid(True)
    weight_list = weights.tolist()
    for card, value, weight in zip(cards, values.tolist(), weight_list, strict=True):
        line.vlines(value, 0, weight, color=BOXES[card[0]], linewidth=9)
        _write(line, value, weight + 0.03, f"{card}: {weight:.3f}", ha="center")
    line.plot(answer, -0.06, marker="^", markersize=11, color=INK, clip_on=False)
    _write(line, answer + 0.22, -0.08, f"answer {answer:.3f}", va="center")
    line.set(xlim=(-0.4, 7.4), ylim=(-0.16, max(weight_list) + 0.16))
    line.set(xlabel="value of the card", ylabel="weight", xticks=range(8))
    parts = ", ".join(f"{c} {w:.3f}" for c, w in zip(cards, weight_list, strict=True))
    best = cards[int(weights.argmax())]
    return picture(
        figure,
        f"Above, a plane with the query ({query[0]:g}, {query[1]:g}) and one key for each of "
        f"{_joined(cards)}; the key of {best} reaches furthest in the query's direction. Below, "
        f"a bar at each card's value, as high as its weight: {parts}. The bars balance at "
        f"{answer:.3f}: that is the answer.",
    )


def effective_keys(widths: list[int], plain: list[float], scaled: list[float], n: int) -> Picture:
    """Draw how many keys a query looks at, against the width, with and without the scale.

    Args:
        widths: widths d, ascending powers of two.
        plain: effective number of keys without the scale, one a width.
        scaled: the same with scores divided by the root of d.
        n: number of keys there are.

    Raises:
        ValueError: the lists differ in length, or a number is not between 1 and `n`.
    """
    if not len(widths) == len(plain) == len(scaled):
        raise ValueError(f"expected equal lengths: {len(widths)}, {len(plain)}, {len(scaled)}")
    outside = [x for x in (*plain, *scaled) if not 1 <= x <= n]
    if outside:
        raise ValueError(f"{outside[0]}: expected an effective number of keys from 1 to {n}")
    figure, axes = canvas(4.8, 3.2)
    axes.axhline(n, color=NEUTRAL, linestyle=":")
    _write(axes, widths[0], n * 0.97, f"all {n} keys alike", va="top")
    axes.plot(widths, scaled, color=TOKENS, marker="o", linewidth=2)
    axes.plot(widths, plain, color=INK, marker="s", linewidth=2, linestyle="--")
    _write(axes, widths[-1], scaled[-1] - n * 0.04, "divided by √d", ha="right", va="top")
    _write(axes, widths[-1], plain[-1] + n * 0.05, "not divided", ha="right", va="bottom")
    axes.set_xscale("log", base=2)
    axes.set_xticks(widths, [str(d) for d in widths])
    axes.minorticks_off()
    axes.set(xlabel="width d", ylabel="effective number of keys", ylim=(0, n * 1.06))
    return picture(
        figure,
        f"Effective number of keys, of {n}, against the width d from {widths[0]} to "
        f"{widths[-1]}. Without the division it falls from {plain[0]:.1f} to {plain[-1]:.1f}: "
        f"wide queries look at hardly more than one key. Divided by the root of d it stays "
        f"level, between {min(scaled):.1f} and {max(scaled):.1f}.",
    )


def heads_split(names: list[str], dim: int, heads: int) -> Picture:
    """Draw how rows of width d are cut into heads: (n, h·d) to (h, n, d).

    Args:
        names: the box of each token's card, one letter each.
        dim: width of a row, a multiple of `heads`, at most 9.
        heads: number of heads, 1 to 4.

    Raises:
        ValueError: `heads` does not divide `dim` or is not from 1 to 4, `dim` is above 9, or a
            box is unknown.
    """
    if dim > 9:
        raise ValueError(f"dim={dim}: expected at most 9")
    if not 1 <= heads <= 4 or dim % heads:
        raise ValueError(f"heads={heads}: expected 1 to 4 heads that divide dim={dim}")
    if not names or not set(names) <= BOXES.keys():
        raise ValueError(f"names={names}: expected boxes, some of {', '.join(BOXES)}")
    n, each = len(names), dim // heads
    figure, axes = canvas(4.8, 0.9 + 0.42 * max(n, heads * (n + 1)))
    top = heads * (n + 0.9)
    for row, name in enumerate(names):
        for column in range(dim):
            head, inner = divmod(column, each)
            text = name.lower() + chr(ord("₁") + column)  # "A1" would be a card
            _square(axes, column, top / 2 + n / 2 - row - 1, BOXES[name], text)
            low = top - head * (n + 0.9) - row - 1.9
            _square(axes, dim + 2.2 + inner, low, BOXES[name], text)
    _write(axes, dim / 2, top / 2 + n / 2 + 0.2, f"({n}, {dim})", ha="center", va="bottom")
    for head in range(heads):
        label = f"head {head + 1}: ({n}, {each})"
        _write(axes, dim + 2.2 + each / 2, top - head * (n + 0.9) - 0.7, label, ha="center")
    arrow = FancyArrowPatch(
        (dim + 0.3, top / 2), (dim + 1.9, top / 2), arrowstyle="-|>", mutation_scale=16, color=INK
    )
    axes.add_patch(arrow)
    axes.set(xlim=(-0.2, dim + each + 3), ylim=(-0.1, top + 0.1), aspect="equal")
    axes.axis("off")
    return picture(
        figure,
        f"Left, a table of {n} rows ({_joined(names)}) and {dim} columns. Right, the same "
        f"numbers as {heads} tables of {n} rows and {each} columns, one a head: head 1 has the "
        f"first {each} columns of every row. No row is torn from its token; only the columns "
        f"are shared out.",
    )


def masks(panels: dict[str, Tensor], *, slots: dict[str, int] | None = None) -> Picture:
    """Draw masks side by side; a filled square may be looked at, a hollow one may not.

    Args:
        panels: title and mask, bool (i, j), for each.
        slots: for titles of masks whose first rows and columns are slots, how many these are.

    Raises:
        ValueError: no panel, or one that is not a bool table.
    """
    slots = slots or {}
    if not panels or any(m.ndim != 2 or m.dtype != torch.bool for m in panels.values()):
        raise ValueError(f"expected at least one bool mask (i, j), got {_shapes(panels)}")
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure, grid = canvas(5.2, 2.55 * rows, rows=rows, columns=columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    told, widest = [], _widest(panels)
    for axes, (title, mask) in zip(grid.flat, panels.items(), strict=False):
        k = slots.get(title, 0)
        i, j = mask.shape
        names = [f"s{x + 1}" for x in range(k)] + [f"t{x + 1}" for x in range(max(i, j) - k)]
        for row in range(i):
            for column in range(j):
                colour = (SLOTS if column < k else TOKENS) if mask[row, column] else "none"
                _square(axes, column, -row, colour)
        _name_axes(axes, names[:i], names[:j], widest)
        axes.set_title(title)
        seen = "; ".join(
            f"{names[r]}: {' '.join(names[c] for c in range(j) if mask[r, c]) or 'nothing'}"
            for r in range(i)
        )
        told.append(f"{title} ({seen})")
    return picture(
        figure,
        "Masks as tables: a row is a query, a column a key, and a filled square means that the "
        "query may look there. Who may look at whom: " + ", ".join(told) + ".",
    )


def weights(panels: dict[str, Tensor], *, sums: bool = False) -> Picture:
    """Draw tables of attention weights, brighter for more, hollow for exactly 0.

    Args:
        panels: title and weights, (i, j), all from 0 to 1.
        sums: True writes the sum of each row to its right and of each column below it.

    Raises:
        ValueError: no panel, or one that is not a table of numbers from 0 to 1.
    """
    good = all(m.ndim == 2 and m.min() >= 0 and m.max() <= 1 for m in panels.values())
    if not panels or not good:
        raise ValueError(f"expected weights (i, j) from 0 to 1, got {_shapes(panels)}")
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure, grid = canvas(5.2, 2.65 * rows, rows=rows, columns=columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    told, widest = [], _widest(panels)
    for axes, (title, table) in zip(grid.flat, panels.items(), strict=False):
        table = table.detach().double()
        i, j = table.shape
        for row in range(i):
            for column in range(j):
                weight = table[row, column].item()
                colour = matplotlib.colormaps[COLORMAP](weight) if weight else "none"
                _square(axes, column, -row, colour, f"{weight:.2f}" if sums else "")
        if sums:
            for row, total in enumerate(table.sum(1).tolist()):
                _write(axes, j + 0.1, 0.5 - row, f"{total:.2f}", va="center")
            for column, total in enumerate(table.sum(0).tolist()):
                _write(axes, column + 0.5, -i + 0.85, f"{total:.2f}", ha="center", va="top")
        _name_axes(axes, range(1, i + 1), range(1, j + 1), widest)
        axes.set_title(title)
        told.append(f"{title} ({_told_sums(table) if sums else _told_seen(table)})")
    return picture(
        figure,
        "Tables of weights, a row for each query and a column for each key, brighter for more "
        "weight and hollow for 0. "
        + ("Sums: " if sums else "More than 0: ")
        + ", ".join(told)
        + ".",
    )


def puzzle_weights() -> dict[str, Tensor]:
    """Return the three tables of weights of the mask puzzle: P and Q (6, 6), R (2, 6)."""
    place = torch.arange(6)
    distance = place[:, None] - place[None]
    texts = place >= 4
    told = {
        "P": (distance >= 0) & (distance <= 2),
        "Q": (distance >= 0) & (texts[:, None] == texts[None]),
        "R": torch.cat((torch.eye(2), torch.ones(2, 4)), 1).bool() & (place != 5),
    }
    generator = torch.Generator().manual_seed(3)
    tables = {}
    for name, mask in told.items():
        scores = torch.randn(mask.shape, generator=generator, dtype=torch.float64)
        tables[name] = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return tables


def before_after(
    cards: list[str], question: str, before: list[float], after: list[float]
) -> Picture:
    """Draw the weights of one question over the cards of a page, before and after training.

    Args:
        cards: box and value of each card, such as "A3".
        question: the box that is asked for.
        before: a weight for each card.
        after: the same after training.

    Raises:
        ValueError: the lists differ in length, or no card is of the box asked for.
    """
    if not len(cards) == len(before) == len(after):
        raise ValueError(f"expected equal lengths: {len(cards)}, {len(before)}, {len(after)}")
    boxes = [card[0] for card in cards]
    if question not in boxes:
        raise ValueError(f"question={question!r}: expected a box on the page, one of {boxes}")
    figure, panels = canvas(4.8, 2.9, columns=2, sharey=True)
    for axes, title, heights in zip(panels, ("untrained", "trained"), (before, after), strict=True):
        axes.bar(range(len(cards)), heights, color=[BOXES[box] for box in boxes])
        for place, height in enumerate(heights):
            _write(axes, place, height + 0.02, f"{height:.2f}", ha="center")
        axes.set_xticks(range(len(cards)), cards)
        axes.set(title=f"{question}? {title}", ylim=(0, 1.12))
    panels[0].set_ylabel("weight")
    right = boxes.index(question)
    return picture(
        figure,
        f"Weights of the question {question}? over the cards {_joined(cards)}. Untrained, the "
        f"right card {cards[right]} gets {before[right]:.2f}; trained, it gets "
        f"{after[right]:.2f}, and the others share {sum(after) - after[right]:.2f}.",
    )


def _write(axes, x: float, y: float, text: object, **options):
    """Write in the page's own text colour."""
    return axes.text(x, y, text, **{"color": INK, "fontsize": 11, **options})


def _arrow(axes, end: list[float], colour: str, label: str, at: tuple[float, float]):
    """Draw an arrow from the origin to `end`, with its name at `at`."""
    arrow = FancyArrowPatch(
        (0, 0), end, arrowstyle="-|>", mutation_scale=16, linewidth=2.6, color=colour, shrinkA=0
    )
    arrow.shrinkB = 0
    axes.add_patch(arrow)
    _write(axes, *at, label, ha="center", va="center")


def _square(axes, column: float, row: float, colour, text: str = ""):
    """Fill a unit square, and write on it in black or white, whichever reads better."""
    edge = NEUTRAL if colour == "none" else "none"
    square = Rectangle(
        (column + 0.04, row + 0.04), 0.92, 0.92, facecolor=colour, edgecolor=edge, linewidth=0.8
    )
    axes.add_patch(square)
    if text and colour == "none":
        _write(axes, column + 0.5, row + 0.47, text, ha="center", va="center")
    elif text:
        _write(axes, column + 0.5, row + 0.47, text, ha="center", va="center", color=ink_on(colour))


def _name_axes(axes, rows, columns, widest: tuple[int, int]):
    """Write names beside the squares; equal limits make all squares of a picture equally large."""
    for row, name in enumerate(rows):
        _write(axes, -0.15, 0.5 - row, name, ha="right", va="center")
    for column, name in enumerate(columns):
        _write(axes, column + 0.5, 1.1, name, ha="center", va="bottom")
    axes.set(xlim=(-0.9, widest[1] + 0.9), ylim=(0.3 - widest[0], 1.8), aspect="equal")


def _widest(panels: dict[str, Tensor]) -> tuple[int, int]:
    return max(m.shape[0] for m in panels.values()), max(m.shape[1] for m in panels.values())


def _told_seen(table: Tensor) -> str:
    """Say which columns each row has weight on."""
    seen = [[str(c + 1) for c, weight in enumerate(row) if weight > 0] for row in table.tolist()]
    return "; ".join(f"row {r} on {' '.join(cs) or 'none'}" for r, cs in enumerate(seen, 1))


def _told_sums(table: Tensor) -> str:
    """Say what rows and columns add up to."""
    rows, columns = (" ".join(f"{x:.2f}" for x in table.sum(axis).tolist()) for axis in (1, 0))
    return f"rows {rows}; columns {columns}"


def _joined(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _shapes(panels: dict[str, Tensor]) -> str:
    return ", ".join(f"{name}: {m.dtype} {tuple(m.shape)}" for name, m in panels.items()) or "none"
