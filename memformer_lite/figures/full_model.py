"""Pictures of chapter 07: the whole model, its parts, its untrained memory, what a loss reaches."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from memformer_lite.figures import (
    COLORMAP,
    DIVERGING,
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
# The tensors that run along the arrows, in the order in which they arise.
TENSORS = {
    "src": "source tokens",
    "embedded": "embedded tokens",
    "mems": "old memory",
    "enc_out": "encoder output",
    "tgt": "target tokens",
    "asked": "embedded target",
    "logits": "logits",
    "written": "what slot attention wrote",
    "mem": "new memory",
    "loss": "loss",
}


def shapes(sizes: Mapping[str, str | Sequence[int]]) -> Picture:
    """Draw the whole model with a shape beside each arrow.

    Args:
        sizes: the shape of each of `TENSORS`, as text "(b, n)" or as numbers (3, 5).

    Raises:
        ValueError: a tensor is missing or unknown.
    """
    if sizes.keys() != TENSORS.keys():
        raise ValueError(f"sizes: expected {', '.join(TENSORS)}; got {', '.join(sizes)}")
    said = {name: _shape(size) for name, size in sizes.items()}
    figure, axes = canvas(4.4, 6.3)
    _bare(axes)
    axes.set(xlim=(0, 11.6), ylim=(-0.75, 14.3))
    frame = {"fill": False, "edgecolor": NEUTRAL, "linestyle": "--"}
    axes.add_patch(FancyBboxPatch((2.85, 2.95), 3.5, 3.8, boxstyle="round,pad=0.1", **frame))
    _write(axes, 6.3, 7.15, "l times", ha="right", fontsize=10)
    for y, text, colour in (
        (1.5, "embedding", TOKENS),
        (3.45, "self-attention", TOKENS),
        (4.85, "read", SLOTS),
        (6.25, "feed-forward", TOKENS),
        (9.2, "slot attention", SLOTS),
        (10.9, "update gate", WRITTEN),
    ):
        _box(axes, 4.6, y, text, colour, 3.2)
    for y, text in ((6.9, "embedding"), (9.2, "decoder")):
        _box(axes, 9.7, y, text, TOKENS, 2.8)
    for x, low in ((1.1, 4.15), (4.6, 12.35)):
        for slot in range(4):
            axes.add_patch(Rectangle((x - 0.75, low + slot * 0.36), 1.5, 0.3, facecolor=SLOTS))
    _arrow(axes, (4.6, 0.05), (4.6, 1.03))
    _arrow(axes, (4.6, 1.97), (4.6, 2.98))
    _arrow(axes, (4.6, 3.92), (4.6, 4.38))
    _arrow(axes, (4.6, 5.32), (4.6, 5.78))
    _arrow(axes, (4.6, 6.72), (4.6, 8.73))
    _arrow(axes, (4.6, 7.9), (7.4, 7.9), (7.4, 9.2), (8.28, 9.2))
    _arrow(axes, (1.85, 4.85), (2.98, 4.85))
    _arrow(axes, (1.1, 5.65), (1.1, 9.2), (2.98, 9.2))
    _arrow(axes, (1.1, 9.2), (1.1, 10.9), (2.98, 10.9))
    _arrow(axes, (4.6, 9.67), (4.6, 10.43))
    _arrow(axes, (4.6, 11.37), (4.6, 12.3))
    _arrow(axes, (9.7, 5.4), (9.7, 6.43))
    _arrow(axes, (9.7, 7.37), (9.7, 8.73))
    _arrow(axes, (9.7, 9.67), (9.7, 10.9))
    _arrow(axes, (9.7, 11.5), (9.7, 12.5))
    _write(axes, 4.6, -0.35, f"source {said['src']}", ha="center")
    _write(axes, 4.8, 2.4, said["embedded"])
    for y, text in ((8.45, "encoder"), (7.95, "output"), (7.4, said["enc_out"])):
        _write(axes, 4.4, y, text, ha="right")
    _write(axes, 0.1, 3.35, f"old memory\n{said['mems']}")
    _write(axes, 4.8, 10.05, said["written"])
    _write(axes, 4.8, 11.8, said["mem"])
    _write(axes, 5.55, 13.0, "new memory")
    _write(axes, 9.7, 4.9, f"target {said['tgt']}", ha="center")
    _write(axes, 9.85, 7.9, said["asked"])
    _write(axes, 9.7, 11.2, f"logits {said['logits']}", ha="center")
    _write(axes, 9.7, 12.85, f"loss {said['loss']}", ha="center")
    listed = ", ".join(f"{TENSORS[name]} {size}" for name, size in said.items())
    return picture(
        figure,
        "The whole model with a shape beside its arrows. Source tokens are embedded and pass l "
        "layers of self-attention, read of the old memory, feed-forward; the encoder output goes "
        "to the decoder, which gives logits and the loss, and to slot attention and update gate, "
        f"which make the new memory. The shapes: {listed}. No arrow leads from the new memory to "
        "the loss of the same segment.",
    )


def parameters(models: Mapping[str, Mapping[str, int]], memory: Sequence[str]) -> Picture:
    """Draw which share of the parameters each part has, one panel a model.

    Args:
        models: name -> part -> number of parameters; the same parts everywhere.
        memory: the parts that a model without memory would not have.

    Raises:
        ValueError: models with different parts, or a part of the memory that there is not.
    """
    parts = list(next(iter(models.values()), {}))
    if any(list(counts) != parts for counts in models.values()) or not set(memory) <= set(parts):
        raise ValueError(f"models: expected the same parts in each, {memory} among them")
    figure, panels = canvas(
        5.4, 0.75 + (0.7 + 0.33 * len(parts)) * len(models), rows=len(models), squeeze=False
    )
    told = []
    for axes, (name, counts) in zip(panels[:, 0], models.items(), strict=True):
        total = sum(counts.values())
        percent = [100 * counts[part] / total for part in parts]
        colours = [SLOTS if part in memory else TOKENS for part in parts]
        axes.barh(range(len(parts)), percent, color=colours)
        for y, (part, share) in enumerate(zip(parts, percent, strict=True)):
            _write(axes, share + 1, y, f"{counts[part]:,}", fontsize=10)
        axes.set_yticks(range(len(parts)), parts)
        axes.invert_yaxis()
        axes.set(xlim=(0, max(percent) * 1.35))
        axes.set_title(f"{name} model: {total:,} parameters", loc="left", fontsize=FONT)
        told.append(
            f"in the {name} model, {total:,} in all: "
            + ", ".join(f"{part} {share:.1f} %" for part, share in zip(parts, percent, strict=True))
        )
    panels[-1, 0].set_xlabel("share of the parameters, %")
    return picture(
        figure,
        f"Bars, the share of each part in the parameters; {', '.join(memory)} belong to the "
        f"memory and are orange. {_capital('; '.join(told))}.",
    )


def long_run(
    norms: Mapping[str, Sequence[float]], likeness: Mapping[str, Sequence[float]]
) -> Picture:
    """Draw an untrained memory over many segments: length of slots, likeness between slots.

    Args:
        norms: for each run the mean norm of its slots before the first and after each segment.
        likeness: for the same runs the mean cosine between two different slots, likewise.

    Raises:
        ValueError: other runs, or other lengths, in the two.
    """
    lengths = {len(curve) for curve in [*norms.values(), *likeness.values()]}
    if norms.keys() != likeness.keys() or len(lengths) != 1:
        raise ValueError("norms and likeness: expected the same runs, and equally long ones")
    segments = lengths.pop() - 1
    figure, panels = canvas(5.4, 4.9, rows=2, sharex=True)
    styles = [("-", SLOTS), ("--", TOKENS), ("-.", KEPT), (":", WRITTEN)]
    for axes, curves in zip(panels, (norms, likeness), strict=True):
        for (name, curve), (style, colour) in zip(curves.items(), styles, strict=False):
            axes.plot(range(segments + 1), curve, style, color=colour, linewidth=2.2, label=name)
        axes.set_xscale("symlog", linthresh=1)
        axes.grid(True)
    ticks = [t for t in (0, 1, 3, 10, 30, 100, 200, 1000) if t <= segments]
    panels[1].set_xticks(ticks, ticks)
    panels[0].set(ylabel="mean norm of the slots", ylim=(0, None))
    panels[1].set(ylabel="mean cosine of two slots", ylim=(-0.15, 1.08), xlabel="segments read")
    panels[1].legend(loc="upper left", fontsize=10, labelcolor=INK, frameon=False)
    told = "; ".join(
        f"{name}: norm {norms[name][0]:.0f} before, {norms[name][-1]:.0f} after, "
        f"cosine {_tenth(likeness[name][0])} before, {_tenth(likeness[name][-1])} after"
        for name in norms
    )
    return picture(
        figure,
        f"Two panels over {segments} segments, {len(norms)} lines each: above the slots' mean "
        f"norm, below the mean cosine of two different slots. Line by line, {told}.",
    )


def likeness_maps(maps: Mapping[str, Tensor]) -> Picture:
    """Draw the cosine of every slot with every other, one map a moment.

    Args:
        maps: name of the moment -> cosines (k, k), from -1 to 1.

    Raises:
        ValueError: a map that is not square.
    """
    if any(m.ndim != 2 or m.shape[0] != m.shape[1] for m in maps.values()):
        raise ValueError("maps: expected square ones")
    figure, panels = canvas(5.4, 2.5, columns=len(maps), sharey=True, squeeze=False)
    told = []
    for axes, (name, cosines) in zip(panels[0], maps.items(), strict=True):
        image = axes.imshow(cosines.tolist(), cmap=DIVERGING, vmin=-1, vmax=1)
        k = len(cosines)
        axes.set_title(name, fontsize=FONT)
        axes.set_xticks([0, k - 1], [1, k])
        axes.set_yticks([0, k - 1], [1, k])
        axes.set_xlabel("slot")
        mean = (cosines.sum() - cosines.trace()).item() / max(1, k * (k - 1))
        told.append(f"{name}: {_tenth(mean)}")
    panels[0, 0].set_ylabel("slot")
    bar = figure.colorbar(image, ax=list(panels[0]), shrink=0.8, label="cosine")
    bar.outline.set_visible(False)
    return picture(
        figure,
        f"{len(maps)} square maps, the cosine of each slot with each other, 1 on the diagonal. "
        f"Mean beside the diagonal, {', '.join(told)}.",
    )


def reached(table: Mapping[str, Sequence[bool]], losses: Sequence[str]) -> Picture:
    """Draw which parts of the model get a gradient from which loss.

    Args:
        table: part -> for each loss, whether any gradient arrives.
        losses: name of each loss.

    Raises:
        ValueError: a part without one entry a loss.
    """
    if any(len(row) != len(losses) for row in table.values()):
        raise ValueError(f"table: expected {len(losses)} entries a part")
    figure, axes = canvas(5.2, 0.9 + 0.42 * len(table))
    for y, row in enumerate(table.values()):
        for x, yes in enumerate(row):
            look = {"facecolor": TOKENS} if yes else {"fill": False, "edgecolor": NEUTRAL}
            axes.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, **look))
            text, ink = ("gradient", ink_on(TOKENS)) if yes else ("nothing", INK)
            _write(axes, x, y, text, ha="center", color=ink)
    axes.set(xlim=(-0.5, len(losses) - 0.5), ylim=(len(table) - 0.5, -0.5))
    axes.set_xticks(range(len(losses)), losses)
    axes.set_yticks(range(len(table)), list(table))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("which loss", labelpad=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    told = []
    for x, loss in enumerate(losses):
        without = [part for part, row in table.items() if not row[x]]
        told.append(
            f"{loss}: " + (f"nothing for {', '.join(without)}" if without else "a gradient for all")
        )
    return picture(
        figure,
        f"A table of {len(table)} parts by {len(losses)} losses that says where any gradient "
        f"arrives. By loss, {'; '.join(told)}.",
    )


def reach_back(sizes: Tensor) -> Picture:
    """Draw how large the gradient is that the loss of one page sends to each page before it.

    Args:
        sizes: norms (losses, pages), 0 where nothing arrives.

    Raises:
        ValueError: sizes that are not square, or negative.
    """
    if sizes.ndim != 2 or sizes.shape[0] != sizes.shape[1] or (sizes < 0).any():
        raise ValueError(f"sizes: expected a square of norms, got shape {tuple(sizes.shape)}")
    pages = len(sizes)
    powers = [[math.log10(s) if s > 0 else math.nan for s in row] for row in sizes.tolist()]
    found = [p for row in powers for p in row if not math.isnan(p)]
    low, high = min(found), max(found)
    figure, axes = canvas(4.8, 0.62 * pages + 0.9)
    image = axes.imshow(powers, cmap=COLORMAP, vmin=low, vmax=high, aspect="auto")
    for y, row in enumerate(powers):
        for x, power in enumerate(row):
            if math.isnan(power):
                _write(axes, x, y, "none", ha="center")
            else:
                rgb = image.cmap((power - low) / ((high - low) or 1))[:3]
                _write(axes, x, y, f"{power:.1f}", ha="center", color=ink_on(rgb))
    axes.set_xticks(range(pages), [str(i + 1) for i in range(pages)])
    axes.set_yticks(range(pages), [str(i + 1) for i in range(pages)])
    axes.set_title("size of the gradient, as a power of ten", fontsize=FONT)
    axes.set(xlabel="page that the gradient reaches", ylabel="page of the loss")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    last = ", ".join(f"{p:.1f}" for p in powers[-1])
    return picture(
        figure,
        f"A square of {pages} losses by {pages} pages, filled on and below the diagonal: a loss "
        "reaches its own page and all pages before, never a later one. Written in the cells is "
        f"the power of ten of the gradient's norm; the last row reads {last}.",
    )


def timeline(rows: Sequence[str]) -> Picture:
    """Draw a batch over time: which document each row reads, and where its memory starts anew.

    Args:
        rows: for each row of the batch, one letter a page: the document it reads.

    Raises:
        ValueError: rows of different lengths, or none.
    """
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError(f"rows={list(rows)!r}: expected one or more, all of the same length")
    figure, axes = canvas(5.2, 0.8 + 0.5 * len(rows))
    fresh = []
    for y, row in enumerate(rows):
        for x, document in enumerate(row):
            starts = x > 0 and document != row[x - 1]
            colour = WRITTEN if starts else KEPT
            axes.add_patch(Rectangle((x - 0.45, y - 0.38), 0.9, 0.76, facecolor=colour))
            label = f"{document} fresh" if starts else document
            _write(axes, x, y, label, ha="center", color=ink_on(colour), fontsize=10)
            if starts:
                fresh.append(f"row {y + 1} before page {x + 1}")
    axes.set(xlim=(-0.5, len(rows[0]) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="page")
    axes.set_xticks(range(len(rows[0])), [str(x + 1) for x in range(len(rows[0]))])
    axes.set_yticks(range(len(rows)), [f"row {y + 1}" for y in range(len(rows))])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture(
        figure,
        f"A batch of {len(rows)} rows over {len(rows[0])} pages, the letter of the document in "
        f"each place. The memory starts anew for {', '.join(fresh) or 'no row'}; everywhere else "
        "it is carried on.",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tenth(number: float) -> str:
    """Round to a tenth, without the sign of a zero."""
    return f"{round(number, 1) + 0.0:.1f}"


def _shape(size: str | Sequence[int]) -> str:
    return size if isinstance(size, str) else str(tuple(size)).replace(",)", ")")


def _bare(axes: Axes) -> None:
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _write(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Write text, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, text, **{"color": INK, "fontsize": FONT, "va": "center"} | options)


def _box(axes: Axes, x: float, y: float, text: str, colour: str, width: float) -> None:
    axes.add_patch(Rectangle((x - width / 2, y - 0.45), width, 0.9, facecolor=colour))
    _write(axes, x, y, text, ha="center", color=ink_on(colour))


def _arrow(axes: Axes, *points: tuple[float, float]) -> None:
    """Draw a line through the points that ends in an arrow head."""
    xs, ys = zip(*points[:-1], strict=True)
    axes.plot(xs, ys, color=INK, linewidth=1.3)
    style = {"arrowstyle": "->", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=style)
