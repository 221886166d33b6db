"""The Memformer, a transformer with an external memory, in pieces that a chapter each builds."""

from importlib import import_module
from typing import TYPE_CHECKING

from memformer_lite.attention import Attention, FeedForward, PreNorm, Residual
from memformer_lite.bucketing import RelativePositionBias, relative_position_bucket
from memformer_lite.decoder import AutoregressiveWrapper, Decoder, DecoderCache
from memformer_lite.encoder import Encoder, Layer, TransformerWrapper
from memformer_lite.memformer import Memformer, Results
from memformer_lite.memory import BMN, GRUGate, MemoryRule, MemoryWriter, SlotAttention
from memformer_lite.reference import load_reference, reference_state_dict
from memformer_lite.replay import (
    ReplayResult,
    bptt_backward,
    memory_replay_backprop,
    replay_backward,
)
from memformer_lite.sampling import sample_token, top_k, top_p

# A model that is not recorded needs nothing of these: they are imported when first asked for.
_RECORDING = {
    "record": "memformer_lite.inside.record",
    "RecordedSegment": "memformer_lite.inside.trace",
    "Trace": "memformer_lite.inside.trace",
}
if TYPE_CHECKING:
    from memformer_lite.inside.record import record
    from memformer_lite.inside.trace import RecordedSegment, Trace
else:

    def __getattr__(name):
        if name not in _RECORDING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_RECORDING[name]), name)


__version__ = "0.1.0"

__all__ = [
    "BMN",
    "Attention",
    "AutoregressiveWrapper",
    "Decoder",
    "DecoderCache",
    "Encoder",
    "FeedForward",
    "GRUGate",
    "Layer",
    "Memformer",
    "MemoryRule",
    "MemoryWriter",
    "PreNorm",
    "RecordedSegment",
    "RelativePositionBias",
    "ReplayResult",
    "Residual",
    "Results",
    "SlotAttention",
    "Trace",
    "TransformerWrapper",
    "bptt_backward",
    "load_reference",
    "memory_replay_backprop",
    "record",
    "reference_state_dict",
    "relative_position_bucket",
    "replay_backward",
    "sample_token",
    "top_k",
    "top_p",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
