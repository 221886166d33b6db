"""A learner, a task and a memory rule of one's own: each is one class, and everything takes it."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from helpers import assert_close, generator
from torch import nn

from memformer_lite import MemoryRule, record
from memformer_lite.learning.checkpoint import load_learner, save_learner
from memformer_lite.learning.learner import Learner, accuracy
from memformer_lite.learning.recipes import RECIPES, Recipe, Stage
from memformer_lite.learning.tasks import TASKS, AnswerTask, Parity, Segment, Text
from memformer_lite.learning.train import Run, held_out, train

PARITY = Recipe(
    stages=(Stage(Parity(), steps=80, segments=(4, 4)),),
    dim=16,
    batch_size=32,
    learning_rate=1e-2,
    warmup=10,
    score_every=80,
)
METHODS = ("bptt", "mrbp")


class LSTM(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.dim = recipe.dim
        self.embed = nn.Embedding(recipe.task.num_tokens, recipe.dim)
        self.cell = nn.LSTMCell(recipe.dim, recipe.dim)
        self.read_out = nn.Linear(recipe.dim, recipe.task.num_answers)

    def start(self, batch_size):
        return torch.zeros(batch_size, self.dim), torch.zeros(batch_size, self.dim)

    def answer(self, tokens, state):
        for token in tokens.unbind(dim=1):
            state = self.cell(self.embed(token), state)
        return self.read_out(state[0]), state


@pytest.mark.parametrize("method", METHODS)
def test_an_lstm_learns_a_task_of_the_book(method, tmp_path):
    """Its state is a pair of tensors; a resumed run goes on as if it had not stopped."""
    recipe = dataclasses.replace(PARITY, method=method)
    run = Run(recipe, seed=0, build=LSTM)
    for _ in range(60):
        run.advance()
    run.save(tmp_path / "run")
    history = train(run, progress=False)
    assert history.scores[-1] >= 0.95, history.scores
    assert history.scores[-1] == accuracy(run.learner.eval(), held_out(recipe))
    resumed = Run.load(tmp_path / "run", build=LSTM)
    assert train(resumed, progress=False) == history


def test_replay_trains_an_lstm_as_back_propagation_through_time_does():
    losses = []
    for method in METHODS:
        recipe = dataclasses.replace(PARITY, method=method)
        run = Run(recipe, seed=0, build=LSTM)
        losses.append(torch.tensor([run.advance() for _ in range(10)], dtype=torch.float64))
    assert_close(losses[0], losses[1], "losses of 10 steps", 1e-5)


class Unigram(nn.Module):
    """Guesses what comes next by how often each token comes; carries nothing."""

    def __init__(self, recipe):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(recipe.task.num_tokens))

    def start(self, batch_size):
        return torch.zeros(batch_size, 1)

    def guess(self, tokens, targets, state):
        chances = self.scores.log_softmax(dim=-1)
        return -chances[targets[:, 1:]].mean(), state


def test_a_learner_of_ones_own_guesses_what_comes_next():
    stage = Stage(Text(length=5), steps=300, segments=(3, 3))
    run = Run(Recipe(stages=(stage,), learning_rate=0.1, score_every=300), build=Unigram)
    train(run, progress=False)
    assert 4 < run.history.scores[-1] < 5, "the entropy of single characters"


@dataclass(frozen=True)
class First(AnswerTask):
    """Each later segment asks for the token of the first."""

    num_tokens = num_answers = 3
    max_seq_len = 1

    def stream(self, batch_size, segments, *, generator):
        tokens = torch.randint(3, (segments, batch_size, 1), generator=generator)
        return [Segment(here, tokens[0, :, 0]) for here in tokens]


@pytest.mark.parametrize("build", [Learner, LSTM])
def test_a_task_of_ones_own_is_a_class_and_an_entry(build, monkeypatch, tmp_path):
    monkeypatch.setitem(TASKS, "First", First)
    stage = Stage(First(), steps=80, segments=(3, 3))
    recipe = dataclasses.replace(PARITY, stages=(stage,))
    run = Run(recipe, build=build)
    assert train(run, progress=False).scores[-1] >= 0.9 > 2 * First().chance
    run.save(tmp_path / "run")
    loaded = Run.load(tmp_path / "run", build=build)
    assert loaded.recipe == recipe and accuracy(loaded.learner, held_out(recipe)) >= 0.9


class Leaky(MemoryRule):
    """A third rule, with one number to learn."""

    def __init__(self):
        super().__init__()
        self.keep = nn.Parameter(torch.tensor(0.0))

    def forward(self, written, mems, slots):
        gate = self.keep.sigmoid().expand_as(mems)
        return gate * mems + (1 - gate) * written, gate


def leaky(recipe):
    return Learner(recipe, rule=Leaky())


def test_a_rule_of_ones_own_trains_replays_records_and_is_saved(tmp_path):
    short = dataclasses.replace(RECIPES["cards"], batch_size=8)
    runs = [Run(dataclasses.replace(short, method=m), seed=0, build=leaky) for m in METHODS]
    losses = [torch.tensor([run.advance() for _ in range(5)]).double() for run in runs]
    assert_close(losses[0], losses[1], "losses of 5 steps", 1e-5)
    assert losses[0][-1] < losses[0][0] and runs[0].learner.memformer.memory_writer.rule.keep != 0
    learner = runs[0].learner.eval()
    stream = short.task.stream(2, 3, generator=generator(1))
    with torch.no_grad(), record(learner) as trace:
        state = learner.start(2)
        for tokens, _ in stream:
            _, state = learner.answer(tokens, state)
    assert torch.equal(trace[2].after, state)
    kept = learner.memformer.memory_writer.rule.keep.sigmoid()
    assert_close(trace[1].gate, kept.expand_as(trace[1].gate), "gate", 1e-7)
    runs[0].save(tmp_path / "run")
    assert Run.load(tmp_path / "run", build=leaky).advance() == runs[0].advance()
    save_learner(learner, tmp_path / "half", {})
    half = load_learner(tmp_path / "half", build=leaky)
    assert (
        half.memformer.memory_writer.rule.keep == learner.memformer.memory_writer.rule.keep.half()
    )
    with pytest.raises(ValueError, match="half: expected a trained learner"):
        load_learner(tmp_path / "half")
