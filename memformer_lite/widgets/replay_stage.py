"""Replay stage (chapter 08): BPTT, truncated BPTT and memory replay, step by step, on one number.

The memory is one number, `m_t = a m_(t-1) + t` with `m_0 = 2`, and a loss on page t is `m_t²`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.patches import Rectangle

from memformer_lite.figures import (
    INK,
    NEUTRAL,
    SLOTS,
    TOKENS,
    WRITTEN,
    Picture,
    canvas,
    ink_on,
    picture,
)
from memformer_lite.validation import check_choice, check_integer
from memformer_lite.widgets.base import Widget

METHODS = {"bptt": "BPTT", "truncated": "truncated BPTT", "replay": "memory replay"}
LOSSES = {"last": "a loss on the last page", "every": "a loss on every page"}
PAGES = (3, 6)  # fewest and most
SURVIVES = (0.25, 0.5, 0.75, 1.0)  # choices of `a`


class Moment(NamedTuple):
    """What there is at one step of learning; `m_t` is the memory after page t.

    Attributes:
        action: "read" (with its graph), "note" (without), "reread", "back" (sent back), "cut"
            (the memory after the page is detached), "end".
        page: acted on, from 1; at the end 0.
        graphs: pages whose graph is alive; where one is sent back, its own still is.
        notes: t of each `m_t` in the replay buffer; `m_0` is the caller's and not counted.
        gradients: of the loss by `m_0` to `m_T` as far as computed; None: none has come.
        handed: what a page that is sent back hands to the memory before it; else, and where a cut
            is before it, None.
        shares: what each page has added to the gradient by `a`; None: nothing.
        forwards: pages read so far; one read twice counts twice.
        backwards: pages sent back so far.
    """

    action: str
    page: int
    graphs: list[int]
    notes: list[int]
    gradients: list[float | None]
    handed: float | None
    shares: list[float | None]
    forwards: int
    backwards: int


class ReplayStage(Widget):
    """Choose how to learn and step through it: what is kept, which gradient goes where, the cost.

    Args:
        method: at the start, "bptt", "truncated" or "replay".
        pages: at the start, from 3 to 6.
        losses: at the start, on the "last" page or on "every" page.
        detach_every: at the start, pages between two cuts where truncated, fewer than `pages`.
        a: at the start, how much of the memory survives a page: 0.25, 0.5, 0.75 or 1.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option that is none of these.
    """

    name = "replay_stage"

    def __init__(
        self,
        *,
        method: str = "replay",
        pages: int = 4,
        losses: str = "last",
        detach_every: int = 1,
        a: float = 0.5,
    ):
        check_choice("method", method, tuple(METHODS))
        check_integer("pages", pages, at_least=PAGES[0])
        if pages > PAGES[1]:
            raise ValueError(f"pages={pages}: expected at most {PAGES[1]}")
        check_choice("losses", losses, tuple(LOSSES))
        check_integer("detach_every", detach_every, at_least=1)
        if detach_every >= pages:
            raise ValueError(f"detach_every={detach_every}: expected fewer than pages={pages}")
        check_choice("a", a, SURVIVES)
        start = {
            "method": method,
            "pages": pages,
            "losses": losses,
            "detach_every": detach_every,
            "a": float(a),
        }
        super().__init__(
            data={"start": start, "pages": PAGES, "survives": SURVIVES}, twin=_twin(start)
        )


def memories(pages: int, a: float) -> list[float]:
    """Return `m_0` to `m_T`."""
    found = [2.0]
    for page in range(1, pages + 1):
        found.append(a * found[-1] + page)
    return found


def schedule(*, method: str, pages: int, losses: str, detach_every: int, a: float) -> list[Moment]:
    """Return the moments of learning, one a step; arguments as in `ReplayStage`, of any size."""
    m, moments, forwards, backwards = memories(pages, a), [], 0, 0
    gradients, shares = [None] * (pages + 1), [None] * pages
    for action, page, graphs, notes in _order(method, pages, losses, detach_every):
        handed = None
        forwards += action in ("read", "note", "reread")
        if action == "back":
            backwards += 1
            own = 2 * m[page] if losses == "every" or page == pages else 0.0
            gradients[page] = (gradients[page] or 0.0) + own
            shares[page - 1] = gradients[page] * m[page - 1]
            if method == "replay" or page == 1 or len(graphs) > 1:  # else a cut is before it
                gradients[page - 1] = handed = a * gradients[page]
        kept, known = (list(graphs), list(notes)), (list(gradients), handed, list(shares))
        moments.append(Moment(action, page, *kept, *known, forwards, backwards))
    return moments


def _order(method: str, pages: int, losses: str, detach_every: int) -> Iterator[tuple]:
    """Yield action, page, graphs and notes of each step."""
    if method == "replay":
        for page in range(1, pages):
            yield "note", page, [], range(1, page + 1)
        for page in range(pages, 0, -1):
            yield "read" if page == pages else "reread", page, [page], range(1, page)
            yield "back", page, [page], range(1, page)
    else:
        size = detach_every if method == "truncated" else pages
        for first in range(1, pages + 1, size):
            last = min(first + size - 1, pages)
            for page in range(first, last + 1):
                yield "read", page, range(first, page + 1), []
            if losses == "every" or last == pages:
                for page in range(last, first - 1, -1):
                    yield "back", page, range(first, page + 1), []
            if last < pages:
                yield "cut", last, [], []
    yield "end", 0, [], []


def _twin(options: dict) -> Picture:
    """Draw the whole run: what is kept at each step, and what each page adds."""
    moments, pages = schedule(**options), options["pages"]
    full = schedule(**options | {"method": "bptt"})[-1].shares
    figure, (left, right) = canvas(
        7.0, 0.9 + 0.4 * pages, columns=2, sharey=True, width_ratios=(2.4, 1)
    )
    for x, moment in enumerate(moments, 1):
        for page in range(1, pages + 1):
            look = {"fill": False, "edgecolor": NEUTRAL, "linewidth": 0.4}
            if page in moment.graphs:
                look = {"facecolor": TOKENS}
            left.add_patch(Rectangle((x - 0.45, page - 0.4), 0.9, 0.8, **look))
        for note in moment.notes:
            left.plot(x, note + 0.5, "o", color=SLOTS, markersize=5)
        if moment.action == "cut":
            left.plot([x - 0.45, x + 0.45], [moment.page + 0.5] * 2, color=INK, linewidth=2)
        elif moment.page:
            sign = "←" if moment.action == "back" else "→"
            ink = ink_on(TOKENS) if moment.graphs else INK
            left.text(x, moment.page, sign, ha="center", va="center", color=ink)
    left.set(
        xlim=(0.4, len(moments) + 0.6),
        ylim=(0.4, pages + 0.6),
        xlabel="step: → read, ← sent back",
        ylabel="page",
        title=METHODS[options["method"]],
    )
    left.set_yticks(range(1, pages + 1))
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    rows, added = range(1, pages + 1), [share or 0.0 for share in moments[-1].shares]
    right.barh(rows, full, color="none", edgecolor=NEUTRAL, height=0.6)
    right.barh(rows, added, color=WRITTEN, height=0.6)
    right.set(xlabel="adds to the gradient of a", title="outlined: BPTT")
    last = moments[-1]
    graphs = max(len(moment.graphs) for moment in moments)
    notes = max(len(moment.notes) for moment in moments)
    each = ", ".join(
        f"page {page} {_short(share)}" for page, share in zip(rows, added, strict=True)
    )
    how = METHODS[options["method"]]
    if options["method"] == "truncated":
        how += f" with a cut every {_plural(options['detach_every'], 'page')}"
    return picture(
        figure,
        f"{how} of {pages} pages, {LOSSES[options['losses']]}, in {len(moments)} steps; blue "
        "is a graph that is kept, an orange dot a memory in the replay buffer. "
        f"{last.forwards} pages are read and {last.backwards} sent back; at most "
        f"{_plural(graphs, 'graph')} and {_plural(notes, 'note')} are kept. "
        f"To the gradient of a, {_short(sum(added))}, they add: {each}. "
        f"BPTT's is {_short(sum(full))}.",
    )


def _short(value: float) -> str:
    return f"{value:.4g}"


def _plural(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"
