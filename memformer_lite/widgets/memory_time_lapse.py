"""Memory time-lapse (chapters 05, 09 and 11): a recorded run, scrubbed over its segments."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from memformer_lite.figures import COLORMAP, Picture, canvas, ink_on, picture
from memformer_lite.inside.record import record
from memformer_lite.inside.trace import RecordedSegment, Trace
from memformer_lite.learning.checkpoint import load_learner
from memformer_lite.validation import check_integer
from memformer_lite.widgets.base import Widget

MOST_SEGMENTS = 128
MOST_SLOTS = 8  # more columns do not fit on a narrow screen
MOST_TOKENS = 16
MOST_NUMBERS = 40_000  # of both runs, about 200 kB of HTML
LONGEST_WORD = 6  # characters
LONGEST_NAME = 24
UNIT = 10_000  # weights and gates stand in the data as whole ten-thousandths


class MemoryTimeLapse(Widget):
    """Go through a recorded run; see what each slot is read for, writes, keeps, and how it moves.

    For example::

        with record(model) as trace:
            for src in segments:
                mems = model(src, mems=mems).mem
        MemoryTimeLapse(trace)

    Args:
        trace: what `record` recorded, 1 to 128 segments of at most 16 tokens and 8 slots;
            `trace[::4]` shows every fourth segment.
        other: a second run of as many segments, beside the first and on the same scales, by a
            model with as many layers, heads and updates; None: one run.
        names: a name for each run, at most 24 characters; None: "run 1", "run 2".
        row: which row of the batch is shown, from 0.
        words: a name for each token id, at most 6 characters; None: the ids.

    Raises:
        TypeError: an argument is not of its type.
        ValueError: a trace without segments, one that cannot be shown or not with the other run;
            a token without a name; a number that is not finite.
    """

    name = "memory_time_lapse"

    def __init__(
        self,
        trace: Trace,
        *,
        other: Trace | None = None,
        names: Sequence[str] | None = None,
        row: int = 0,
        words: Sequence[str] | None = None,
    ):
        check_integer("row", row, at_least=0)
        traces = {"trace": trace} if other is None else {"trace": trace, "other": other}
        for argument, given in traces.items():
            _check_trace(argument, given, row)
        sizes = [_sizes(given) for given in traces.values()]
        if sizes[0] != sizes[-1]:
            raise ValueError(
                f"other: expected {_in_words(sizes[0])}, as in trace, got {_in_words(sizes[-1])}"
            )
        names = [f"run {place}" for place in range(1, 1 + len(traces))] if names is None else names
        _check_words("names", names, longest=LONGEST_NAME)
        if len(names) != len(traces) or len({*names}) != len(names):
            raise ValueError(f"names={names!r}: expected {len(traces)}, no two alike")
        if words is not None:
            _check_words("words", words, longest=LONGEST_WORD)
        count = sum(_numbers(segment) for given in traces.values() for segment in given)
        if count > MOST_NUMBERS:
            raise ValueError(
                f"trace: too large to show: {count:,} numbers, expected at most "
                f"{MOST_NUMBERS:,}; show fewer segments, such as trace[::4]"
            )
        data = {
            "layers": sizes[0]["layers"],
            "updates": sizes[0]["updates"],
            "unit": UNIT,
            "runs": [
                {
                    "name": name,
                    "complete": given.complete,
                    "segments": [
                        _plain(f"{argument}: segment {place}", segment, row, words)
                        for place, segment in enumerate(given, 1)
                    ],
                }
                for name, (argument, given) in zip(names, traces.items(), strict=True)
            ],
        }
        super().__init__(data=data, twin=_twin(data))

    @classmethod
    def example(cls) -> "MemoryTimeLapse":
        """Return the learner that ships with the package, recorded on a story of cards."""
        learner = load_learner()
        task, mems = learner.recipe.task, learner.start(1)
        with torch.no_grad(), record(learner) as trace:
            for page in ("A3", "–", "B1 C6", "A5", "D2", "A?"):
                _, mems = learner.answer(torch.tensor([task.tokens_of(page)]), mems)
        return cls(trace)


def _check_trace(argument: str, trace: Trace, row: int) -> None:
    """Raise unless all segments of a trace fit each other and can be shown."""
    if not isinstance(trace, Trace):
        raise TypeError(f"{argument}: expected a Trace, got {type(trace).__name__}")
    for segment in trace:
        if not isinstance(segment, RecordedSegment):
            kind = type(segment).__name__
            raise TypeError(f"{argument}: expected a Trace of RecordedSegments, has {kind} in it")
    if not 1 <= len(trace) <= MOST_SEGMENTS:
        hint = "show fewer, such as trace[::4]" if len(trace) else "was the model called in `with`?"
        raise ValueError(
            f"{argument}: expected 1 to {MOST_SEGMENTS} segments, got {len(trace)}: {hint}"
        )
    for place, segment in enumerate(trace, 1):
        (b, n), k = segment.src.shape, segment.before.shape[1]
        if row >= b:
            raise ValueError(f"row={row}: expected 0 to {b - 1}, the rows of {argument}")
        if n > MOST_TOKENS or k > MOST_SLOTS:
            raise ValueError(
                f"{argument}: segment {place} has {n} tokens and {k} slots; "
                f"the widget shows at most {MOST_TOKENS} and {MOST_SLOTS}"
            )
    for place, (first, second) in enumerate(pairwise(trace), 2):
        if _shape(first) != _shape(second):
            raise ValueError(f"{argument}: segment {place} is of another model than the one before")


def _check_words(argument: str, words: Sequence[str], *, longest: int) -> None:
    """Raise unless these are short names that can be seen."""
    listed = isinstance(words, Sequence) and not isinstance(words, str)
    if not listed or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{argument}: expected a list of names, got {words!r}")
    for word in words:
        if not word.strip() or len(word) > longest:
            raise ValueError(
                f"{argument}: expected 1 to {longest} visible characters, got {word!r}"
            )


def _shape(segment: RecordedSegment) -> tuple:
    layers, _, heads, _, slots = segment.read.shape
    updates, _, write_heads, _, _ = segment.write.shape
    return layers, heads, updates, write_heads, slots, segment.gate is None


def _sizes(trace: Trace) -> dict[str, int]:
    """Return what two runs must have in common to be shown side by side."""
    layers, heads, updates, write_heads, *_ = _shape(trace[0])
    return {
        "segments": len(trace),
        "layers": layers,
        "heads": heads,
        "updates": updates,
        "write heads": write_heads,
    }


def _in_words(sizes: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sizes.items())


def _numbers(segment: RecordedSegment) -> int:
    """Return how many numbers of one row go into the HTML."""
    rows, slots = len(segment.src), segment.before.shape[1]
    return (segment.read.numel() + segment.write.numel()) // rows + slots * (3 + len(segment.write))


def _plain(
    where: str, segment: RecordedSegment, row: int, words: Sequence[str] | None
) -> dict[str, list | None]:
    """Return one row of a segment as plain data: tables (l·h, n, k) and (u·h, k, 1 + n), lists (k).

    `pad` says of each token whether it is padding; None: none is.
    """
    tokens, real = segment.src[row].tolist(), segment.src_mask
    if words is not None and max(tokens) >= len(words):
        raise ValueError(
            f"words: expected a name for each token id, {where} has {max(tokens)}, "
            f"the last name is that of {len(words) - 1}"
        )
    gate = segment.gate
    return {
        "tokens": [str(token) if words is None else words[token] for token in tokens],
        "pad": None if real is None or real[row].all() else (~real[row]).tolist(),
        "read": _shares(f"{where}, read", segment.read[:, row].flatten(0, 1)),
        "write": _shares(f"{where}, write", segment.write[:, row].flatten(0, 1)),
        "gate": None if gate is None else _shares(f"{where}, gate", gate[:, row].mean(dim=-1)),
        "before": _lengths(f"{where}, norm", segment.norm_before[row]),
        "after": _lengths(f"{where}, norm", segment.norm_after[row]),
        "change": _lengths(f"{where}, change", segment.change[row]),
    }


def _shares(where: str, values: Tensor) -> list:
    if not values.isfinite().all():
        raise ValueError(f"{where}: expected finite numbers")
    return (values.double() * UNIT).round().long().tolist()


def _lengths(where: str, values: Tensor) -> list[float]:
    if not values.isfinite().all():
        raise ValueError(f"{where}: expected finite numbers, got {values.tolist()}")
    return [float(f"{value:.6g}") for value in values.tolist()]


def _twin(data: dict) -> Picture:
    """Draw change, norm and gate of each slot in each segment, as maps on common scales."""
    runs = data["runs"]
    count, slots = len(runs[0]["segments"]), len(runs[0]["segments"][0]["after"])
    maps = {
        name: [[take(segment) for segment in run["segments"]] for run in runs]
        for name, take in _QUANTITIES.items()
    }
    figure, panels = canvas(
        7.0,
        0.9 + 3 * (0.55 + 0.24 * slots),
        rows=3,
        columns=len(runs),
        sharex=True,
        squeeze=False,
    )
    for rows, (name, found) in zip(panels, maps.items(), strict=True):
        top = max(x for run in found for segment in run for x in segment or [0.0]) or 1.0
        for axes, run, values in zip(rows, runs, found, strict=True):
            _draw_map(axes, values, 1.0 if name.startswith("gate") else top)
            axes.set_title(f"{run['name']}: {name}")
    for axes in panels[-1]:
        axes.set_xlabel("segment")
        ticks = sorted({0, count // 2, count - 1}) if count > 12 else range(count)
        axes.set_xticks(ticks, [place + 1 for place in ticks])
    words = " ".join(_run_in_words(run) for run in runs)
    return picture(
        figure,
        f"Maps of {slots} slots by {count} segments: how far each slot moves, its norm after, and "
        f"its update gate (1 keeps). {words}",
    )


_QUANTITIES = {
    "change": lambda segment: segment["change"],
    "norm": lambda segment: segment["after"],
    "gate": lambda segment: segment["gate"] and _gate(segment),
}


def _gate(segment: dict) -> list[float]:
    """Return the mean gate of each slot over the updates."""
    return [sum(column) / len(column) / UNIT for column in zip(*segment["gate"], strict=True)]


def _draw_map(axes, values: list[list[float] | None], top: float) -> None:
    """Draw a map of slots × segments from 0 to `top`, with numbers where they fit."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if values[0] is None:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no gate", ha="center", va="center", transform=axes.transAxes)
        return
    columns = list(zip(*values, strict=True))
    image = axes.imshow(columns, cmap=COLORMAP, vmin=0, vmax=top, aspect="auto")
    axes.set_yticks(range(len(columns)), [f"slot {slot + 1}" for slot in range(len(columns))])
    if len(values) > 8:
        return
    for slot, row in enumerate(columns):
        for place, value in enumerate(row):
            ink = ink_on(image.cmap(value / top)[:3])
            text = f"{value:.2f}" if value < 10 else f"{value:.0f}"
            axes.text(place, slot, text, ha="center", va="center", color=ink, fontsize=9)


def _run_in_words(run: dict) -> str:
    """Say of a run which slot moves most, in which range norms and gates lie, and if it is cut."""
    segments = run["segments"]
    change, place, slot = max(
        (change, -place, -slot)
        for place, segment in enumerate(segments, 1)
        for slot, change in enumerate(segment["change"], 1)
    )
    first, last = (sum(ends) / len(ends) for ends in (segments[0]["before"], segments[-1]["after"]))
    gates = [gate for segment in segments if segment["gate"] for gate in _gate(segment)]
    gate = f"gates {min(gates):.2f} to {max(gates):.2f}" if gates else "no gate"
    cut = "" if run["complete"] else " The recording stopped early."
    return (
        f"{run['name']}: the largest change is {change:.2f}, of slot {-slot} in segment {-place}; "
        f"mean norm {first:.2f} before the first segment, {last:.2f} after the last; {gate}.{cut}"
    )
