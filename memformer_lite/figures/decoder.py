"""Pictures of chapter 06: surprise, the shift, who sees whom, choices, and saved work."""

import math
from collections.abc import Sequence

import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from memformer_lite.figures import (
    BOXES,
    INK,
    KEPT,
    NEUTRAL,
    TOKENS,
    WRITTEN,
    Picture,
    canvas,
    ink_on,
    picture,
)

_WIDTH = 4.8  # inches: narrow, so that text stays legible on a small screen


def surprise(tokens: Sequence[str], panels: dict[str, Sequence[float]]) -> Picture:
    """Draw how surprising each token of a page was, one panel for each guesser.

    Args:
        tokens: the tokens that were guessed, n short texts.
        panels: title, and the loss of each token in nats, n numbers from 0.

    Raises:
        ValueError: no panel, another number of losses than tokens, or a loss below 0.
    """
    panels = {title: [loss + 0.0 for loss in losses] for title, losses in panels.items()}
    for title, losses in panels.items():
        if len(losses) != len(tokens):
            raise ValueError(f"{title}: expected {len(tokens)} losses, got {len(losses)}")
        if not all(0 <= loss < math.inf for loss in losses):
            raise ValueError(f"{title}: expected finite losses from 0, got {list(losses)}")
    if not panels or not tokens:
        raise ValueError("panels: expected at least one, of at least one token")
    figure, grid = canvas(
        _WIDTH, 0.5 + 1.9 * len(panels), rows=len(panels), squeeze=False, sharex=True, sharey=True
    )
    highest = max(max(losses) for losses in panels.values()) or 1.0
    places = range(len(tokens))
    told = []
    for axes, (title, losses) in zip(grid.flat, panels.items(), strict=True):
        mean = sum(losses) / len(losses)
        axes.bar(places, losses, color=[BOXES.get(token[0], NEUTRAL) for token in tokens])
        for place, loss in zip(places, losses, strict=True):
            _write(axes, place, loss + 0.03 * highest, f"{loss:.2f}", ha="center", fontsize=10)
        axes.set(title=f"{title}: mean {mean:.3f}", ylabel="loss (nats)", ylim=(0, 1.2 * highest))
        axes.set_xticks(places, tokens)
        parts = ", ".join(f"{t} {loss:.2f}" for t, loss in zip(tokens, losses, strict=True))
        told.append(f"{title} ({parts}; mean {mean:.3f})")
    grid.flat[-1].set_xlabel("token that had to be guessed")
    return picture(
        figure,
        "Bars, one for each token of a page, as high as the loss when it was guessed, in nats. "
        f"The guessers: {'; '.join(told)}. The names of boxes cost something; what has no bar "
        "to be seen was as good as certain.",
    )


def shift(tokens: Sequence[str]) -> Picture:
    """Draw a page twice, as what is given and, one place earlier, as what must be guessed.

    Args:
        tokens: at least 2 short texts.

    Raises:
        ValueError: fewer than 2 tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    n = len(tokens) - 1
    figure, axes = canvas(_WIDTH, 2.5)
    for place in range(n):
        _square(axes, place, 0, TOKENS, tokens[place])
        _square(axes, place, 2.6, KEPT, tokens[place + 1])
        axes.annotate(
            "",
            xy=(place + 0.5, 2.5),
            xytext=(place + 0.5, 1.1),
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6},
        )
    _write(axes, n / 2, -0.4, "given: the page without its last token", ha="center")
    _write(axes, n / 2, 4.0, "to guess: the page without its first", ha="center")
    _write(axes, n + 0.2, 1.8, "decoder", va="center")
    axes.set(xlim=(-0.2, n + 2.0), ylim=(-0.7, 4.3), aspect="equal")
    axes.axis("off")
    return picture(
        figure,
        f"Two rows of {n} tokens. Below is what the decoder is given: {' '.join(tokens[:-1])}. "
        f"Above, shifted by one, is what it must guess: {' '.join(tokens[1:])}. An arrow leads "
        f"from each given token to its follower, so one pass gives {n} guesses.",
    )


def who_sees(panels: dict[str, Tensor], tokens: Sequence[str]) -> Picture:
    """Draw which given token can change which guess; a square above the diagonal is a leak.

    Args:
        panels: title and table, bool (n, n): row i depends on token j.
        tokens: the given tokens, n short texts.

    Raises:
        ValueError: no panel, or a table that is not bool (n, n).
    """
    n = len(tokens)
    if not panels or any(t.dtype != torch.bool or t.shape != (n, n) for t in panels.values()):
        shapes = {title: (table.dtype, tuple(table.shape)) for title, table in panels.items()}
        raise ValueError(f"panels: expected bool ({n}, {n}), got {shapes}")
    figure, grid = canvas(_WIDTH, 2.7, columns=len(panels), squeeze=False)
    told = []
    for axes, (title, table) in zip(grid.flat, panels.items(), strict=True):
        for row in range(n):
            for column in range(n):
                ahead = column > row
                colour = (WRITTEN if ahead else TOKENS) if table[row, column] else "none"
                mark = "!" if ahead and table[row, column] else ""
                _square(axes, column, -row, colour, mark)
        for place, token in enumerate(tokens):
            _write(axes, -0.2, 0.5 - place, token, ha="right", va="center")
            _write(axes, place + 0.5, 1.15, token, ha="center", va="bottom")
        middle = 1 - n / 2
        _write(axes, -1.2, middle, "guess after", rotation=90, ha="center", va="center")
        _write(axes, n / 2, 0.75 - n, "depends on", ha="center", va="top")
        axes.set(xlim=(-1.6, n + 0.1), ylim=(-0.1 - n, 1.9), aspect="equal")
        axes.axis("off")
        axes.set_title(title)
        leaks = int(table.triu(1).sum())
        told.append(f"{title}: {int(table.sum())} filled, {leaks} of them in the future")
    return picture(
        figure,
        "Tables in which a row is a given token, whose follower is to be guessed, and a column a "
        "token that may change this guess; a filled square means that it does. Squares right of "
        f"the diagonal lie in the future and bear an exclamation mark. {'; '.join(told)}.",
    )


def choices(tokens: Sequence[str], panels: dict[str, Sequence[float]]) -> Picture:
    """Draw the probabilities of a few tokens under several rules of choosing.

    Args:
        tokens: v short texts.
        panels: title, and v probabilities that sum to 1.

    Raises:
        ValueError: no panel, or one whose numbers are not v probabilities.
    """
    for title, row in panels.items():
        if len(row) != len(tokens) or min(row) < 0 or abs(sum(row) - 1) > 1e-3:
            raise ValueError(f"{title}: expected {len(tokens)} probabilities, got {list(row)}")
    if not panels:
        raise ValueError("panels: expected at least one")
    rows = -(-len(panels) // 2)
    figure, grid = canvas(5.2, 1.75 * rows, rows=rows, columns=2, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    told = []
    highest = max(max(row) for row in panels.values())
    for axes, (title, row) in zip(grid.flat, panels.items(), strict=False):
        axes.bar(range(len(tokens)), row, color=[TOKENS if p else NEUTRAL for p in row])
        for place, p in enumerate(row):
            _write(
                axes, place, p + 0.05 * highest, f"{p:.2f}" if p else "–", ha="center", fontsize=10
            )
        axes.set_xticks(range(len(tokens)), tokens)
        axes.set(title=title, ylim=(0, 1.3 * highest))
        parts = " ".join(f"{token} {p:.2f}" for token, p in zip(tokens, row, strict=True) if p)
        told.append(f"“{title}” {parts}")
    for axes in grid[:, 0]:
        axes.set_ylabel("probability")
    return picture(
        figure,
        f"Bars for the probabilities of {', '.join(tokens)} under {len(panels)} rules; a dash "
        f"means that a token cannot be chosen. Under {'; under '.join(told)}.",
    )


def kept(shares: Sequence[float], lines: dict[str, Sequence[int]], tokens: int) -> Picture:
    """Draw how many tokens remain against p, one line for each rule.

    Args:
        shares: values of p, ascending, in (0, 1].
        lines: name, and the number of tokens kept for each p.
        tokens: number of tokens there are.

    Raises:
        ValueError: not 1 or 2 lines, other lengths, or a number that is not from 1 to `tokens`.
    """
    if not 1 <= len(lines) <= 2:
        raise ValueError(f"lines: expected 1 or 2, got {len(lines)}")
    for name, counts in lines.items():
        if len(counts) != len(shares) or not all(1 <= c <= tokens for c in counts):
            raise ValueError(f"{name}: expected {len(shares)} numbers from 1 to {tokens}")
    figure, axes = canvas(_WIDTH, 3.0)
    styles = (TOKENS, "-", "o"), (WRITTEN, "--", "s")
    for (name, counts), (colour, line, marker) in zip(lines.items(), styles, strict=False):
        axes.plot(shares, counts, color=colour, linestyle=line, marker=marker, linewidth=2)
        end = -1 if counts[-1] >= counts[0] else 0
        side = "right" if end else "left"
        _write(axes, shares[end], counts[end] + 0.25, name, ha=side)
    axes.set(xlabel="p", ylabel="tokens kept", ylim=(0, tokens + 0.9), yticks=range(tokens + 1))
    told = "; ".join(
        f"{name}: " + ", ".join(f"{c} at {p:g}" for p, c in zip(shares, counts, strict=True))
        for name, counts in lines.items()
    )
    return picture(
        figure,
        f"How many of {tokens} tokens remain, against p. {told}. "
        "A line that climbs keeps more tokens for a larger p, as it should.",
    )


def work(n: int) -> Picture:
    """Draw which rows are computed to write n tokens, from the start and with a cache.

    Args:
        n: number of steps, 2 to 12.

    Raises:
        ValueError: `n` outside its range.
    """
    if not 2 <= n <= 12:
        raise ValueError(f"n={n}: expected 2 to 12")
    figure, panels = canvas(5.2, 2.9, columns=2)
    counts = []
    for axes, title in zip(panels, ("from the start", "with a cache"), strict=True):
        count = 0
        for step in range(n):
            for token in range(step + 1):
                again = title == "from the start" or token == step
                count += again
                _square(axes, token, -step, TOKENS if again else KEPT, "" if again else "·")
            _write(axes, -0.3, 0.5 - step, step + 1, ha="right", va="center")
        _write(axes, -1.7, 1 - n / 2, "step", rotation=90, ha="center", va="center")
        axes.set(xlim=(-2.2, n + 0.1), ylim=(0.1 - n, 1.1), aspect="equal")
        axes.axis("off")
        axes.set_title(f"{title}: {count} rows")
        counts.append(count)
    return picture(
        figure,
        f"Two staircases of {n} steps; step i has one square for each of the first i tokens. "
        f"From the start, all {counts[0]} squares are computed. With a cache only the last one "
        f"of each step is, {counts[1]} in all, and the dotted others were kept.",
    )


def _write(axes, x: float, y: float, text: object, **options):
    """Write in the page's own text colour."""
    return axes.text(x, y, text, **{"color": INK, "fontsize": 11, **options})


def _square(axes, column: float, row: float, colour: str, text: str = ""):
    """Fill a unit square, or leave it hollow, and write on it."""
    edge = NEUTRAL if colour == "none" else "none"
    axes.add_patch(
        Rectangle(
            (column + 0.04, row + 0.04), 0.92, 0.92, facecolor=colour, edgecolor=edge, linewidth=0.8
        )
    )
    if text:
        ink = INK if colour == "none" else ink_on(colour)
        _write(axes, column + 0.5, row + 0.47, text, ha="center", va="center", color=ink)
