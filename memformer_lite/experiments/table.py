"""The experiments: for each question the cases that are compared, and what is measured."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from memformer_lite.experiments.builds import BUILDS
from memformer_lite.experiments.measures import (
    measure_cards,
    measure_digits,
    measure_parity,
    measure_rows,
    measure_slots,
    measure_text,
)
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.recipes import RECIPES, Recipe
from memformer_lite.learning.tasks import Rows
from memformer_lite.learning.train import Run

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """One row of a table: a recipe, and what of `BUILDS` makes its learner."""

    recipe: Recipe
    build: str = "recipe"

    def run(self, seed: int) -> Run:
        """Return the training of this case, at its start."""
        return Run(self.recipe, seed=seed, build=BUILDS[self.build])


@dataclass(frozen=True)
class Experiment:
    """A question, the cases that are compared for it, and what is measured after training."""

    question: str
    cases: dict[str, Case]
    measure: Callable[[Learner], dict]
    seeds: tuple[int, ...] = SEEDS


def _short(recipe: Recipe, *, steps: int) -> Recipe:
    """The recipe with `steps` in its last stage, and never stopped early: equal work for all."""
    last = replace(recipe.stages[-1], steps=steps)
    return replace(recipe, stages=(*recipe.stages[:-1], last), stop_at=None)


def _on(recipe: Recipe, **options) -> Recipe:
    """The recipe with other options of its task, in all stages."""
    stages = (replace(stage, task=replace(stage.task, **options)) for stage in recipe.stages)
    return replace(recipe, stages=tuple(stages))


_CARDS = _short(RECIPES["cards"], steps=600)
_STORIES = RECIPES["stories"]
_DIGITS = RECIPES["digits"]
_ROWS = RECIPES["rows"]
_TEXT = RECIPES["text"]
_ALL_PIXELS = (replace(_ROWS.stages[0], task=Rows(rows=8), segments=(1, 1)),)
_REFERENCE = {"unit_scores": False, "temperature": 1.0, "keep_bias": 0.0, "feed_forward": True}

EXPERIMENTS = {
    "cards": Experiment(
        "Does a memory help to remember cards, and which parts of the recipe matter?",
        {
            "recipe": Case(_CARDS),
            "no memory": Case(replace(_CARDS, use_memory=False)),
            "memory replay": Case(replace(_CARDS, method="mrbp")),
            "detached": Case(replace(_CARDS, detach_every=1)),
            "equal slots": Case(_CARDS, "equal slots"),
            "no gate": Case(_CARDS, "no gate"),
            "gate bias 0": Case(replace(_CARDS, keep_bias=0.0)),
            "temperature 1": Case(replace(_CARDS, temperature=1.0)),
            "torch's start": Case(replace(_CARDS, unit_scores=False)),
            "as the reference": Case(replace(_CARDS, **_REFERENCE)),
        },
        measure_cards,
    ),
    "gap": Experiment(
        "What keeps a card over a long gap?",
        {
            "recipe": Case(_STORIES),
            "feed-forward after the gate": Case(replace(_STORIES, feed_forward=True)),
            "feed-forward inside the gate": Case(_STORIES, "feed-forward inside the gate"),
            "short streams only": Case(
                replace(
                    _STORIES, stages=(_STORIES.stages[0], replace(_STORIES.stages[0], steps=1500))
                )
            ),
            "no fresh questions": Case(_on(_STORIES, ask_fresh=False)),
            "BMN": Case(replace(_STORIES, update="bmn")),
        },
        measure_cards,
    ),
    "gru_bmn": Experiment(
        "GRU or BMN, each tried with as many settings?",
        {
            f"GRU, keep bias {bias:g}, temperature {temperature:g}": Case(
                replace(_CARDS, keep_bias=bias, temperature=temperature)
            )
            for bias in (0.0, 1.0, 2.0)
            for temperature in (0.25, 0.5)
        }
        | {
            f"BMN, slot scale {scale:g}, temperature {temperature:g}": Case(
                replace(_CARDS, update="bmn", slot_scale=scale, temperature=temperature)
            )
            for scale in (0.3, 1.0, 3.0)
            for temperature in (0.25, 0.5)
        }
        # The learning rate was found with a GRU: each also gets half and double of it.
        | {
            f"{label}, learning rate {rate:g}": Case(replace(recipe, learning_rate=rate))
            for label, recipe in (
                ("GRU, keep bias 1, temperature 0.25", _CARDS),
                ("BMN, slot scale 1, temperature 0.25", replace(_CARDS, update="bmn")),
            )
            for rate in (0.002, 0.008)
        },
        measure_cards,
    ),
    "capacity": Experiment(
        "How many slots do how many boxes need?",
        {
            f"{keys} boxes, {slots} slots": Case(replace(_on(_CARDS, keys=keys), slots=slots))
            for keys, slots in ((4, 1), (4, 2), (4, 4), (4, 8), (8, 4), (8, 8))
        },
        measure_cards,
    ),
    "parity": Experiment(
        "Can it carry one bit for ever?",
        {
            "recipe": Case(_short(RECIPES["parity"], steps=200)),
            "no memory": Case(replace(_short(RECIPES["parity"], steps=200), use_memory=False)),
        },
        measure_parity,
    ),
    "digits": Experiment(
        "Can it name a digit that it read two rows at a time?",
        {
            "recipe": Case(_DIGITS),
            "no memory": Case(replace(_DIGITS, use_memory=False)),
            "weight decay 0.01": Case(replace(_DIGITS, weight_decay=0.01)),
            "never a blank": Case(
                replace(_DIGITS, stages=(replace(_DIGITS.stages[0], segments=(5, 5)),))
            ),
        },
        measure_digits,
    ),
    "rows": Experiment(
        "Does a memory help to guess the pixels of the next row?",
        {
            "recipe": Case(_ROWS),
            "no memory": Case(replace(_ROWS, use_memory=False)),
            "all pixels at once": Case(replace(_ROWS, stages=_ALL_PIXELS, use_memory=False)),
        },
        measure_rows,
    ),
    "text": Experiment(
        "Does a memory help to guess real text, at this size?",
        {
            "recipe": Case(_TEXT),
            "no memory": Case(replace(_TEXT, use_memory=False)),
            "feed-forward after the gate": Case(replace(_TEXT, feed_forward=True)),
        },
        measure_text,
    ),
    "slots": Experiment(
        "Has each box a slot of its own, in every run?",
        {"recipe": Case(_STORIES)},
        measure_slots,
        seeds=(0, 1, 2, 3, 4),
    ),
}
