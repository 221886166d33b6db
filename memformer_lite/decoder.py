"""The decoder: causal, reading the encoder's output; loss, sampling and a cache (chapter 06)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.attention import Attention, FeedForward, PreNorm, Residual
from memformer_lite.bucketing import RelativePositionBias
from memformer_lite.encoder import TransformerWrapper
from memformer_lite.validation import (
    check_features,
    check_flag,
    check_integer,
    check_mask,
    check_number,
    check_tokens,
)


class Decoder(nn.Module):
    """Layers of causal self-attention, attention to the encoder output, and feed-forward.

    Args:
        dim: width d, a multiple of `heads`.
        depth: number of layers l, at least 1.
        heads: number of heads h.
        dropout: probability in [0, 1), on attention weights and feed-forward outputs.
        bidirectional_buckets: False gives all position buckets to the past. True repeats the
            reference's mistake, for its weights only.

    Raises:
        TypeError, ValueError: an option outside its range.

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
        super().__init__()
        check_integer("depth", depth, at_least=1)
        check_flag("bidirectional_buckets", bidirectional_buckets)
        self.dim = dim
        self.rel_pos_emb = RelativePositionBias(heads=heads, bidirectional=bidirectional_buckets)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Residual(
                        PreNorm(dim, Attention(dim, heads=heads, causal=True, dropout=dropout))
                    ),
                    Residual(PreNorm(dim, Attention(dim, heads=heads, dropout=dropout))),
                    Residual(PreNorm(dim, FeedForward(dim, dropout=dropout))),
                ]
            )
            for _ in range(depth)
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
            TypeError, ValueError: wrong dtype or shape, or a mask without what it masks.
        """
        table = self.rel_pos_emb.relative_attention_bias.weight
        check_features("x", x, (None, None, self.dim), like=table)
        check_mask("tgt_mask", tgt_mask, tuple(x.shape[:2]))
        if context is not None:
            check_features("context", context, (x.shape[0], None, self.dim))
            check_mask("src_mask", src_mask, tuple(context.shape[:2]))
        elif src_mask is not None:
            raise ValueError("src_mask: expected None, since there is no context to mask")
        if cache is not None and tgt_mask is not None:
            raise ValueError("tgt_mask: expected None, since cached tokens are all real")
        n = x.shape[1]
        pos_bias = self.rel_pos_emb(n, n) if cache is None else cache.bias(self.rel_pos_emb, n)
        for index, (self_attention, cross_attention, feed_forward) in enumerate(self.layers):
            past, fixed = (None, None) if cache is None else cache.layer(index)
            x = self_attention(x, pos_bias=pos_bias, query_mask=tgt_mask, cache=past)
            if context is not None:
                x = cross_attention(x, context=context, kv_mask=src_mask, cache=fixed)
            x = feed_forward(x)
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
            self.both = tuple(x.new_empty(b, h, self.max_length, d) for x in new)
        start, self.length = self.length, self.length + source.shape[1]
        for kept, x in zip(self.both, new, strict=True):
            kept[:, :, start : self.length] = x
        return tuple(kept[:, :, : self.length] for kept in self.both)


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

    Raises:
        TypeError, ValueError: `max_length` outside its range.

    Source:
        Ours; the reference decodes every prefix from the start.
    """

    def __init__(self, max_length: int):
        check_integer("max_length", max_length, at_least=1)
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


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the `k` largest logits of each row and set the others to -inf.

    Args:
        logits: (b, v), floating.
        k: from 1 to v; ties are broken so that exactly `k` remain.

    Raises:
        TypeError, ValueError: `k` outside its range, or `logits` of another shape or dtype.

    Source:
        Fan et al. 2018. The reference's function of this name takes a share and can keep none.
    """
    check_features("logits", logits, (None, None))
    check_integer("top_k", k, at_least=1)
    if k > logits.shape[-1]:
        raise ValueError(f"top_k={k}: expected at most the vocabulary, {logits.shape[-1]}")
    values, indices = logits.topk(k, dim=-1)
    return torch.full_like(logits, float("-inf")).scatter(-1, indices, values)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most likely tokens whose probabilities sum to at least `p`.

    Args:
        logits: (b, v), floating.
        p: in (0, 1]; the most likely token always stays, and 1 keeps all.

    Raises:
        TypeError, ValueError: `p` outside its range, or `logits` of another shape or dtype.

    Source:
        Holtzman et al. 2020. The reference's function of this name compares with 1 - p.
    """
    check_features("logits", logits, (None, None))
    tiny = torch.finfo(torch.float32).tiny
    check_number("top_p", p, low=tiny, high=1.0, expected="a probability in (0, 1]")
    if p == 1:
        return logits.clone()  # a sum of rounded probabilities may reach 1 too early
    ordered, indices = logits.sort(dim=-1, descending=True)
    probabilities = ordered.double().softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # mass of all more likely tokens
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, indices, ordered)


def sample_token(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token a row.

    Args:
        logits: (b, v), floating.
        temperature: divides the logits; 0 takes the most likely token (greedy).
        top_k: keep that many tokens before choosing.
        top_p: then keep the fewest tokens that hold that probability.
        generator: the source of randomness; None: torch's global one.

    Returns:
        Token ids, long (b,).

    Raises:
        TypeError, ValueError: an option outside its range.
    """
    check_features("logits", logits, (None, None))
    huge = torch.finfo(torch.float32).max
    check_number("temperature", temperature, low=0.0, high=huge, expected="a number, 0 or more")
    if temperature > 0:
        # The largest logit becomes 0, so that no temperature can overflow the others upwards.
        logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    if top_k is not None:
        logits = _keep_top_k(logits, top_k)
    if top_p is not None:
        logits = _keep_top_p(logits, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(-1)


# The keywords of sample_token bear the functions' names.
_keep_top_k, _keep_top_p = top_k, top_p


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

        Raises:
            TypeError, ValueError: wrong dtype, shape, length or token id.
        """
        self.check_target(tgt, tgt_mask)
        seen = None if tgt_mask is None else tgt_mask[:, :-1]
        logits = self.net(tgt[:, :-1], context=context, tgt_mask=seen, src_mask=src_mask)
        if tgt_mask is None:
            return F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:])
        losses = F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:], reduction="none")  # (b, n-1)
        real = tgt_mask[:, 1:]
        return losses.masked_fill(~real, 0.0).sum() / real.sum().clamp(min=1)

    def check_target(self, tgt: Tensor, tgt_mask: Tensor | None) -> None:
        """Raise, as `forward` does, where a target or its mask has a wrong dtype, shape or id."""
        check_tokens(
            "tgt",
            tgt,
            num_tokens=self.net.num_tokens,
            max_seq_len=self.max_seq_len,
            at_least=2,
        )
        check_mask("tgt_mask", tgt_mask, tuple(tgt.shape))

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

        Raises:
            TypeError, ValueError: wrong dtype, shape, token id or option.
        """
        vocabulary = self.net.num_tokens
        check_tokens("start_tokens", start_tokens, num_tokens=vocabulary)
        check_integer("seq_len", seq_len, at_least=1)
        check_flag("use_cache", use_cache)
        for name, token in (("eos_token", eos_token), ("pad_token", pad_token)):
            if name == "eos_token" and token is None:
                continue
            check_integer(name, token, at_least=0)
            if token >= vocabulary:
                raise ValueError(f"{name}={token}: expected a token id below {vocabulary}")
        if context is not None:
            check_features("context", context, (start_tokens.shape[0], None, None))
            check_mask("context_mask", context_mask, tuple(context.shape[:2]))
        elif context_mask is not None:
            raise ValueError("context_mask: expected None, since there is no context to mask")
        b, start = start_tokens.shape
        tokens = F.pad(start_tokens, (0, seq_len), value=pad_token)  # (b, start + seq_len)
        done = torch.zeros(b, dtype=torch.bool, device=tokens.device)
        cache = DecoderCache(min(start + seq_len, self.max_seq_len)) if use_cache else None
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            for end in range(start, start + seq_len):
                if end > self.max_seq_len:
                    cache = None
                first = max(0, end - self.max_seq_len) if cache is None else cache.length
                logits = self.net(
                    tokens[:, first:end], context=context, src_mask=context_mask, cache=cache
                )[:, -1]
                new = sample_token(
                    logits,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    generator=generator,
                )
                tokens[:, end] = torch.where(done, pad_token, new)
                if eos_token is not None:
                    done = done | (new == eos_token)
                    if done.all():
                        break
        finally:
            for module, training in modes.items():
                module.training = training
        return tokens[:, start:]
