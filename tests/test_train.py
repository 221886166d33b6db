"""A training is fixed by recipe and seed, and can be stopped and resumed unnoticed."""

import dataclasses
import functools
import io
import math
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close, assert_differ, generator, refused, whole
from torch import nn
from tqdm import tqdm

from memformer_lite.attention import Attention
from memformer_lite.learning.checkpoint import load_learner, save_learner
from memformer_lite.learning.learner import Learner, accuracy, bits_per_token
from memformer_lite.learning.recipes import RECIPES, Recipe, Stage
from memformer_lite.learning.tasks import NOT_ASKED, Cards, Digits, Parity, Rows, Segment, Text
from memformer_lite.learning.train import History, Run, held_out, train
from memformer_lite.memory import BMN, SlotAttention

TASK = Cards(keys=3, values=5, noise=2, content=7, max_cards=4, ask_fresh=True)
LONGER = dataclasses.replace(TASK, write_probability=(0.2, 0.7))
SIZES = {"dim": 30, "heads": 3, "slots": 7, "batch_size": 11, "warmup": 3, "score_every": 4}
STAGES = (Stage(TASK, steps=5, segments=(2, 4)), Stage(LONGER, steps=6, segments=(3, 5)))
SMALL = Recipe(stages=STAGES, **SIZES)
GUESSES = Recipe(stages=(Stage(Text(length=5), steps=11, segments=(3, 4)),), **SIZES)
KINDS = {
    "answers": SMALL,
    "guesses next": GUESSES,
    "bmn": dataclasses.replace(SMALL, update="bmn"),
    "feed-forward": dataclasses.replace(SMALL, feed_forward=True),
    "dropout": dataclasses.replace(SMALL, dropout=0.2),
    "guesses next, dropout": dataclasses.replace(GUESSES, dropout=0.2),
    "replay": dataclasses.replace(SMALL, method="mrbp"),
    "replay, dropout": dataclasses.replace(SMALL, method="mrbp", dropout=0.2),
    "no memory": dataclasses.replace(SMALL, use_memory=False),
    "truncated": dataclasses.replace(SMALL, detach_every=2),
}


@functools.cache
def small_held_out(recipe):
    """Return a held-out stream of a few rows: 512 of them are slow."""
    return [Segment(tokens[:29], answers[:29]) for tokens, answers in held_out(recipe)]


@pytest.fixture(autouse=True)
def quick_scores(monkeypatch):
    monkeypatch.setattr("memformer_lite.learning.train.held_out", small_held_out)


every_kind = pytest.mark.parametrize("recipe", KINDS.values(), ids=KINDS.keys())
both_tasks = pytest.mark.parametrize("recipe", [SMALL, GUESSES], ids=["answers", "guesses next"])


def double(recipe):
    return Learner(recipe).double()


def finished(recipe, seed=3, **options):
    """Train to the end without a bar."""
    run = Run(recipe, seed=seed, **options)
    train(run, progress=False)
    return run


def same_weights(first, second):
    pairs = zip(first.learner.parameters(), second.learner.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# The same seed, the same history


@every_kind
def test_the_same_seed_gives_the_same_training_bit_for_bit(recipe):
    first = finished(recipe)
    assert all(math.isfinite(loss) for loss in first.history.losses)
    torch.manual_seed(99)  # what happened before does not matter
    again = finished(recipe)
    assert first.history == again.history and same_weights(first, again)
    assert finished(recipe, seed=4).history.losses[0] != first.history.losses[0]


def test_numpy_numbers_are_numbers_from_the_recipe_to_the_checkpoint(tmp_path):
    sizes = {"dim": np.int64(16), "batch_size": np.int64(4), "learning_rate": np.float32(0.25)}
    run = Run(dataclasses.replace(RECIPES["cards"], **sizes), seed=np.int64(3))
    loss = run.advance()
    run.save(tmp_path / "run")
    again = Run.load(tmp_path / "run")
    assert (again.recipe, again.seed, again.history.losses) == (run.recipe, 3, [loss])
    plain = {name: value.item() for name, value in sizes.items()}
    assert Run(dataclasses.replace(RECIPES["cards"], **plain), seed=3).advance() == loss


def test_weights_and_streams_both_come_from_the_seed():
    first, second = Run(SMALL, seed=0), Run(SMALL, seed=1)
    assert not same_weights(first, second)
    assert not torch.equal(first.generator.get_state(), second.generator.get_state())


def test_scoring_does_not_disturb_a_training():
    """Nor does it leave dropout off."""
    recipe = dataclasses.replace(KINDS["dropout"], score_every=1)
    often, once = finished(recipe), finished(dataclasses.replace(recipe, score_every=1000))
    assert often.history.losses == once.history.losses and same_weights(often, once)
    assert often.history.scores[-1:] == once.history.scores
    assert all(module.training for module in often.learner.modules())


def test_a_score_is_taken_without_dropout():
    run = Run(KINDS["dropout"], seed=3)
    assert run.score() == run.score() == accuracy(run.learner.eval(), small_held_out(run.recipe))


@pytest.mark.parametrize(("name", "value", "kind"), [*whole("seed", -1), ("seed", "2", TypeError)])
def test_a_seed_is_a_whole_number(name, value, kind):
    refused(kind, lambda: Run(SMALL, seed=value), name, "expected")


def test_a_seed_has_the_bits_that_torch_uses():
    """A larger one would draw what a smaller draws: seed 2**32 the same as seed 0."""
    Run(SMALL, seed=2**32 - 1)
    for seed in (2**32, 2**70):
        refused(ValueError, lambda seed=seed: Run(SMALL, seed=seed), "seed", seed, "expected")


def test_what_is_built_is_trained_whole():
    def other_read_out(recipe):
        learner = Learner(recipe)
        learner.read_out = nn.Linear(30, 5, bias=False)
        return learner

    run = Run(SMALL, build=other_read_out)
    held = [p for group in run.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in run.learner.parameters()}
    run.advance()


# Gradients


@pytest.mark.parametrize("recipe", [SMALL, GUESSES, KINDS["dropout"]], ids=["a", "g", "dropout"])
def test_replay_trains_as_back_propagation_through_time_does(recipe):
    """In float64, where rounding leaves 20 steps alone; dropout draws the same in both."""
    stage = dataclasses.replace(recipe.stages[0], steps=20, segments=(4, 4))
    recipe = dataclasses.replace(recipe, stages=(stage,), score_every=1000)
    runs = {m: finished(dataclasses.replace(recipe, method=m), build=double) for m in METHODS}
    losses = [torch.tensor(run.history.losses, dtype=torch.float64) for run in runs.values()]
    assert_close(losses[0], losses[1], "losses of 20 steps", 1e-8)
    assert losses[0].std() > 1e-3
    for (name, a), b in zip(
        runs["bptt"].learner.named_parameters(), runs["mrbp"].learner.parameters(), strict=True
    ):
        assert_close(a, b, name, 1e-5)  # AdamW divides by small numbers


METHODS = ("bptt", "mrbp")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["answers", "guesses next", "bmn", "feed-forward"])
def test_the_gradient_reaches_every_parameter(name, method):
    run = Run(dataclasses.replace(KINDS[name], method=method), seed=3, build=double)
    run.advance()
    for name, parameter in run.learner.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def writer_gradients(recipe):
    run = Run(recipe, seed=3, build=double)
    run.advance()
    writer = run.learner.memformer.memory_writer
    return [0.0 if p.grad is None else p.grad.abs().max().item() for p in writer.parameters()]


@both_tasks
def test_a_memory_detached_after_each_segment_leaves_the_writer_untrained(recipe):
    assert all(writer_gradients(recipe))
    assert not any(writer_gradients(dataclasses.replace(recipe, detach_every=1)))
    assert all(writer_gradients(dataclasses.replace(recipe, detach_every=2)))


def test_truncation_longer_than_the_stream_is_none():
    full, cut = (
        finished(dataclasses.replace(SMALL, detach_every=k), build=double) for k in (None, 5)
    )
    assert full.history.losses == cut.history.losses
    assert finished(dataclasses.replace(SMALL, detach_every=2)).history.losses != cut.history.losses


@both_tasks
def test_without_memory_nothing_is_carried(recipe):
    """What the first segment says changes nothing afterwards, nor does the writer learn."""
    task = recipe.task
    for use_memory in (True, False):
        learner = Run(dataclasses.replace(recipe, use_memory=use_memory), seed=3).learner.eval()
        first, other, last = (
            task.stream(11, 3, generator=generator(seed))[step]
            for seed, step in [(1, 0), (2, 0), (1, 2)]
        )
        losses = []
        for segment in (first, other):
            _, mems = learner(segment, learner.start(11))
            losses.append(learner(last, mems)[0])
            assert torch.equal(mems, learner.start(11)) == (not use_memory)
        assert (losses[0] == losses[1]) == (not use_memory)
    assert not any(writer_gradients(dataclasses.replace(recipe, use_memory=False)))


# Steps


def streams_of(recipe, seed, steps):
    """Draw what a run of this seed trains on, once more."""
    source = generator(seed)
    for step in range(steps):
        stage = recipe.stages[0 if step < recipe.stages[0].steps else 1]
        shortest, longest = stage.segments
        count = int(torch.randint(shortest, longest + 1, (), generator=source))
        yield stage.task.stream(recipe.batch_size, count, generator=source)


def test_each_step_takes_the_mean_loss_of_a_stream_of_its_stage():
    run = Run(SMALL, seed=3, build=double)
    lengths = {0: set(), 1: set()}
    for step, stream in enumerate(streams_of(SMALL, 3, SMALL.steps)):
        lengths[step >= 5].add(len(stream))
        learner, total = run.learner, 0.0
        mems = learner.start(11)
        for tokens, answers in stream:
            logits, mems = learner.answer(tokens, mems)
            asked = answers != NOT_ASKED
            if asked.any():
                chosen = logits.log_softmax(dim=-1)[asked].gather(1, answers[asked][:, None])
                total -= chosen.sum().item() / 11
        assert run.advance() == pytest.approx(total / len(stream), rel=1e-9)
    assert lengths[0] <= {2, 3, 4} and lengths[1] <= {3, 4, 5}
    assert len(lengths[0]) > 1 and len(lengths[1]) > 1, "the length is not drawn"
    assert run.finished


def test_the_learning_rate_rises_and_falls_as_documented():
    steps, warmup = 40, 7
    stage = Stage(Parity(), steps=steps, segments=(2, 2))
    recipe = Recipe(
        stages=(stage,), **{**SIZES, "warmup": warmup}, learning_rate=3e-3, weight_decay=0.2
    )
    run, rates = Run(recipe), []
    for step in range(steps):
        run.advance()
        (group,) = run.optimizer.param_groups
        # Half a cosine from 1 to 0 is the square of a quarter.
        falls = 0.05 + 0.95 * math.cos(math.pi / 2 * step / steps) ** 2
        assert group["lr"] == pytest.approx(3e-3 * min(1, (step + 1) / warmup) * falls)
        rates.append(group["lr"])
    assert rates.index(max(rates)) == warmup - 1
    assert (
        sorted(rates[:warmup]) == rates[:warmup] and sorted(rates[warmup:])[::-1] == rates[warmup:]
    )
    assert rates[-1] == pytest.approx(0.05 * 3e-3, rel=0.05)
    assert group["betas"] == (0.9, 0.98) and group["weight_decay"] == 0.2


def gradient_norm(run):
    return torch.cat([p.grad.flatten() for p in run.learner.parameters()]).norm().item()


def test_gradients_are_clipped_to_the_norm_of_the_recipe():
    runs = {}
    for clip in (1e-3, 1e3):
        runs[clip] = Run(dataclasses.replace(SMALL, clip=clip), seed=3, build=double)
        runs[clip].advance()
    whole_norm = gradient_norm(runs[1e3])
    assert 1e-3 < whole_norm < 1e3
    assert gradient_norm(runs[1e-3]) == pytest.approx(1e-3, rel=1e-3)
    for (name, short), full in zip(
        runs[1e-3].learner.named_parameters(), runs[1e3].learner.parameters(), strict=True
    ):
        assert_close(short.grad / 1e-3, full.grad / whole_norm, name, 1e-2)


def test_gradients_of_the_step_before_are_forgotten():
    run = Run(dataclasses.replace(SMALL, clip=1e9), seed=3, build=double)
    for parameter in run.learner.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    fresh = Run(dataclasses.replace(SMALL, clip=1e9), seed=3, build=double)
    run.advance()
    fresh.advance()
    assert gradient_norm(run) == gradient_norm(fresh)


@pytest.mark.parametrize(
    ("stop_at", "steps"), [(None, 11), (0.0, 4), (1.0, 11)], ids=["never", "at once", "too good"]
)
def test_a_training_ends_with_its_steps_or_with_its_score(stop_at, steps):
    run = finished(dataclasses.replace(SMALL, stop_at=stop_at))
    assert run.finished and len(run.history.losses) == steps
    assert run.history.score_steps == {4: [4], 11: [4, 8, 11]}[steps]
    assert len(run.history.scores) == len(run.history.score_steps)
    assert run.history.scores[-1] == accuracy(run.learner.eval(), small_held_out(run.recipe))


def test_a_score_that_is_just_good_enough_ends_the_training():
    score = finished(SMALL).history.scores[0]
    assert len(finished(dataclasses.replace(SMALL, stop_at=score)).history.losses) == 4


def test_a_finished_training_does_nothing_more(tmp_path):
    run = finished(SMALL)
    history = dataclasses.replace(run.history, losses=list(run.history.losses))
    train(run, save=tmp_path / "none", progress=False)
    assert run.history == history and not list(tmp_path.iterdir())


def test_progress_is_shown_only_where_it_is_wanted(monkeypatch):
    # TQDM_DISABLE, which holds for all tests, switches the bar off unless it is asked for.
    bar = functools.partial(tqdm, disable=False)
    monkeypatch.setattr("memformer_lite.learning.train.tqdm", bar)
    for progress in (True, False):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            history = train(Run(SMALL), progress=progress)
        assert isinstance(history, History) and len(history.losses) == 11
        assert err.getvalue() == ""
        assert ("11/11" in out.getvalue() and "score=" in out.getvalue()) == progress
        assert progress or out.getvalue() == ""


# Scores


@torch.no_grad()
def answers_by_hand(learner, stream):
    """Count right answers and questions, row by row."""
    right = asked = 0
    for row in range(len(stream[0].tokens)):
        mems = learner.start(1)
        for tokens, answers in stream:
            logits, mems = learner.answer(tokens[row : row + 1], mems)
            wanted = answers[row].item()
            if wanted != NOT_ASKED:
                asked += 1
                right += logits[0].tolist().index(max(logits[0].tolist())) == wanted
    return right, asked


def test_accuracy_counts_the_questions_only():
    learner = Run(SMALL, seed=3, build=double).learner.eval()
    stream = dataclasses.replace(TASK, ask_probability=0.5).stream(13, 5, generator=generator(1))
    right, asked = answers_by_hand(learner, stream)
    assert 0 < right < asked < 65
    assert accuracy(learner, stream) == right / asked
    silent = [Segment(tokens, torch.full_like(answers, NOT_ASKED)) for tokens, answers in stream]
    assert accuracy(learner, [*stream, *silent]) == right / asked


def test_bits_of_a_model_that_knows_nothing_are_those_of_the_vocabulary():
    for task in (Text(length=5), Rows()):
        stage = Stage(task, steps=1, segments=(8, 8))
        learner = Run(Recipe(stages=(stage,), **SIZES), build=double).learner.eval()
        for parameter in learner.memformer.decoder.net.to_logits.parameters():
            nn.init.zeros_(parameter)
        stream = task.stream(3, 8, generator=generator(1))
        assert bits_per_token(learner, stream) == pytest.approx(math.log2(task.num_tokens))


def test_bits_are_the_mean_surprise_of_all_tokens():
    learner = Run(GUESSES, seed=3, build=double).learner.eval()
    stream = Text(length=5).stream(7, 4, generator=generator(1))
    surprise, mems = [], learner.start(7)
    for tokens, targets in stream:
        enc_out, mems, _ = learner.memformer(tokens, mems=mems)
        chances = learner.memformer.logits(targets[:, :-1], enc_out).softmax(dim=-1)
        surprise.append(-chances.gather(2, targets[:, 1:, None]).log2().flatten())
    surprise = torch.cat(surprise)
    assert len(surprise) == 4 * 7 * 5
    assert bits_per_token(learner, stream) == pytest.approx(surprise.mean().item(), rel=1e-9)


@pytest.mark.parametrize("name", RECIPES)
def test_the_held_out_stream_is_always_the_same(name):
    first, second = held_out(RECIPES[name]), held_out(RECIPES[name])
    torch.manual_seed(5)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.tokens, b.tokens) and torch.equal(a.answers, b.answers)


def test_held_out_images_and_text_are_those_of_the_test():
    images = Digits(split="test").all_images()
    for drawn, expected in zip(held_out(RECIPES["digits"]), images, strict=True):
        assert torch.equal(drawn.tokens, expected.tokens)
    pixels = Rows(split="test").all_images()
    for drawn, expected in zip(held_out(RECIPES["rows"]), pixels, strict=True):
        assert torch.equal(drawn.answers, expected.answers)
    drawn = held_out(RECIPES["text"])
    long = Text(length=18_000, split="test").stream(1, 1, generator=generator())
    test = "".join(chr(token) for token in long[0].answers[0].tolist())
    rows = ["".join(map(chr, row)) for row in drawn[0].tokens.tolist()]
    assert sum(row in test for row in rows) > 100, "not from the test text"


def stories(stream):
    """The rows of a stream, as tuples of tokens."""
    return set(map(tuple, torch.cat([segment.tokens for segment in stream], dim=1).tolist()))


@pytest.mark.parametrize("name", RECIPES)
def test_the_held_out_stream_has_more_rows_than_any_training_draws(name):
    """Its seed is also a training's: that the draws are of other sizes keeps them apart."""
    assert RECIPES[name].batch_size < 256 < len(held_out(RECIPES[name])[0].tokens)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_held_out_story_is_trained_on(seed):
    recipe = RECIPES["cards"]
    shown, rng = stories(held_out(recipe)), generator(seed)
    trained = set()
    for _ in range(200):  # as `advance` draws them
        torch.randint(6, 7, (), generator=rng)
        trained |= stories(recipe.task.stream(recipe.batch_size, 6, generator=rng))
    assert len(trained) > 12_000 and not shown & trained


# The learner and its start


def test_a_segment_that_asks_nothing_has_no_loss_but_a_memory():
    learner = Run(SMALL, seed=3).learner
    tokens, answers = TASK.stream(11, 1, generator=generator(1))[0]
    loss, after = learner(Segment(tokens, torch.full_like(answers, NOT_ASKED)), learner.start(11))
    assert loss is None and after.shape == (11, 7, 30)
    assert_differ(after, learner.start(11), "nothing was written")


def test_the_loss_of_a_segment_is_shared_among_all_rows():
    """A row that is not asked adds nothing, but counts: more questions weigh more."""
    learner = Run(SMALL, seed=3, build=double).learner
    tokens = TASK.stream(4, 1, generator=generator(1))[0].tokens
    answers = torch.tensor([2, NOT_ASKED, 4, NOT_ASKED])
    loss, _ = learner(Segment(tokens, answers), learner.start(4))
    logits, _ = learner.answer(tokens, learner.start(4))
    rows = [F.cross_entropy(logits[row], answers[row]) for row in (0, 2)]
    assert_close(loss, sum(rows) / 4, "loss")


@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_attention_starts_with_scores_of_variance_one(update):
    """Queries and keys are made from features of variance 1; a bmn slot has norm 1 instead."""
    recipe = Recipe(stages=STAGES, dim=64, heads=4, slots=7, update=update)
    learner = Run(recipe, build=double).learner
    writer = learner.memformer.memory_writer.attention
    layer = learner.memformer.encoder.layer_blocks.layers[0]
    tokens = torch.randn(400, 64, generator=generator(1), dtype=torch.float64)
    slots = tokens if update == "gru" else F.normalize(tokens, dim=-1)
    reads = [m for m in layer.modules() if isinstance(m, Attention)]
    assert len(reads) == 2
    for module, of, into in [(reads[0], tokens, tokens), (reads[1], tokens, slots)]:
        scores = by_head(module.to_q(of)) @ by_head(module.to_kv(into)[:, :64]).mT / 4
        assert 0.6 < scores.var() < 1.5, scores.var()
    writes = [m for m in learner.modules() if isinstance(m, SlotAttention)]
    assert writes == [writer]
    for linear in (m for module in (*reads, writer) for m in module.children()):
        if isinstance(linear, nn.Linear) and linear.bias is not None:
            assert not linear.bias.any()
    variance = writer.to_q(slots).var()
    assert 0.7 < variance < 1.4, variance


def by_head(features):
    """Split (n, 64) into heads, (4, n, 16)."""
    return features.unflatten(1, (4, 16)).transpose(0, 1)


def test_without_unit_scores_the_start_is_torchs():
    def started(unit_scores):
        recipe = dataclasses.replace(SMALL, unit_scores=unit_scores, keep_bias=0.0)
        return dict(Run(recipe, seed=3).learner.named_parameters())

    plain = started(False)
    bound = 30**-0.5
    name = "memformer.memory_writer.attention.to_q.weight"
    assert plain[name].abs().max() <= bound < started(True)[name].abs().max()


def test_the_keep_bias_is_added_to_the_update_gate_alone():
    memory = torch.randn(11, 7, 30, generator=generator(2))
    tokens = TASK.stream(11, 1, generator=generator(1))[0].tokens
    changes = []
    for keep_bias in (-20.0, 0.0, 20.0):
        learner = Run(dataclasses.replace(SMALL, keep_bias=keep_bias), seed=3).learner
        changes.append((learner.answer(tokens, memory)[1] - memory).norm().item())
    assert changes[2] < 1e-5 < changes[1] < changes[0], changes
    plain, moved = (
        dict(Run(dataclasses.replace(SMALL, keep_bias=bias), seed=3).learner.named_parameters())
        for bias in (0.0, 20.0)
    )
    changed = {name for name in plain if not torch.equal(plain[name], moved[name])}
    assert changed == {"memformer.memory_writer.rule.cell.bias_ih"}
    name = "memformer.memory_writer.rule.cell.bias_ih"
    assert ((moved[name] - plain[name]).abs() > 1).sum() == 30


@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_the_slot_scale_multiplies_the_slots_alone(update):
    plain, scaled = (
        Run(dataclasses.replace(SMALL, slot_scale=scale, update=update), seed=3).learner
        for scale in (1.0, 0.25)
    )
    for (name, a), b in zip(plain.named_parameters(), scaled.parameters(), strict=True):
        factor = 0.25 if name == "memformer.memory_slots" else 1.0
        assert torch.equal(a * factor, b), name


def test_every_option_of_the_model_arrives():
    recipe = dataclasses.replace(
        SMALL, update="bmn", temperature=0.7, feed_forward=True, dropout=0.2
    )
    model = Run(recipe).learner.memformer
    writer = model.memory_writer
    assert model.memory_slots.shape == (7, 30) and model.decoder is None
    assert isinstance(writer.rule, BMN) and writer.rule.feed_forward is not None
    assert writer.attention.temperature == 0.7 and writer.attention.heads == 3
    reads = [module for module in model.encoder.modules() if isinstance(module, Attention)]
    assert {module.heads for module in reads} == {3} and {m.dropout for m in reads} == {0.2}
    assert model.encoder.num_tokens == TASK.num_tokens and model.encoder.max_seq_len == 8


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_of_the_book_can_take_a_step(name):
    recipe = dataclasses.replace(RECIPES[name], batch_size=8)
    run = Run(recipe)
    loss = run.advance()
    task = recipe.task
    chance = math.log(task.num_tokens if task.guesses_next else task.num_answers)
    assert 0 < loss < 3 * chance


@pytest.mark.parametrize(
    "task",
    [
        Cards(keys=1, values=2, noise=1, content=1, ask_fresh=True),
        Cards(content=5, max_cards=5, write_probability=1.0),
        Parity(),
    ],
    ids=["smallest", "fullest", "parity"],
)
def test_the_smallest_sizes_train(task):
    recipe = Recipe(
        stages=(Stage(task, steps=2, segments=(6, 6)),),
        **{**SIZES, "dim": 2, "heads": 1, "slots": 1, "batch_size": 5},
    )
    run = finished(recipe)
    assert len(run.history.losses) == 2 and all(map(math.isfinite, run.history.losses))


def test_a_stream_in_which_nothing_is_asked_does_not_end_a_training():
    """With one row and few cards it happens at once; with 32 rows once in some thousand steps."""
    task = Cards(write_probability=0.1)
    recipe = Recipe(stages=(Stage(task, steps=8, segments=(2, 3)),), **{**SIZES, "batch_size": 1})
    assert len(finished(recipe).history.losses) == 8


# Stopping and resuming


@functools.cache
def uninterrupted(recipe):
    return finished(recipe)


@every_kind
@pytest.mark.parametrize("stop", [0, 3, 5, 8], ids=lambda step: f"step {step}")
def test_a_resumed_training_is_the_uninterrupted_one(recipe, stop, tmp_path):
    """Before the first step, within a stage, at its end, and at a score."""
    whole_run = uninterrupted(recipe)
    run = Run(recipe, seed=3)
    for step in range(min(stop, recipe.steps)):
        run.advance()
        if (step + 1) % recipe.score_every == 0:
            run.score()
    run.save(tmp_path / "run")
    del run
    torch.manual_seed(1234)
    torch.rand(77)
    resumed = Run.load(tmp_path / "run")
    assert resumed.recipe == recipe and resumed.seed == 3
    train(resumed, progress=False)
    assert resumed.history == whole_run.history and same_weights(resumed, whole_run)


def test_saving_does_not_disturb_a_training(tmp_path):
    recipe = KINDS["dropout"]
    run = Run(recipe, seed=3)
    while not run.finished:
        run.advance()
        run.save(tmp_path / "run")
        if len(run.history.losses) % recipe.score_every == 0 or run.finished:
            run.score()
    assert run.history == finished(recipe).history


def test_training_saves_at_each_score(tmp_path, monkeypatch):
    saved = []
    save = Run.save

    def note(run, path):
        save(run, path)
        loaded = Run.load(path)
        saved.append((len(loaded.history.losses), loaded.history.score_steps[-1]))

    monkeypatch.setattr(Run, "save", note)
    train(Run(SMALL, seed=3), save=tmp_path / "run", progress=False)
    assert saved == [(4, 4), (8, 8), (11, 11)]
    assert Run.load(tmp_path / "run").finished


# A trained learner alone


@both_tasks
def test_a_learner_comes_back_in_half_precision(recipe, tmp_path):
    run = Run(recipe, seed=3)
    run.advance()
    save_learner(run.learner, tmp_path / "half", {"seed": 3})
    run.save(tmp_path / "whole")
    assert (tmp_path / "half").stat().st_size < 0.3 * (tmp_path / "whole").stat().st_size
    before = torch.get_rng_state()
    learner = load_learner(tmp_path / "half")
    assert torch.equal(torch.get_rng_state(), before), "the global random state changed"
    assert not any(module.training for module in learner.modules())
    assert learner.recipe == recipe
    for (name, back), value in zip(
        learner.named_parameters(), run.learner.parameters(), strict=True
    ):
        assert back.dtype == torch.float32
        assert torch.equal(back, value.half().float()), name


def test_a_learner_comes_back_whole_from_a_run(tmp_path):
    run = Run(KINDS["dropout"], seed=3)
    run.advance()
    run.save(tmp_path / "whole")
    learner = load_learner(str(tmp_path / "whole"))
    for back, value in zip(learner.parameters(), run.learner.parameters(), strict=True):
        assert torch.equal(back, value)
    assert not any(module.training for module in learner.modules())
    assert run.learner.training, "saving changed the mode"


def test_a_learner_without_memory_stays_one(tmp_path):
    save_learner(Run(KINDS["no memory"]).learner, tmp_path / "half", {})
    assert load_learner(tmp_path / "half").use_memory is False


def test_building_a_learner_leaves_no_trace_in_its_recipe():
    learner = Learner(SMALL)
    assert learner.recipe is SMALL and isinstance(learner, nn.Module)
