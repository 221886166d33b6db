"""The records are those of the present code, and a run of experiments can be interrupted."""

import functools
import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import assert_close, assert_differ, generator, refused

from memformer_lite.experiments import command, measures, records
from memformer_lite.experiments.builds import BUILDS
from memformer_lite.experiments.command import main, run_case
from memformer_lite.experiments.measures import (
    GAPS,
    measure_cards,
    measure_digits,
    measure_parity,
    measure_rows,
    measure_slots,
    measure_text,
    rewriting_stream,
)
from memformer_lite.experiments.records import (
    RECORDS,
    empty_record,
    load_record,
    read_or_empty,
    write_record,
)
from memformer_lite.experiments.table import EXPERIMENTS, Case, Experiment
from memformer_lite.inside.questions import ask, held_values
from memformer_lite.inside.record import record
from memformer_lite.learning.learner import accuracy, bits_per_token
from memformer_lite.learning.recipes import RECIPES, Recipe, Stage, from_plain
from memformer_lite.learning.tasks import NOT_ASKED, Cards, Digits, Parity, Rows, Text
from memformer_lite.learning.train import Run, train

ROOT = Path(__file__).resolve().parents[1]
every_experiment = pytest.mark.parametrize("name", EXPERIMENTS)
CASES = [(name, label) for name, entry in EXPERIMENTS.items() for label in entry.cases]
every_case = pytest.mark.parametrize(("name", "label"), CASES)


def numbers(data):
    """Yield all numbers of nested plain data."""
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from numbers(value)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield data


def without_runs(record):
    """The record's configuration, in the form in which it is read from a file."""
    plain = json.loads(json.dumps(record))
    for case in plain["cases"].values():
        case["runs"] = {}
    return plain


# The records that ship


@every_experiment
def test_the_record_belongs_to_the_present_configuration(name):
    record = load_record(name)
    assert without_runs(record) == without_runs(empty_record(name)), "run make experiments"
    seeds = [str(seed) for seed in EXPERIMENTS[name].seeds]
    assert len(set(seeds)) >= 3
    for label, case in record["cases"].items():
        assert list(case["runs"]) == seeds, label
        assert from_plain(case["recipe"]) == EXPERIMENTS[name].cases[label].recipe


def names_in(data):
    """Return the names in nested plain data, in place of its numbers."""
    return {k: names_in(value) for k, value in data.items()} if isinstance(data, dict) else None


@functools.cache
def names_measured(measure):
    """Return what the present code measures, found with an untrained learner."""
    case = next(c for e in EXPERIMENTS.values() if e.measure is measure for c in e.cases.values())
    return names_in(json.loads(json.dumps(measure(case.run(0).learner.eval()))))


@every_experiment
def test_the_record_holds_what_the_present_code_measures(name):
    expected = names_measured(EXPERIMENTS[name].measure)
    for label, case in load_record(name)["cases"].items():
        for seed, run in case["runs"].items():
            assert names_in(run["results"]) == expected, f"{label}, seed {seed}"


@every_experiment
def test_nothing_of_the_present_record_would_be_run_again(name):
    assert without_runs(read_or_empty(name)) == without_runs(load_record(name))
    runs = {label: case["runs"] for label, case in read_or_empty(name)["cases"].items()}
    assert runs == {label: case["runs"] for label, case in load_record(name)["cases"].items()}


@every_experiment
def test_the_record_says_how_it_was_made(name):
    record = load_record(name)
    assert record["experiment"] == name and record["question"].endswith("?")
    assert record["command"] == f"python -m memformer_lite experiments {name}"
    for label, case in record["cases"].items():
        recipe = from_plain(case["recipe"])
        for run in case["runs"].values():
            assert set(run["versions"]) >= {"python", "torch"}, label
            assert run["steps"] == recipe.steps and run["seconds"] > 0
            assert all(math.isfinite(number) for number in numbers(run)), label
            assert len(run["first_losses"]) == 3
            scored = [n for n in range(1, recipe.steps + 1) if n % recipe.score_every == 0]
            assert list(run["scores"]) == [str(n) for n in scored], label
            assert len(list(numbers(run["results"]))) > 0


@every_experiment
def test_the_record_is_small_and_plain(name):
    path = RECORDS / f"{name}.json"
    assert path.stat().st_size < 96 * 1024
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    assert text == json.dumps(json.loads(text), indent=1) + "\n"


def test_no_interrupted_write_is_left_beside_the_records():
    assert {path.suffix for path in RECORDS.iterdir()} == {".json", ".md"}


@every_case
def test_the_first_steps_of_the_record_are_those_of_the_present_code(name, label):
    case = load_record(name)["cases"][label]["runs"]["0"]
    run = EXPERIMENTS[name].cases[label].run(0)
    losses = [run.advance() for _ in range(2)]
    assert losses == pytest.approx(case["first_losses"][:2], abs=1e-4)
    assert case["parameters"] == sum(p.numel() for p in run.learner.parameters())


@every_case
def test_seeds_differ_in_the_record(name, label):
    runs = load_record(name)["cases"][label]["runs"].values()
    assert len({run["first_losses"][0] for run in runs}) == len(runs)


def test_the_same_training_in_two_records_gave_the_same_numbers():
    """A recipe stands in several tables; it is run for each, on the same machine."""
    seen, repeated = {}, 0
    for name, entry in EXPERIMENTS.items():
        for label, case in entry.cases.items():
            runs = load_record(name)["cases"][label]["runs"]
            for seed, run in runs.items():
                key = (case.recipe, case.build, entry.measure, seed)
                numbers_of = {k: run[k] for k in ("first_losses", "scores", "results")}
                repeated += key in seen
                assert seen.setdefault(key, numbers_of) == numbers_of, f"{name}: {label}, {seed}"
    assert repeated >= 6


# Their bars, as the book states them


def of_all_seeds(name, label, *path):
    """Return one number of a case for each seed."""
    found = []
    for run in load_record(name)["cases"][label]["runs"].values():
        value = run["results"]
        for key in path:
            value = value[key]
        found.append(value)
    return found


def test_recorded_results_keep_what_the_book_says():
    assert min(of_all_seeds("gap", "recipe", "recall", "64")) >= 0.95
    assert min(of_all_seeds("gap", "recipe", "rewriting")) >= 0.95
    assert min(of_all_seeds("cards", "recipe", "accuracy", "6")) >= 0.95
    assert max(of_all_seeds("cards", "no memory", "accuracy", "6")) <= 0.125 + 0.03
    assert min(of_all_seeds("digits", "recipe", "accuracy", "0")) >= 0.85
    assert min(of_all_seeds("parity", "recipe", "accuracy", "12")) == 1.0


def test_some_runs_give_each_box_a_slot_and_some_do_not():
    found = of_all_seeds("slots", "recipe", "drop")
    homes = [[max(range(4), key=row.__getitem__) for row in drop] for drop in found]
    assert {len(set(slots)) for slots in homes} > {4}, "one to one is common, not universal"
    for drop, slots in zip(found, homes, strict=True):
        assert min(row[slot] for row, slot in zip(drop, slots, strict=True)) >= 0.25


@every_case
def test_results_lie_where_such_numbers_can_lie(name, label):
    for run in load_record(name)["cases"][label]["runs"].values():
        results = run["results"]
        for share in ("accuracy", "recall"):
            assert all(0 <= number <= 1 for number in numbers(results.get(share, {})))
        assert all(number > 0 for number in numbers(results.get("bits", {})))
        assert -1 <= results.get("cosine", 0) <= 1 + 1e-6
        assert 0 <= results.get("pointed", 0) <= 1


# What is compared


@every_experiment
def test_the_cases_of_an_experiment_differ_and_get_the_same_work(name):
    cases = list(EXPERIMENTS[name].cases.values())
    assert len(set(cases)) == len(cases), "two rows of the table are the same"
    assert len(cases) > 1 or len(EXPERIMENTS[name].seeds) >= 5, "nothing is compared"
    assert len({(case.recipe.steps, case.recipe.batch_size) for case in cases}) == 1
    assert {case.recipe.stop_at for case in cases} == {None}
    assert {case.build for case in cases} <= set(BUILDS)


def test_cases_are_what_their_names_say():
    cases = {
        label: case.recipe for name, label in CASES for case in [EXPERIMENTS[name].cases[label]]
    }
    for name, label in CASES:
        recipe = EXPERIMENTS[name].cases[label].recipe
        forgets = label in ("no memory", "all pixels at once")
        assert recipe.use_memory == (not forgets), label
        assert (recipe.update == "bmn") == label.startswith("BMN"), label
        assert (recipe.detach_every == 1) == (label == "detached"), label
        assert (recipe.method == "mrbp") == (label == "memory replay"), label
        after = label in ("as the reference", "feed-forward after the gate")
        assert recipe.feed_forward == after, label
    assert cases["all pixels at once"].task == Rows(rows=8)
    assert cases["gate bias 0"].keep_bias == 0 and cases["temperature 1"].temperature == 1
    assert not cases["torch's start"].unit_scores
    for keys, slots in ((4, 1), (4, 2), (4, 4), (4, 8), (8, 4), (8, 8)):
        recipe = cases[f"{keys} boxes, {slots} slots"]
        assert (recipe.task.keys, recipe.slots) == (keys, slots)
    for label, recipe in cases.items():
        if label.startswith("GRU, "):
            said = f"GRU, keep bias {recipe.keep_bias:g}, temperature {recipe.temperature:g}"
        elif label.startswith("BMN, "):
            said = f"BMN, slot scale {recipe.slot_scale:g}, temperature {recipe.temperature:g}"
        else:
            continue
        if recipe.learning_rate != RECIPES["cards"].learning_rate:
            said += f", learning rate {recipe.learning_rate:g}"
        assert label == said
    assert cases["weight decay 0.01"].weight_decay == 0.01


TASK = Cards(keys=3, values=5, noise=2, content=7, max_cards=4, ask_fresh=True)
SIZES = {"dim": 30, "heads": 3, "slots": 7, "batch_size": 11, "score_every": 2}


def small(task, segments=5, **options):
    return Recipe(stages=(Stage(task, steps=2, segments=(segments, segments)),), **SIZES, **options)


def test_without_a_gate_a_slot_becomes_what_was_written():
    learner = Case(small(TASK), "no gate").run(0).learner.double()
    writer = learner.memformer.memory_writer
    mems = torch.randn(11, 7, 30, generator=generator(1), dtype=torch.float64)
    enc_out = torch.randn(11, 5, 30, generator=generator(2), dtype=torch.float64)
    assert_close(writer(mems, enc_out), writer.attention(mems, enc_out)[0], "memory")


def test_equal_slots_stay_equal():
    for build, stay in (("equal slots", True), ("recipe", False)):
        run = Case(small(TASK), build).run(0)
        run.learner.double()
        run.advance()
        after = run.learner.start(2)
        for segment in TASK.stream(2, 3, generator=generator(1)):
            _, after = run.learner(segment, after)
        spread = (after - after[:, :1]).abs().max().item()
        assert (spread < 1e-9) == stay, f"{build}: slots differ by {spread:.3g}"


def test_the_feed_forward_inside_the_gate_changes_what_is_written_and_not_what_is_kept():
    learner = Case(small(TASK), "feed-forward inside the gate").run(0).learner.double()
    writer = learner.memformer.memory_writer
    mems = torch.randn(11, 7, 30, generator=generator(1), dtype=torch.float64)
    enc_out = torch.randn(11, 5, 30, generator=generator(2), dtype=torch.float64)
    written = writer.attention(mems, enc_out)[0].flatten(0, 1)
    changed = writer.rule.feed_forward(written)
    assert_differ(changed, written, "the feed-forward does nothing")
    cell = writer.rule.gate.cell
    expected = cell(changed, mems.flatten(0, 1)).view_as(mems)
    assert_close(writer(mems, enc_out), expected, "memory")
    with torch.no_grad():
        cell.bias_ih[30:60] = 50.0  # keep all: torch's order is reset, update, new
    assert_close(writer(mems, enc_out), mems, "memory of a closed gate", 1e-9)


def test_every_build_trains_all_that_it_has():
    for build in BUILDS:
        run = Case(small(TASK), build).run(0)
        run.advance()
        held = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
        for name, parameter in run.learner.named_parameters():
            assert id(parameter) in held, f"{build}: {name} is not trained"
            assert parameter.grad is not None, f"{build}: {name}"


# What is measured


def test_the_rewriting_stream_asks_for_the_box_that_it_rewrites():
    for task in (TASK, Cards(), Cards(keys=1, values=2, noise=1, content=1)):
        before = task.recall_stream(41, 0, generator=generator(3))
        stream = rewriting_stream(task, 41, generator=generator(3))
        assert len(stream) == task.keys + 1
        values = set()
        for row in range(41):
            *content, last = stream[-1].tokens[row].tolist()
            key = last - task.question(0)
            cards = [token for token in content if token < task.question(0)]
            assert 0 <= key < task.keys and len(cards) == 1
            assert cards[0] == task.card(key, stream[-1].answers[row].item())
            values.add(stream[-1].answers[row].item())
        assert values == set(range(task.values)), "the new value is drawn"
        assert all((answers == NOT_ASKED).all() for _, answers in stream[:-1])
        for drawn, kept in zip(stream[:-1], before[:-1], strict=True):
            assert torch.equal(drawn.tokens, kept.tokens)


class Perfect(torch.nn.Module):
    """Answers every question of cards by keeping a list; the slots are what the boxes hold."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe, self.task = recipe, recipe.task
        model = Run(recipe).learner.memformer
        self.memformer = model

    def start(self, batch_size):
        return torch.full((batch_size, self.task.keys, self.recipe.dim), float(NOT_ASKED))

    def answer(self, tokens, mems):
        task, mems = self.task, mems.clone()
        logits = torch.zeros(len(tokens), task.values)
        for row, words in enumerate(tokens.tolist()):
            for word in words[:-1]:
                if word < task.question(0):
                    mems[row, word // task.values] = word % task.values
            key = words[-1] - task.question(0)
            if 0 <= key < task.keys:
                logits[row, int(mems[row, key, 0])] = 1
        return logits, mems


def test_who_remembers_everything_gets_full_marks(monkeypatch):
    monkeypatch.setattr(measures, "GAPS", (0, 2))
    results = measure_cards(Perfect(small(TASK)))
    assert results["accuracy"] == {6: 1.0, 12: 1.0, 24: 1.0}
    assert results["recall"] == {0: 1.0, 2: 1.0} and results["rewriting"] == 1.0
    # Each gap has streams of its own, so the norms of what is held agree by chance only.
    assert results["norm"][0] == pytest.approx(results["norm"][2], rel=0.1)
    assert results["change_noise"] == 0 and results["change_card"] > 0


class Counter:
    """Knows nothing but how many pages came before."""

    def __init__(self, task):
        self.recipe = replace(small(task), use_memory=True)
        self.questions = []

    def start(self, batch_size):
        return torch.zeros(batch_size, 1, 1)

    def answer(self, tokens, mems):
        keys = tokens[:, -1] - self.recipe.task.question(0)
        if ((keys >= 0) & (keys < self.recipe.task.keys)).all():
            self.questions.append(int(mems.flatten()[0]))
        return torch.zeros(len(tokens), self.recipe.task.values), mems + 1


def test_recall_is_asked_of_the_memory_right_before_the_question(monkeypatch):
    """After the cards and the whole gap, and not a page earlier."""
    counter = Counter(replace(TASK, noise=1))
    monkeypatch.setattr(measures, "_slot_habits", lambda learner, task: {})
    monkeypatch.setattr(measures, "accuracy", lambda learner, stream: None)
    monkeypatch.setattr(measures, "GAPS", (0, 1, 5))
    results = measure_cards(counter)
    assert counter.questions == [TASK.keys + gap for gap in (0, 1, 5)]
    assert results["norm"] == {gap: TASK.keys + gap for gap in (0, 1, 5)}


def stories(stream):
    """The rows of a stream's first two segments, as tuples of tokens."""
    first = torch.cat([segment.tokens for segment in stream[:2]], dim=1)
    return set(map(tuple, first.tolist()))


@pytest.mark.parametrize("measure", [measure_cards, measure_slots])
def test_each_measurement_has_stories_of_its_own(monkeypatch, measure):
    """No two streams are one draw, and none is the one that a training is scored on."""
    task = Cards(keys=3, values=97, noise=89, content=7)
    learner = Run(small(task)).learner.eval()
    held_out = task.held_out(6)
    drawn, draw = [], Cards.recall_stream
    monkeypatch.setattr(
        Cards,
        "recall_stream",
        lambda *sizes, **more: drawn.append(draw(*sizes, **more)) or drawn[-1],
    )
    measure(learner)
    assert len(drawn) >= 2
    for place, stream in enumerate(drawn):
        assert len(stream[0].tokens) > 256, "as few rows as a training draws with such a seed"
        for other in (held_out, *drawn[:place]):
            assert len(stories(stream) & stories(other)) < 5


def test_probing_and_erasing_are_scored_on_streams_that_no_probe_was_fitted_on(monkeypatch):
    fitted, scored = [], []

    def logged(name, log, place=0):
        kept = getattr(measures, name)

        def call(*arguments, **more):
            log.append(arguments[place])
            return kept(*arguments, **more)

        monkeypatch.setattr(measures, name, call)

    logged("fit_probe", fitted)
    logged("use_probe", scored, 1)
    logged("erase", scored)
    learner = Run(small(TASK)).learner.eval()
    measure_slots(learner)
    slots = learner.memformer.num_memory_slots
    known = {tuple(row) for mems in fitted[:slots] for row in mems.tolist()}
    assert len(known) > 500 * slots
    tested = {tuple(row) for mems in scored for row in mems.flatten(0, -2).tolist()}
    assert len(tested) > 500 * slots and not tested & known


def test_who_forgets_guesses(monkeypatch):
    monkeypatch.setattr(measures, "GAPS", (0, 2))
    learner = Run(small(TASK, use_memory=False)).learner.eval()
    results = measure_cards(learner)
    for share in (*results["accuracy"].values(), *results["recall"].values()):
        assert abs(share - 0.2) < 0.1
    assert results["norm"][0] == pytest.approx(results["norm"][2])
    assert results["change_card"] == results["change_noise"] == 0


def test_cards_are_measured_at_every_gap_and_with_the_plain_task(monkeypatch):
    """Whatever a model was trained on, all rows of a table are measured on the same streams."""
    seen = []
    kept = Cards.stream
    monkeypatch.setattr(measures, "GAPS", (0, 1))
    monkeypatch.setattr(
        Cards,
        "stream",
        lambda task, *sizes, **more: seen.append(task) or kept(task, *sizes, **more),
    )
    for task in (TASK, Cards(keys=3, values=5, noise=2, content=7, write_probability=(0.1, 0.2))):
        measure_cards(Run(small(task)).learner.eval())
    assert set(seen) == {Cards(keys=3, values=5, noise=2, content=7)}
    assert GAPS[-3:] == (32, 64, 128)


class Notebook(Perfect):
    """Keeps box b in slot b, as the place of a 1, and a copy of box 0 in the last slot, unread."""

    def start(self, batch_size):
        return torch.zeros(batch_size, self.task.keys + 1, self.recipe.dim)

    def answer(self, tokens, mems):
        self.memformer(tokens, mems=mems)  # its reading and writing are recorded
        task, mems = self.task, mems.clone()
        logits = torch.zeros(len(tokens), task.values)
        for row, words in enumerate(tokens.tolist()):
            for word in words[:-1]:
                if word < task.question(0):
                    box, value = word // task.values, word % task.values
                    for slot in (box, task.keys) if box == 0 else (box,):
                        mems[row, slot] = 0
                        mems[row, slot, value] = 1
            box = words[-1] - task.question(0)
            if 0 <= box < task.keys:
                logits[row] = mems[row, box, : task.values]
        return logits, mems


def test_the_slots_of_a_notebook_are_found():
    """An erased slot answers value 0, so a drop is 1 less the share of zeros."""
    torch.manual_seed(0)
    results = measure_slots(Notebook(replace(small(TASK), slots=4)))
    boxes, slots = range(3), range(4)
    assert results["accuracy"] == [1.0] * 3
    for box in boxes:
        for slot in slots:
            assert abs(results["drop"][box][slot] - 0.8 * (slot == box)) < 0.06
            found = slot == box or (box, slot) == (0, 3)
            assert results["probe"][box][slot] == 1 if found else results["probe"][box][slot] < 0.4
        assert sum(results["read"][box]) == pytest.approx(1, abs=1e-3)


def test_gate_and_change_are_sorted_by_the_box_that_is_written():
    learner = Case(small(TASK)).run(0).learner.eval()
    results = measure_slots(learner)
    stream = TASK.recall_stream(512, 1, generator=generator(4))[:-1]
    mems, seen = learner.start(512), {box: [] for box in (*range(3), "noise")}
    with torch.no_grad():
        for tokens, _ in stream:
            before, (_, mems) = mems, learner.answer(tokens, mems)
            for row, words in enumerate(tokens[:, :-1].tolist()):
                cards = [word for word in words if word < TASK.question(0)]
                box = cards[0] // TASK.values if cards else "noise"
                seen[box].append((mems[row] - before[row]).norm(dim=-1))
    means = {box: torch.stack(rows).mean(dim=0) for box, rows in seen.items()}
    assert_close(torch.tensor(results["change_noise"]), means["noise"], "noise", 1e-4)
    for box in range(3):
        assert_close(torch.tensor(results["change_card"][box]), means[box], f"box {box}", 1e-4)
    for name in ("gate_card", "gate_noise"):
        assert all(0 < gate < 1 for gate in numbers(results[name]))
    for box in range(3):
        with torch.no_grad(), record(learner) as trace:
            ask(learner, mems, box)
        looks = trace[0].read[:, :, :, TASK.content].mean(dim=(0, 1, 2))  # of the question
        assert_close(torch.tensor(results["read"][box]), looks, f"read of box {box}", 1e-4)


def test_held_values_are_the_answers():
    for task in (TASK, Cards()):
        stream = task.stream(41, 6, generator=generator(5))
        held = held_values(task, stream)
        tokens, answers = stream[-1]
        asked = answers != NOT_ASKED
        boxes = tokens[asked, -1] - task.question(0)
        assert asked.any() and torch.equal(
            held[asked].gather(1, boxes[:, None])[:, 0], answers[asked]
        )
    none = held_values(TASK, [stream[0]._replace(tokens=torch.full((2, 8), TASK.question(3)))])
    assert (none == NOT_ASKED).all() and none.shape == (2, 3)


def test_ask_asks_for_the_box_on_a_page_without_news():
    learner = Notebook(replace(small(TASK), slots=4))
    mems = learner.start(2)
    mems[0, 1, 3] = mems[1, 1, 4] = 1
    assert ask(learner, mems, 1).tolist() == [3, 4]


def test_measures_of_the_other_tasks():
    parity = Run(small(Parity())).learner.eval()
    results = measure_parity(parity)
    assert list(results["accuracy"]) == [12, 24, 48, 96]
    assert all(0.4 < share < 0.6 for share in results["accuracy"].values())
    digits = Run(small(Digits(), 5)).learner.eval()
    results = measure_digits(digits)
    images = Digits(split="test")
    for blanks in (0, 1, 2, 4):
        assert results["accuracy"][blanks] == accuracy(digits, images.all_images(5 + blanks))


@pytest.mark.parametrize(
    ("measure", "task", "segments"),
    [(measure_rows, Rows(rows=2), 4), (measure_text, Text(length=32), 2)],
    ids=["rows", "text"],
)
def test_bits_are_measured_with_and_without_the_memory(measure, task, segments):
    learner = Run(small(task, segments)).learner.eval()
    results = measure(learner)
    assert learner.use_memory, "switched off for good"
    learner.use_memory = False
    reset = measure(learner)
    assert results["bits_reset"] == reset["bits"] == reset["bits_reset"] != results["bits"]
    if isinstance(task, Rows):
        test = Rows(rows=2, split="test").all_images()
        assert reset["bits"] == bits_per_token(learner, test)


# Running them


def measure_sum(learner):
    return {"sum": sum(p.sum().item() for p in learner.parameters()), "by length": {6: 0.5}}


FAKE = {
    "first": Experiment(
        "Does it run?",
        {"a": Case(small(Parity())), "b": Case(small(Parity()), "no gate")},
        measure_sum,
    ),
    "second": Experiment(
        "Does it?", {"c": Case(small(TASK)), "d": Case(small(TASK, clip=0.3))}, measure_sum, (5, 7)
    ),
}
ALL = [("first", label, seed) for label in "ab" for seed in (0, 1, 2)]
ALL += [("second", label, seed) for label in "cd" for seed in (5, 7)]


class Here:
    """Stands for a pool of processes, and does all at once in this one."""

    def __init__(self, *arguments, **options):
        Here.arguments = arguments

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        pass

    def submit(self, function, *job):
        future = Future()
        try:
            future.set_result(function(*job))
        except Exception as fault:
            future.set_exception(fault)
        return future

    def shutdown(self, *arguments, **options):
        pass


def only(monkeypatch, present):
    """Let these be all experiments that there are."""
    for name in list(EXPERIMENTS)[::-1]:  # put back in this order
        monkeypatch.delitem(EXPERIMENTS, name)
    for name, entry in present.items():
        monkeypatch.setitem(EXPERIMENTS, name, entry)


@pytest.fixture
def done(tmp_path, monkeypatch):
    """Fake experiments in a folder of their own; the list of runs that were done."""
    jobs = []

    def note(*job):
        jobs.append(job)
        return run_case(*job)

    monkeypatch.setattr(records, "RECORDS", tmp_path)
    only(monkeypatch, FAKE)
    monkeypatch.setattr(command, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(command, "run_case", note)
    return jobs


def test_everything_is_run_once_and_recorded(done, capsys):
    main([])
    assert done == ALL
    assert "10 runs to do" in capsys.readouterr().out
    for name, entry in FAKE.items():
        record = load_record(name)
        assert without_runs(record) == without_runs(empty_record(name))
        for label, case in record["cases"].items():
            assert list(case["runs"]) == [str(seed) for seed in entry.seeds]
            for seed, run in case["runs"].items():
                again = entry.cases[label].run(int(seed))
                history = train(again, progress=False)
                assert run["steps"] == 2 and run["first_losses"] == history.losses
                assert run["scores"] == {"2": history.scores[0]}
                assert run["results"]["sum"] == measure_sum(again.learner)["sum"]
                assert run["results"]["by length"] == {"6": 0.5}
                assert run["parameters"] == sum(p.numel() for p in again.learner.parameters())
                assert run["versions"]["torch"] == torch.__version__


def test_what_is_on_record_is_not_run_again(done, capsys):
    main(["first"])
    assert done == ALL[:6]
    main(["first"])
    assert done == ALL[:6], "run again"
    main([])
    assert done == ALL
    assert "4 runs to do" in capsys.readouterr().out
    before = {name: load_record(name) for name in FAKE}
    main([])
    assert done == ALL and before == {name: load_record(name) for name in FAKE}


def test_an_interruption_costs_only_the_runs_that_were_not_finished(done, monkeypatch):
    noted = command.run_case

    def stop_at_the_fifth(*job):
        if len(done) == 4:
            raise KeyboardInterrupt
        return noted(*job)

    class OneByOne(Here):
        """Hands back each result before it starts the next, as one process does."""

        def submit(self, function, *job):
            future = Future()
            self.waiting = [*getattr(self, "waiting", []), (future, function, job)]
            Here.pool = self
            return future

    def as_completed(futures):
        for future, function, job in Here.pool.waiting:
            future.set_result(function(*job))
            yield future

    with monkeypatch.context() as patch:
        patch.setattr(command, "run_case", stop_at_the_fifth)
        patch.setattr(command, "ProcessPoolExecutor", OneByOne)
        patch.setattr(command, "as_completed", as_completed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main([])
    assert done == ALL[:4]
    main([])
    assert done == ALL


ENDLESS = """
import sys
from pathlib import Path
from memformer_lite.experiments import records
from memformer_lite.experiments.command import main
from memformer_lite.experiments.measures import measure_parity
from memformer_lite.experiments.table import EXPERIMENTS, Case, Experiment
from memformer_lite.learning.recipes import Recipe, Stage
from memformer_lite.learning.tasks import Parity

def case(steps):
    stages = (Stage(Parity(), steps=steps, segments=(2, 2)),)
    return Case(Recipe(stages=stages, dim=6, heads=2, slots=3, batch_size=5))

cases = {"short": case(2)} | {f"endless {i}": case(10**7 + i) for i in range(5)}
records.RECORDS = Path(sys.argv[1])
EXPERIMENTS.clear()
EXPERIMENTS["one"] = Experiment("Does it end?", cases, measure_parity, (0,))
if __name__ == "__main__":
    main(["--workers", "2"])
"""


def test_ctrl_c_ends_all_processes_and_keeps_what_was_done(tmp_path):
    """A terminal sends it to the command and to its workers; none may finish its run first."""
    script, records = tmp_path / "endless.py", tmp_path / "records"
    script.write_text(ENDLESS)
    records.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, records],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        # Where the tests run in the background of a shell, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == "6 runs to do\n"
        assert "short, seed 0" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=120)
        assert process.returncode == 1 and out == "" and "the same command goes on" in error
        with pytest.raises(ProcessLookupError):
            for _ in range(300):  # the last one, which only cleans up, ends a little later
                os.killpg(process.pid, 0)
                time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    cases = json.loads((records / "one.json").read_text())["cases"]
    assert [label for label, case in cases.items() if case["runs"]] == ["short"]


def test_a_run_that_fails_does_not_cost_the_others(done, monkeypatch):
    """They are done and paid for: on record they belong, and the command says what failed."""
    noted = command.run_case

    def fail_in_the_second(*job):
        if job == ("first", "a", 1):
            raise RuntimeError("no such luck")
        return noted(*job)

    with monkeypatch.context() as patch:
        patch.setattr(command, "run_case", fail_in_the_second)
        with pytest.raises((RuntimeError, SystemExit)) as stopped:
            main([])
    assert stopped.type is RuntimeError or stopped.value.code not in (0, None)
    finished = [job for job in ALL if job in done]
    recorded = [
        (name, label, int(seed))
        for name in FAKE
        for label, case in read_or_empty(name)["cases"].items()
        for seed in case["runs"]
    ]
    assert sorted(recorded) == sorted(finished) and len(finished) == 9


def other(experiment, **cases):
    return Experiment(experiment.question, {**experiment.cases, **cases}, experiment.measure)


@pytest.mark.parametrize(
    ("case", "what"),
    [
        (Case(small(Parity(), clip=0.5)), "another option"),
        (Case(small(Parity(), segments=6)), "other segments"),
        (Case(small(TASK)), "another task"),
        (Case(small(Parity()), "equal slots"), "another build"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_runs_of_another_recipe_are_dropped_and_the_others_kept(done, monkeypatch, case, what):
    main(["first"])
    kept = load_record("first")["cases"]["b"]["runs"]
    assert len(kept) == 3
    present = {"first": other(FAKE["first"], a=case, new=Case(small(Cards())))}
    only(monkeypatch, present)
    record = read_or_empty("first")
    assert list(record["cases"]) == ["a", "b", "new"]
    assert record["cases"]["b"]["runs"] == kept
    assert record["cases"]["a"]["runs"] == {} == record["cases"]["new"]["runs"]
    assert without_runs(record) == without_runs(empty_record("first"))


def test_cases_that_are_no_more_are_forgotten(done, monkeypatch):
    main(["first"])
    present = Experiment("Really?", {"b": FAKE["first"].cases["b"]}, measure_sum)
    only(monkeypatch, {"first": present})
    record = read_or_empty("first")
    assert list(record["cases"]) == ["b"] and len(record["cases"]["b"]["runs"]) == 3
    assert record["question"] == "Really?"


def test_a_record_that_is_not_there_is_empty(done):
    assert read_or_empty("first") == empty_record("first")
    assert all(case["runs"] == {} for case in empty_record("first")["cases"].values())


@pytest.mark.parametrize("place", ["os.replace", "pathlib.Path.write_text"])
@pytest.mark.parametrize("fault", [OSError(28, "No space left"), KeyboardInterrupt()], ids=repr)
def test_an_interrupted_write_keeps_the_record(done, monkeypatch, place, fault):
    main(["first"])
    path = records.RECORDS / "first.json"
    before = path.read_bytes()

    def fails(*arguments, **options):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(place, fails)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_record({**load_record("first"), "cases": {}})
    assert path.read_bytes() == before
    main(["first"])
    assert len(done) == 6, "run again"
    write_record(load_record("first"))
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["first.json"]


def test_a_record_that_cannot_be_read_is_named(done):
    (records.RECORDS / "first.json").write_text('{"cases": {"a": ')
    with pytest.raises(ValueError, match=r"first\.json"):
        read_or_empty("first")


def test_wrong_names_and_numbers_are_refused(done, capsys):
    for arguments, words in (
        (["chess"], ["chess", "first"]),
        (["first", "chess"], ["chess"]),
        (["--workers", "0"], ["--workers", "0"]),
        (["--workers", "two"], ["--workers", "two"]),
        (["--unknown"], ["--unknown"]),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and all(word in error for word in words), error
    assert done == []


def test_workers_are_as_many_as_asked_for(done):
    main(["second", "--workers", "3"])
    assert Here.arguments == (3,) and done == ALL[6:]


def test_a_name_that_is_no_experiment_or_was_never_run(done):
    refused(ValueError, lambda: load_record("chess"), "name", "chess", "expected", "first")
    with pytest.raises(FileNotFoundError, match=r"first\.json"):
        load_record("first")
