"""Recording what a model does with its memory, segment by segment (chapter 10).

Hooks do it, and only inside the `with` block: a model that is not recorded runs nothing of this.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from memformer_lite.inside.trace import RecordedSegment, Trace
from memformer_lite.memformer import Memformer
from memformer_lite.validation import check_number

MIB = 2**20


@contextmanager
def record(model: nn.Module, *, max_mib: float = 256.0) -> Iterator[Trace]:
    """Record each segment that a `Memformer` computes inside the `with` block.

    For example::

        with record(model) as trace:
            for src in segments:
                mems = model(src, mems=mems).mem
        trace[0].gate.mean()

    A segment is one call of the model that comes to its end; a call that fails leaves nothing.
    `generate` and `logits` touch no memory and add nothing. Under memory replay each segment is
    recorded once, in order: in the rollout, the last one when it is computed; a call that repeats
    the rollout backwards is its replay and is left out. Outputs, gradients and random numbers are
    the same as without recording. Blocks may be nested or repeated; each has a trace of its own.
    A model that was compiled before runs uncompiled inside the block (from torch 2.6 on).

    Args:
        model: a `Memformer`, or a module with one in it, such as a `Learner`.
        max_mib: most memory that the trace may take, in MiB, above 0. Before a segment that
            would exceed it a UserWarning says so and recording stops: the model goes on, and
            what was recorded stays.

    Yields:
        The trace, which grows while the block runs and stays usable after it.

    Raises:
        TypeError: `model` is no module, or `max_mib` no number.
        ValueError: `model` has no or several Memformers in it; `max_mib` is not above 0.
        RuntimeError: torch traces the model inside the block, to compile or export it.

    Source:
        Ours; the reference gives no access to weights or gate.
    """
    tiny, huge = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    check_number("max_mib", max_mib, low=tiny, high=huge, expected="a number of MiB above 0")
    recorder = _Recorder(_memformer_in(model), max_mib)
    with ExitStack() as block:
        for handle in recorder.hook():
            block.enter_context(handle)
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            block.enter_context(torch.compiler.set_stance("force_eager"))
        yield recorder.trace


class _Recorder:
    """Collects a segment while the model computes it, piece by piece, through hooks."""

    def __init__(self, model: Memformer, max_mib: float):
        self.model, self.max_mib, self.used = model, max_mib, 0
        self.layers: Any = model.encoder.layer_blocks.layers
        self.trace = Trace()
        self.gated = True  # until the rule gives none
        self.inside = False  # a call of the model is running
        self.pieces: dict | None = None  # of the segment that is being recorded
        self.rollout: list[RecordedSegment] = []  # without gradients, and not yet replayed
        self.turned = False  # a call with gradients came after the rollout

    def __deepcopy__(self, memo: dict) -> "_Recorder":
        return self  # a copy of the model keeps the hooks, but is not what is recorded

    def hook(self) -> Iterator[torch.utils.hooks.RemovableHandle]:
        """Register the hooks one by one."""
        encoder, writer = self.model.encoder, self.model.memory_writer
        yield self.model.register_forward_pre_hook(self.enter)
        yield self.model.register_forward_hook(self.leave, always_call=True)
        yield encoder.register_forward_pre_hook(self.start, with_kwargs=True)
        for layer in self.layers:
            yield layer.read.register_forward_hook(self.read, with_kwargs=True)
        yield writer.attention.register_forward_hook(self.write)
        yield writer.rule.register_forward_hook(self.keep)
        yield writer.register_forward_hook(self.finish)

    def enter(self, model: nn.Module, args: tuple) -> None:
        if torch.compiler.is_compiling():
            raise RuntimeError("record: compile or export the model before or after the block")
        self.inside = model is self.model and self.trace.complete

    def leave(self, model: nn.Module, args: tuple, result: tuple | None) -> None:
        self.inside, self.pieces = False, None

    def start(self, encoder: nn.Module, args: tuple, inputs: dict) -> None:
        if not self.inside:
            return
        mems, src_mask = inputs["context"], inputs["src_mask"]
        size = self.bytes(*args[0].shape, double=mems.dtype == torch.float64)
        pieces = {"src": _copy(args[0]), "src_mask": _copy(src_mask), "before": _copy(mems)}
        if self.is_replay(pieces):
            return
        if self.used + size > self.max_mib * MIB:
            self.trace.complete = False
            warnings.warn(
                f"record: segment {len(self.trace)} with src {tuple(args[0].shape)} takes "
                f"{size / MIB:.3g} MiB beside {self.used / MIB:.3g} MiB recorded, more than "
                f"max_mib={self.max_mib}; recording stops here, the model goes on",
                stacklevel=2,
            )
            return
        self.pieces = pieces | {"read": [], "write": [], "gate": []}

    def read(self, attention: Any, args: tuple, inputs: dict, out: Tensor) -> None:
        if self.pieces is None:
            return
        with torch.no_grad():
            queries = attention.split_heads(attention.to_q(args[0]))  # (b, h, n, d / h)
            keys, _ = attention.project(inputs["context"])  # (b, h, k, d / h)
            scores = (queries * queries.shape[-1] ** -0.5) @ keys.mT
            self.pieces["read"].append(_copy(scores.softmax(dim=-1)))

    def write(self, attention: nn.Module, args: tuple, out: tuple) -> None:
        if self.pieces is not None:
            self.pieces["write"].append(_copy(out[1]))

    def keep(self, rule: nn.Module, args: tuple, result: tuple) -> None:
        if self.pieces is not None:
            self.pieces["gate"].append(result)  # the writer has not checked it yet

    def finish(self, writer: Any, args: tuple, after: Tensor) -> None:
        if self.pieces is None:
            return
        stacks = {name: torch.stack(self.pieces[name]) for name in ("read", "write")}
        gates = [gate for _, gate in self.pieces["gate"] if gate is not None]
        self.gated = len(gates) == writer.num_updates
        gate = _copy(torch.stack(gates)) if self.gated else None
        segment = RecordedSegment(**self.pieces | stacks | {"after": _copy(after), "gate": gate})
        self.used += segment.nbytes
        self.trace.segments.append(segment)
        if not torch.is_grad_enabled():
            self.rollout.append(segment)

    def bytes(self, b: int, n: int, *, double: bool) -> int:
        """Return what a segment of `b` rows of `n` tokens, with a mask, takes in the trace."""
        writer = self.model.memory_writer
        k, d = self.model.num_memory_slots, self.model.dim
        read = sum(layer.read.heads for layer in self.layers) * n * k
        write = writer.num_updates * writer.attention.heads * k * (1 + n)
        gate = writer.num_updates * k * d if self.gated else 0
        return b * ((read + write + gate + 2 * k * d) * (8 if double else 4) + n * (8 + 1))

    def is_replay(self, start: dict) -> bool:
        """Tell whether this call only repeats a segment of a rollout without gradients.

        Such a call has the same tokens, mask and memory, and stands in a row of calls with
        gradients that goes backwards from the end of the rollout.
        """
        if not torch.is_grad_enabled():
            if self.turned:
                self.rollout, self.turned = [], False
            return False
        found = [
            index
            for index, old in enumerate(self.rollout)
            if all(_equal(getattr(old, name), value) for name, value in start.items())
        ]
        repeats = self.turned and bool(found)
        # The first call with gradients is the last segment, unless it begins the story again.
        if repeats:
            self.rollout = self.rollout[: found[-1]]
        elif self.turned or found:
            self.rollout = []
        self.turned = True
        return repeats


def _memformer_in(model: nn.Module) -> Memformer:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a Memformer, got {type(model).__name__}")
    found = [module for module in model.modules() if isinstance(module, Memformer)]
    if len(found) != 1:
        name = type(model).__name__
        raise ValueError(f"model: expected one Memformer in {name}, got {len(found)}")
    return found[0]


def _copy(value: Tensor | None) -> Tensor | None:
    """Return a copy that nothing else holds; a short floating dtype becomes float32."""
    if not isinstance(value, Tensor):
        return None  # also where a mask is no tensor: the model is about to refuse it
    short = value.is_floating_point() and value.dtype != torch.float64
    with torch.inference_mode(False), torch.no_grad():
        return value.to("cpu", torch.float32 if short else value.dtype, copy=True)


def _equal(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.dtype == second.dtype and torch.equal(first, second)
