"""The Memformer, a transformer with an external memory, in pieces that a chapter each builds."""

from memformer_lite.attention import Attention, FeedForward, PreNorm, Residual
from memformer_lite.bucketing import RelativePositionBias, relative_position_bucket
from memformer_lite.decoder import (
    AutoregressiveWrapper,
    Decoder,
    DecoderCache,
    sample_token,
    top_k,
    top_p,
)
from memformer_lite.encoder import Encoder, TransformerWrapper
from memformer_lite.memformer import Memformer, Results, load_reference, reference_state_dict
from memformer_lite.memory import MemoryWriter, SlotAttention

__all__ = [
    "Attention",
    "AutoregressiveWrapper",
    "Decoder",
    "DecoderCache",
    "Encoder",
    "FeedForward",
    "Memformer",
    "MemoryWriter",
    "PreNorm",
    "RelativePositionBias",
    "Residual",
    "Results",
    "SlotAttention",
    "TransformerWrapper",
    "load_reference",
    "reference_state_dict",
    "relative_position_bucket",
    "sample_token",
    "top_k",
    "top_p",
]
