"""Pictures of chapter 10: tables of boxes by slots, homes of boxes over seeds, signs of writing."""

from collections.abc import Mapping, Sequence

from matplotlib.patches import Rectangle

from memformer_lite.figures import (
    BOXES,
    COLORMAP,
    INK,
    NEUTRAL,
    WRITTEN,
    Picture,
    canvas,
    ink_on,
    picture,
)

FONT = 11
HOME = 0.25  # a slot is a home of a box if erasing it takes this much, as in the memory explorer


def tables(panels: Mapping[str, Sequence[Sequence[float]]], *, rows: Sequence[str]) -> Picture:
    """Draw one or more tables beside each other, a row a box (or noise) and a column a slot.

    Args:
        panels: title -> numbers from 0 up, a row for each of `rows`; a panel with a number above 1
            has a colour scale of its own, the others one from 0 to 1. At most 3 panels.
        rows: name of each row.

    Raises:
        ValueError: no or too many panels, panels of different shapes, or a number below 0.
    """
    shapes = {tuple(len(row) for row in table) for table in panels.values()}
    if not 1 <= len(panels) <= 3 or len(shapes) != 1 or len({*next(iter(shapes))}) != 1:
        raise ValueError(f"panels: expected 1 to 3 of one shape, got {list(panels)}")
    (shape,) = shapes
    if len(shape) != len(rows):
        raise ValueError(f"rows={list(rows)}: expected {len(shape)} names")
    slots = shape[0]
    figure, axes = canvas(
        0.9 + 1.4 * len(panels), 0.36 * len(rows) + 0.95, columns=len(panels), squeeze=False
    )
    told = []
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        if min(map(min, table)) < -1e-6:
            raise ValueError(f"{title}: expected numbers from 0 up, got {min(map(min, table))}")
        top = max(1.0, *map(max, table))
        image = axis.imshow(table, cmap=COLORMAP, vmin=0, vmax=top, aspect="auto")
        for y, row in enumerate(table):
            for x, value in enumerate(row):
                ink = ink_on(image.cmap(max(value, 0) / top)[:3])
                _write(axis, x, y, _short(value, top), ha="center", va="center", color=ink)
        axis.set_title(title, fontsize=FONT)
        axis.set_xticks(range(slots), [f"m{slot + 1}" for slot in range(slots)])
        axis.set_yticks(range(len(rows)), rows if axis is axes[0, 0] else [])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        by_row = [
            f"{name} {', '.join(f'{value:.2f}' for value in row)}"
            for name, row in zip(rows, table, strict=True)
        ]
        told.append(f"{title[:1].upper()}{title[1:]}: {'; '.join(by_row)}")
    count = "One table" if len(panels) == 1 else f"{len(panels)} tables"
    return picture(
        figure,
        f"{count} of {len(rows)} rows by {slots} slots, m1 to m{slots}, bright where the number "
        f"is large. {'. '.join(told)}.",
    )


def _short(value: float, top: float) -> str:
    """Write a number in as few characters as its table allows."""
    if top > 1:
        return f"{value:.1f}"
    return "1" if value >= 0.995 else f"{abs(value):.2f}".lstrip("0")


def homes(cases: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> Picture:
    """Draw which slot holds which box, a column a seed.

    Args:
        cases: name -> (seed -> table of what erasing a slot takes from the answers about a box, a
            row a box and a column a slot). A slot holds each box from which it takes `HOME`.

    Raises:
        ValueError: no case or seed, more boxes than have a colour, or tables of other shapes.
    """
    tables = [table for seeds in cases.values() for table in seeds.values()]
    shapes = {(len(table), *{len(row) for row in table}) for table in tables}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or not all(cases.values()):
        raise ValueError("cases: expected one or more, with tables of one shape")
    boxes, slots = next(iter(shapes))
    if boxes > len(BOXES):
        raise ValueError(f"cases: expected at most {len(BOXES)} boxes, got {boxes}")
    columns = max(map(len, cases.values()))
    figure, axes = canvas(
        0.8 + 0.9 * columns, len(cases) * (0.42 * slots + 0.7), rows=len(cases), squeeze=False
    )
    told = []
    for axis, (name, seeds) in zip(axes[:, 0], cases.items(), strict=True):
        words = []
        for x, (seed, table) in enumerate(seeds.items()):
            held = held_by(table)
            words.append(f"seed {seed} {', '.join(map(_letters, held))}")
            for slot, kept in enumerate(held):
                _draw_slot(axis, x, slot, kept, table)
        axis.set(xlim=(-0.5, columns - 0.5), ylim=(slots - 0.45, -0.55))
        axis.set_title(name, loc="left", fontsize=FONT)
        axis.set_xticks(range(len(seeds)), [f"seed {seed}" for seed in seeds])
        axis.set_yticks(range(slots), [f"m{slot + 1}" for slot in range(slots)])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        one = sum(one_each(table) for table in seeds.values())
        told.append(
            f"{name[:1].upper()}{name[1:]}: {'; '.join(words)}; each box alone in one slot with "
            f"{one} of {len(seeds)} seeds"
        )
    return picture(
        figure,
        f"A column a seed, a row a slot, in each slot the boxes that die when it is erased, from "
        f"m1 to m{slots}. {'. '.join(told)}.",
    )


def held_by(table: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return for each slot the boxes that it holds: those from which erasing it takes `HOME`."""
    slots = range(len(table[0]))
    return [[box for box, row in enumerate(table) if row[slot] >= HOME] for slot in slots]


def one_each(table: Sequence[Sequence[float]]) -> bool:
    """Tell whether each box has one slot and no slot has two boxes."""
    held = held_by(table)
    kept = [box for boxes in held for box in boxes]
    return sorted(kept) == [*range(len(table))] and max(map(len, held)) == 1


def _letters(boxes: Sequence[int]) -> str:
    return " and ".join([*BOXES][box] for box in boxes) or "none"


def _draw_slot(axis, x: int, slot: int, kept: Sequence[int], table) -> None:
    """Draw a slot as a frame with a tile for each of its boxes; a pale tile is a part only."""
    for place, box in enumerate(kept):
        color, width = [*BOXES.values()][box], 0.8 / len(kept)
        low = (x - 0.4 + place * width, slot - 0.38)
        whole = table[box][slot] >= 0.5
        axis.add_patch(
            Rectangle(low, width, 0.76, facecolor=color if whole else "none", edgecolor=color)
        )
        ink = ink_on(color) if whole else INK
        middle = low[0] + width / 2
        _write(axis, middle, slot, [*BOXES][box], ha="center", va="center", color=ink)
    frame = {"fill": False, "edgecolor": NEUTRAL, "linewidth": 0.8}
    axis.add_patch(Rectangle((x - 0.4, slot - 0.38), 0.8, 0.76, **frame))


def signs(gate: Sequence[float], change: Sequence[float], written: Sequence[bool]) -> Picture:
    """Draw one dot for each page and slot: how far its gate kept, and how far it moved.

    Args:
        gate: mean update gate of the slot on the page, 0 to 1 (1 keeps).
        change: distance that the slot moved, likewise; no unit.
        written: True where the page has a card for a box of this slot.

    Raises:
        ValueError: lists of different lengths, or all dots of one kind.
    """
    if not len(gate) == len(change) == len(written) or len({*map(bool, written)}) != 2:
        raise ValueError("expected lists of one length, with dots of both kinds")
    figure, axes = canvas(5.4, 3.3)
    told = []
    for kind, name, color, marker in (
        (False, "no card for this slot", NEUTRAL, "s"),
        (True, "a card for a box of this slot", WRITTEN, "o"),
    ):
        here = [index for index, is_written in enumerate(written) if bool(is_written) == kind]
        xs, ys = [gate[index] for index in here], [change[index] for index in here]
        axes.plot(xs, ys, marker, color=color, markersize=4, alpha=0.5, label=name, mew=0)
        told.append(
            f"{name}: {len(here)} dots, gate {min(xs):.2f} to {max(xs):.2f}, "
            f"change {min(ys):.2f} to {max(ys):.2f}"
        )
    axes.set(xlabel="mean update gate z of the slot (1 keeps)", ylabel="change (no unit)", ylim=0)
    axes.legend(fontsize=10, labelcolor=INK, loc="upper right", markerscale=1.6, frameon=False)
    return picture(
        figure,
        f"One dot for each slot on each page, further left the more the gate opened and "
        f"higher the further the slot moved. {told[0].capitalize()}; {told[1]}.",
    )


def _write(axes, x, y, text, *, color=INK, fontsize=FONT, **options) -> None:
    """Write text into axes, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, str(text), color=color, fontsize=fontsize, **options)
