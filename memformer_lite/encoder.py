"""The encoder: in every layer, tokens look around, read the memory, and think (chapter 04)."""

from collections.abc import Callable

from torch import Tensor, nn

from memformer_lite.attention import Attention, FeedForward
from memformer_lite.bucketing import RelativePositionBias
from memformer_lite.doors import check_layers
from memformer_lite.validation import check_options, check_tokens, checked, unchecked


class Layer(nn.Module):
    """Look around among the tokens, read another source, think: each pre-normed and added.

    Every step is `Residual(PreNorm(…))` written out, so that its parts have names: `look_around`
    and `read` are `Attention`, `think` is a `FeedForward`, and each has its norm beside it.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h, of both attentions.
        causal: True lets a token look around among earlier tokens only.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.

    Source:
        Reading between self-attention and feed-forward: both papers. Pre-norm: the reference.
    """

    def __init__(self, dim: int, *, heads: int = 8, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        self.look_around = Attention(dim, heads=heads, causal=causal, dropout=dropout)
        self.look_around_norm = nn.LayerNorm(dim)
        self.read = Attention(dim, heads=heads, dropout=dropout)
        self.read_norm = nn.LayerNorm(dim)
        self.think = FeedForward(dim, dropout=dropout)
        self.think_norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        pos_bias: Tensor | None = None,
        query_mask: Tensor | None = None,
        kv_mask: Tensor | None = None,
        caches: tuple[Callable | None, Callable | None] = (None, None),
    ) -> Tensor:
        """Take one layer's three steps.

        Args:
            x: tokens, (b, n, d).
            context: what is read, (b, j, d): the memory, or a decoder's encoder output; None:
                nothing is read.
            pos_bias: added to the scores of looking around, (1, h, n, n).
            query_mask: real tokens, bool (b, n).
            kv_mask: real rows of the context, bool (b, j).
            caches: those of looking around and of reading, see `Attention`.

        Returns:
            (b, n, d).
        """
        past, fixed = caches
        x = x + self.look_around(
            self.look_around_norm(x), pos_bias=pos_bias, query_mask=query_mask, cache=past
        )
        if context is not None:
            x = x + self.read(self.read_norm(x), context=context, kv_mask=kv_mask, cache=fixed)
        return x + self.think(self.think_norm(x))


class LayerStack(nn.Module):
    """What `Encoder` and `Decoder` share: a stack of layers and one position bias for all.

    Args:
        dim: width d, a multiple of `heads`.
        depth: number of layers l, at least 1.
        heads: number of heads h.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.
        causal: True lets a token look at earlier tokens only.
        bidirectional_buckets: True gives past and future position buckets of their own, False
            gives all to the past.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        heads: int,
        dropout: float,
        causal: bool,
        bidirectional_buckets: bool,
    ):
        super().__init__()
        if unchecked():
            sizes = {"dim": dim, "depth": depth, "heads": heads}
            check_options(**sizes, dropout=dropout, bidirectional_buckets=bidirectional_buckets)
        self.dim = dim
        with checked():
            self.rel_pos_emb = RelativePositionBias(
                heads=heads, bidirectional=bidirectional_buckets
            )
            self.layers = nn.ModuleList(
                Layer(dim, heads=heads, causal=causal, dropout=dropout) for _ in range(depth)
            )


class Encoder(LayerStack):
    """Layers of self-attention, reading of the memory, and feed-forward, each pre-normed.

    Args:
        dim: width d, a multiple of `heads`.
        depth: number of layers l, at least 1.
        heads: number of heads h.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.
        bidirectional_buckets: True gives past and future buckets of their own. False repeats the
            reference's mistake, for its weights only.

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
        super().__init__(
            dim,
            depth,
            heads=heads,
            dropout=dropout,
            causal=False,
            bidirectional_buckets=bidirectional_buckets,
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
        """
        if unchecked():
            check_layers(self, x, context, src_mask=src_mask)
        with checked():
            pos_bias = self.rel_pos_emb(x.shape[1], x.shape[1])
            for layer in self.layers:
                x = layer(x, context, pos_bias=pos_bias, query_mask=src_mask)
        return x


class TransformerWrapper(nn.Module):
    """Token embedding before the layers, a norm and (for a decoder) a linear map to logits after.

    Args:
        num_tokens: size of the vocabulary v, at least 1.
        max_seq_len: most tokens a row, at least 1; enforced.
        dim: width d.
        layer_blocks: an `Encoder` or a `Decoder`.
        return_logits: True ends in logits (b, n, v), False in features (b, n, d).

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
        if unchecked():
            sizes = {"num_tokens": num_tokens, "max_seq_len": max_seq_len, "dim": dim}
            check_options(**sizes, return_logits=return_logits)
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
        """
        if unchecked():
            check_tokens("tokens", tokens, num_tokens=self.num_tokens, max_seq_len=self.max_seq_len)
        ours = isinstance(self.layer_blocks, LayerStack)
        with checked(ours and not unchecked()):  # layers of the reader's own check what they call
            x = self.layer_blocks(self.token_emb(tokens), **inputs)
        return self.to_logits(self.norm(x))
