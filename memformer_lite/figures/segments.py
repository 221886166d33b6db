"""Pictures of chapter 01: pages, the cost of attention, windows, notes, and the whole model.

A story is a list of pages. A page is a string of cards, such as `"B1 C6"`; `"A?"` asks for box A.
"""

import itertools
import math
import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from memformer_lite.figures import (
    BOXES,
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

CARD = re.compile(r"[A-D][0-7?]")
PARTS = {
    "embedding": "tokens become rows of width d",
    "self": "the tokens of the segment look at each other",
    "read": "the tokens look at the slots of the memory",
    "feed": "each row is worked on alone",
    "write": "each slot looks at itself and at the encoder output",
    "gate": "the old slot is kept, or the new one taken",
    "decoder": "the next tokens are guessed from the encoder output",
}
FONT = 11  # points


def story_pages(pages: Sequence[str]) -> Picture:
    """Draw a story: one page after the other, with its cards and its question.

    Args:
        pages: at least one page of cards `A0` to `D7` and questions `A?` to `D?`.

    Raises:
        ValueError: no page, or a card that is none.
    """
    split = _cards(pages)
    figure, axes = canvas(5.2, 1.5)
    _bare(axes, (0, len(pages)), (-0.4, 1.05))
    for number, cards in enumerate(split):
        axes.add_patch(Rectangle((number + 0.06, 0), 0.88, 1, fill=False, edgecolor=NEUTRAL))
        _text(axes, number + 0.5, -0.12, f"page {number + 1}", ha="center", va="top")
        for place, card in enumerate(cards):
            _card(axes, number + 0.5, 0.5 + 0.44 * ((len(cards) - 1) / 2 - place), card)
    told = "; ".join(f"page {number} {_told(cards)}" for number, cards in enumerate(split, start=1))
    alt = (
        f"A story of {_count(len(pages), 'page')}, read from left to right: {told}. "
        "Each box has its own colour and its letter. "
        "A later card about the same box replaces the earlier one."
    )
    return picture(figure, alt)


def attention_area(tokens: int, segment: int, *, query: int, answer: int) -> Picture:
    """Draw the scores of attention as areas: over the whole text, and cut into segments.

    Args:
        tokens: length n of the text.
        segment: tokens in a segment; the last one may be shorter.
        query: place of a token that asks, from 0.
        answer: place of the token that answers it, from 0, at or before `query`.

    Raises:
        ValueError: a length below 1, a segment longer than the text, or a place outside it.
    """
    if not 1 <= segment <= tokens:
        raise ValueError(f"segment={segment}: expected 1 to tokens={tokens}")
    if not 0 <= answer <= query < tokens:
        raise ValueError(
            f"answer={answer}, query={query}: expected 0 <= answer <= query < {tokens}"
        )
    figure, panels = canvas(5.2, 3.1, columns=2)
    cut = 0
    for axes, width in zip(panels, (tokens, segment), strict=True):
        _bare(axes, (-0.1, tokens + 0.1), (tokens + 0.1, -0.1))
        axes.set_aspect("equal")
        axes.add_patch(Rectangle((0, 0), tokens, tokens, fill=False, edgecolor=NEUTRAL))
        cut = 0
        for start in range(0, tokens, width):
            size = min(width, tokens - start)
            cut += size**2
            axes.add_patch(Rectangle((start, start), size, size, facecolor=TOKENS, linewidth=0))
        for line in range(1, tokens):
            axes.plot((0, tokens), (line, line), color=NEUTRAL, alpha=0.35, linewidth=0.5)
            axes.plot((line, line), (0, tokens), color=NEUTRAL, alpha=0.35, linewidth=0.5)
        seen = answer // width == query // width
        axes.add_patch(
            Rectangle((answer, query), 1, 1, facecolor=SLOTS, edgecolor=INK, linewidth=1.5)
        )
        axes.set_title(f"{'whole text' if width == tokens else f'segments of {width}'}: {cut:,}")
        axes.set_xlabel("token looked at")
        _text(axes, 
            tokens / 2, tokens * 1.1, "question sees the card" if seen else "card not seen",
            ha="center", va="top",
        )  # fmt: skip
    panels[0].set_ylabel("token that looks")
    same = answer // segment == query // segment
    alt = (
        f"Two squares of {tokens} by {tokens} scores. Over the whole text all {tokens**2:,} are "
        f"computed; cut into segments of {segment}, only the {cut:,} in the squares along the "
        f"diagonal. The marked score, token {query} looking at token {answer}, is "
        f"{'still inside' if same else 'no longer among them'}: what the cut saves is what it "
        "cannot see."
    )
    return picture(figure, alt)


def accuracy_by_distance(
    curves: dict[str, Sequence[float]], *, chance: float, notes: Sequence[str] = ()
) -> Picture:
    """Draw the share of right answers against the distance between card and question.

    Args:
        curves: for each reader's name the shares, from 0 to 1, at 0, 1, 2, … pages; at most 4.
        chance: the share that guessing reaches.
        notes: names of the readers that carry slots; they get the slots' colour.

    Raises:
        ValueError: no curve or too many, curves of unequal length, a share outside [0, 1], or
            `notes` that name no curve.
    """
    if not 1 <= len(curves) <= 4:
        raise ValueError(f"curves: expected 1 to 4, got {len(curves)}")
    lengths = {len(curve) for curve in curves.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"curves: expected equal lengths of at least 1, got {sorted(lengths)}")
    for share in (chance, *itertools.chain(*curves.values())):
        if not 0 <= share <= 1:
            raise ValueError(f"curves: expected shares from 0 to 1, got {share}")
    if unknown := set(notes) - set(curves):
        raise ValueError(f"notes: {sorted(unknown)} name no curve")
    figure, axes = canvas(5.2, 3.0)
    styles = zip("os^D", ("-", "--", "-.", ":"), strict=True)
    for (name, curve), (marker, dash) in zip(curves.items(), styles, strict=False):
        line = {"marker": marker, "linestyle": dash, "drawstyle": "steps-mid"}
        line["color"] = SLOTS if name in notes else TOKENS
        axes.plot(curve, label=name, clip_on=False, **line)
    axes.axhline(chance, color=NEUTRAL, linestyle=":", label=f"chance, {chance:.3f}")
    last = lengths.pop() - 1
    axes.set(xlabel="distance from card to question (pages)", ylabel="share right")
    axes.set(ylim=(0, 1.02), yticks=(0, 0.25, 0.5, 0.75, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=2,
        frameon=False,
        fontsize=FONT,
        labelcolor=INK,
    )
    told = "; ".join(f"{name}: {_steps(curve)}" for name, curve in curves.items())
    alt = (
        f"Share of right answers against distance, 0 to {last} pages. {told}. "
        f"A dotted line marks chance, {chance:.3f}."
    )
    return picture(figure, alt)


def three_ways(layers: int, kept: int, squeezed: int, slots: int) -> Picture:
    """Draw what is carried to the next segment: activations, compressed activations, or notes.

    Args:
        layers: number of layers l, 1 to 4.
        kept: places kept as they are, 1 to 6.
        squeezed: places that hold compressed ones, 1 to 6.
        slots: slots of the notes k, 1 to 6.

    Raises:
        ValueError: a number outside its range.
    """
    for name, value, most in (
        ("layers", layers, 4), ("kept", kept, 6), ("squeezed", squeezed, 6), ("slots", slots, 6),
    ):  # fmt: skip
        if not 1 <= value <= most:
            raise ValueError(f"{name}={value}: expected 1 to {most}")
    figure, rows = canvas(5.2, 4.6, rows=3)
    now = 14  # where the segment that is being read begins
    titles = (
        f"keep activations: {layers * kept} rows",
        f"compress the older ones: {layers * (kept + squeezed)} rows",
        f"write notes: {slots} rows",
    )
    for axes, title in zip(rows, titles, strict=True):
        _bare(axes, (-0.2, now + 5.2), (-0.2, layers + 0.2))
        axes.set_title(title, loc="left")
        for place, layer in itertools.product(range(4), range(layers)):
            _tile(axes, now + 1 + place, layer, TOKENS, alpha=0.35)
        axes.annotate(
            "",
            xy=(now + 0.85, layers / 2),
            xytext=(now - 0.25, layers / 2),
            arrowprops={"arrowstyle": "->", "color": INK},
        )
    for place, layer in itertools.product(range(kept), range(layers)):
        _tile(rows[0], now - 0.4 - kept + place, layer, TOKENS)
        _tile(rows[1], now - 0.4 - kept + place, layer, TOKENS)
    for place, layer in itertools.product(range(squeezed), range(layers)):
        _tile(rows[1], now - 0.4 - kept - squeezed + place, layer, TOKENS, hatch="////")
    for slot in range(slots):
        _tile(rows[2], now - 0.4 - slots + slot, (layers - 1) / 2, SLOTS)
    start = now - 0.9 - kept
    _text(rows[0], start, layers / 2, "older: gone", ha="right", va="center")
    _text(rows[1], start - squeezed, layers / 2, "oldest: gone", ha="right", va="center")
    _text(rows[2], now - 0.9 - slots, layers / 2, "all pages, in part", ha="right", va="center")
    rows[0].set_title("this segment", loc="right")
    alt = (
        "Three rows, each with what is carried from the past on the left and the segment being "
        f"read on the right. Keeping activations carries {kept} places in each of {layers} layers, "
        f"{layers * kept} rows, and what is older is gone. Compressing adds {squeezed} places that "
        f"stand for older ones, {layers * (kept + squeezed)} rows. Notes are {slots} slots, "
        "whatever the number of layers and pages."
    )
    return picture(figure, alt)


def notebook_trace(
    pages: Sequence[str], notebooks: dict[str, Tensor], boxes: str = "AB"
) -> Picture:
    """Draw the recurrence with numbers: the notes after each page, written or kept.

    Args:
        pages: the story.
        notebooks: for each rule's name the notes after each page, (pages, boxes); nan where
            nothing has been written yet.
        boxes: which box each number belongs to.

    Raises:
        ValueError: notes that do not fit the pages or the boxes.
    """
    split = _cards(pages)
    size = (len(pages), len(boxes))
    for name, notes in notebooks.items():
        if tuple(notes.shape) != size:
            raise ValueError(
                f"notebooks[{name!r}]: expected shape {size}, got {tuple(notes.shape)}"
            )
    trace = {name: _known(notes) for name, notes in notebooks.items()}
    step = len(boxes) + 1.0  # height of one notebook
    figure, axes = canvas(5.2, 1.5 + 0.42 * step * len(notebooks))
    _bare(axes, (-1.25, len(pages)), (-step * len(notebooks) - 0.35, 1.75))
    for number, cards in enumerate(split):
        _text(axes, number + 0.5, 1.72, f"page {number + 1}", ha="center", va="top")
        for place, card in enumerate(cards):
            across = (place - (len(cards) - 1) / 2) * 0.42
            _card(axes, number + 0.5 + across, 0.55, card, size=0.4, height=0.75)
    changes = []
    for row, (name, notes) in enumerate(trace.items()):
        top = -row * step
        _text(axes, -1.2, top - 0.3, name, ha="left", va="center")
        for slot, box in enumerate(boxes):
            height = top - 1.15 - slot
            _text(axes, -0.12, height, f"slot {box}", ha="right", va="center")
            for number, (cards, note) in enumerate(zip(split, notes, strict=True)):
                written = any(card[0] == box and card[1] != "?" for card in cards)
                colour = WRITTEN if written else KEPT
                if note[slot] is None:
                    _text(axes, number + 0.5, height, "–", ha="center", va="center", color=NEUTRAL)
                else:
                    _label(axes, number + 0.5, height, f"{note[slot]:g}", colour, 0.62, 0.8)
                    changes.append(written)
                if number:
                    axes.annotate(
                        "",
                        xy=(number + 0.18, height),
                        xytext=(number - 0.18, height),
                        arrowprops={"arrowstyle": "->", "color": NEUTRAL},
                    )
    bottom = -step * len(notebooks) - 0.1
    _label(axes, 0.5, bottom, "written", WRITTEN, 0.95, 0.7)
    _label(axes, 1.7, bottom, "kept", KEPT, 0.7, 0.7)
    final = "; ".join(
        f"{name} ends with "
        + " and ".join(
            f"{'nothing' if value is None else f'{value:g}'} for {box}"
            for box, value in zip(boxes, notes[-1], strict=True)
        )
        for name, notes in trace.items()
    )
    alt = (
        f"Notes after each of {len(pages)} pages, one number a box, under the cards of the page. "
        f"{sum(changes)} of the numbers were just written, {len(changes) - sum(changes)} kept. "
        f"The rule {final}."
    )
    return picture(figure, alt)


def model_diagram(highlight: Sequence[str] = (), *, shapes: bool = False) -> Picture:
    """Draw the Memformer at one segment: read in every encoder layer, write once after the last.

    Args:
        highlight: parts to bring out, of "embedding", "self", "read", "feed", "write", "gate",
            "decoder"; none: all are equal.
        shapes: True writes the shape of the tensor beside each arrow.

    Raises:
        ValueError: a part that does not exist.
    """
    for part in highlight:
        if part not in PARTS:
            raise ValueError(f"highlight: {part!r} is none of {', '.join(map(repr, PARTS))}")
    figure, axes = canvas(5.2, 6.6)
    _bare(axes, (0, 10.4), (-0.4, 13.0))
    frame = {"fill": False, "edgecolor": NEUTRAL, "linestyle": "--"}
    axes.add_patch(FancyBboxPatch((2.85, 2.75), 3.9, 3.8, boxstyle="round,pad=0.1", **frame))
    _text(axes, 7.0, 4.65, "encoder layer,\nl times", ha="left")

    def box(part: str, x: float, y: float, text: str, colour: str, width: float = 3.5) -> None:
        weak = bool(highlight) and part not in highlight
        _label(axes, x, y, text, colour, width, 0.9, alpha=0.3 if weak else 1.0)

    def arrow(*points: tuple[float, float]) -> None:
        for start, end in itertools.pairwise(points[:-1]):
            axes.plot(*zip(start, end, strict=True), color=INK, linewidth=1.3)
        style = {"arrowstyle": "->", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=style)

    def memory(x: float, low: float) -> None:
        for slot in range(4):
            axes.add_patch(
                Rectangle((x - 0.75, low + slot * 0.36), 1.5, 0.3, facecolor=SLOTS, linewidth=0)
            )

    box("embedding", 4.8, 1.65, "embedding", TOKENS)
    box("self", 4.8, 3.25, "self-attention", TOKENS)
    box("read", 4.8, 4.65, "read", SLOTS)
    box("feed", 4.8, 6.05, "feed-forward", TOKENS)
    box("write", 4.8, 8.6, "write", SLOTS)
    box("gate", 4.8, 10.0, "update gate", WRITTEN)
    box("decoder", 9.0, 8.6, "decoder", TOKENS, width=2.3)
    memory(1.0, 3.95)
    memory(4.8, 11.15)
    _text(axes, 4.8, -0.1, "segment t")
    _text(axes, 9.0, 6.9, "target")
    _text(axes, 9.0, 10.15, "logits")
    _text(axes, 4.6, 7.4, "encoder output", ha="right")
    _text(axes, 0.15, 2.9, "old memory,\nafter segment\nt - 1", ha="left")
    _text(axes, 5.8, 11.8, "new memory, for\nsegment t + 1", ha="left")
    arrow((4.8, 0.25), (4.8, 1.18))
    arrow((4.8, 2.1), (4.8, 2.78))
    arrow((4.8, 3.7), (4.8, 4.18))
    arrow((4.8, 5.1), (4.8, 5.58))
    arrow((4.8, 6.5), (4.8, 8.13))
    arrow((4.8, 7.4), (7.2, 7.4), (7.2, 8.6), (7.83, 8.6))
    arrow((1.8, 4.65), (3.03, 4.65))
    arrow((1.0, 5.45), (1.0, 8.6), (3.03, 8.6))
    arrow((1.0, 8.6), (1.0, 10.0), (3.03, 10.0))
    arrow((4.8, 9.05), (4.8, 9.53))
    arrow((4.8, 10.45), (4.8, 11.1))
    arrow((9.0, 7.2), (9.0, 8.13))
    arrow((9.0, 9.05), (9.0, 9.8))
    if shapes:
        for x, y, shape in (
            (5.0, 0.65, "(b, n)"), (5.0, 2.4, "(b, n, d)"), (5.0, 7.78, "(b, n, d)"),
            (1.15, 6.1, "(b, k, d)"), (5.8, 11.0, "(b, k, d)"), (8.15, 10.75, "(b, n, v)"),
        ):  # fmt: skip
            _text(axes, x, y, shape, ha="left")
    brought = f" Brought out: {', '.join(f'{p} ({PARTS[p]})' for p in highlight)}." * bool(
        highlight
    )
    written = (
        " Beside the arrows: tokens (b, n), encoder output (b, n, d), memory (b, k, d), "
        "logits (b, n, v)." * shapes
    )
    alt = (
        "The Memformer at one segment. Its tokens are embedded and pass through l encoder layers, "
        "each with self-attention, then a read of the old memory, then a feed-forward. The encoder "
        "output goes to the decoder, which gives logits, and to the write, where each old slot "
        "looks at itself and at that output; the update gate mixes old and new slots into the "
        f"memory that the next segment reads.{brought}{written}"
    )
    return picture(figure, alt)


def _bare(axes: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    """Leave only what is drawn: no ticks, no frame, these limits."""
    axes.set(xlim=across, ylim=up, xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _text(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Write a text around a point, line under line, centred unless `options` say otherwise."""
    lines = text.split("\n")
    style = {"ha": "center", "va": "center", "fontsize": FONT, "color": INK}
    for number, line in enumerate(lines):
        down = 1.25 * FONT * ((len(lines) - 1) / 2 - number)
        place = {"xytext": (0, down), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(line, (x, y), **place, **style | options)


def _cards(pages: Sequence[str]) -> list[list[str]]:
    """Split pages into cards, and refuse what is none."""
    if isinstance(pages, str) or not pages:
        raise ValueError(f"pages={pages!r}: expected a list of at least one page")
    for card in itertools.chain(*(page.split() for page in pages)):
        if not CARD.fullmatch(card):
            raise ValueError(f"pages: {card!r} is no card; expected A0 to D7, or A? to D?")
    return [page.split() for page in pages]


def _told(cards: list[str]) -> str:
    """Say in words what a page holds."""
    if not cards:
        return "says nothing of interest"
    told = [
        f"asks for box {c[0]}" if c[1] == "?" else f"says box {c[0]} holds {c[1]}" for c in cards
    ]
    return " and ".join(told)


def _steps(curve: Sequence[float]) -> str:
    """Say a curve in words, as runs of nearly equal shares."""
    runs = [[0, 0]]
    for place in range(1, len(curve)):
        if abs(curve[place] - curve[runs[-1][0]]) <= 0.1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    told = []
    for start, end in runs:
        mean = sum(curve[start : end + 1]) / (end + 1 - start)
        where = f"at {start}" if start == end else f"at {start} to {end}"
        told.append(f"{mean:.2f} {where}")
    return ", ".join(told)


def _known(notes: Tensor) -> list[list[float | None]]:
    """List notes as numbers, None for nan."""
    return [[None if math.isnan(n) else n for n in row] for row in notes.tolist()]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _label(
    axes: Axes, x: float, y: float, text: str, colour: str, width: float, height: float,
    *, alpha: float = 1.0,
) -> None:  # fmt: skip
    """Draw a filled box with a text in its middle; a weak one (alpha < 1) has text in ink."""
    low = (x - width / 2, y - height / 2)
    axes.add_patch(Rectangle(low, width, height, facecolor=colour, linewidth=0, alpha=alpha))
    ink = ink_on(colour) if alpha == 1.0 else INK
    _text(axes, x, y, text, ha="center", va="center", color=ink)


def _card(
    axes: Axes, x: float, y: float, card: str, size: float = 0.56, height: float = 0.36
) -> None:
    """Draw a card in its box's colour, a question as an outline."""
    if card[1] == "?":
        low = (x - size / 2, y - height / 2)
        edge = BOXES[card[0]]
        axes.add_patch(Rectangle(low, size, height, fill=False, edgecolor=edge, linewidth=2))
        _text(axes, x, y, card, ha="center", va="center", fontweight="bold")
    else:
        _label(axes, x, y, card, BOXES[card[0]], size, height)


def _tile(
    axes: Axes, x: float, y: float, colour: str, *, alpha: float = 1.0, hatch: str = ""
) -> None:
    """Draw one row of numbers as a small square, at its place and layer."""
    face = "none" if hatch else colour
    axes.add_patch(
        Rectangle(
            (x + 0.06, y + 0.06), 0.88, 0.88, facecolor=face, edgecolor=colour, alpha=alpha,
            hatch=hatch, linewidth=1 if hatch else 0,
        )
    )  # fmt: skip
