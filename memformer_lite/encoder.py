"""The encoder: in every layer, tokens look around, read the memory, and think (chapter 04)."""

from torch import Tensor, nn

from memformer_lite.attention import Attention, FeedForward, PreNorm, Residual
from memformer_lite.bucketing import RelativePositionBias
from memformer_lite.validation import (
    check_features,
    check_flag,
    check_integer,
    check_mask,
    check_tokens,
)


class Encoder(nn.Module):
    """Layers of self-attention, reading of the memory, and feed-forward, each pre-normed.

    Args:
        dim: width d, a multiple of `heads`.
        depth: number of layers l, at least 1.
        heads: number of heads h.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.
        bidirectional_buckets: True gives past and future buckets of their own. False repeats the
            reference's mistake, for its weights only.

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        Reading between self-attention and feed-forward in every layer: both papers. Pre-norm and
        T5 positions: the reference. Where we differ: the position bias is computed once a
        forward pass, and without a memory there is no reading (the reference then attends to
        the tokens a second time).
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        heads: int = 8,
        dropout: float = 0.0,
        bidirectional_buckets: bool = True,
    ):
        super().__init__()
        check_integer("depth", depth, at_least=1)
        check_flag("bidirectional_buckets", bidirectional_buckets)
        self.dim = dim
        self.rel_pos_emb = RelativePositionBias(heads=heads, bidirectional=bidirectional_buckets)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Residual(PreNorm(dim, Attention(dim, heads=heads, dropout=dropout))),
                    Residual(PreNorm(dim, Attention(dim, heads=heads, dropout=dropout))),
                    Residual(PreNorm(dim, FeedForward(dim, dropout=dropout))),
                ]
            )
            for _ in range(depth)
        )

    def forward(
        self, x: Tensor, context: Tensor | None = None, src_mask: Tensor | None = None
    ) -> Tensor:
        """Encode the tokens of one segment.

        Args:
            x: embedded tokens, (b, n, d).
            context: the memory, (b, k, d); None: nothing is read.
            src_mask: real tokens, bool (b, n).

        Returns:
            (b, n, d); rows of padding hold numbers without meaning.

        Raises:
            TypeError, ValueError: wrong dtype or shape.
        """
        table = self.rel_pos_emb.relative_attention_bias.weight
        check_features("x", x, (None, None, self.dim), like=table)
        check_mask("src_mask", src_mask, tuple(x.shape[:2]))
        pos_bias = self.rel_pos_emb(x.shape[1], x.shape[1])
        for self_attention, read, feed_forward in self.layers:
            x = self_attention(x, pos_bias=pos_bias, query_mask=src_mask)
            if context is not None:
                x = read(x, context=context)
            x = feed_forward(x)
        return x


class TransformerWrapper(nn.Module):
    """Token embedding before the layers, a norm and (for a decoder) a linear map to logits after.

    Args:
        num_tokens: size of the vocabulary v, at least 1.
        max_seq_len: most tokens a row, at least 1; enforced.
        dim: width d.
        layer_blocks: an `Encoder` or a `Decoder`.
        return_logits: True ends in logits (b, n, v), False in features (b, n, d).

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        The reference's class of the same name, which never looks at `max_seq_len`.
    """

    def __init__(
        self,
        *,
        num_tokens: int,
        max_seq_len: int,
        dim: int,
        layer_blocks: nn.Module,
        return_logits: bool = True,
    ):
        super().__init__()
        check_integer("num_tokens", num_tokens, at_least=1)
        check_integer("max_seq_len", max_seq_len, at_least=1)
        check_flag("return_logits", return_logits)
        self.num_tokens = num_tokens
        self.max_seq_len = max_seq_len
        self.token_emb = nn.Embedding(num_tokens, dim)
        self.layer_blocks = layer_blocks
        self.norm = nn.LayerNorm(dim)
        self.to_logits = nn.Linear(dim, num_tokens) if return_logits else nn.Identity()

    def forward(self, tokens: Tensor, **inputs) -> Tensor:
        """Map token ids to logits or features.

        Args:
            tokens: ids, long (b, n).
            inputs: what `layer_blocks` takes beside x: `context`, `src_mask`, and for a decoder
                `tgt_mask` and `cache`.

        Returns:
            (b, n, v) with `return_logits`, else (b, n, d).

        Raises:
            TypeError, ValueError: wrong dtype, shape, length or token id.
        """
        check_tokens("tokens", tokens, num_tokens=self.num_tokens, max_seq_len=self.max_seq_len)
        x = self.layer_blocks(self.token_emb(tokens), **inputs)
        return self.to_logits(self.norm(x))
