"""The learner: a Memformer that answers a task's questions, and its start (chapter 09)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from memformer_lite.attention import Attention
from memformer_lite.learning.recipes import Recipe
from memformer_lite.learning.tasks import NOT_ASKED, Segment
from memformer_lite.memformer import Memformer
from memformer_lite.memory import BMN, GRUGate, MemoryRule, SlotAttention


class Learner(nn.Module):
    """A Memformer for a task: one step reads a segment, answers, and carries the memory on.

    For a task with answers it is an encoder with a linear read-out of the last token; for a task
    that guesses what comes next it has the decoder.

    Args:
        recipe: sizes and options; the weights are drawn from torch's random state.
        rule: a memory rule of your own in place of the recipe's `update`.

    Source:
        The read-out and the start of the weights: this book.
    """

    def __init__(self, recipe: Recipe, *, rule: MemoryRule | None = None):
        super().__init__()
        self.recipe = recipe
        task: Any = recipe.task
        sizes: dict[str, Any] = {
            "dim": recipe.dim,
            "num_memory_slots": recipe.slots,
            "mem_update_attn_heads": recipe.heads,
            "mem_update": recipe.update if rule is None else rule,
            "mem_temperature": recipe.temperature,
            "mem_feed_forward": recipe.feed_forward,
            "enc_num_tokens": task.num_tokens,
            "enc_max_seq_len": task.max_seq_len,
            "enc_depth": 1,
            "enc_heads": recipe.heads,
            "dropout": recipe.dropout,
        }
        if task.guesses_next:
            sizes |= {
                "dec_num_tokens": task.num_tokens,
                "dec_max_seq_len": task.max_seq_len,
                "dec_depth": 1,
                "dec_heads": recipe.heads,
            }
        self.memformer = Memformer(**sizes, encoder_only=not task.guesses_next)
        self.read_out: Any = None if task.guesses_next else nn.Linear(recipe.dim, task.num_answers)
        self.use_memory = recipe.use_memory
        if recipe.unit_scores:
            _unit_scores(self.memformer)
        with torch.no_grad():
            self.memformer.memory_slots.mul_(recipe.slot_scale)
        if isinstance(self.memformer.memory_writer.rule, GRUGate):
            _add_keep_bias(self.memformer.memory_writer.rule.cell, recipe.keep_bias)

    def start(self, batch_size: int) -> Tensor:
        """Return the memory before the first segment, (batch_size, k, d)."""
        return self.memformer.get_initial_mem(batch_size)

    def answer(self, tokens: Tensor, mems: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the answers, (b, answers), and the memory after the segment."""
        enc_out, after, _ = self.memformer(tokens, mems=mems)
        return self.read_out(enc_out[:, -1]), self._carry(after)

    def guess(self, tokens: Tensor, targets: Tensor, mems: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of the targets' tokens, in nats, and the memory after the segment.

        Each token is guessed from those before it; the first one, targets[:, 0], is given.
        """
        _, after, loss = self.memformer(tokens, targets, mems=mems)
        return loss, self._carry(after)

    def forward(self, segment: Segment, mems: Tensor) -> tuple[Tensor | None, Any]:
        """Return the task's loss in a segment, None where nothing is asked, and the memory."""
        return self.recipe.task.loss(self, segment, mems)

    def _carry(self, after: Tensor) -> Tensor:
        return after if self.use_memory else self.start(len(after))


@torch.no_grad()
def _unit_scores(model: Memformer) -> None:
    """Start all attention with scores of variance 1, and its biases at 0."""
    for module in model.modules():
        if isinstance(module, (Attention, SlotAttention)):
            for linear in module.children():
                if isinstance(linear, nn.Linear):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
                    if linear.bias is not None:
                        nn.init.zeros_(linear.bias)
    if isinstance(model.memory_writer.rule, BMN):  # its slots have norm 1
        layers: Any = model.encoder.layer_blocks.layers
        for layer in layers:
            layer.read.to_kv.weight *= model.dim**0.5
        model.memory_writer.attention.to_q.weight *= model.dim**0.5


@torch.no_grad()
def _add_keep_bias(cell: nn.GRUCell, keep_bias: float) -> None:
    """Move the update gate towards keeping; torch stores reset, update and new in this order."""
    _, update, _ = cell.bias_ih.chunk(3)
    update += keep_bias


@torch.no_grad()
def accuracy(learner: Any, stream: list[Segment]) -> float:
    """Return the part of a stream's questions that a learner, of any kind, answers right."""
    mems = learner.start(len(stream[0].tokens))
    right = asked = 0
    for tokens, answers in stream:
        logits, mems = learner.answer(tokens, mems)
        wanted = answers != NOT_ASKED
        right += int((logits.argmax(dim=-1) == answers)[wanted].sum())
        asked += int(wanted.sum())
    return right / asked


@torch.no_grad()
def bits_per_token(learner: Any, stream: list[Segment]) -> float:
    """Return a learner's mean surprise over a stream's next tokens, in bits; lower is better."""
    mems = learner.start(len(stream[0].tokens))
    losses = []
    for tokens, targets in stream:
        loss, mems = learner.guess(tokens, targets, mems)
        losses.append(float(loss))
    return sum(losses) / len(losses) / math.log(2)
