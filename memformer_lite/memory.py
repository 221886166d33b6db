"""Writing the memory after each segment: slot attention, then a gate or forgetting (chapter 05)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.attention import FeedForward, PreNorm, Residual
from memformer_lite.validation import (
    check_choice,
    check_features,
    check_flag,
    check_heads,
    check_integer,
    check_mask,
    check_temperature,
)


class SlotAttention(nn.Module):
    """Each slot looks at itself and at the tokens of the segment, never at another slot.

    Not Locatello's Slot Attention, in which slots compete for tokens.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h.
        temperature: divides the scores; above 0, below 1 sharpens.
        raw_self: True keeps the slot itself as its own value and leaves out the output map, so
            that a slot with all weight on itself stays as it is.

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        Sparsity: both papers. `raw_self` and `temperature`: the 2022 paper. Without them it is
        the reference's `mem_updater`, which scores all k × (k + n) pairs and masks the other
        slots away; here they are never scored.
    """

    def __init__(
        self, dim: int, *, heads: int = 8, temperature: float = 1.0, raw_self: bool = False
    ):
        super().__init__()
        check_heads(dim, heads)
        check_temperature("temperature", temperature)
        check_flag("raw_self", raw_self)
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

        Raises:
            TypeError, ValueError: wrong dtype or shape.
        """
        weight = self.to_q.weight
        check_features("mems", mems, (None, None, self.dim), like=weight)
        check_features("enc_out", enc_out, (mems.shape[0], None, self.dim), like=weight)
        check_mask("src_mask", src_mask, tuple(enc_out.shape[:2]))
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


class MemoryWriter(nn.Module):
    """Write one segment into the memory.

    `update="gru"`: slot attention, then a GRU whose update gate decides between old and new (z = 1
    keeps), then a residual feed-forward. `update="bmn"`: slot attention with the raw slot as its
    own value, then Biased Memory Normalization: add the slot's bias, divide by the norm.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h of the slot attention.
        num_updates: how often the whole step is repeated for one segment, at least 1.
        update: "gru" or "bmn".
        temperature: of the slot attention; above 0, below 1 sharpens.
        feed_forward: True adds the residual feed-forward. With "gru" it follows the gate and is
            not gated; with "bmn" it comes before the normalisation, so that slots keep norm 1.

    Raises:
        TypeError, ValueError: an option outside its range.

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
        update: str = "gru",
        temperature: float = 1.0,
        feed_forward: bool = True,
    ):
        super().__init__()
        check_integer("num_updates", num_updates, at_least=1)
        check_choice("update", update, ("gru", "bmn"))
        check_flag("feed_forward", feed_forward)
        self.dim = dim
        self.num_updates = num_updates
        self.update = update
        self.attention = SlotAttention(
            dim, heads=heads, temperature=temperature, raw_self=update == "bmn"
        )
        self.gru = nn.GRUCell(dim, dim) if update == "gru" else None
        self.feed_forward = Residual(PreNorm(dim, FeedForward(dim))) if feed_forward else None

    def forward(
        self,
        mems: Tensor,
        enc_out: Tensor,
        src_mask: Tensor | None = None,
        slot_bias: Tensor | None = None,
    ) -> Tensor:
        """Return the memory after this segment.

        Args:
            mems: memory before the segment, (b, k, d).
            enc_out: encoder output of the segment, (b, n, d).
            src_mask: real tokens, bool (b, n).
            slot_bias: BMN's learned bias of each slot, (k, d); only with `update="bmn"`, where
                None stands for 0: normalise and forget nothing.

        Returns:
            (b, k, d), in the dtype of `mems`.

        Raises:
            TypeError, ValueError: wrong dtype or shape; `slot_bias` with `update="gru"`.
        """
        check_features("mems", mems, (None, None, self.dim))
        if slot_bias is not None:
            if self.update == "gru":
                raise ValueError("slot_bias: expected None, since only update='bmn' forgets")
            check_features("slot_bias", slot_bias, tuple(mems.shape[1:]), like=mems)
        new = mems
        for _ in range(self.num_updates):
            written, _ = self.attention(new, enc_out, src_mask)
            if self.update == "gru":
                new = self._keep_or_take(written.to(mems.dtype), new)
            else:
                new = self._forget(written.to(mems.dtype), slot_bias)
        if src_mask is None:
            return new
        return torch.where(src_mask.any(dim=-1)[:, None, None], new, mems)

    def _keep_or_take(self, written: Tensor, mems: Tensor) -> Tensor:
        """Gate between the old slots and what was written, then add the feed-forward."""
        new = self.gru(written.flatten(0, 1), mems.flatten(0, 1)).view_as(mems).to(mems.dtype)
        return new if self.feed_forward is None else self.feed_forward(new)

    def _forget(self, written: Tensor, slot_bias: Tensor | None) -> Tensor:
        """Biased Memory Normalization: pull each slot towards its bias and back to norm 1."""
        if self.feed_forward is not None:
            written = self.feed_forward(written)
        return F.normalize(written if slot_bias is None else written + slot_bias, dim=-1)
