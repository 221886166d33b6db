"""Pictures of chapter 09: a stream of cards, learning, belief, and measurements over seeds.

Measurements are plain data: for each case one number a seed, as the records hold them.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

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

FONT = 11  # points
NOISE = "·"
WORD = re.compile(r"[A-D][0-9?]|·")
LOOKS = [
    (SLOTS, "-", "o"),
    (TOKENS, "--", "s"),
    (KEPT, "-.", "^"),
    (WRITTEN, ":", "D"),
]
BASELINE = (NEUTRAL, "-", "v")  # a case without memory always looks like this


def stream(pages: Sequence[str]) -> Picture:
    """Draw a stream of cards, and for each question an arrow from the card that answers it.

    Args:
        pages: at least 2 pages of words: cards such as `A3`, `·` for noise, and perhaps a question
            such as `A?` as last word. All pages have the same number of words.

    Raises:
        ValueError: less than 2 pages, pages of different lengths, or a word that is none of these.
    """
    split = [page.split() for page in pages]
    heights = {len(words) for words in split}
    if len(split) < 2 or len(heights) != 1 or not heights.pop():
        raise ValueError(f"pages: expected 2 or more, of equally many words, got {list(pages)}")
    for word in itertools.chain(*split):
        if not WORD.fullmatch(word):
            raise ValueError(f"{word!r}: expected a card such as 'A3', 'A?' or '{NOISE}'")
    rows = len(split[0])
    figure, axes = canvas(5.4, 0.45 * rows + 1.6)
    for x, words in enumerate(split):
        for row, word in enumerate(words):
            _tile(axes, x, -row, word)
        _write(axes, x, 0.62, x + 1, ha="center", va="bottom")
    _write(axes, -0.6, 0.62, "page", ha="right", va="bottom")
    told, lanes = [], []  # where in each lane below the pages the last arrow ends
    for x, start, question, value in _questions(split):
        told.append(f"{question} on page {x + 1}: {value}, from page {start + 1}")
        lane = next((i for i, end in enumerate(lanes) if end <= start), len(lanes))
        lanes[lane : lane + 1] = [x]
        y, bottom = -rows - 0.05 - 0.62 * lane, 0.52 - rows
        color = BOXES[question[0]]
        axes.plot([start + 0.18] * 2, [bottom, y], color=color, linewidth=1.8)
        axes.plot([start + 0.18, x - 0.18], [y, y], color=color, linewidth=1.8)
        axes.add_patch(
            FancyArrowPatch(
                (x - 0.18, y),
                (x - 0.18, bottom),
                arrowstyle="-|>",
                mutation_scale=12,
                color=color,
                linewidth=1.8,
                shrinkA=0,
                shrinkB=0,
            )
        )
        _write(axes, (start + x) / 2, y - 0.06, value, ha="center", va="top", fontweight="bold")
    depth = 0.62 * len(lanes)
    axes.set(xlim=(-1.35, len(split) - 0.4), ylim=(-rows - depth - 0.1, 1.25))
    axes.axis("off")
    cards = "; ".join(
        f"page {number} has {' and '.join(word for word in words if word != NOISE)}"
        for number, words in enumerate(split, start=1)
        if any(word != NOISE for word in words)
    )
    return picture(
        figure,
        f"{len(split)} pages of {rows} places from left to right; {cards}; all else is noise. "
        f"An arrow joins each question with the card that answers it: {'; '.join(told) or 'none'}. "
        "No question can be answered from its own page.",
    )


def _questions(split: Sequence[Sequence[str]]) -> list[tuple[int, int, str, str]]:
    """List each question: its page, the page of its card, the question, the answer.

    Raises:
        ValueError: a question without a card, or with one on its own page.
    """
    held, found = {}, []
    for x, words in enumerate(split):
        here = {word[0] for word in words if word != NOISE and word[1] != "?"}
        for word in words:
            if word == NOISE:
                continue
            if word[1] != "?":
                held[word[0]] = (x, word[1])
            elif word[0] not in held or word[0] in here:
                raise ValueError(f"{word!r} on page {x + 1}: expected its card on an earlier page")
            else:
                start, value = held[word[0]]
                found.append((x, start, word, value))
    return found


def learning(
    groups: Mapping[str, Sequence[Mapping[int | str, float]]], *, bounds: Mapping[str, float]
) -> Picture:
    """Draw accuracy against steps of training, one line a run.

    Args:
        groups: name -> runs, each a score, 0 to 1, for each number of steps. The first group is
            drawn thick; one whose name begins with "no memory" is grey.
        bounds: name -> accuracy of a simple reader to compare with, drawn as a dotted line.

    Raises:
        ValueError: no group, or a group without runs.
    """
    _check_groups("groups", groups)
    figure, axes = canvas(5.4, 3.3)
    told = []
    for (name, runs), look in zip(groups.items(), _looks(groups), strict=True):
        color, style, _ = look
        first = name == next(iter(groups))
        for number, run in enumerate(runs):
            steps = sorted((int(step), score) for step, score in run.items())
            axes.plot(
                [step for step, _ in steps],
                [score for _, score in steps],
                color=color,
                linestyle=style,
                linewidth=3 if first else 1.4,
                zorder=3 if first else 2,
                label=None if number else f"{name} ({len(runs)})" if len(runs) > 1 else name,
            )
        ends = [run[max(run, key=int)] for run in runs]
        steps = [max(map(int, run)) for run in runs]
        told.append(f"{name}: {_each(ends)} after {_range(steps)} steps")
    axes.set(ylim=(0, 1.03), xlabel="steps of training", ylabel="held-out accuracy")
    lines = _bounds(axes, bounds)
    axes.legend(fontsize=10, labelcolor=INK, loc="center right", frameon=False)
    return picture(
        figure,
        f"Accuracy against steps of training, one line a run. At the end, {'; '.join(told)}."
        f"{lines}",
    )


def belief(
    pages: Sequence[str], probabilities: Sequence[Sequence[float]], truth: Sequence[int | None]
) -> Picture:
    """Draw what a model would answer to one question after each page, as a map.

    Args:
        pages: label of each page.
        probabilities: of each page, one number for each value; each row sums to 1.
        truth: the right value after each page, None where there is none yet.

    Raises:
        ValueError: lengths that do not fit, or rows that do not sum to 1.
    """
    if not len(pages) == len(probabilities) == len(truth):
        raise ValueError(f"expected one row and one truth for each of {len(pages)} pages")
    for row in probabilities:
        if abs(sum(row) - 1) > 1e-3 or len(row) != len(probabilities[0]):
            raise ValueError(f"probabilities: expected rows of one length and sum 1, got {row}")
    values = len(probabilities[0])
    figure, axes = canvas(5.4, 0.36 * len(pages) + 1.0)
    image = axes.imshow(probabilities, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(probabilities):
        for x, share in enumerate(row):
            text = f"{share:.2f}".lstrip("0") if share < 0.995 else "1"
            ink = ink_on(image.cmap(float(share))[:3])
            _write(axes, x, y, text, ha="center", va="center", color=ink, fontsize=10)
        if truth[y] is not None:
            low = (truth[y] - 0.46, y - 0.44)
            axes.add_patch(Rectangle(low, 0.92, 0.88, fill=False, edgecolor=SLOTS, linewidth=2.5))
    axes.set_xticks(range(values), [str(value) for value in range(values)])
    axes.set_yticks(range(len(pages)), list(pages))
    axes.tick_params(length=0, labelsize=FONT)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="P(answer), framed: the right one", ylabel="after page")
    told = "; ".join(
        f"after {page}: {max(range(values), key=row.__getitem__)} with {max(row):.2f}"
        for page, row in zip(pages, probabilities, strict=True)
    )
    right = sum(
        max(range(values), key=row.__getitem__) == wanted
        for row, wanted in zip(probabilities, truth, strict=True)
    )
    asked = sum(wanted is not None for wanted in truth)
    return picture(
        figure,
        f"A table of {len(pages)} pages by {values} values: the probability of each answer, if it "
        f"were asked after that page. The most likely one {told}. It is right after {right} of "
        f"the {asked} pages on which there is a right answer.",
    )


def curves(
    cases: Mapping[str, Mapping[int | str, Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str = "accuracy",
    bounds: Mapping[str, float] | None = None,
) -> Picture:
    """Draw a measurement against a number, one line a case, with a bar from worst to best seed.

    Args:
        cases: name -> (number -> one measurement a seed). The numbers are drawn at equal steps. A
            case whose name begins with "no memory" is grey.
        xlabel: what the numbers are, with their unit.
        ylabel: what is measured, with its unit.
        bounds: name -> accuracy of a simple reader to compare with, drawn as a dotted line; the
            axis then runs from 0 to 1. None: no line.

    Raises:
        ValueError: no case, cases with different numbers, or a number without a seed.
    """
    _check_groups("cases", cases)
    numbers = sorted({int(n) for case in cases.values() for n in case})
    for name, case in cases.items():
        if sorted(map(int, case)) != numbers or not all(case.values()):
            raise ValueError(f"{name}: expected measurements at each of {numbers}")
    figure, axes = canvas(5.4, 3.5)
    told = []
    for index, ((name, case), look) in enumerate(zip(cases.items(), _looks(cases), strict=True)):
        color, style, marker = look
        seeds = [values for _, values in sorted((int(n), list(v)) for n, v in case.items())]
        middle = [mean(values) for values in seeds]
        shift = 0.05 * (index - (len(cases) - 1) / 2)  # error bars beside each other
        axes.errorbar(
            [x + shift for x in range(len(numbers))],
            middle,
            yerr=[
                [m - min(values) for m, values in zip(middle, seeds, strict=True)],
                [max(values) - m for m, values in zip(middle, seeds, strict=True)],
            ],
            color=color,
            linestyle=style,
            marker=marker,
            linewidth=2,
            capsize=4,
            label=name,
        )
        told.append(
            f"{name}: " + ", ".join(f"{m:.2f} at {n}" for m, n in zip(middle, numbers, strict=True))
        )
    axes.set_xticks(range(len(numbers)), [str(n) for n in numbers])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    lines = ""
    if bounds:
        axes.set_ylim(0, 1.04)
        lines = _bounds(axes, bounds, left=True)
    _legend_below(axes)
    return picture(
        figure,
        f"{ylabel.capitalize()} against {xlabel}, means over {_seed_count(cases)}. "
        f"{'; '.join(told)}.{lines}",
    )


def spread(
    cases: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    bounds: Mapping[str, float] | None = None,
) -> Picture:
    """Draw one measurement of many cases: a dot a seed, and a bar at their mean.

    Args:
        cases: name -> one measurement a seed; drawn from top to bottom. A case whose name begins
            with "no memory" is grey.
        xlabel: what is measured, with its unit.
        bounds: name -> accuracy of a simple reader to compare with, drawn as a dotted line; the
            axis then runs from 0 to 1. None: no line.

    Raises:
        ValueError: no case, or one without a seed.
    """
    _check_groups("cases", cases)
    figure, axes = canvas(5.4, 0.36 * len(cases) + 1.1)
    for y, (name, values) in enumerate(cases.items()):
        color = NEUTRAL if name.startswith("no memory") else SLOTS
        axes.plot(values, [y] * len(values), "o", color=color, markersize=7, alpha=0.75)
        axes.plot([mean(values)] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=2)
    axes.set_yticks(range(len(cases)), list(cases))
    axes.set(ylim=(len(cases) - 0.4, -0.6), xlabel=xlabel)
    lines = ""
    if bounds:
        axes.set_xlim(0, 1.03)
        lines = _bounds(axes, bounds, upright=True)
    axes.grid(True, axis="y")
    axes.tick_params(axis="y", length=0)
    told = "; ".join(
        f"{name} {mean(values):.3f} ({_range([round(v, 3) for v in values], '.3f')})"
        for name, values in cases.items()
    )
    return picture(
        figure,
        f"One row a case, one dot a seed, a bar at the mean; {xlabel}. "
        f"Mean and range: {told}.{lines}",
    )


def capacity(
    boxes: Mapping[int, Mapping[int, Sequence[float]]], *, ylabel: str, chance: float
) -> Picture:
    """Draw accuracy against slots, one line for each number of boxes, beside one value a slot.

    Args:
        boxes: number of boxes -> (number of slots -> one accuracy a seed).
        ylabel: what accuracy it is.
        chance: accuracy of guessing.

    Raises:
        ValueError: nothing to draw, or a place without a seed.
    """
    _check_groups("boxes", boxes)
    slots = sorted({count for case in boxes.values() for count in case})
    figure, axes = canvas(5.4, 3.5)
    told = []
    for (count, case), look in zip(sorted(boxes.items()), LOOKS, strict=False):
        color, style, marker = look
        _check_groups(f"{count} boxes", case)
        xs = sorted(case)
        middle = [mean(case[x]) for x in xs]
        axes.errorbar(
            [slots.index(x) for x in xs],
            middle,
            yerr=[
                [m - min(case[x]) for m, x in zip(middle, xs, strict=True)],
                [max(case[x]) - m for m, x in zip(middle, xs, strict=True)],
            ],
            color=color,
            linestyle=style,
            marker=marker,
            linewidth=2,
            capsize=4,
            label=f"{count} boxes, measured",
        )
        ideal = [one_each(x, count, chance) for x in slots]
        axes.plot(
            range(len(slots)),
            ideal,
            color=color,
            linewidth=1,
            linestyle=(0, (1, 2)),
            label=f"{count} boxes, one value a slot",
        )
        told.append(
            f"{count} boxes: "
            + ", ".join(
                f"{m:.2f} with {x} ({_range([round(v, 2) for v in case[x]], '.2f')})"
                for m, x in zip(middle, xs, strict=True)
            )
        )
    _bounds(axes, {"chance": chance})
    axes.set_xticks(range(len(slots)), [str(count) for count in slots])
    axes.set(ylim=(0, 1.04), xlabel="slots k", ylabel=ylabel)
    _legend_below(axes)
    return picture(
        figure,
        f"{ylabel.capitalize()} against the number of slots, means and ranges over the seeds. "
        f"{'; '.join(told)}. Thin lines show what one value a slot would give, a dotted line "
        f"chance, {chance:.3f}.",
    )


def one_each(slots: int, boxes: int, chance: float) -> float:
    """Return the accuracy if each slot held the value of one box, and the rest were guessed."""
    known = min(slots / boxes, 1.0)
    return known + (1 - known) * chance


def advert(better: float, worse: float, *, labels: tuple[str, str], ylabel: str) -> Picture:
    """Draw two bars as one should not: one run each, and an axis that begins just below the lower.

    Args:
        better: the lower number, the one that is advertised.
        worse: the higher number.
        labels: of the two bars, better first.
        ylabel: what is measured; lower is better.

    Raises:
        ValueError: `better` is not below `worse`.
    """
    if not better < worse:
        raise ValueError(f"expected better < worse, got {better} and {worse}")
    figure, axes = canvas(3.4, 3.0)
    bottom = better - 0.15 * (worse - better)
    axes.bar([0, 1], [worse, better], color=[NEUTRAL, SLOTS], width=0.6)
    axes.set(ylim=(bottom, worse + 0.05 * (worse - better)), ylabel=ylabel)
    axes.set_xticks([0, 1], [labels[1], labels[0]])
    step = 10 ** math.floor(math.log10(worse - better))
    ticks = [math.ceil(bottom / step) * step + step * i for i in range(20)]
    axes.set_yticks([tick for tick in ticks if tick <= worse])
    height = (worse - bottom) / (better - bottom)
    return picture(
        figure,
        f"Two bars: {labels[1]} {worse:.3f}, {labels[0]} {better:.3f}; {ylabel}. The axis begins "
        f"at {bottom:.3f}, so one bar is {height:.1f} times as high as the other, while the "
        f"numbers differ by a factor of {worse / better:.3f}. There are no error bars.",
    )


def _looks(groups: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Return colour, line and marker of each group; the baseline's is always the same."""
    looks = itertools.cycle(LOOKS)
    return [BASELINE if str(name).startswith("no memory") else next(looks) for name in groups]


def _check_groups(name: str, groups: Mapping) -> None:
    if not groups or not all(groups.values()):
        raise ValueError(f"{name}: expected at least one, and none without a measurement")


def _seed_count(cases: Mapping[str, Mapping]) -> str:
    counts = {len(values) for case in cases.values() for values in case.values()}
    return f"{_range(sorted(counts))} seeds, bars from the worst to the best"


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _range(values: Sequence[float], form: str = "") -> str:
    """Write the lowest and the highest, once where they are the same."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _bounds(
    axes: Axes, bounds: Mapping[str, float], *, upright: bool = False, left: bool = False
) -> str:
    """Draw dotted lines with their names; return the sentence about them."""
    side, align = (0.005, "left") if left else (0.995, "right")
    for name, height in bounds.items():
        draw = axes.axvline if upright else axes.axhline
        draw(height, color=INK, linestyle=":", linewidth=1.5, zorder=1)
        axes.annotate(
            name,
            (height, 1) if upright else (side, height),
            (0, 3),
            xycoords=("data", "axes fraction") if upright else ("axes fraction", "data"),
            textcoords="offset points",
            ha="center" if upright else align,
            va="bottom",
            color=INK,
            fontsize=10,
        )
    told = " and ".join(f"{name} at {height:.3f}" for name, height in bounds.items())
    return f" Dotted: {told}."


def _legend_below(axes: Axes) -> None:
    axes.legend(
        fontsize=10,
        labelcolor=INK,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=2,
        frameon=False,
    )


def _tile(axes: Axes, x: float, y: float, word: str) -> None:
    """Draw one place of a page: a card in its box's colour, a question as outline, or noise."""
    low = (x - 0.41, y - 0.41)
    if word == NOISE:
        axes.add_patch(Rectangle(low, 0.82, 0.82, fill=False, edgecolor=NEUTRAL, linewidth=0.7))
        _write(axes, x, y, word, ha="center", va="center")
    elif word[1] == "?":
        edge = BOXES[word[0]]
        axes.add_patch(Rectangle(low, 0.82, 0.82, fill=False, edgecolor=edge, linewidth=2.2))
        _write(axes, x, y, word, ha="center", va="center", fontweight="bold")
    else:
        color = BOXES[word[0]]
        axes.add_patch(Rectangle(low, 0.82, 0.82, color=color))
        _write(axes, x, y, word, ha="center", va="center", color=ink_on(color))


def _write(axes: Axes, x: float, y: float, text: object, *, color=INK, fontsize=FONT, **options):
    """Write text into axes, in the colour of the page's text unless told otherwise."""
    axes.text(x, y, str(text), color=color, fontsize=fontsize, **options)
