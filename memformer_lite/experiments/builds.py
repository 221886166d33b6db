"""Learners that no recipe can say."""

import torch
from torch import Tensor, nn

from memformer_lite.attention import FeedForward, PreNorm, Residual
from memformer_lite.learning.learner import Learner


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
