"""The decoder: causal, reading the encoder's output; loss, writing and a cache (chapter 06)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.bucketing import RelativePositionBias
from memformer_lite.doors import (
    check_context,
    check_layers,
    check_sampling,
    check_target,
    check_writing,
)
from memformer_lite.encoder import LayerStack, TransformerWrapper
from memformer_lite.sampling import sample_token
from memformer_lite.validation import check_options, checked, unchecked


class Decoder(LayerStack):
    """Layers of causal self-attention, attention to the encoder output, and feed-forward.

    Args:
        dim: width d, a multiple of `heads`.
        depth: number of layers l, at least 1.
        heads: number of heads h.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.
        bidirectional_buckets: False gives all position buckets to the past. True repeats the
            reference's mistake, for its weights only.

    Source:
        Vaswani et al. 2017 with pre-norm and T5 positions, as in the reference. Where we differ:
        without `context` the cross-attention is skipped (the reference falls back to attention
        without a causal mask: a look ahead), and `src_mask` always belongs to the source,
        `tgt_mask` to the target (the reference's decoder has the two names crossed).
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        heads: int = 8,
        dropout: float = 0.0,
        bidirectional_buckets: bool = False,
    ):
        super().__init__(
            dim,
            depth,
            heads=heads,
            dropout=dropout,
            causal=True,
            bidirectional_buckets=bidirectional_buckets,
        )

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        src_mask: Tensor | None = None,
        cache: "DecoderCache | None" = None,
    ) -> Tensor:
        """Decode target tokens; row i depends on rows up to i and on the context.

        Args:
            x: embedded target tokens, (b, n, d); with `cache` only those not seen before.
            context: encoder output, (b, j, d); None: no cross-attention.
            tgt_mask: real target tokens, bool (b, n); not with `cache`.
            src_mask: real tokens of the context, bool (b, j); only with `context`.
            cache: keys and values of earlier calls; it grows by n tokens.

        Returns:
            (b, n, d).

        Raises:
            ValueError: a mask without what it masks; more tokens than the cache has room for.
        """
        if unchecked():
            check_layers(self, x, context, src_mask, tgt_mask=tgt_mask)
            if cache is not None and tgt_mask is not None:
                raise ValueError("tgt_mask: expected None, since cached tokens are all real")
        n = x.shape[1]
        with checked():
            bias = self.rel_pos_emb(n, n) if cache is None else cache.bias(self.rel_pos_emb, n)
            for index, layer in enumerate(self.layers):
                x = layer(
                    x,
                    context,
                    pos_bias=bias,
                    query_mask=tgt_mask,
                    kv_mask=src_mask,
                    caches=(None, None) if cache is None else cache.layer(index),
                )
        if cache is not None:
            cache.length += n
        return x


class _Growing:
    """Keys and values of all tokens seen so far by one self-attention, (b, h, j, d / h).

    They are written into place, so no step copies what earlier steps found.
    """

    def __init__(self, max_length: int):
        self.max_length = max_length
        self.length = 0
        self.both: tuple[Tensor, Tensor] | None = None

    def __call__(self, project: Callable, source: Tensor) -> tuple[Tensor, Tensor]:
        new = project(source)
        if self.both is None:
            b, h, _, d = new[0].shape
            keys, values = (x.new_empty(b, h, self.max_length, d) for x in new)
            self.both = keys, values
        start, self.length = self.length, self.length + source.shape[1]
        for kept, x in zip(self.both, new, strict=True):
            kept[:, :, start : self.length] = x
        keys, values = (kept[:, :, : self.length] for kept in self.both)
        return keys, values


class _Fixed:
    """Keys and values of a context that stays the same, projected at the first call."""

    def __init__(self):
        self.projected = None

    def __call__(self, project: Callable, source: Tensor) -> tuple[Tensor, Tensor]:
        if self.projected is None:
            keys, values = project(source)
            # Read at every step from now on, so worth a copy that lies in order.
            self.projected = keys.contiguous(), values.contiguous()
        return self.projected


class DecoderCache:
    """What a decoder need not compute again while it generates (a KV cache); without gradients.

    Holds the keys and values of the tokens seen, those of the context, which must stay the same
    between calls, and the position bias of a token for all tokens before it. Its `length` is the
    number of tokens seen.

    Args:
        max_length: most tokens it will ever see, at least 1.

    Source:
        Ours; the reference decodes every prefix from the start.
    """

    def __init__(self, max_length: int):
        if unchecked():
            check_options(max_length=max_length)
        self.max_length = max_length
        self.length = 0
        self._last_row: Tensor | None = None
        self._layers: list[tuple[_Growing, _Fixed]] = []

    def bias(self, rel_pos_emb: RelativePositionBias, n: int) -> Tensor:
        """Return the bias of the next `n` tokens for all tokens up to them, (1, h, n, j).

        Raises:
            ValueError: more than `max_length` tokens.
        """
        end = self.length + n
        if end > self.max_length:
            raise ValueError(f"cache: expected at most {self.max_length} tokens, got {end}")
        if n > 1:
            return rel_pos_emb(n, end, self.length)
        if self._last_row is None:
            self._last_row = rel_pos_emb(1, self.max_length, self.max_length - 1)
        return self._last_row[..., self.max_length - end :]  # a row ends at offset 0

    def layer(self, index: int) -> tuple[_Growing, _Fixed]:
        """Return the two caches of layer `index`, for self- and for cross-attention."""
        while len(self._layers) <= index:
            self._layers.append((_Growing(self.max_length), _Fixed()))
        return self._layers[index]


class AutoregressiveWrapper(nn.Module):
    """Train a decoder to guess the next token, and let it write.

    Args:
        net: a `TransformerWrapper` around a `Decoder`.

    Source:
        The reference's class of the same name, whose `generate` always fails, whose loss counts
        padding, and whose rows go on after their end.
    """

    def __init__(self, net: TransformerWrapper):
        super().__init__()
        self.net = net
        self.max_seq_len = net.max_seq_len

    def forward(
        self,
        tgt: Tensor,
        *,
        context: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        src_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss: mean cross-entropy, in nats, over the real target tokens but the first.

        Args:
            tgt: target tokens, long (b, n), n from 2 to `max_seq_len`. Token 0 is only given.
            context: encoder output, (b, j, d).
            tgt_mask: real target tokens, bool (b, n); pad on the right, so that no real token
                is guessed from padding.
            src_mask: real tokens of the context, bool (b, j).

        Returns:
            A scalar; 0 where no real token is left to guess.
        """
        if unchecked():
            check_target(self.net, tgt, tgt_mask, at_least=2)
            weight = self.net.token_emb.weight
            check_context(context, src_mask, batch=len(tgt), dim=weight.shape[1], like=weight)
        seen = None if tgt_mask is None else tgt_mask[:, :-1]
        with checked():
            logits = self.net(tgt[:, :-1], context=context, tgt_mask=seen, src_mask=src_mask)
        if tgt_mask is None:
            return F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:])
        losses = F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:], reduction="none")  # (b, n-1)
        real = tgt_mask[:, 1:]
        return losses.masked_fill(~real, 0.0).sum() / real.sum().clamp(min=1)

    @torch.no_grad()
    def generate(
        self,
        start_tokens: Tensor,
        seq_len: int,
        *,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        eos_token: int | None = None,
        pad_token: int = 0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Write `seq_len` tokens after `start_tokens`, in evaluation mode.

        Each new token depends on the last `max_seq_len` tokens before it. Once the text is longer
        than that, the window slides, and every step is computed afresh (cached states of the
        remaining tokens would still know the dropped ones): slower, but the same tokens as
        without a cache.

        Args:
            start_tokens: long (b, n), n at least 1; all of them real.
            seq_len: number of new tokens, at least 1.
            context: encoder output, (b, j, d).
            context_mask: real tokens of the context, bool (b, j).
            eos_token: a row that has written it is done; None: no row ends early.
            pad_token: fills a row after its `eos_token`.
            temperature: divides the logits; 0 is greedy.
            top_k: sample among that many tokens.
            top_p: sample among the fewest tokens that hold that probability.
            generator: the source of randomness; None: torch's global one.
            use_cache: False computes every step from the start; same tokens, slower.

        Returns:
            The new tokens only, long (b, seq_len).
        """
        if unchecked():
            ends: dict[str, Any] = {"pad_token": pad_token, "eos_token": eos_token}
            options = ends | {"seq_len": seq_len, "use_cache": use_cache}
            check_writing(self.net, start_tokens, context, context_mask, **options)
            vocabulary = self.net.num_tokens
            check_sampling(vocabulary, temperature=temperature, top_k=top_k, top_p=top_p)
        b, start = start_tokens.shape
        tokens = F.pad(start_tokens, (0, seq_len), value=pad_token)  # (b, start + seq_len)
        done = torch.zeros(b, dtype=torch.bool, device=tokens.device)
        with checked(), _evaluating(self):
            cache = DecoderCache(min(start + seq_len, self.max_seq_len)) if use_cache else None
            for end in range(start, start + seq_len):
                if end > self.max_seq_len:
                    cache = None
                first = max(0, end - self.max_seq_len) if cache is None else cache.length
                logits = self.net(
                    tokens[:, first:end], context=context, src_mask=context_mask, cache=cache
                )[:, -1]
                new = sample_token(
                    logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator
                )
                tokens[:, end] = torch.where(done, pad_token, new)
                if eos_token is not None:
                    done = done | (new == eos_token)
                    if done.all():
                        break
        return tokens[:, start:]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and each of its parts back into its own mode after it."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
