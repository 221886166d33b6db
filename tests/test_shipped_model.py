"""The trained model in the package: small, made by the present recipe, as good as its card says."""

import re
from dataclasses import replace

import pytest
import torch

from memformer_lite.experiments.measures import rewriting_stream
from memformer_lite.learning.checkpoint import MODELS, load_learner, read_checkpoint
from memformer_lite.learning.learner import accuracy
from memformer_lite.learning.recipes import RECIPES, from_plain

PATH = MODELS / "stories.safetensors"
CARD = (MODELS / "README.md").read_text(encoding="utf-8")
TASK = replace(RECIPES["stories"].task, write_probability=0.6)
ROWS = 1024


def generator(seed):
    return torch.Generator().manual_seed(seed)


STREAMS = {
    "6 segments": lambda: TASK.stream(ROWS, 6, generator=generator(1)),
    "24 segments": lambda: TASK.stream(ROWS, 24, generator=generator(2)),
    "a box rewritten in the segment that asks": lambda: rewriting_stream(
        TASK, ROWS, generator=generator(3)
    ),
    "after 16 segments of noise": lambda: TASK.recall_stream(ROWS, 16, generator=generator(4)),
    "after 64 segments of noise": lambda: TASK.recall_stream(ROWS, 64, generator=generator(5)),
}


def on_card(name):
    """The accuracy that the card gives for a kind of stream."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \| ([01]\.\d+) \|$", CARD, re.M)
    return float(found)


@pytest.mark.parametrize("name", STREAMS)
def test_accuracy_is_what_the_card_says(name):
    measured = accuracy(load_learner(), STREAMS[name]())
    assert abs(measured - on_card(name)) <= 0.005, f"{name}: {measured}, card {on_card(name)}"
    assert measured >= 0.95, f"{name}: {measured}"


def test_card_names_each_stream_and_no_other():
    names = re.findall(r"^\| ([^|]+) \| [01]\.\d+ \|$", CARD, re.M)
    assert sorted(names) == sorted(STREAMS)


def test_without_its_memory_it_knows_nothing():
    learner = load_learner()
    learner.use_memory = False
    stream = TASK.recall_stream(ROWS, 0, generator=generator(6))
    assert abs(accuracy(learner, stream) - TASK.chance) <= 0.03


def test_it_is_small_and_in_half_precision():
    assert PATH.stat().st_size <= 100_000
    tensors, _ = read_checkpoint(PATH)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    parameters = sum(tensor.numel() for tensor in tensors.values())
    assert f"{parameters:,} parameters" in CARD


def test_it_was_made_by_the_present_recipe_with_the_seed_on_its_card():
    _, notes = read_checkpoint(PATH)
    assert from_plain(notes["recipe"]) == RECIPES["stories"]
    assert f"--seed {notes['seed']} " in CARD


def test_makefile_trains_it_with_the_command_on_its_card():
    makefile = (MODELS.parents[1] / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^train:.*\n\t\$\(PY\) (.*)$", makefile, re.M)
    assert command in " ".join(CARD.split())
