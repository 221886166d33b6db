"""What can differ on another device than the CPU, a function each; `gpu_check.py` runs them all.

Every check takes the device, also "cpu", where the tests run them, and gives one `Finding` for
each thing compared. A difference is relative: the norm of the difference beside the norm of what
was expected, and of all tensors compared the largest.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from bench_memory import GROWTH
from torch import Tensor, nn

from memformer_lite import Memformer, bptt_backward, memory_replay_backprop, replay_backward

# Prime lengths, and heads of 8, 16 and 24 numbers: kernels for half precision want multiples of 8.
BATCH, SOURCE, TARGET, SLOTS, SEGMENTS = 3, 29, 23, 7, 3
SIZES = {
    "dim": 48,
    "num_memory_slots": SLOTS,
    "mem_update_attn_heads": 2,
    "enc_num_tokens": 53,
    "enc_max_seq_len": SOURCE,
    "enc_heads": 3,
    "dec_num_tokens": 61,
    "dec_max_seq_len": 37,
    "dec_heads": 6,
}
RULES = ("gru", "bmn")
EXACT = {torch.float64: 1e-10, torch.float32: 1e-4}
HALF = {torch.bfloat16: 0.05, torch.float16: 0.02}  # these keep 8 and 11 binary digits
NEW_TOKENS = 31  # beyond the longest target, so that the window slides
LOSS_SCALE = 2.0**16  # GradScaler's own start
REPLAYED = "loss, memory, gradients, next draw of replay with BPTT's"
Named = dict[str, Tensor]


class Finding(NamedTuple):
    """What one comparison gave.

    Attributes:
        name: of the check, and the case.
        compared: what with what.
        difference: the largest; inf where a number is not finite, a tensor is missing, or the
            check broke off.
        bound: the most that is allowed.
        where: the tensor with the largest difference.
    """

    name: str
    compared: str
    difference: float
    bound: float
    where: str = ""

    @property
    def holds(self) -> bool:
        return self.difference <= self.bound

    def line(self) -> str:
        verdict, where = ("ok", "") if self.holds else ("FAIL", self.where and f": {self.where}")
        return (
            f"{verdict:<5}{self.name:<31}{self.difference:>9.3g} of {self.bound:<7.3g}"
            f"{self.compared}{where}"
        )


class Document(NamedTuple):
    """A source of several segments, with a target and its mask for each."""

    src: Tensor
    tgt: list[Tensor]
    src_mask: Tensor
    tgt_mask: list[Tensor]

    def segments(self) -> list[tuple[Tensor, ...]]:
        sources, masks = (x.split(SOURCE, dim=1) for x in (self.src, self.src_mask))
        return list(zip(sources, self.tgt, masks, self.tgt_mask, strict=True))


def document(*, device: str, ragged: bool = True) -> Document:
    """Draw tokens on the CPU, so that all devices read the same, and move them to `device`.

    Row 1 ends in the middle, row 2 after two tokens: whole segments of padding follow.
    """
    generator = torch.Generator().manual_seed(0)
    total = SOURCE * SEGMENTS - (4 if ragged else 0)
    src = torch.randint(SIZES["enc_num_tokens"], (BATCH, total), generator=generator)
    tgt = torch.randint(SIZES["dec_num_tokens"], (SEGMENTS, BATCH, TARGET), generator=generator)
    src_mask = _first([total, total // 2 + 1, 2], total)
    tgt_mask = _first([TARGET, 5, 2], TARGET).to(device)
    return Document(
        src.to(device), list(tgt.to(device)), src_mask.to(device), [tgt_mask] * SEGMENTS
    )


def _first(lengths: list[int], total: int) -> Tensor:
    """Return the bool mask (b, total) of rows with so many real tokens."""
    return torch.arange(total) < torch.tensor(lengths)[:, None]


def model_of(
    rule: str, *, device: str, dtype: torch.dtype, dropout: float = 0.0, depth: int = 2
) -> Memformer:
    """Build a model in training mode; its weights are drawn on the CPU, the same for all."""
    torch.manual_seed(1)
    options = {"mem_update": rule, "dropout": dropout, "enc_depth": depth, "dec_depth": depth}
    model = Memformer(**SIZES, **options)
    with torch.no_grad():
        for weight in model.parameters():  # no bias is 0 then, no norm the identity
            weight.add_(0.1 * torch.randn_like(weight))
    return moved(model.to(dtype), device=device)


def moved(module: nn.Module, *, device: str) -> nn.Module:
    """Return a copy of `module` on `device`; the original stays where it is."""
    return copy.deepcopy(module).to(device)


# What is compared: numbers by name.


def read(model: Memformer, given: Document) -> Named:
    """Read all segments and learn from them, keeping the graph; return all that this gives."""
    named, total = {}, 0
    mems = model.get_initial_mem(BATCH)
    for index, (src, tgt, src_mask, tgt_mask) in enumerate(given.segments()):
        enc_out, mems, loss = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
        total += loss
        named |= {f"output {index}": enc_out, f"memory {index}": mems, f"loss {index}": loss}
    (total + mems.square().mean()).backward()
    return {name: x.detach() for name, x in named.items()} | gradients(model)


def step_of(model: Memformer, scale: Callable[[Tensor], Tensor] = lambda loss: loss) -> Callable:
    """Return the step that reads one segment and scales its loss."""

    def step(segment: tuple, mems: Tensor) -> tuple[Tensor, Tensor]:
        src, tgt, src_mask, tgt_mask = segment
        result = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
        return scale(result.dec_out), result.mem

    return step


def by_bptt(model: Memformer, given: Document) -> Named:
    """Learn with the graph of all segments; return loss, memory, gradients and the next draw."""
    torch.manual_seed(2)  # of all devices
    result = bptt_backward(step_of(model), given.segments(), model.get_initial_mem(BATCH))
    return result._asdict() | next_draw(given) | gradients(model)


def by_replay(model: Memformer, given: Document) -> Named:
    """Learn with the graph of one segment; return the same as `by_bptt`."""
    torch.manual_seed(2)
    result = memory_replay_backprop(model, *given)
    return result._asdict() | next_draw(given) | gradients(model)


def next_draw(given: Document) -> Named:
    """Return what dropout would draw next: learning must go on with the same random numbers."""
    return {"next draw": torch.rand(5, device=given.src.device)}


def gradients(model: nn.Module) -> Named:
    """Take the gradients of all parameters away."""
    found = {f"gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def largest(got: Named, expected: Named) -> tuple[float, str]:
    """Return the largest relative difference, and the name of the tensor that has it."""
    if alone := got.keys() ^ expected.keys():
        return math.inf, f"only one has {min(alone)}"
    return max((_relative(got[name], want), name) for name, want in expected.items())


def _relative(got: Tensor, expected: Tensor) -> float:
    got, expected = got.double().cpu(), expected.double().cpu()
    norm = expected.norm().item()
    difference = (got - expected).norm().item() / (norm if norm > 0 else 1.0)
    return difference if math.isfinite(difference) else math.inf


# The checks


def parity(*, device: str) -> Iterator[Finding]:
    """The device computes what the CPU computes."""
    for rule in RULES:
        for dtype, bound in EXACT.items():
            model = model_of(rule, device="cpu", dtype=dtype)
            expected = read(model, document(device="cpu"))
            got = read(moved(model, device=device), document(device=device))
            what = "outputs, memories, losses, gradients with the CPU's"
            yield Finding(f"parity {rule} {_short(dtype)}", what, *_bounded(got, expected, bound))


def dropout(*, device: str) -> Iterator[Finding]:
    """Replay draws in its second pass what it drew in its first."""
    given = document(device=device)
    for rule in RULES:
        for dtype, bound in EXACT.items():
            model = model_of(rule, device=device, dtype=dtype, dropout=0.2)
            compared = by_replay(model, given), by_bptt(model, given)
            yield Finding(f"dropout {rule} {_short(dtype)}", REPLAYED, *_bounded(*compared, bound))
        for dtype, bound in HALF.items():  # another attention kernel each, with its own dropout
            model = model_of(rule, device=device, dtype=torch.float32, dropout=0.2)
            with torch.autocast(device, dtype=dtype):
                compared = by_replay(model, given), by_bptt(model, given)
            name = f"dropout {rule} autocast {_short(dtype)}"
            yield Finding(name, REPLAYED, *_bounded(*compared, bound))


def generation(*, device: str) -> Iterator[Finding]:
    """Greedy writing gives the same tokens with and without a cache, and as on the CPU."""
    for rule in RULES:
        for dtype in EXACT:
            model = model_of(rule, device="cpu", dtype=dtype)
            expected = written(model, device="cpu", use_cache=True)
            there = moved(model, device=device)
            cached = written(there, device=device, use_cache=True)
            plain = written(there, device=device, use_cache=False)
            name = f"generation {rule} {_short(dtype)}"
            yield Finding(
                name, "share of tokens unlike those without cache", _other(cached, plain), 0
            )
            yield Finding(name, "share of tokens unlike the CPU's", _other(cached, expected), 0)


def written(model: Memformer, *, device: str, use_cache: bool) -> Tensor:
    """Write greedily; the context is the first segment, the only one with tokens in each row."""
    src, tgt, src_mask, _ = document(device=device).segments()[0]
    with torch.no_grad():
        context = model(src, src_mask=src_mask).enc_out
    options = {"context": context, "context_mask": src_mask, "temperature": 0}
    return model.generate(tgt[:, :11], NEW_TOKENS, **options, use_cache=use_cache).cpu()


def _other(got: Tensor, expected: Tensor) -> float:
    return (got != expected).double().mean().item()


def autocast(*, device: str) -> Iterator[Finding]:
    """In half precision the numbers stay near, and the memory keeps its own dtype."""
    given = document(device=device)
    for rule in RULES:
        model = model_of(rule, device=device, dtype=torch.float32)
        expected, replayed = read(model, given), by_replay(model, given)
        for dtype, bound in HALF.items():
            name = f"autocast {rule} {_short(dtype)}"
            with torch.autocast(device, dtype=dtype):
                got = read(model, given)
                got_replayed = by_replay(model, given)
            what = "outputs, memories, losses, gradients with float32's"
            yield Finding(name, what, *_bounded(got, expected, bound))
            what = "loss, memory, gradients of replay with float32's"
            yield Finding(name, what, *_bounded(got_replayed, replayed, bound))
            single = all(x.dtype == torch.float32 for n, x in got.items() if n.startswith("mem"))
            yield Finding(name, "share of memories not in float32", 0.0 if single else 1.0, 0)


def compiled(*, device: str, backend: str = "inductor") -> Iterator[Finding]:
    """`torch.compile` makes one graph of the model, which computes the same.

    Compiling takes most of the time of all checks: the models have one layer.
    """
    given = document(device=device, ragged=False)  # one length, one graph
    options = {"device": device, "dtype": torch.float32, "depth": 1}
    bound = EXACT[torch.float32]
    for rule in RULES:
        model = model_of(rule, **options)
        compared = read(_compile(model, backend), given), read(model, given)
        what = "outputs, memories, losses, gradients with those of eager mode"
        yield Finding(f"torch.compile {rule}", what, *_bounded(*compared, bound))


def _compile(model: Memformer, backend: str) -> Memformer:
    torch.compiler.reset()
    faster = copy.deepcopy(model)
    faster.compile(fullgraph=True, backend=backend)
    return faster


def scaler(*, device: str) -> Iterator[Finding]:
    """A loss scaled in the step of a replay gives scaled gradients, and none else.

    `memory_replay_backprop` makes its own step and cannot scale; `replay_backward` takes one.
    """
    given = document(device=device)
    model = model_of("gru", device=device, dtype=torch.float32)
    expected = by_replay(model, given)
    del expected["next draw"]
    for dtype, bound in {None: 1e-6, torch.float16: HALF[torch.float16]}.items():
        name = "GradScaler" if dtype is None else f"GradScaler autocast {_short(dtype)}"
        got = scaled_replay(model, given, dtype=dtype, scale=LOSS_SCALE)
        what = "loss, memory, gradients of scaled replay with unscaled float32's"
        yield Finding(name, what, *_bounded(got, expected, bound))


def scaled_replay(
    model: Memformer, given: Document, *, dtype: torch.dtype | None, scale: float
) -> Named:
    """Replay with scaled losses, under autocast if a dtype is given; return all unscaled."""
    device = given.src.device.type
    scaler = torch.amp.GradScaler(device, init_scale=scale)
    optimizer = torch.optim.SGD(model.parameters())
    with nullcontext() if dtype is None else torch.autocast(device, dtype=dtype):
        step = step_of(model, scale=scaler.scale)
        result = replay_backward(step, given.segments(), model.get_initial_mem(BATCH))
    scaler.unscale_(optimizer)
    return {"loss": result.loss / scale, "mem": result.mem} | gradients(model)


def memory(peak_mib: dict[str, dict[int, float]]) -> Iterator[Finding]:
    """Replay's peak stays about flat in the number of segments, where BPTT's grows.

    The one check that takes figures and no device: `gpu_check.learning` measures them.
    """
    few, many = 4, 32
    replay, bptt = peak_mib["replay"], peak_mib["BPTT"]
    what = f"peak at {many} segments beside that at {few}"
    yield Finding("memory replay", what, replay[many] / replay[few], GROWTH)
    what = f"peak at {few} segments beside that at {many}"
    yield Finding("memory BPTT", what, bptt[few] / bptt[many], 0.25)


def _bounded(got: Named, expected: Named, bound: float) -> tuple[float, float, str]:
    difference, where = largest(got, expected)
    return difference, bound, where


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


CHECKS = {
    "parity": parity,
    "dropout": dropout,
    "generation": generation,
    "autocast": autocast,
    "torch.compile": compiled,
    "GradScaler": scaler,
}
