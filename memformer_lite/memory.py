"""Writing the memory after each segment: slot attention, then a rule (chapter 05)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.attention import FeedForward, PreNorm, Residual
from memformer_lite.doors import check_page, check_rule, check_update
from memformer_lite.validation import check_options, checked, unchecked


class SlotAttention(nn.Module):
    """Each slot looks at itself and at the tokens of the segment, never at another slot.

    Not Locatello's Slot Attention, in which slots compete for tokens.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h.
        temperature: divides the scores; above 0, below 1 sharpens.
        raw_self: True keeps the slot itself as its own value and leaves out the output map, so
            that a slot with all weight on itself stays as it is.

    Source:
        Sparsity: both papers. `raw_self` and `temperature`: the 2022 paper. Without them it is
        the reference's `mem_updater`, which scores all k × (k + n) pairs and masks the other
        slots away; here they are never scored.
    """

    def __init__(
        self, dim: int, *, heads: int = 8, temperature: float = 1.0, raw_self: bool = False
    ):
        super().__init__()
        if unchecked():
            check_options(dim=dim, heads=heads, temperature=temperature, raw_self=raw_self)
        self.dim = dim
        self.heads = heads
        self.raw_self = raw_self
        self.temperature = temperature
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, dim * 2)
        if not raw_self:
            self.to_out = nn.Linear(dim, dim)

    def forward(
        self, mems: Tensor, enc_out: Tensor, src_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what each slot would write, (b, k, d), and its weights, (b, h, k, 1 + n).

        Args:
            mems: slots, (b, k, d).
            enc_out: encoder output, (b, n, d).
            src_mask: real tokens, bool (b, n).

        Returns:
            The new content of each slot, and the weights: column 0 the slot itself, then tokens.
        """
        if unchecked():
            check_page(self, mems, enc_out, src_mask)
        slot_keys, slot_values = self.to_kv(mems).chunk(2, dim=-1)
        token_keys, token_values = self.to_kv(enc_out).chunk(2, dim=-1)
        if self.raw_self:
            slot_values = mems
        queries, slot_keys, slot_values, token_keys, token_values = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (b, h, k or n, d / h)
            for x in (self.to_q(mems), slot_keys, slot_values, token_keys, token_values)
        )
        own = (queries * slot_keys).sum(dim=-1, keepdim=True)  # (b, h, k, 1)
        scores = torch.cat((own, queries @ token_keys.mT), dim=-1)  # (b, h, k, 1 + n)
        scores = scores * (queries.shape[-1] ** -0.5 / self.temperature)
        if src_mask is not None:
            visible = F.pad(src_mask, (1, 0), value=True)[:, None, None]  # a slot sees itself
            scores = scores.masked_fill(~visible, float("-inf"))
        weights = scores.softmax(dim=-1)
        written = weights[..., :1] * slot_values + weights[..., 1:] @ token_values
        written = written.transpose(1, 2).flatten(2)  # (b, k, d)
        return (written if self.raw_self else self.to_out(written)), weights


class MemoryRule(nn.Module):
    """How a memory becomes the next one, once each slot has read the page: base class.

    The simplest rule takes everything that was written::

        class TakeAll(MemoryRule):
            def forward(self, written, mems, slots):
                return written, None

        MemoryWriter(dim, update=TakeAll())

    Attributes:
        raw_slot: True lets slot attention keep a slot as it is, as its own value and without an
            output map; for rules that have no gate to do so.

    Source:
        The split into slot attention and a rule: this book.
    """

    raw_slot = False

    def start(self, slots: Tensor) -> Tensor:
        """Return the memory at the start, (k, d), from the model's learned slots, (k, d)."""
        return slots

    def forward(
        self, written: Tensor, mems: Tensor, slots: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the new memory and what was kept of the old one.

        Args:
            written: what slot attention wrote, (b, k, d).
            mems: the memory before, (b, k, d).
            slots: the model's learned slots, (k, d); None where a writer has none.

        Returns:
            The memory after, (b, k, d), and the gate, (b, k, d), 1 where all is kept; None for
            the gate in a rule without one.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method forward")


class GRUGate(MemoryRule):
    """A GRU decides number by number between old and new, then an ungated feed-forward follows.

    Args:
        dim: width d.
        feed_forward: True adds a residual feed-forward after the gate.

    Source:
        The reference; the GRU is that of Cho et al. 2014 as `torch.nn.GRUCell` has it, with the
        update gate z: z = 1 keeps.
    """

    def __init__(self, dim: int, *, feed_forward: bool = True):
        super().__init__()
        self.cell = nn.GRUCell(dim, dim)
        self.feed_forward = Residual(PreNorm(dim, FeedForward(dim))) if feed_forward else None

    def forward(
        self, written: Tensor, mems: Tensor, slots: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the new memory and the update gate; see `MemoryRule.forward`."""
        cell = self.cell  # not called: it would not tell its gate
        rows, old = written.flatten(0, 1), mems.flatten(0, 1)  # (b · k, d)
        from_new = F.linear(rows, cell.weight_ih, cell.bias_ih).chunk(3, dim=-1)
        from_old = F.linear(old, cell.weight_hh, cell.bias_hh)
        reset = (from_new[0] + from_old[:, : old.shape[1]]).sigmoid()
        # A copy: with a view, autograd would put all of `from_old` away for one part of it.
        update, candidate = from_old[:, old.shape[1] :].contiguous().chunk(2, dim=-1)
        gate = (from_new[1] + update).sigmoid()
        fresh = (from_new[2] + reset * candidate).tanh()
        new = (fresh + gate * (old - fresh)).view_as(mems).to(mems.dtype)
        gate = gate.view_as(mems)
        return new if self.feed_forward is None else self.feed_forward(new), gate


class BMN(MemoryRule):
    """Biased Memory Normalization: pull each slot towards its bias and back to norm 1.

    The biases are the model's learned slots, and the memory starts at their directions. Without
    slots nothing is forgotten: a slot is normalised only.

    Args:
        dim: width d.
        feed_forward: True adds a residual feed-forward before the normalisation.

    Source:
        The 2022 paper, which has no feed-forward here.
    """

    raw_slot = True

    def __init__(self, dim: int, *, feed_forward: bool = True):
        super().__init__()
        self.feed_forward = Residual(PreNorm(dim, FeedForward(dim))) if feed_forward else None

    def start(self, slots: Tensor) -> Tensor:
        """Return the directions of the slots, (k, d), each of norm 1."""
        return F.normalize(slots, dim=-1)

    def forward(
        self, written: Tensor, mems: Tensor, slots: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the new memory and no gate; see `MemoryRule.forward`."""
        if self.feed_forward is not None:
            written = self.feed_forward(written)
        return F.normalize(written if slots is None else written + slots, dim=-1), None


RULES: dict[str, type[GRUGate | BMN]] = {"gru": GRUGate, "bmn": BMN}


class MemoryWriter(nn.Module):
    """Write one segment into the memory: slot attention, then a rule for what is kept.

    `update="gru"`: a GRU whose update gate decides between old and new (z = 1 keeps), then a
    residual feed-forward. `update="bmn"`: slot attention with the raw slot as its own value, then
    Biased Memory Normalization: add the slot's bias, divide by the norm.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h of the slot attention.
        num_updates: how often the whole step is repeated for one segment, at least 1.
        update: "gru", "bmn", or a `MemoryRule` of your own.
        temperature: of the slot attention; above 0, below 1 sharpens.
        feed_forward: True gives "gru" or "bmn" its residual feed-forward. With "gru" it follows
            the gate and is not gated; with "bmn" it comes before the normalisation, so that slots
            keep norm 1. A rule of your own brings its own.

    Source:
        Slot attention: both papers. GRU, feed-forward and several updates: the reference. BMN
        and the temperature: the 2022 paper, which has no feed-forward here.
        Where we differ: a row whose segment is all padding keeps its memory bit for bit (the
        reference changes it).
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int = 8,
        num_updates: int = 1,
        update: str | MemoryRule = "gru",
        temperature: float = 1.0,
        feed_forward: bool = True,
    ):
        super().__init__()
        if unchecked():
            sizes = {"dim": dim, "heads": heads, "num_updates": num_updates}
            check_options(**sizes, temperature=temperature, feed_forward=feed_forward)
            check_update("update", update, RULES, MemoryRule)
        self.dim = dim
        self.num_updates = num_updates
        with checked():
            # The rule's weights are drawn after those of the attention.
            raw = (update if isinstance(update, MemoryRule) else RULES[update]).raw_slot
            self.attention = SlotAttention(dim, heads=heads, temperature=temperature, raw_self=raw)
            self.rule = (
                update
                if isinstance(update, MemoryRule)
                else RULES[update](dim, feed_forward=feed_forward)
            )

    def forward(
        self,
        mems: Tensor,
        enc_out: Tensor,
        src_mask: Tensor | None = None,
        slots: Tensor | None = None,
    ) -> Tensor:
        """Return the memory after this segment.

        Args:
            mems: memory before the segment, (b, k, d).
            enc_out: encoder output of the segment, (b, n, d).
            src_mask: real tokens, bool (b, n).
            slots: the model's learned slots, (k, d), of which BMN makes its biases; None: BMN
                normalises and forgets nothing.

        Returns:
            (b, k, d), in the dtype of `mems`.

        Raises:
            TypeError, ValueError: a rule of your own returns something else than it must.
        """
        if unchecked():
            check_page(self.attention, mems, enc_out, src_mask, slots)
        new = mems
        for _ in range(self.num_updates):
            with checked():
                written, _ = self.attention(new, enc_out, src_mask)
            with checked(False):  # a rule of the reader's own may call what it likes
                result = self.rule(written.to(mems.dtype), new, slots)
            if type(self.rule) not in RULES.values():
                check_rule(self.rule, result, mems.shape)
            new = result[0].to(mems.dtype)
        if src_mask is None:
            return new
        return torch.where(src_mask.any(dim=-1)[:, None, None], new, mems)
