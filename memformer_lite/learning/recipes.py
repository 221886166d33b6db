"""What a training depends on, as data, and the recipes that were found to learn (chapter 09)."""

import dataclasses
import json
import numbers
from dataclasses import dataclass
from typing import Any

import torch

from memformer_lite.learning.tasks import TASKS, Cards, Digits, Parity, Rows, Task, Text
from memformer_lite.validation import check_choice, check_flag, check_integer, check_number


@dataclass(frozen=True)
class Stage:
    """A part of a training in which the streams are of one kind.

    Args:
        task: what the streams are drawn from.
        steps: optimizer steps, at least 1.
        segments: shortest and longest stream; each step draws its length from this range.
    """

    task: Task
    steps: int
    segments: tuple[int, int]

    def __post_init__(self):
        if not isinstance(self.task, Task):
            raise TypeError(f"task={self.task!r}: expected a task such as Cards()")
        check_integer("steps", self.steps, at_least=1)
        if not isinstance(self.segments, tuple):
            raise TypeError(f"segments={self.segments!r}: expected a tuple (shortest, longest)")
        if len(self.segments) != 2:
            raise ValueError(f"segments={self.segments}: expected (shortest, longest)")
        shortest, longest = self.segments
        check_integer("segments", shortest, at_least=1)
        check_integer("segments", longest, at_least=shortest)


@dataclass(frozen=True)
class Recipe:
    """All that a training depends on, beside its seed.

    Args:
        stages: one after the other; the tasks differ in options only.
        dim: width d.
        heads: heads of reading and of writing.
        slots: memory slots k.
        update: "gru" or "bmn".
        temperature: of the writing.
        feed_forward: True adds the writer's feed-forward, which no gate guards.
        slot_scale: multiplies the slots at the start; with "bmn" they are the biases, and a smaller
            one forgets less.
        keep_bias: added to the bias of the update gate at the start; above 0 keeps more.
        unit_scores: True starts all attention with scores of variance 1: its maps are drawn from
            N(0, 1/d), those that map "bmn" slots, whose norm is 1 and not sqrt(d), from N(0, 1).
            False leaves torch's default.
        dropout: probability in [0, 1), in encoder and decoder.
        use_memory: False starts each segment from the initial memory: the baseline.
        method: "bptt" or "mrbp"; the gradients are the same.
        detach_every: truncated BPTT: detach the memory every so many segments; None: never.
        batch_size: rows of a stream.
        learning_rate: of AdamW, at the end of `warmup` steps; then a cosine down to 5 % of it.
        warmup: steps of linear rise.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        stop_at: end early once the score on held-out streams is this accuracy; None: never.
        score_every: steps between two scores.

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        This book. `temperature`: the 2022 paper.
    """

    stages: tuple[Stage, ...]
    dim: int = 32
    heads: int = 4
    slots: int = 4
    update: str = "gru"
    temperature: float = 0.25
    feed_forward: bool = False
    slot_scale: float = 1.0
    keep_bias: float = 1.0
    unit_scores: bool = True
    dropout: float = 0.0
    use_memory: bool = True
    method: str = "bptt"
    detach_every: int | None = None
    batch_size: int = 64
    learning_rate: float = 4e-3
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0
    stop_at: float | None = None
    score_every: int = 50

    def __post_init__(self):
        _check_stages(self.stages)
        check_flag("unit_scores", self.unit_scores)
        check_flag("use_memory", self.use_memory)
        check_choice("method", self.method, ("bptt", "mrbp"))
        for name in ("batch_size", "warmup", "score_every"):
            check_integer(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip", "slot_scale"):
            _check_positive(name, getattr(self, name))
        endless = torch.finfo(torch.float32).max
        for name, low in (("weight_decay", 0.0), ("keep_bias", -endless)):
            value = getattr(self, name)
            check_number(name, value, low=low, high=endless, expected=f"a number from {low:g}")
        if self.stop_at is not None:
            check_number("stop_at", self.stop_at, low=0.0, high=1.0, expected="an accuracy or None")
        if self.detach_every is not None:
            check_integer("detach_every", self.detach_every, at_least=1)
            if self.method == "mrbp":
                raise ValueError("detach_every: expected None with method='mrbp'")

    @property
    def task(self) -> Task:
        """The task of the last stage: what the trained model is for."""
        return self.stages[-1].task

    @property
    def steps(self) -> int:
        """Optimizer steps in all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """Return the stage in which `step`, counted from 0, falls."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]


def _check_stages(stages: tuple[Stage, ...]) -> None:
    """Raise unless these are stages that one model can go through."""
    if not isinstance(stages, tuple) or not all(isinstance(stage, Stage) for stage in stages):
        raise TypeError(f"stages={stages!r}: expected a tuple of Stage")
    if not stages:
        raise ValueError("stages=(): expected at least one")
    if len({stage.task.meaning for stage in stages}) > 1:
        raise ValueError("stages: expected tasks in which every token means the same")


def _check_positive(name: str, value: float) -> None:
    tiny, huge = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    check_number(name, value, low=tiny, high=huge, expected="a finite number above 0")


def to_plain(recipe: Recipe) -> dict:
    """Return a recipe as plain data for JSON; each task carries its class's name."""
    plain = dataclasses.asdict(recipe)
    for entry, stage in zip(plain["stages"], recipe.stages, strict=True):
        entry["task"] = {"name": type(stage.task).__name__, **entry["task"]}
    return json.loads(json.dumps(plain, default=_pythons))  # tuples become lists, as in a file


def _pythons(value: Any) -> float:
    """Return a NumPy number as Python's; what is no number is no plain data."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"recipe: expected plain data in its tasks, got {type(value).__name__}")
    return value.item()  # type: ignore[attr-defined]


def from_plain(plain: dict) -> Recipe:
    """Return the recipe that `to_plain` gave, also after a way through JSON.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    stages = []
    for entry in plain["stages"]:
        if not isinstance(entry["task"], dict):
            raise TypeError(f"task={entry['task']!r}: expected an object with a name")
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry["task"].items()
        }
        task = TASKS[options.pop("name")](**options)
        stages.append(Stage(**{**entry, "task": task, "segments": tuple(entry["segments"])}))
    return Recipe(**{**plain, "stages": tuple(stages)})


_STORIES = Cards(max_cards=3, ask_probability=0.8, ask_fresh=True)

RECIPES = {
    # Recall and overwriting, as short as it can be: the live run of chapter 09.
    "cards": Recipe(stages=(Stage(Cards(), steps=1000, segments=(6, 6)),), stop_at=0.98),
    # Any story a reader can compose: more cards a page, questions about this very page, and in
    # its second stage streams with long stretches of noise. The model that ships.
    "stories": Recipe(
        stages=(
            Stage(_STORIES, steps=1000, segments=(6, 6)),
            Stage(
                dataclasses.replace(_STORIES, write_probability=(0.03, 0.6)),
                steps=1500,
                segments=(4, 32),
            ),
        ),
        batch_size=32,
        score_every=100,
    ),
    "parity": Recipe(
        stages=(Stage(Parity(), steps=300, segments=(12, 12)),), batch_size=32, stop_at=1.0
    ),
    "digits": Recipe(
        stages=(Stage(Digits(), steps=700, segments=(5, 6)),),
        dim=48,
        slots=8,
        learning_rate=6e-3,
        weight_decay=0.5,  # 1437 images are soon known by heart
    ),
    "rows": Recipe(stages=(Stage(Rows(), steps=500, segments=(8, 8)),), dim=48, slots=8),
    "text": Recipe(
        stages=(Stage(Text(), steps=600, segments=(6, 6)),), dim=48, slots=8, batch_size=32
    ),
}
