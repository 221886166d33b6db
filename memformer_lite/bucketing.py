"""Relative positions: from an offset to a bucket, from a bucket to a learned bias (chapter 02)."""

import math

import torch
from torch import Tensor, nn

from memformer_lite.doors import check_buckets, check_integral
from memformer_lite.validation import check_integers, check_options, checked, unchecked


def relative_position_bucket(
    relative_position: Tensor,
    *,
    bidirectional: bool,
    num_buckets: int = 32,
    max_distance: int = 128,
) -> Tensor:
    """Map each offset `key position - query position` to one of `num_buckets` buckets.

    Small distances have a bucket each; larger ones share buckets whose width grows
    logarithmically; all distances from `max_distance` on share the last one.

    Args:
        relative_position: offsets in tokens, an integer tensor of any shape; positive = future.
        bidirectional: True splits the buckets in two halves, past (and present) and future.
            False gives all buckets to the past, and every future offset falls into bucket 0.
        num_buckets: at least 2, or an even number of at least 4 if bidirectional.
        max_distance: in tokens; more than the exact range, which is a half of the buckets of
            one direction.

    Returns:
        Bucket indices from 0 to `num_buckets - 1`, long, in the shape of `relative_position`.

    Raises:
        ValueError: the options leave no exact or no logarithmic range.

    Source:
        T5 (Raffel et al. 2020, section 2.1 and its published code); equal bucket by bucket.
        The reference, `_relative_position_bucket`, calls this flag `causal` and sets it the
        wrong way round for both encoder and decoder; its `max_distance` is never passed on.
    """
    if unchecked():
        check_buckets(bidirectional, num_buckets, max_distance)
        check_integral("relative_position", relative_position)
    relative_position = relative_position.long()
    if bidirectional:
        num_buckets //= 2
        first = (relative_position > 0).long() * num_buckets
        distance = relative_position.abs()
    else:
        first = torch.zeros_like(relative_position)
        distance = (-relative_position).clamp(min=0)
    max_exact = num_buckets // 2
    # The clamp keeps log away from 0; those entries take the exact branch below anyway.
    ratio = distance.clamp(min=max_exact).float() / max_exact
    steps = torch.log(ratio) / math.log(max_distance / max_exact) * (num_buckets - max_exact)
    logarithmic = (max_exact + steps.long()).clamp(max=num_buckets - 1)
    return first + torch.where(distance < max_exact, distance, logarithmic)


class RelativePositionBias(nn.Module):
    """A learned number for each head and bucket, added to the attention scores.

    Args:
        heads: number of heads h.
        bidirectional: as in `relative_position_bucket`; True for an encoder, False for a decoder.
        num_buckets: rows of the table.
        max_distance: in tokens; from here on all distances share one bucket.

    Source:
        T5. The reference computes the table again in every layer; here the caller does it once
        a forward pass.
    """

    def __init__(
        self, *, heads: int = 8, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128
    ):
        super().__init__()
        if unchecked():
            check_options(heads=heads)
            check_buckets(bidirectional, num_buckets, max_distance)
        self.bidirectional = bidirectional
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.relative_attention_bias = nn.Embedding(num_buckets, heads)

    def forward(self, q_len: int, k_len: int, q_start: int = 0) -> Tensor:
        """Return the bias of queries `q_start … q_start + q_len - 1` for keys `0 … k_len - 1`.

        Args:
            q_len: number of queries i, at least 1.
            k_len: number of keys j, at least 1.
            q_start: position of the first query; above 0 when earlier tokens are cached.

        Returns:
            Biases, (1, h, i, j).
        """
        if unchecked():
            check_options(q_len=q_len, k_len=k_len)
            check_integers(0, q_start=q_start)
        # An entry depends on the offset alone, so q_len + k_len - 1 look-ups fill the matrix.
        offsets = torch.arange(
            1 - q_start - q_len, k_len - q_start, device=self.relative_attention_bias.weight.device
        )
        with checked():
            buckets = relative_position_bucket(
                offsets,
                bidirectional=self.bidirectional,
                num_buckets=self.num_buckets,
                max_distance=self.max_distance,
            )
        by_offset = self.relative_attention_bias(buckets).T.contiguous()  # (h, i + j - 1)
        return _rows_of_offsets(by_offset, q_len, k_len)[None]


def _rows_of_offsets(by_offset: Tensor, q_len: int, k_len: int) -> Tensor:
    """Return the matrix (h, i, j) whose last row starts with (h, i + j - 1), the others later."""
    if not torch.compiler.is_compiling():
        return by_offset.unfold(-1, k_len, 1).flip(-2)  # window s is row q_len - 1 - s
    # `unfold` would fix the lengths in a graph; this keeps them open and takes a little longer.
    rows = torch.arange(q_len - 1, -1, -1, device=by_offset.device)[:, None]
    places = rows + torch.arange(k_len, device=by_offset.device)  # (i, j)
    return by_offset.index_select(1, places.flatten()).view(-1, q_len, k_len)
