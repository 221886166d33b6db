"""The whole Memformer: encode a segment with the memory, decode, write the memory (chapter 07)."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memformer_lite.decoder import AutoregressiveWrapper, Decoder
from memformer_lite.encoder import Encoder, TransformerWrapper
from memformer_lite.memory import MemoryRule, MemoryWriter, check_update
from memformer_lite.validation import (
    check_choice,
    check_dropout,
    check_features,
    check_flag,
    check_heads,
    check_integers,
    check_mask,
    check_target,
    check_temperature,
    check_tensor,
    check_tokens,
    checked,
    unchecked,
)


class Results(NamedTuple):
    """What one segment gives.

    Attributes:
        enc_out: encoder output, (b, n, d).
        mem: the memory after the segment, (b, k, d).
        dec_out: the loss, a scalar in nats a token; None without a target.
    """

    enc_out: Tensor
    mem: Tensor
    dec_out: Tensor | None


class Memformer(nn.Module):
    """A transformer that carries a memory of k slots from segment to segment.

    Args:
        dim: width d of tokens and slots; a multiple of all numbers of heads.
        num_memory_slots: number of slots k, at least 1.
        num_mem_updates: writing steps a segment, at least 1.
        encoder_only: True leaves out the decoder; its options are then unused.
        mem_update_attn_heads: heads of the writing.
        mem_update: "gru" (the reference), "bmn" (the 2022 paper), or a `MemoryRule` of your own.
        mem_temperature: of the writing; above 0, below 1 sharpens.
        mem_feed_forward: False leaves out the feed-forward of "gru" and "bmn".
        position_buckets: "t5", or "reference" to repeat its swapped direction flag, which its
            weights were trained with.
        enc_num_tokens: vocabulary of the source.
        enc_max_seq_len: most source tokens a segment.
        enc_depth: encoder layers.
        enc_heads: encoder heads.
        dec_num_tokens: vocabulary v of the target; needed unless `encoder_only`.
        dec_max_seq_len: most target tokens; needed unless `encoder_only`.
        dec_depth: decoder layers; needed unless `encoder_only`.
        dec_heads: decoder heads.
        dropout: probability in [0, 1), in encoder and decoder.

    Source:
        The reference's class of the same name; the model is that of both papers, with lucidrains'
        GRU. Where we differ: the paper map in the appendix lists every point.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_memory_slots: int,
        num_mem_updates: int = 1,
        encoder_only: bool = False,
        mem_update_attn_heads: int = 8,
        mem_update: str | MemoryRule = "gru",
        mem_temperature: float = 1.0,
        mem_feed_forward: bool = True,
        position_buckets: str = "t5",
        enc_num_tokens: int,
        enc_max_seq_len: int,
        enc_depth: int,
        enc_heads: int = 8,
        dec_num_tokens: int | None = None,
        dec_max_seq_len: int | None = None,
        dec_depth: int | None = None,
        dec_heads: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        if unchecked():
            check_integers(
                1,
                num_memory_slots=num_memory_slots,
                num_mem_updates=num_mem_updates,
                enc_num_tokens=enc_num_tokens,
                enc_max_seq_len=enc_max_seq_len,
                enc_depth=enc_depth,
            )
            check_heads(dim, mem_update_attn_heads=mem_update_attn_heads, enc_heads=enc_heads)
            check_update("mem_update", mem_update)
            check_temperature("mem_temperature", mem_temperature)
            check_flag("mem_feed_forward", mem_feed_forward)
            check_choice("position_buckets", position_buckets, ("t5", "reference"))
            check_dropout(dropout)
            check_flag("encoder_only", encoder_only)
            dec_counts = {
                "dec_num_tokens": dec_num_tokens,
                "dec_max_seq_len": dec_max_seq_len,
                "dec_depth": dec_depth,
            }
            if encoder_only:
                _warn_unused(dec_counts | {"dec_heads": None if dec_heads == 8 else dec_heads})
            else:
                check_integers(1, **dec_counts)
                check_heads(dim, dec_heads=dec_heads)
        swapped = position_buckets == "reference"
        self.dim = dim
        self.num_memory_slots = num_memory_slots
        self.dropout = dropout
        with checked():
            layers = Encoder(
                dim,
                enc_depth,
                heads=enc_heads,
                dropout=dropout,
                bidirectional_buckets=not swapped,
            )
            self.encoder = TransformerWrapper(
                num_tokens=enc_num_tokens,
                max_seq_len=enc_max_seq_len,
                dim=dim,
                layer_blocks=layers,
                return_logits=False,
            )
            self.decoder = None
            if not encoder_only:
                layers = Decoder(
                    dim,
                    dec_depth,
                    heads=dec_heads,
                    dropout=dropout,
                    bidirectional_buckets=swapped,
                )
                net = TransformerWrapper(
                    num_tokens=dec_num_tokens,
                    max_seq_len=dec_max_seq_len,
                    dim=dim,
                    layer_blocks=layers,
                )
                self.decoder = AutoregressiveWrapper(net)
            self.memory_slots = nn.Parameter(torch.randn(num_memory_slots, dim))
            self.memory_writer = MemoryWriter(
                dim,
                heads=mem_update_attn_heads,
                num_updates=num_mem_updates,
                update=mem_update,
                temperature=mem_temperature,
                feed_forward=mem_feed_forward,
            )

    def get_initial_mem(self, batch_size: int) -> Tensor:
        """Return the memory before the first segment, (batch_size, k, d).

        The rule of the writer makes it of the learned `memory_slots`: with "gru" it is these;
        with "bmn" they are the slots' biases, and the memory starts at their directions, with
        norm 1 (the 2022 paper).
        """
        if unchecked():
            check_integers(1, batch_size=batch_size)
        return self.memory_writer.rule.start(self.memory_slots).repeat(batch_size, 1, 1)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor | None = None,
        mems: Tensor | None = None,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
    ) -> Results:
        """Process one segment.

        Args:
            src: source tokens, long (b, n), n up to `enc_max_seq_len`.
            tgt: target tokens, long (b, m), m from 2 to `dec_max_seq_len`; None: no loss.
            mems: the memory, (b, k, d); None: the initial one.
            src_mask: real source tokens, bool (b, n).
            tgt_mask: real target tokens, bool (b, m), padded on the right; only with `tgt`.

        Returns:
            Encoder output, the memory after this segment, and the loss. The decoder reads what
            was encoded with the memory *before* this segment.

        Raises:
            ValueError: a batch of another size than that of `src`; a target, but no decoder.
        """
        if unchecked():
            self.check_source(src, src_mask, longest=self.encoder.max_seq_len)
            self.check_memory(mems, batch=src.shape[0])
            self.check_target(tgt, tgt_mask, batch=src.shape[0])
        with checked():
            if mems is None:
                mems = self.get_initial_mem(src.shape[0])
            enc_out = self.encoder(src, context=mems, src_mask=src_mask)
            loss = None
            if tgt is not None:
                loss = self.decoder(tgt, context=enc_out, tgt_mask=tgt_mask, src_mask=src_mask)
            after = self.memory_writer(mems, enc_out, src_mask, self.memory_slots)
        return Results(enc_out, after, loss)

    def logits(
        self,
        tgt: Tensor,
        enc_out: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the decoder's logits; those at position i are for token i + 1.

        Args:
            tgt: target tokens, long (b, m), m up to `dec_max_seq_len`.
            enc_out: encoder output, (b, n, d).
            src_mask: real source tokens, bool (b, n).
            tgt_mask: real target tokens, bool (b, m).

        Returns:
            (b, m, v).

        Raises:
            ValueError: no decoder.
        """
        net = self._need_decoder("logits").net
        if unchecked():
            check_tokens("tgt", tgt, num_tokens=net.num_tokens, max_seq_len=net.max_seq_len)
            check_mask("tgt_mask", tgt_mask, tuple(tgt.shape))
            check_features("enc_out", enc_out, (len(tgt), None, self.dim), like=self.memory_slots)
            check_mask("src_mask", src_mask, tuple(enc_out.shape[:2]))
        with checked():
            return net(tgt, context=enc_out, tgt_mask=tgt_mask, src_mask=src_mask)

    def generate(
        self,
        start_tokens: Tensor,
        seq_len: int,
        *,
        context: Tensor,
        context_mask: Tensor | None = None,
        eos_token: int | None = None,
        pad_token: int = 0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Write `seq_len` tokens after `start_tokens`, given an encoder output as `context`.

        Arguments, result and errors are those of `AutoregressiveWrapper.generate`; `context` is
        (b, n, d), usually `Results.enc_out`.
        """
        decoder = self._need_decoder("generate")
        if unchecked():
            check_tensor("context", context)  # the decoder alone could do without
        return decoder.generate(
            start_tokens,
            seq_len,
            context=context,
            context_mask=context_mask,
            eos_token=eos_token,
            pad_token=pad_token,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            generator=generator,
            use_cache=use_cache,
        )

    def check_source(self, src: Tensor, src_mask: Tensor | None, *, longest: int | None) -> None:
        """Raise unless `src` holds source tokens, at most `longest` a row, and its mask fits it."""
        check_tokens("src", src, num_tokens=self.encoder.num_tokens, max_seq_len=longest)
        check_mask("src_mask", src_mask, tuple(src.shape))

    def check_memory(self, mems: Tensor | None, *, batch: int) -> None:
        """Raise unless `mems` is None or a memory of this model for so many rows."""
        if mems is not None:
            expected = (batch, self.num_memory_slots, self.dim)
            check_features("mems", mems, expected, like=self.memory_slots)

    def check_target(self, tgt: Tensor | None, tgt_mask: Tensor | None, *, batch: int) -> None:
        """Raise where a target or its mask does not fit source or model."""
        if tgt is None:
            if tgt_mask is not None:
                raise ValueError("tgt_mask: expected None, since there is no tgt to mask")
        elif self.decoder is None:
            raise ValueError("tgt: expected None, since encoder_only=True leaves out the decoder")
        else:
            sizes = {"num_tokens": self.decoder.net.num_tokens, "batch": batch}
            check_target(tgt, tgt_mask, max_seq_len=self.decoder.max_seq_len, **sizes)

    def _need_decoder(self, method: str) -> AutoregressiveWrapper:
        if self.decoder is None:
            raise ValueError(f"{method}: this model has no decoder (encoder_only=True)")
        return self.decoder


def _warn_unused(options: dict[str, int | None]) -> None:
    """Say which options of a decoder were given though there will be none."""
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        warnings.warn(f"encoder_only=True leaves {', '.join(unused)} unused", stacklevel=3)
