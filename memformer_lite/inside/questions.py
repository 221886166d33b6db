"""Asking a trained memory: what it became, what it should hold, what it answers (chapter 10)."""

from typing import Any

import torch
from torch import Tensor

from memformer_lite.learning.learner import Learner
from memformer_lite.learning.tasks import NOT_ASKED, Cards, Segment


@torch.no_grad()
def memory_after(learner: Learner, stream: list[Segment]) -> Tensor:
    """Return the memory after a stream, (b, k, d)."""
    mems = learner.start(len(stream[0].tokens))
    for tokens, _ in stream:
        _, mems = learner.answer(tokens, mems)
    return mems


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
    task: Any = learner.recipe.task
    page = task.tokens_of(f"{chr(ord('A') + box)}?")
    logits, _ = learner.answer(torch.tensor([page] * len(mems)), mems)
    return logits.argmax(dim=-1)
