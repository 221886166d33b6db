"""Learners that no recipe can say; all that is not said here starts as in the recipe's own."""

import torch
from torch import Tensor

from memformer_lite.attention import FeedForward, PreNorm, Residual
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.recipes import Recipe
from memformer_lite.memory import GRUGate, MemoryRule


class TakeAll(MemoryRule):
    """No gate: each slot becomes what was written."""

    def forward(self, written: Tensor, mems: Tensor, slots: Tensor | None) -> tuple[Tensor, None]:
        return written, None


class FeedForwardThenGate(MemoryRule):
    """A residual feed-forward on what was written, before the gate decides about it."""

    def __init__(self, gate: GRUGate):
        super().__init__()
        dim = gate.cell.hidden_size
        self.feed_forward = Residual(PreNorm(dim, FeedForward(dim)))
        self.gate = gate

    def forward(self, written: Tensor, mems: Tensor, slots: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.gate(self.feed_forward(written), mems, slots)


def no_gate(recipe: Recipe) -> Learner:
    """Build a learner whose memory is only what was written last."""
    learner = Learner(recipe)
    learner.memformer.memory_writer.rule = TakeAll()
    return learner


def gated_feed_forward(recipe: Recipe) -> Learner:
    """Build a learner whose feed-forward stands before the gate."""
    learner = Learner(recipe)
    writer = learner.memformer.memory_writer
    writer.rule = FeedForwardThenGate(writer.rule)
    return learner


@torch.no_grad()
def equal_slots(recipe: Recipe) -> Learner:
    """Build a learner whose slots all start equal."""
    learner = Learner(recipe)
    slots = learner.memformer.memory_slots
    slots.copy_(slots[:1].expand_as(slots))
    return learner


BUILDS = {
    "recipe": Learner,
    "no gate": no_gate,
    "feed-forward inside the gate": gated_feed_forward,
    "equal slots": equal_slots,
}
