"""Memory explorer (index, chapter 10): a trained model at work in the browser, with stories."""

import base64
import copy
import re
from collections.abc import Mapping, Sequence

import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from memformer_lite.bucketing import relative_position_bucket
from memformer_lite.figures import BOXES, INK, KEPT, NEUTRAL, WRITTEN, Picture, canvas, picture
from memformer_lite.inside.record import record
from memformer_lite.learning.checkpoint import load_learner
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.tasks import Cards
from memformer_lite.memory import BMN, GRUGate
from memformer_lite.validation import check_choice
from memformer_lite.widgets.base import Widget

SHOWN_RULES = (GRUGate, BMN)  # no subclasses: the browser would not know what they change
LARGEST = 100_000  # parameters; in the HTML they take 2.7 characters each
MOST_BOXES, MOST_SLOTS, MOST_COLUMNS, MOST_PAGES, MOST_REPEATS = 8, 16, 40, 300, 200
KEEPS = 0.25  # of an answer's probability: a slot whose loss takes as much of it keeps the box
NOISE_FACTOR, NOISE_SHIFT = 2654435761, 8  # they mix the places of noise pages
CONSTANTS = {  # on which Python and the browser agree
    "pages": MOST_PAGES,
    "columns": MOST_COLUMNS,
    "repeats": MOST_REPEATS,
    "keeps": KEEPS,
    "noise_factor": NOISE_FACTOR,
    "noise_shift": NOISE_SHIFT,
    "colours": len(BOXES),
}
STORIES = {
    "The book's story": ("A3", "–", "B1 C6", "–", "A5", "–", "D2", "A?"),
    "Overwriting": ("A1", "A2", "A3", "A4", "A?"),
    "Long gap": ("A3", "B1", "C6", "D2", "– × 50", "A?"),
    "Several boxes on a page": ("A3 B1", "C6 D2", "A4 B7 C5", "A?", "B?", "C?", "D?"),
    "Question on the rewriting page": ("A3", "–", "A5 A?", "–", "A?"),
    "Another story": ("D7", "C0", "–", "B4", "A6", "A?"),
}


class MemoryExplorer(Widget):
    """Compose a story, watch the memory page by page, and interfere with it.

    The model runs in the browser, from its weights in half precision, with the numbers of torch.

    Args:
        learner: a trained `Learner` of `Cards` whose memory rule is `GRUGate` or `BMN`, on any
            device; None: the one that ships with the package.
        stories: names and pages to begin with, a page as in `Cards.tokens_of`; `– × 50` stands
            for 50 pages of noise. None: `STORIES`, as far as they fit the learner's task.
        ask: the box that is asked for at first.

    Raises:
        TypeError: `learner` is no `Learner`, or `stories` no mapping of sequences of texts.
        ValueError: a learner of another task or with another memory rule, too large to show or
            with weights that half precision cannot hold; no stories, an unknown word on a page,
            or too many pages.
    """

    name = "memory_explorer"

    def __init__(
        self,
        learner: Learner | None = None,
        *,
        stories: Mapping[str, Sequence[str]] | None = None,
        ask: str = "A",
    ):
        learner = load_learner() if learner is None else learner
        _check_learner(learner)
        learner = copy.deepcopy(learner).cpu().eval()  # as it is now, wherever it is, no dropout
        task = learner.recipe.task
        boxes = [chr(ord("A") + key) for key in range(task.keys)]
        check_choice("ask", ask, tuple(boxes))
        stories = _fitting(task) if stories is None else stories
        _check_stories(task, stories)
        data = {
            "model": pack(learner),
            "stories": [{"name": name, "pages": [*pages]} for name, pages in stories.items()],
            "ask": boxes.index(ask),
        }
        name, pages = next(iter(stories.items()))
        super().__init__(data=data, twin=_twin(learner, name, pages, ask))


def pack(learner: Learner) -> dict:
    """Return a learner as plain data: its sizes, the names of its weights, and these as base64.

    The weights are half precision, little endian, in the order of their names.

    Raises:
        ValueError: a memory rule that the browser does not know.
    """
    _check_rule(learner)
    model, task, state = learner.memformer, learner.recipe.task, learner.state_dict()
    writer, layers = model.memory_writer, model.encoder.layer_blocks.layers
    positions = model.encoder.layer_blocks.rel_pos_emb
    length = task.max_seq_len
    buckets = relative_position_bucket(
        torch.arange(1 - length, length),
        bidirectional=positions.bidirectional,
        num_buckets=positions.num_buckets,
        max_distance=positions.max_distance,
    )
    halves = torch.cat([value.detach().flatten().cpu().half() for value in state.values()])
    return {
        "keys": task.keys,
        "values": task.values,
        "noise": task.noise,
        "content": task.content,
        "dim": model.dim,
        "depth": len(layers),
        "eps": model.encoder.norm.eps,
        "heads": layers[0].read.heads,
        "slots": model.num_memory_slots,
        "rule": type(writer.rule).__name__,
        "write_heads": writer.attention.heads,
        "temperature": writer.attention.temperature,
        "feed_forward": writer.rule.feed_forward is not None,
        "use_memory": learner.use_memory,
        "buckets": buckets.tolist(),
        "parameters": [[name, value.numel()] for name, value in state.items()],
        "constants": CONSTANTS,
        "weights": base64.b64encode(halves.numpy().astype("<f2").tobytes()).decode(),
    }


def tokens_of_story(task: Cards, pages: Sequence[str]) -> list[list[list[int]]]:
    """Return for each entry of a story the tokens of its pages: one, or many of noise.

    Raises:
        ValueError: an unknown word on a page.
    """
    story = []
    for page in pages:
        many = re.fullmatch(r"\s*[–-]\s*[×x*]\s*(\d{1,4})\s*", page)
        if many is None:
            story.append([task.tokens_of(page)])
            continue
        times = int(many[1])
        if not 1 <= times <= MOST_REPEATS:
            raise ValueError(f"page={page!r}: expected 1 to {MOST_REPEATS} pages of noise")
        one = times == 1  # a single page of noise is "–"
        story.append([task.tokens_of("–")] if one else [_noise(task, i) for i in range(times)])
    return story


def _noise(task: Cards, index: int) -> list[int]:
    """Return page `index` of a row of noise pages: always the same ones, as in the browser."""
    first = task.question(task.keys)
    places = range(index * task.max_seq_len + 1, (index + 1) * task.max_seq_len + 1)
    mixed = ((place * NOISE_FACTOR % 2**32) >> NOISE_SHIFT for place in places)
    return [first + number % task.noise for number in mixed]


def _check_learner(learner: Learner) -> None:
    if not isinstance(learner, Learner):
        raise TypeError(f"learner: expected a Learner, got {type(learner).__name__}")
    task, model = learner.recipe.task, learner.memformer
    if not isinstance(task, Cards):
        raise ValueError(f"learner: expected one of the task Cards, got {type(task).__name__}")
    _check_rule(learner)
    if task.keys > MOST_BOXES or model.num_memory_slots > MOST_SLOTS:
        raise ValueError(
            f"learner: the explorer shows at most {MOST_BOXES} boxes and {MOST_SLOTS} slots, got "
            f"{task.keys} and {model.num_memory_slots}"
        )
    if model.memory_writer.num_updates != 1:
        raise ValueError("learner: expected a writer with num_updates=1")
    count = sum(value.numel() for value in learner.state_dict().values())
    if count > LARGEST:
        raise ValueError(
            f"learner: too large to show: {count:,} parameters, expected at most {LARGEST:,}"
        )
    for name, value in learner.state_dict().items():
        if not value.half().isfinite().all():
            raise ValueError(f"learner: {name} holds numbers that half precision cannot hold")


def _check_rule(learner: Learner) -> None:
    rule = type(learner.memformer.memory_writer.rule)
    if rule not in SHOWN_RULES:
        shown = " and ".join(known.__name__ for known in SHOWN_RULES)
        raise ValueError(
            f"learner: the explorer shows the memory rules {shown}, got {rule.__name__}"
        )


def _check_stories(task: Cards, stories: Mapping[str, Sequence[str]]) -> None:
    if not isinstance(stories, Mapping):
        raise TypeError(f"stories: expected names and pages, got {type(stories).__name__}")
    if not stories:
        raise ValueError("stories: expected at least one")
    for name, pages in stories.items():
        texts = isinstance(pages, Sequence) and not isinstance(pages, str)
        if not isinstance(name, str) or not texts or not all(isinstance(p, str) for p in pages):
            raise TypeError(f"stories: expected a list of texts under each name, see {name!r}")
        if not name.strip():
            raise ValueError(f"stories: expected names that can be seen, got {name!r}")
        try:
            story = tokens_of_story(task, pages)
        except ValueError as fault:
            raise ValueError(f"stories: {name!r}: {fault}") from fault
        columns, total = len(story), sum(map(len, story))
        if not 1 <= columns <= MOST_COLUMNS or total > MOST_PAGES:
            raise ValueError(
                f"stories: {name!r}: expected 1 to {MOST_COLUMNS} entries and at most "
                f"{MOST_PAGES} pages, got {columns} and {total}"
            )


def _fitting(task: Cards) -> dict[str, Sequence[str]]:
    """Return the stories that a task has words for; at least one."""
    fitting = {"A short story": ("A0", "–", "A1", "A?")}
    for name, pages in STORIES.items():
        try:
            _check_stories(task, {name: pages})
        except ValueError:
            continue
        fitting[name] = pages
    if len(fitting) > 1:
        del fitting["A short story"]
    return fitting


@torch.no_grad()
def _follow(learner: Learner, pages: Sequence[str]) -> list[dict]:
    """Return for each entry of a story what the memory answers after it and which slot keeps what.

    A slot keeps a box if setting the slot to 0 takes at least a quarter of the answer's
    probability; only boxes that a page has named count.
    """
    task, mems = learner.recipe.task, learner.start(1)
    questions = torch.tensor([task.tokens_of(f"{chr(65 + key)}?") for key in range(task.keys)])

    def answers(mems: Tensor) -> Tensor:
        logits, _ = learner.answer(questions, mems.expand(task.keys, -1, -1))
        return logits.softmax(dim=-1)

    entries, named = [], set()
    for entry in tokens_of_story(task, pages):
        for tokens in entry:
            with record(learner) as trace:
                _, mems = learner.answer(torch.tensor([tokens]), mems)
            cards = [token for token in tokens if token < task.question(0)]
            named |= {token // task.values for token in cards}
        here = answers(mems)
        likely, values = here.max(dim=-1)
        keeps = []
        for slot in range(mems.shape[1]):
            without = mems.clone()
            without[:, slot] = 0
            left = answers(without).gather(1, values[:, None])[:, 0]
            keeps.append([key for key in sorted(named) if likely[key] - left[key] >= KEEPS])
        gate = trace[0].gate
        kept = trace[0].write[0, 0, :, :, 0].mean(dim=0) if gate is None else gate[0, 0].mean(-1)
        entries.append({"likely": likely, "values": values, "keeps": keeps, "kept": kept})
    return entries


def _twin(learner: Learner, name: str, pages: Sequence[str], ask: str) -> Picture:
    """Draw what the widget shows at first: answers, pages, and what each slot keeps."""
    entries, key = _follow(learner, pages), ord(ask) - ord("A")
    slots = range(learner.memformer.num_memory_slots)
    colours = [*BOXES.values()]
    figure, (top, grid) = canvas(7.0, 3.4, rows=2, height_ratios=[1, 1.5], sharex=True)
    for x, page in enumerate(entries):
        likely, value = float(page["likely"][key]), int(page["values"][key])
        top.bar(x, likely, width=0.5, color=colours[key % len(colours)])
        top.text(x, likely + 0.04, str(value), ha="center", color=INK)
        for slot in slots:
            _draw_slot(grid, x, slot, page, colours)
    top.set(ylim=(0, 1.25), yticks=[0, 1], ylabel=f"P(answer to {ask}?)")
    grid.set(xlim=(-0.6, len(entries) - 0.4), ylim=(len(slots) - 0.4, -0.55))
    grid.set_xticks(range(len(entries)), [page.replace(" ", "\n") for page in pages])
    grid.set_yticks(slots, [f"slot {slot + 1}" for slot in slots])
    grid.set_xlabel("page; the strip below a slot: part kept, part new")
    grid.spines[["left", "bottom"]].set_visible(False)
    for axes in (top, grid):
        axes.tick_params(length=0)
    return picture(figure, _words(name, pages, entries, ask))


def _draw_slot(grid, x: int, slot: int, page: dict, colours: list[str]) -> None:
    """Draw a slot after a page: the boxes it keeps, and below, which part of it was kept."""
    keeps, kept = page["keeps"][slot], float(page["kept"][slot])
    for place, box in enumerate(keeps):
        width = 0.86 / len(keeps)
        left = x - 0.43 + place * width
        colour = colours[box % len(colours)]
        grid.add_patch(Rectangle((left, slot - 0.4), width, 0.64, color=colour, alpha=0.35, lw=0))
    text = " ".join(f"{chr(65 + box)}{int(page['values'][box])}" for box in keeps)
    grid.text(x, slot - 0.08, text, ha="center", va="center", color=INK, fontsize=10)
    grid.add_patch(Rectangle((x - 0.43, slot + 0.26), 0.86, 0.12, color=WRITTEN, lw=0))
    grid.add_patch(Rectangle((x - 0.43, slot + 0.26), 0.86 * kept, 0.12, color=KEPT, lw=0))
    frame = {"fill": False, "edgecolor": NEUTRAL, "linewidth": 0.8}
    grid.add_patch(Rectangle((x - 0.43, slot - 0.4), 0.86, 0.78, **frame))


def _words(name: str, pages: Sequence[str], entries: list[dict], ask: str) -> str:
    key, last = ord(ask) - ord("A"), entries[-1]
    course = ", ".join(str(int(page["values"][key])) for page in entries)
    kept = []
    for slot, boxes in enumerate(last["keeps"]):
        letters = " and ".join(chr(65 + box) for box in boxes)
        kept.append(f"slot {slot + 1} {f'box {letters}' if letters else 'no box'}")
    return (
        f"A trained Memformer reads the story “{name}”, one page after another: "
        f"{', '.join(pages)}. Asked {ask}? after each page, it answers {course}; the last with "
        f"probability {float(last['likely'][key]):.2f}. At the end, as erasing each slot shows, "
        f"{', '.join(kept)}: what is kept there dies with the slot."
    )
