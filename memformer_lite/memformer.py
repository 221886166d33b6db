"""The whole Memformer: encode a segment with the memory, decode, write the memory (chapter 07)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from memformer_lite.decoder import AutoregressiveWrapper, Decoder
from memformer_lite.doors import (
    check_logits,
    check_model,
    check_source,
    check_target_of,
    check_update,
    need_decoder,
)
from memformer_lite.encoder import Encoder, TransformerWrapper
from memformer_lite.memory import RULES, MemoryRule, MemoryWriter
from memformer_lite.validation import check_options, check_tensor, checked, unchecked


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
        options = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__()
        if unchecked():
            check_update("mem_update", options.pop("mem_update"), RULES, MemoryRule)
            check_model(options)
        swapped = position_buckets == "reference"
        self.dim = dim
        self.num_memory_slots = num_memory_slots
        self.dropout = dropout
        with checked():
            encoder = Encoder(
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
                layer_blocks=encoder,
                return_logits=False,
            )
            self.decoder: AutoregressiveWrapper | None = None
            if not encoder_only:
                decoder = Decoder(
                    dim,
                    cast(int, dec_depth),  # the door lets no None through
                    heads=dec_heads,
                    dropout=dropout,
                    bidirectional_buckets=swapped,
                )
                net = TransformerWrapper(
                    num_tokens=cast(int, dec_num_tokens),
                    max_seq_len=cast(int, dec_max_seq_len),
                    dim=dim,
                    layer_blocks=decoder,
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
            check_options(batch_size=batch_size)
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
            check_source(self, src, src_mask, mems, longest=self.encoder.max_seq_len)
            check_target_of(self, tgt, tgt_mask, batch=src.shape[0])
        with checked():
            if mems is None:
                mems = self.get_initial_mem(src.shape[0])
            enc_out = self.encoder(src, context=mems, src_mask=src_mask)
            loss = None
            if tgt is not None and self.decoder is not None:
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
        decoder = need_decoder(self, "logits")
        if unchecked():
            check_logits(self, tgt, enc_out, src_mask, tgt_mask)
        with checked():
            masks = {"tgt_mask": tgt_mask, "src_mask": src_mask}
            return decoder.net(tgt, context=enc_out, **masks)

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
        decoder = need_decoder(self, "generate")
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
