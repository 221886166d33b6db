"""The book's longer experiments: what is run, how it is measured, and the records of it.

`python -m memformer_lite.experiments` runs what is not on record yet. A record is one JSON file in
`records/`: for each case its recipe, and for each seed steps, CPU seconds, parameters and results.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.attention import FeedForward, PreNorm, Residual
from memformer_lite.recipes import RECIPES, Recipe, to_plain
from memformer_lite.record import record
from memformer_lite.slots import erase, fit_probe, use_probe
from memformer_lite.tasks import NOT_ASKED, Cards, Digits, Rows, Segment, Text
from memformer_lite.trace import Trace
from memformer_lite.train import Learner, Run, accuracy, bits_per_token, train
from memformer_lite.validation import check_choice

RECORDS = Path(__file__).parent / "records"
SEEDS = (0, 1, 2)
GAPS = (0, 8, 16, 32, 64, 128)


class TakeAll(nn.Module):
    """No gate: each slot becomes what was written."""

    def forward(self, written: Tensor, mems: Tensor) -> Tensor:
        return written


class FeedForwardThenGate(nn.Module):
    """A residual feed-forward on what was written, before the gate decides about it."""

    def __init__(self, gru: nn.GRUCell):
        super().__init__()
        dim = gru.hidden_size
        self.feed_forward = Residual(PreNorm(dim, FeedForward(dim)))
        self.gru = gru

    def forward(self, written: Tensor, mems: Tensor) -> Tensor:
        return self.gru(self.feed_forward(written), mems)


def _no_gate(learner: Learner) -> None:
    learner.memformer.memory_writer.gru = TakeAll()


def _gated_feed_forward(learner: Learner) -> None:
    writer = learner.memformer.memory_writer
    writer.gru = FeedForwardThenGate(writer.gru)


@torch.no_grad()
def _equal_slots(learner: Learner) -> None:
    slots = learner.memformer.memory_slots
    slots.copy_(slots[:1].expand_as(slots))


CHANGES = {
    "no gate": _no_gate,
    "feed-forward inside the gate": _gated_feed_forward,
    "equal slots": _equal_slots,
}


@dataclass(frozen=True)
class Case:
    """One row of a table: a recipe, and a change to the model that no recipe can say."""

    recipe: Recipe
    change: str | None = None

    def run(self, seed: int) -> Run:
        """Return the training of this case, at its start."""
        change = None if self.change is None else CHANGES[self.change]
        return Run(self.recipe, seed=seed, change=change)


@dataclass(frozen=True)
class Experiment:
    """A question, the cases that are compared for it, and what is measured after training."""

    question: str
    cases: dict[str, Case]
    measure: Callable[[Learner], dict]
    seeds: tuple[int, ...] = SEEDS


def _generator(seed: int) -> torch.Generator:
    # Streams of so many rows at once that no training draws them, whatever its seed.
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def _memory_after(learner: Learner, stream: list[Segment]) -> Tensor:
    mems = learner.start(len(stream[0].tokens))
    for tokens, _ in stream:
        _, mems = learner.answer(tokens, mems)
    return mems


def rewriting_stream(task: Cards, batch_size: int, *, generator: torch.Generator) -> list[Segment]:
    """Draw a card for each box, then a segment that rewrites one box and asks for that box."""
    *stream, (tokens, _) = task.recall_stream(batch_size, 0, generator=generator)
    key = tokens[:, -1:] - task.question(0)
    value = torch.randint(task.values, key.shape, generator=generator)
    place = torch.randint(task.content, key.shape, generator=generator)
    tokens = tokens.scatter(1, place, task.card(key, value))
    return [*stream, Segment(tokens, value.squeeze(1))]


@torch.no_grad()
def measure_cards(learner: Learner) -> dict:
    """Measure a learner of the cards: accuracy, recall over gaps, and what its slots do."""
    task = replace(learner.recipe.task, write_probability=0.6, max_cards=1, ask_probability=1.0)
    plain = replace(task, ask_fresh=False)
    rows, results = 512, {"accuracy": {}, "recall": {}, "norm": {}}
    for segments in (6, 12, 24):
        stream = plain.stream(rows, segments, generator=_generator(segments))
        results["accuracy"][segments] = accuracy(learner, stream)
    for gap in GAPS:
        stream = plain.recall_stream(rows, gap, generator=_generator(gap))
        mems = _memory_after(learner, stream[:-1])
        logits, _ = learner.answer(stream[-1].tokens, mems)
        right = logits.argmax(dim=-1) == stream[-1].answers
        results["recall"][gap] = float(right.float().mean())
        results["norm"][gap] = float(mems.norm(dim=-1).mean())
    rewriting = rewriting_stream(plain, rows, generator=_generator(1))
    results["rewriting"] = accuracy(learner, rewriting)
    return results | _slot_habits(learner, plain)


def _slot_habits(learner: Learner, task: Cards) -> dict:
    """Return how alike slots are, how much they change, and how pointed their writing is."""
    stream = task.recall_stream(512, 1, generator=_generator(2))
    before = _memory_after(learner, stream[: task.keys - 1])
    written = _memory_after(learner, stream[: task.keys])
    after = _memory_after(learner, stream[: task.keys + 1])  # one segment of noise more
    model = learner.memformer
    enc_out = model.encoder(stream[task.keys - 1].tokens, context=before)
    _, weights = model.memory_writer.attention(before, enc_out)
    slots = F.normalize(after, dim=-1)
    cosine = (slots @ slots.mT).sum(dim=(1, 2)) - slots.shape[1]
    pairs = max(slots.shape[1] * (slots.shape[1] - 1), 1)
    return {
        "cosine": float(cosine.mean() / pairs),
        "change_card": float((written - before).norm(dim=-1).amax(dim=-1).mean()),
        "change_noise": float((after - written).norm(dim=-1).mean()),
        "pointed": float(weights.amax(dim=-1).mean()),
    }


def held_values(task: Cards, stream: list[Segment]) -> Tensor:
    """Return what each box holds after a stream, long (b, keys); `NOT_ASKED` where nothing."""
    held = torch.full((len(stream[0].tokens), task.keys), NOT_ASKED)
    rows = torch.arange(len(held))
    for tokens, _ in stream:
        for place in tokens[:, :-1].unbind(dim=1):  # the later place counts
            here, card = rows[place < task.question(0)], place[place < task.question(0)]
            held[here, card // task.values] = card % task.values
    return held


def ask(learner: Learner, mems: Tensor, box: int) -> Tensor:
    """Return the answers, long (b,), to the question for a box on a page without news."""
    page = learner.recipe.task.tokens_of(f"{chr(ord('A') + box)}?")
    logits, _ = learner.answer(torch.tensor([page] * len(mems)), mems)
    return logits.argmax(dim=-1)


@torch.no_grad()
def measure_slots(learner: Learner) -> dict:
    """Measure for each box and slot of a learner of the cards what is kept, read and written there.

    In each of 512 streams all boxes hold a card, a segment each, and a segment of noise follows.
    All results are lists, mostly of a row a box and a number a slot, rounded to 4 places: accuracy
    of a question for the box, what erasing the slot takes from it, accuracy of a linear probe on
    the slot (fitted on 512 other streams), weight with which the question reads it, and its update
    gate and change in the segment with the card and in the one with noise.
    """
    task = learner.recipe.task
    fitting, testing = (
        task.recall_stream(512, 1, generator=_generator(seed))[:-1] for seed in (3, 4)
    )
    mems_fit, held_fit = _memory_after(learner, fitting), held_values(task, fitting)
    with record(learner) as story:
        mems, held = _memory_after(learner, testing), held_values(task, testing)
    slots = range(mems.shape[1])
    results = {name: [] for name in ("accuracy", "drop", "probe", "read")}
    for box in range(task.keys):
        with record(learner) as question:
            right = _share(ask(learner, mems, box), held[:, box])
        drop, probed = [], []
        for slot in slots:
            drop.append(right - _share(ask(learner, erase(mems, slot), box), held[:, box]))
            probe = fit_probe(mems_fit[:, slot], held_fit[:, box], classes=task.values)
            probed.append(_share(use_probe(probe, mems[:, slot]), held[:, box]))
        read = question[0].read[..., -1, :].mean(dim=(0, 1, 2)).tolist()
        for name, value in zip(results, (right, drop, probed, read), strict=True):
            results[name].append(value)
    results |= _writing_by_box(task, story)
    return {
        name: torch.tensor(value, dtype=torch.float64).round(decimals=4).tolist()
        for name, value in results.items()
    }


def _share(answers: Tensor, wanted: Tensor) -> float:
    return float((answers == wanted).float().mean())


def _writing_by_box(task: Cards, story: Trace) -> dict:
    """Return gate and change of each slot, by the box whose card is in the segment, and on noise.

    The last segment of the story is the noise, all others have one card.
    """
    *pages, noise = story
    box = torch.cat([page.src[:, :-1].amin(dim=1) // task.values for page in pages])
    measures = {"gate": lambda page: page.gate[-1].mean(dim=-1), "change": lambda page: page.change}
    results = {}
    for name, measure in measures.items():
        seen = torch.cat([measure(page) for page in pages])  # (segments · b, k)
        by_box = [seen[box == key].mean(dim=0).tolist() for key in range(task.keys)]
        results |= {f"{name}_card": by_box, f"{name}_noise": measure(noise).mean(dim=0).tolist()}
    return results


def measure_parity(learner: Learner) -> dict:
    """Measure accuracy on streams of several lengths."""
    task, lengths = learner.recipe.task, (12, 24, 48, 96)
    streams = {n: task.stream(1024, n, generator=_generator(n)) for n in lengths}
    return {"accuracy": {n: accuracy(learner, stream) for n, stream in streams.items()}}


def measure_digits(learner: Learner) -> dict:
    """Measure accuracy on the test images, with blank segments before the question."""
    images = Digits(split="test")
    return {
        "accuracy": {
            blanks: accuracy(learner, images.all_images(5 + blanks)) for blanks in (0, 1, 2, 4)
        }
    }


def measure_rows(learner: Learner) -> dict:
    """Measure bits a pixel on the test images, and with the memory reset at each segment."""
    stream = replace(learner.recipe.task, split="test").all_images()
    return {"bits": bits_per_token(learner, stream), "bits_reset": _without_memory(learner, stream)}


def measure_text(learner: Learner) -> dict:
    """Measure bits a character on the test text, and with the memory reset at each segment."""
    stream = Text(split="test").stream(128, 16, generator=_generator(0))
    return {"bits": bits_per_token(learner, stream), "bits_reset": _without_memory(learner, stream)}


def _without_memory(learner: Learner, stream: list[Segment]) -> float:
    used, learner.use_memory = learner.use_memory, False
    bits = bits_per_token(learner, stream)
    learner.use_memory = used
    return bits


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


def run_case(experiment: str, case: str, seed: int) -> dict:
    """Train and measure one case with one seed; return plain data."""
    torch.set_num_threads(1)
    began = time.process_time()
    run = EXPERIMENTS[experiment].cases[case].run(seed)
    history = train(run, progress=False)
    seconds = time.process_time() - began
    results = EXPERIMENTS[experiment].measure(run.learner.eval())
    return {
        "steps": len(history.losses),
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in run.learner.parameters()),
        "first_losses": history.losses[:3],
        "scores": {str(n): s for n, s in zip(history.score_steps, history.scores, strict=True)},
        "results": results,
    }


def load_record(name: str) -> dict:
    """Return the record of an experiment.

    Raises:
        ValueError: no experiment has this name; its file was cut short.
        FileNotFoundError: it was never run.
    """
    check_choice("name", name, tuple(EXPERIMENTS))
    path = RECORDS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ValueError(f"{path}: expected a record, got no JSON: {fault}") from fault


def empty_record(name: str) -> dict:
    """Return the record of an experiment without any run: what the present code would do."""
    experiment = EXPERIMENTS[name]
    return {
        "experiment": name,
        "question": experiment.question,
        "command": f"python -m memformer_lite.experiments {name}",
        "cases": {
            label: {"recipe": to_plain(case.recipe), "change": case.change, "runs": {}}
            for label, case in experiment.cases.items()
        },
    }


def read_or_empty(name: str) -> dict:
    """Return the record with those runs that belong to the present code, and no others."""
    record = empty_record(name)
    if (RECORDS / f"{name}.json").exists():
        old = load_record(name)["cases"]
        for label, case in record["cases"].items():
            same = label in old and all(old[label][k] == case[k] for k in ("recipe", "change"))
            if same:
                case["runs"] = old[label]["runs"]
    return record


def write_record(record: dict) -> None:
    """Write a record beside its place, then move it there."""
    path = RECORDS / f"{record['experiment']}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__)}


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m memformer_lite.experiments`; see its `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite.experiments",
        description="Run the book's experiments that are not on record; safe to interrupt.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side (default 1)")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in EXPERIMENTS:
            parser.error(f"{name!r}: expected one of {', '.join(EXPERIMENTS)}")
    if options.workers < 1:
        parser.error(f"--workers {options.workers}: expected at least 1")
    records = {name: read_or_empty(name) for name in options.names or EXPERIMENTS}
    jobs = [
        (name, label, seed)
        for name, record in records.items()
        for label, case in record["cases"].items()
        for seed in EXPERIMENTS[name].seeds
        if str(seed) not in case["runs"]
    ]
    print(f"{len(jobs)} runs to do", flush=True)
    failed = []
    # Ctrl-C reaches the workers too and ends them, so that nobody waits for runs in vain.
    stop_at_once = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_DFL)}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn, **stop_at_once) as pool:
        running = {pool.submit(run_case, *job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                name, label, seed = running[future]
                if (fault := future.exception()) is not None:
                    failed.append(f"{name}: {label}, seed {seed}: {fault!r}")
                    continue
                runs = records[name]["cases"][label]["runs"]
                runs[str(seed)] = {**future.result(), "versions": _versions()}
                records[name]["cases"][label]["runs"] = dict(sorted(runs.items()))
                write_record(records[name])
                print(f"{done}/{len(jobs)} {name}: {label}, seed {seed}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit("\nstopped; the same command goes on with what is not on record")
    if failed:
        sys.exit("\n".join(["these runs failed, all others are on record:", *failed]))


if __name__ == "__main__":
    main()
