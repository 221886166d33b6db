"""The whole Memformer: encode a segment with the memory, decode, write the memory (chapter 07)."""

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.decoder import AutoregressiveWrapper, Decoder
from memformer_lite.encoder import Encoder, TransformerWrapper
from memformer_lite.memory import MemoryWriter
from memformer_lite.validation import (
    check_choice,
    check_features,
    check_flag,
    check_heads,
    check_integer,
    check_temperature,
    check_tokens,
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
        mem_update: "gru" (the reference) or "bmn" (the 2022 paper).
        mem_temperature: of the writing; above 0, below 1 sharpens.
        mem_feed_forward: False leaves out the feed-forward of the writing.
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

    Raises:
        TypeError, ValueError: an option is missing, unknown or outside its range.

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
        mem_update: str = "gru",
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
        # The parts check their options too, but under their own names, not under these.
        counts = {
            "num_memory_slots": num_memory_slots,
            "num_mem_updates": num_mem_updates,
            "enc_num_tokens": enc_num_tokens,
            "enc_max_seq_len": enc_max_seq_len,
            "enc_depth": enc_depth,
        }
        decoder_counts = {
            "dec_num_tokens": dec_num_tokens,
            "dec_max_seq_len": dec_max_seq_len,
            "dec_depth": dec_depth,
        }
        heads = {"mem_update_attn_heads": mem_update_attn_heads, "enc_heads": enc_heads}
        check_flag("encoder_only", encoder_only)
        if encoder_only:
            _warn_unused(decoder_counts | {"dec_heads": None if dec_heads == 8 else dec_heads})
        else:
            counts |= decoder_counts
            heads["dec_heads"] = dec_heads
        for name, value in counts.items():
            check_integer(name, value, at_least=1)
        for name, value in heads.items():
            check_heads(dim, value, name=name)
        check_choice("mem_update", mem_update, ("gru", "bmn"))
        check_temperature("mem_temperature", mem_temperature)
        check_flag("mem_feed_forward", mem_feed_forward)
        check_choice("position_buckets", position_buckets, ("t5", "reference"))
        swapped = position_buckets == "reference"
        self.dim = dim
        self.num_memory_slots = num_memory_slots
        self.mem_update = mem_update
        self.dropout = dropout
        self.encoder = TransformerWrapper(
            num_tokens=enc_num_tokens,
            max_seq_len=enc_max_seq_len,
            dim=dim,
            layer_blocks=Encoder(
                dim,
                enc_depth,
                heads=enc_heads,
                dropout=dropout,
                bidirectional_buckets=not swapped,
            ),
            return_logits=False,
        )
        self.decoder = None
        if not encoder_only:
            self.decoder = AutoregressiveWrapper(
                TransformerWrapper(
                    num_tokens=dec_num_tokens,
                    max_seq_len=dec_max_seq_len,
                    dim=dim,
                    layer_blocks=Decoder(
                        dim,
                        dec_depth,
                        heads=dec_heads,
                        dropout=dropout,
                        bidirectional_buckets=swapped,
                    ),
                )
            )
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

        With "gru" it is the learned `memory_slots`; with "bmn" these are the slots' biases, and
        the memory starts at their directions, with norm 1 (the 2022 paper).
        """
        check_integer("batch_size", batch_size, at_least=1)
        slots = self.memory_slots
        if self.mem_update == "bmn":
            slots = F.normalize(slots, dim=-1)
        return slots.repeat(batch_size, 1, 1)

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
            TypeError, ValueError: wrong dtype, shape, batch, length or token id.
        """
        check_tokens(
            "src",
            src,
            num_tokens=self.encoder.num_tokens,
            max_seq_len=self.encoder.max_seq_len,
        )
        mems = self._initial_or(mems, batch_size=src.shape[0])
        self.check_target(tgt, tgt_mask, batch_size=src.shape[0])
        enc_out = self.encoder(src, context=mems, src_mask=src_mask)
        loss = None
        if tgt is not None:
            loss = self.decoder(tgt, context=enc_out, tgt_mask=tgt_mask, src_mask=src_mask)
        slot_bias = self.memory_slots if self.mem_update == "bmn" else None
        return Results(enc_out, self.memory_writer(mems, enc_out, src_mask, slot_bias), loss)

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
            TypeError, ValueError: wrong dtype, shape, batch, length or token id; no decoder.
        """
        net = self._need_decoder("logits").net
        check_tokens("tgt", tgt, num_tokens=net.num_tokens, max_seq_len=net.max_seq_len)
        check_features("enc_out", enc_out, (tgt.shape[0], None, self.dim), like=self.memory_slots)
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
        check_tokens("start_tokens", start_tokens, num_tokens=decoder.net.num_tokens)
        expected = (start_tokens.shape[0], None, self.dim)
        check_features("context", context, expected, like=self.memory_slots)
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

    def _initial_or(self, mems: Tensor | None, *, batch_size: int) -> Tensor:
        """Return `mems` after checking it, or the initial memory in its place."""
        if mems is None:
            return self.get_initial_mem(batch_size)
        expected = (batch_size, self.num_memory_slots, self.dim)
        check_features("mems", mems, expected, like=self.memory_slots)
        return mems

    def check_target(self, tgt: Tensor | None, tgt_mask: Tensor | None, *, batch_size: int) -> None:
        """Raise, as `forward` does, where a target or its mask does not fit source or model."""
        if tgt is None:
            if tgt_mask is not None:
                raise ValueError("tgt_mask: expected None, since there is no tgt to mask")
            return
        if self.decoder is None:
            raise ValueError("tgt: expected None, since encoder_only=True leaves out the decoder")
        if isinstance(tgt, Tensor) and tgt.ndim == 2 and tgt.shape[0] != batch_size:
            raise ValueError(f"tgt: expected batch {batch_size} as in src, got {tgt.shape[0]}")
        self.decoder.check_target(tgt, tgt_mask)

    def _need_decoder(self, method: str) -> AutoregressiveWrapper:
        if self.decoder is None:
            raise ValueError(f"{method}: this model has no decoder (encoder_only=True)")
        return self.decoder


def _warn_unused(options: dict[str, int | None]) -> None:
    """Say which options of a decoder were given though there will be none."""
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        warnings.warn(f"encoder_only=True leaves {', '.join(unused)} unused", stacklevel=3)


# Where a parameter of the reference stands in this package; all others keep their names.
_REFERENCE_NAMES = {
    "mem_updater.": "memory_writer.attention.",
    "gru.": "memory_writer.gru.",
    "mem_ff.": "memory_writer.feed_forward.",
}


def _rename(state_dict: dict[str, Tensor], prefixes: dict[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state_dict.items():
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        renamed[name if old is None else prefixes[old] + name[len(old) :]] = value
    return renamed


def load_reference(model: Memformer, state_dict: dict[str, Tensor]) -> None:
    """Load the weights of PyPI `memformer` 0.3.1 into `model`, all of them or none.

    For the reference's numbers the model must have been built with
    `position_buckets="reference"`, as well as `mem_update="gru"` and `mem_feed_forward=True`.

    Args:
        model: of the same sizes as the reference's model.
        state_dict: what `state_dict()` of the reference's model returns.

    Raises:
        ValueError: a parameter is missing, unknown or of another shape; each is named, by the
            reference's name, and `model` stays as it is.
    """
    expected = reference_state_dict(model)
    problems = [f"missing {name}" for name in expected if name not in state_dict]
    problems += [f"unknown {name}" for name in state_dict if name not in expected]
    problems += [
        f"{name} has shape {tuple(state_dict[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state_dict and state_dict[name].shape != value.shape
    ]
    if problems:
        raise ValueError(f"state_dict does not fit the model: {'; '.join(problems)}")
    model.load_state_dict(_rename(state_dict, _REFERENCE_NAMES))


def reference_state_dict(model: Memformer) -> dict[str, Tensor]:
    """Return the weights of `model` under the names of PyPI `memformer` 0.3.1.

    Raises:
        ValueError: `model` has no counterpart there (`mem_update="bmn"`, or no feed-forward).
    """
    if model.mem_update != "gru" or model.memory_writer.feed_forward is None:
        raise ValueError(
            "model: expected mem_update='gru' and mem_feed_forward=True, the only writer that "
            "the reference has"
        )
    back = {ours: theirs for theirs, ours in _REFERENCE_NAMES.items()}
    return _rename(model.state_dict(), back)
