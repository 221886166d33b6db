"""What is measured of a trained learner, on streams that no training draws."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from memformer_lite.inside.questions import ask, held_values, memory_after
from memformer_lite.inside.record import record
from memformer_lite.inside.slots import erase, fit_probe, use_probe
from memformer_lite.inside.trace import Trace
from memformer_lite.learning.learner import Learner, accuracy, bits_per_token
from memformer_lite.learning.tasks import Cards, Digits, Segment, Text

GAPS = (0, 8, 16, 32, 64, 128)


def _generator(seed: int) -> torch.Generator:
    # Streams of so many rows at once that no training draws them, whatever its seed.
    return torch.Generator().manual_seed(seed)


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
        mems = memory_after(learner, stream[:-1])
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
    before = memory_after(learner, stream[: task.keys - 1])
    written = memory_after(learner, stream[: task.keys])
    after = memory_after(learner, stream[: task.keys + 1])  # one segment of noise more
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
    mems_fit, held_fit = memory_after(learner, fitting), held_values(task, fitting)
    with record(learner) as story:
        mems, held = memory_after(learner, testing), held_values(task, testing)
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
