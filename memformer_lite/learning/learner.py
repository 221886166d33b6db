"""The learner: a Memformer that answers a task's questions, and its start (chapter 09)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.attention import Attention
from memformer_lite.learning.recipes import Recipe
from memformer_lite.learning.tasks import NOT_ASKED, Segment
from memformer_lite.memformer import Memformer
from memformer_lite.memory import SlotAttention


class Learner(nn.Module):
    """A Memformer for a task: one step reads a segment, answers, and carries the memory on.

    For a task with answers it is an encoder with a linear read-out of the last token; for a task
    that guesses what comes next it has the decoder.

    Args:
        recipe: sizes and options; the weights are drawn from torch's random state.

    Source:
        The read-out and the start of the weights: this book.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        task = recipe.task
        sizes = {
            "dim": recipe.dim,
            "num_memory_slots": recipe.slots,
            "mem_update_attn_heads": recipe.heads,
            "mem_update": recipe.update,
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
        self.read_out = None if task.guesses_next else nn.Linear(recipe.dim, task.num_answers)
        self.use_memory = recipe.use_memory
        if recipe.unit_scores:
            _unit_scores(self.memformer)
        with torch.no_grad():
            self.memformer.memory_slots *= recipe.slot_scale
        if recipe.update == "gru":
            _add_keep_bias(self.memformer, recipe.keep_bias)

    def start(self, batch_size: int) -> Tensor:
        """Return the memory before the first segment, (batch_size, k, d)."""
        return self.memformer.get_initial_mem(batch_size)

    def answer(self, tokens: Tensor, mems: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the answers, (b, answers), and the memory after the segment."""
        enc_out, after, _ = self.memformer(tokens, mems=mems)
        return self.read_out(enc_out[:, -1]), self._carry(after)

    def forward(self, segment: Segment, mems: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the loss of a segment, or None where nothing is asked, and the memory after it.

        The loss is the sum over the asked rows divided by the batch; for a task that guesses what
        comes next, the mean over its tokens. In nats.
        """
        if self.read_out is None:
            _, after, loss = self.memformer(segment.tokens, segment.answers, mems=mems)
            return loss, self._carry(after)
        logits, after = self.answer(segment.tokens, mems)
        if (segment.answers == NOT_ASKED).all():
            return None, after
        loss = F.cross_entropy(logits, segment.answers, ignore_index=NOT_ASKED, reduction="sum")
        return loss / len(logits), after

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
    if model.mem_update == "bmn":
        for _, read, _ in model.encoder.layer_blocks.layers:
            read.fn.fn.to_kv.weight *= model.dim**0.5
        model.memory_writer.attention.to_q.weight *= model.dim**0.5


@torch.no_grad()
def _add_keep_bias(model: Memformer, keep_bias: float) -> None:
    """Move the update gate towards keeping; torch stores reset, update and new in this order."""
    model.memory_writer.gru.bias_ih[model.dim : 2 * model.dim] += keep_bias


@torch.no_grad()
def accuracy(learner: Learner, stream: list[Segment]) -> float:
    """Return the part of a stream's questions that is answered right."""
    mems = learner.start(len(stream[0].tokens))
    right = asked = 0
    for tokens, answers in stream:
        logits, mems = learner.answer(tokens, mems)
        wanted = answers != NOT_ASKED
        right += int((logits.argmax(dim=-1) == answers)[wanted].sum())
        asked += int(wanted.sum())
    return right / asked


@torch.no_grad()
def bits_per_token(learner: Learner, stream: list[Segment]) -> float:
    """Return the mean surprise over a stream's next tokens, in bits; lower is better."""
    mems = learner.start(len(stream[0].tokens))
    losses = []
    for segment in stream:
        loss, mems = learner(segment, mems)
        losses.append(float(loss))
    return sum(losses) / len(losses) / math.log(2)
