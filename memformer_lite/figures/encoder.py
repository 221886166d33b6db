"""Pictures of chapter 04: the layer as a road, who answers, reading weights, cost, scale."""

from collections.abc import Sequence

import matplotlib
import torch
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from memformer_lite.figures import (
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

_WIDTH = 5.2  # inches: narrow, so that text stays legible on a small screen
_LINES = ("-", "--", ":", "-.")  # slots share a colour, so lines tell them apart


def _matrix(name: str, value: object, columns: int | None = None) -> Tensor:
    """Return `value` as a float64 matrix, or raise."""
    matrix = torch.as_tensor(value).detach().double()
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name}: expected a matrix, got shape {tuple(matrix.shape)}")
    if columns is not None and matrix.shape[1] != columns:
        raise ValueError(f"{name}: expected {columns} columns, got shape {tuple(matrix.shape)}")
    if not matrix.isfinite().all():
        raise ValueError(f"{name}: expected finite numbers")
    return matrix


def _check_weights(name: str, weights: Tensor) -> None:
    """Raise unless each row is a distribution."""
    sums = weights.sum(dim=-1)
    if (weights < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ValueError(
            f"{name}: expected rows of weights that sum to 1, got sums {sums.tolist()}"
        )


def _blank(axes, width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")


def _box(axes, x: float, y: float, width: float, height: float, color: str, lines) -> None:
    """Draw a rounded box with lines of text in its middle, the first one bold."""
    shape = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", linewidth=2
    )
    shape.set(facecolor="none", edgecolor=color)
    axes.add_patch(shape)
    for index, line in enumerate(lines):
        middle = y + height * (index + 0.5 + 0.1) / (len(lines) + 0.2)
        weight = "normal" if index else "bold"
        _text(axes, x + width / 2, middle, line, ha="center", weight=weight)


def _text(axes, x: float, y: float, text: str, **options) -> None:
    """Write one line in the page's ink; text is made after the style's context has ended."""
    options = {"color": INK, "fontsize": 11, "va": "center", **options}
    axes.text(x, y, text, **options)


def _arrow(axes, start: tuple, end: tuple, color: str = INK, width: float = 1.6) -> None:
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow)


def road() -> Picture:
    """Draw one encoder layer as a road with three exits."""
    figure, axes = canvas(_WIDTH, 5.7)
    _blank(axes, 10.4, 11.4)
    lane = 1.4
    _text(axes, lane, 0.35, "x  (b, n, d)", ha="center")
    _arrow(axes, (lane, 0.75), (lane, 10.7), TOKENS, 6)
    _text(axes, lane, 11.05, "x  (b, n, d)", ha="center")
    exits = (
        (TOKENS, "look around", "self-attention, position bias", "keys: the n tokens"),
        (SLOTS, "look up", "read the memory", "keys: the k slots"),
        (NEUTRAL, "think", "feed-forward", "each token alone"),
    )
    for index, (color, *lines) in enumerate(exits):
        top = 0.9 + 3.25 * index
        leave, back = top + 0.5, top + 2.5
        axes.plot([lane, 2.3], [leave, leave], color=INK, linewidth=1.6)
        _text(axes, 2.95, leave, "norm", ha="center")
        _arrow(axes, (3.6, leave), (4.0, leave))
        _box(axes, 4.0, top, 6.3, 2.0, color, lines)
        axes.plot([5.2, 5.2], [top + 2.0, back], color=INK, linewidth=1.6)
        _arrow(axes, (5.2, back), (lane + 0.4, back))
        axes.plot(lane, back, "o", markersize=17, color=TOKENS)
        _text(axes, lane, back - 0.03, "+", ha="center", color="#ffffff", weight="bold")
    for row in range(4):  # the memory, between the first and the second box
        axes.add_patch(Rectangle((8.2 + 0.5 * row, 3.15), 0.42, 0.42, color=SLOTS))
    _text(axes, 8.0, 3.36, "M  (b, k, d)", ha="right")
    _arrow(axes, (9.15, 3.6), (9.15, 4.12), SLOTS, 2)
    return picture(
        figure,
        "One encoder layer as a road: the tokens x, of shape (b, n, d), run straight down, and "
        "three exits leave one after another, each through a norm, and come back to a plus. "
        "The first exit looks around: self-attention over the n tokens, with the position bias. "
        "The second looks up: it reads the memory M, of shape (b, k, d), which enters here and "
        "nowhere else, and without a norm. The third thinks: a feed-forward on each token alone.",
    )


def _row(numbers: Tensor) -> str:
    return "(" + ", ".join(f"{number:.3g}" for number in numbers.tolist()) + ")"


def who_answers(
    query: Tensor, keys: Tensor, values: Tensor, names: Sequence[str], *, asks: str
) -> Picture:
    """Draw one reading by a single head: score, weight and value of each slot, and the mix.

    Args:
        query: of the token, (d,).
        keys: of the slots, (k, d).
        values: of the slots, (k, d).
        names: what to call each slot, k texts.
        asks: what to call the token.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    keys = _matrix("keys", keys)
    values = _matrix("values", values, keys.shape[1])
    query = _matrix("query", torch.as_tensor(query)[None], keys.shape[1])[0]
    if not len(keys) == len(values) == len(names):
        raise ValueError(f"names={list(names)}: expected one for each of the {len(keys)} slots")
    scores = keys @ query / keys.shape[1] ** 0.5
    weights = scores.softmax(dim=0)
    mix = weights @ values
    figure, axes = canvas(_WIDTH, 1.35 + 0.62 * len(keys))
    _blank(axes, 10.4, 2.0 + 1.1 * len(keys))
    _text(axes, 0.1, 0.4, f"{asks} asks with q = {_row(query)}")
    for x, title in ((1.9, "key"), (3.9, "score"), (6.0, "weight"), (9.3, "value")):
        _text(axes, x, 1.15, title, ha="center", fontsize=10)
    for index, name in enumerate(names):
        y = 2.0 + 1.1 * index
        axes.add_patch(Rectangle((0.1, y - 0.38), 0.9, 0.76, color=SLOTS))
        ink = ink_on(matplotlib.colors.to_rgb(SLOTS))
        _text(axes, 0.55, y, name, ha="center", color=ink, weight="bold")
        _text(axes, 1.9, y, _row(keys[index]), ha="center")
        _text(axes, 3.9, y, f"{scores[index]:.2f}", ha="center")
        axes.add_patch(Rectangle((4.8, y - 0.3), 2.4, 0.6, facecolor="none", edgecolor=NEUTRAL))
        axes.add_patch(Rectangle((4.8, y - 0.3), 2.4 * weights[index].item(), 0.6, color=SLOTS))
        _text(axes, 7.35, y, f"{weights[index]:.2f}")
        _text(axes, 9.3, y, _row(values[index]), ha="center")
    y = 1.75 + 1.1 * len(keys)
    _text(axes, 10.3, y, f"weights × values = {_row(mix)}", ha="right", weight="bold")
    winner = names[int(weights.argmax())]
    told = "; ".join(
        f"slot {name} has score {score:.2f}, weight {weight:.2f} and value {_row(value)}"
        for name, score, weight, value in zip(names, scores, weights, values, strict=True)
    )
    return picture(
        figure,
        f"The token {asks} asks with the query {_row(query)}: {told}. "
        f"Slot {winner} answers most; the mix of the values is {_row(mix)}.",
    )


def _strength(weights: Tensor, columns: Sequence[str]) -> str:
    """Say in words where a row of weights lies; small differences do not change the words."""
    top, least = weights.max().item(), weights.min().item()
    name = columns[int(weights.argmax())]
    if top - least < 0.005:
        return "all slots equally"
    if top >= 0.9:
        return f"almost only {name}"
    return f"mostly {name}" if top >= 0.6 else f"several slots, {name} most"


def weight_maps(maps: dict[str, Tensor], rows: Sequence[str], columns: Sequence[str]) -> Picture:
    """Draw reading weights, a map for each title: tokens down, slots across.

    Args:
        maps: title to weights (n, k), rows that sum to 1; up to 2 maps stand in a line.
        rows: names of the n tokens.
        columns: names of the k slots.

    Raises:
        ValueError: no map, weights that do not sum to 1, or names that do not fit.
    """
    if not maps:
        raise ValueError("maps: expected at least one")
    maps = {title: _matrix(title, weights, len(columns)) for title, weights in maps.items()}
    for title, weights in maps.items():
        _check_weights(title, weights)
        if len(weights) != len(rows):
            raise ValueError(f"{title}: expected {len(rows)} rows, got {len(weights)}")
    lines, across = (len(maps) + 1) // 2, min(2, len(maps))
    height = 0.75 + 0.4 * len(rows)
    figure, grid = canvas(
        _WIDTH if across > 1 else 3.4, height * lines, rows=lines, columns=across, squeeze=False
    )
    colors = matplotlib.colormaps[COLORMAP]
    for axes in grid.flat[len(maps) :]:
        axes.axis("off")
    for axes, (title, weights) in zip(grid.flat, maps.items(), strict=False):
        axes.imshow(weights.tolist(), cmap=colors, vmin=0, vmax=1, aspect="auto")
        axes.set_title(title)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (i, j), weight in _entries(weights):
            ink = ink_on(colors(weight))
            _text(axes, j, i, f"{weight:.2f}", ha="center", color=ink, fontsize=10)
    for axes in grid[:, 0]:
        axes.set_ylabel("token")
    for axes in grid[-1]:
        axes.set_xlabel("slot")
    told = []
    for title, weights in maps.items():
        reads = [_strength(weight, columns) for weight in weights]
        lines = [f"{row} reads {read}" for row, read in zip(rows, reads, strict=True)]
        if len(rows) > 1 and (weights - weights[0]).abs().max() < 0.005:
            lines = [f"all tokens alike read {reads[0]}"]
        told.append(f"{title}: {', '.join(lines)}")
    slots = ", ".join(columns)
    alt = (
        f"Reading weights from 0 to 1: tokens down, slots {slots} across. Maps: {'; '.join(told)}."
    )
    return picture(figure, alt)


def _entries(matrix: Tensor):
    """Yield ((row, column), number) for each entry."""
    for i, numbers in enumerate(matrix.tolist()):
        for j, number in enumerate(numbers):
            yield (i, j), number


def torn_out(accuracy: Tensor, boxes: Sequence[str]) -> Picture:
    """Draw the share of right answers to each question, with each note torn out in turn.

    Args:
        accuracy: (1 + k, k), from 0 to 1; row 0: nothing torn out, then a row for each box.
        boxes: names of the k boxes.

    Raises:
        ValueError: a shape that does not fit, or a number outside 0 to 1.
    """
    accuracy = _matrix("accuracy", accuracy, len(boxes))
    if len(accuracy) != len(boxes) + 1 or not 0 <= accuracy.min() <= accuracy.max() <= 1:
        raise ValueError(f"accuracy: expected {len(boxes) + 1} rows of shares from 0 to 1")
    figure, axes = canvas(4.4, 0.9 + 0.42 * len(accuracy))
    colors = matplotlib.colormaps[COLORMAP]
    axes.imshow(accuracy.tolist(), cmap=colors, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(boxes)), [f"{box}?" for box in boxes])
    axes.set_yticks(range(len(accuracy)), ["none", *boxes])
    axes.set(xlabel="question (share of right answers)", ylabel="note torn out")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (i, j), share in _entries(accuracy):
        ink = ink_on(colors(share))
        _text(axes, j, i, f"{share:.2f}", ha="center", color=ink, fontsize=10)
    apart = torch.eye(len(boxes), dtype=torch.bool)
    own = [name for name, share in zip(boxes, accuracy[1:][apart], strict=True) if share < 0.5]
    elsewhere = torch.cat((accuracy[0], accuracy[1:][~apart]))
    told = (
        f"The question about the torn-out note is mostly wrong for {', '.join(own) or 'none'}; "
        f"{int((elsewhere > 0.9).sum())} of the {len(elsewhere)} other shares lie above 0.9."
    )
    return picture(
        figure,
        f"Share of right answers: questions {', '.join(f'{box}?' for box in boxes)} across; down, "
        f"nothing torn out, then the note of each box in turn. {told}",
    )


def cost(n: int, k: int, earlier: int) -> Picture:
    """Draw the pairs that one segment scores, as areas: around, memory, all earlier tokens.

    Args:
        n: tokens a segment.
        k: slots.
        earlier: segments before this one.

    Raises:
        ValueError: a number below 1.
    """
    for name, value in (("n", n), ("k", k), ("earlier", earlier)):
        if value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")
    reach = earlier * n
    unit = 10.2 / max(reach, n + k + 10.2)
    tall = n * unit
    below = 0.9 + tall + 1.8
    height = below + tall + 0.9
    figure, axes = canvas(_WIDTH, height / 2)
    _blank(axes, 10.4, height)
    areas = (
        (0.1, 0.9, n, TOKENS, "look around", "n × n"),
        (5.4, 0.9, k, SLOTS, "look up", "n × k"),
        (
            0.1,
            below,
            reach,
            NEUTRAL,
            f"all tokens of {earlier} earlier segments",
            f"n × {earlier}n",
        ),
    )
    for x, y, keys, color, name, product in areas:
        axes.add_patch(Rectangle((x, y), keys * unit, tall, color=color))
        _text(axes, x, y - 0.45, name, weight="bold")
        _text(axes, x, y + tall + 0.45, f"{product} = {n * keys:,} pairs")
    return picture(
        figure,
        f"Pairs of a token and a key for one segment of {n} tokens, drawn to scale: looking around "
        f"{n * n:,}, looking up in {k} slots {n * k:,}, attention to all tokens of {earlier} "
        f"earlier segments {n * reach:,}. With every further segment the last one grows by "
        f"{n * n:,}; the memory's strip stays as narrow as it is.",
    )


def two_scales(factors: Sequence[float], tokens: Tensor, memory: Tensor) -> Picture:
    """Draw one token's reading weights when the tokens, or the memory, are multiplied.

    Args:
        factors: f positive factors, rising.
        tokens: weights (f, k) with the tokens multiplied by each factor.
        memory: weights (f, k) with the memory multiplied by each factor.

    Raises:
        ValueError: shapes that do not fit, or weights that do not sum to 1.
    """
    tokens = _matrix("tokens", tokens)
    memory = _matrix("memory", memory, tokens.shape[1])
    if not len(factors) == len(tokens) == len(memory) or min(factors) <= 0:
        raise ValueError(f"factors={list(factors)}: expected {len(tokens)} numbers above 0")
    if tokens.shape[1] > len(_LINES):
        raise ValueError(f"tokens: expected at most {len(_LINES)} slots, got {tokens.shape[1]}")
    figure, grid = canvas(_WIDTH, 2.9, columns=2, sharey=True)
    panels = (("tokens × factor", tokens), ("memory × factor", memory))
    for axes, (title, weights) in zip(grid, panels, strict=True):
        _check_weights(title, weights)
        for slot, style in zip(range(weights.shape[1]), _LINES, strict=False):
            axes.plot(factors, weights[:, slot].tolist(), style, color=SLOTS, linewidth=2.5)
        axes.set(xscale="log", title=title, xlabel="factor (no unit)", ylim=(-0.03, 1.03))
        marks = [10.0**power for power in range(-4, 5)]
        marks = [mark for mark in marks if 0.999 * factors[0] <= mark <= 1.001 * factors[-1]]
        axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
        axes.minorticks_off()
        axes.grid(True)
    grid[0].set_ylabel("weight of a slot")
    names = [f"slot {slot}" for slot in range(tokens.shape[1])]
    options = {"loc": "outside upper center", "ncols": len(names), "frameon": False}
    legend = figure.legend(grid[0].lines, names, fontsize=11, **options)
    for text in legend.get_texts():
        text.set_color(INK)
    ends = ", ".join(f"{weight:.2f}" for weight in memory[-1].tolist())
    starts = ", ".join(f"{weight:.2f}" for weight in memory[0].tolist())
    moved = (tokens - tokens[0]).abs().max().item()
    return picture(
        figure,
        f"Weights of one token's reading against a factor from {factors[0]:g} to {factors[-1]:g}. "
        f"Multiplying the tokens moves no weight by more than {max(moved, 0.01):.2f}. Multiplying "
        f"the memory moves the weights of slots 0 to {len(names) - 1} from {starts} to {ends}: the "
        f"largest goes from {memory[0].max():.2f} to {memory[-1].max():.2f}.",
    )
