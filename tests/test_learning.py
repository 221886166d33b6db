"""What the recipes promise: each seed learns within its steps. Time is not looked at."""

import dataclasses

import pytest
from helpers import generator

from memformer_lite.learning.learner import accuracy
from memformer_lite.learning.recipes import RECIPES
from memformer_lite.learning.train import Run, train

pytestmark = pytest.mark.spread
FRESH = 424242  # no training, score or measurement draws from this seed


def trained(recipe, seed):
    run = Run(recipe, seed=seed)
    train(run, progress=False)
    assert len(run.history.losses) <= recipe.steps
    return run.learner.eval()


def on_fresh_streams(learner, segments):
    return accuracy(learner, learner.recipe.task.stream(1000, segments, generator=generator(FRESH)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cards_are_remembered(seed):
    learner = trained(RECIPES["cards"], seed)
    score = on_fresh_streams(learner, 6)
    assert score >= 0.95, f"accuracy {score:.3f} at 6 segments"
    # The memory did it: the same weights without it guess, but for what boxes hold most often.
    learner.use_memory = False
    assert on_fresh_streams(learner, 6) < 0.3


def test_without_memory_cards_stay_at_chance():
    recipe = RECIPES["cards"]
    stage = dataclasses.replace(recipe.stages[0], steps=300)
    learner = trained(dataclasses.replace(recipe, stages=(stage,), use_memory=False), 0)
    score = on_fresh_streams(learner, 6)
    assert abs(score - recipe.task.chance) <= 0.03, f"accuracy {score:.3f}"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_parity_is_never_wrong(seed):
    assert on_fresh_streams(trained(RECIPES["parity"], seed), 12) == 1.0
