"""Learning through many segments, holding the graph of one: memory replay (chapter 08)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memformer_lite.doors import (
    check_one_each,
    check_recurrence,
    check_source,
    check_step,
    check_target_of,
    need_decoder,
)
from memformer_lite.memformer import Memformer
from memformer_lite.validation import check_options, checked, unchecked

State = Tensor | tuple[Tensor, ...]  # what is carried: a memory, or several tensors
Step = Callable[[object, State], tuple[Tensor | None, State]]


class ReplayResult(NamedTuple):
    """What there is beside the gradients.

    Attributes:
        loss: the sum of the segments' losses, a scalar, detached.
        mem: the state after the last segment, detached; a tensor or a tuple, as it was given.
    """

    loss: Tensor
    mem: State


def bptt_backward(
    step: Step, segments: Sequence, mems: State, *, detach_every: int | None = None
) -> ReplayResult:
    """Add the gradients of the summed loss, keeping the graph of all segments, or of some.

    Args:
        step: as in `replay_backward`.
        segments: as in `replay_backward`.
        mems: as in `replay_backward`.
        detach_every: None for full back-propagation through time. A number k truncates it: after
            every k segments the losses so far are sent back, their graph is dropped, and the
            state goes on detached. With 1 nothing that writes the state gets a gradient.

    Returns:
        The summed loss and the final state, both detached. For S segments: S calls of `step`.

    Raises:
        TypeError, ValueError: `detach_every` is no integer of at least 1. Also what
            `replay_backward` raises; with `detach_every` an error in a later segment leaves the
            gradients of the earlier ones.

    Source:
        Truncation as in every recurrent network; v1 of the paper compares with both.
    """
    segments = list(segments)
    check_recurrence(segments, mems)
    if detach_every is not None:
        check_options(detach_every=detach_every)
    size = detach_every or len(segments)
    losses, roots = [], 0
    for first in range(0, len(segments), size):
        window = []
        for segment in segments[first : first + size]:
            loss, mems = _run_step(step, segment, mems)
            window.append(loss)
        roots += _backward(window)
        losses += window
        mems = _map(_copy, mems)
    return ReplayResult(_sum(losses, roots), mems)


def replay_backward(step: Step, segments: Sequence, mems: State) -> ReplayResult:
    """Add the gradients of the summed loss over all segments, keeping the graph of one at a time.

    First a rollout without gradients fills the replay buffer with the state at the start of each
    segment. Then each segment is computed once more, last first, and the gradient of its starting
    state is handed to the segment before. The gradients are those of full back-propagation
    through time; the memory needed grows by one state a segment. The state of torch's random
    number generators is replayed too, so that dropout drops the same numbers both times.

    Args:
        step: called as `step(segment, mems)`; returns the segment's loss (a scalar, or None) and
            the next state. It must do the same at each call with the same arguments, also where
            gradients are off: it changes nothing that it uses, and draws random numbers only
            from torch's global generators, of the CPU and of CUDA. What it changes without using
            it, such as a batch norm's running statistics, is changed at each call. Its loss is not
            used where gradients are off: a step that draws nothing may leave it out there. A loss
            that it scales, as in `scaler.scale(loss)`, gives scaled gradients and a scaled sum.
        segments: at least one, of any type; each is handed to `step` as it is. What they were
            computed from gets a gradient only if no two share it: a backward pass frees its graph.
        mems: the state before the first segment: a tensor, or a tuple of tensors. What it was
            computed from gets its gradient as well.

    Returns:
        The summed loss and the final state, both detached. Gradients are added to `.grad`, as
        `backward()` does. For S segments: at most 2S - 1 calls of `step` and S backward passes.

    Raises:
        ValueError: no segment; no segment with a loss that requires a gradient; a loss that is no
            scalar; `mems` was made in `torch.inference_mode`. No `.grad` has changed then. Every
            state but the first requires one, so that of several segments without any trainable
            parameter nothing is refused.
        TypeError: `mems` is no tensor or tuple of tensors; `step` does not return a loss and a
            state. No `.grad` has changed then, either.
        RuntimeError: called where gradients are switched off.

    Source:
        v1 of the paper (2020), its algorithm "memory replay back-propagation". The reference
        (`mrbp.py`) takes a loss on the last segment only, draws new random numbers in the second
        pass, runs two backward passes a segment and keeps a graph beyond it, takes no memory and
        returns nothing. Here each segment may have a loss, and the step is the caller's.
    """
    segments = list(segments)
    check_recurrence(segments, mems)
    starts, rng_states = _rollout(step, segments, mems)
    last = _replay(step, segments[-1], starts.pop())
    rng_after = _get_rng_state()
    losses, gradients, roots = [last.loss], last.gradients, last.roots
    try:
        for index in reversed(range(len(segments) - 1)):
            _set_rng_state(rng_states[index])
            loss, _, gradients, count = _replay(step, segments[index], starts.pop(), gradients)
            losses.append(loss)
            roots += count
    finally:
        _set_rng_state(rng_after)
        torch.clear_autocast_cache()
    return ReplayResult(_sum(losses[::-1], roots), last.mem)


def memory_replay_backprop(
    model: Memformer,
    src: Tensor,
    tgt: Tensor | Sequence[Tensor | None],
    src_mask: Tensor | None = None,
    tgt_mask: Tensor | Sequence[Tensor | None] | None = None,
    mems: Tensor | None = None,
) -> ReplayResult:
    """Add the gradients of a `Memformer` for a source of any length; see `replay_backward`.

    Args:
        model: with a decoder.
        src: source tokens, long (b, n), n of any size; split into segments of
            `model.encoder.max_seq_len`, the last one may be shorter.
        tgt: target tokens, long (b, m), of the last segment; or a list with one such tensor or
            None for each segment.
        src_mask: real source tokens, bool (b, n).
        tgt_mask: real target tokens, bool (b, m); a list where `tgt` is one.
        mems: the memory before the source, (b, k, d); None: the initial one.

    Returns:
        The sum over segments of the mean loss a token, and the memory after the last segment.

    Raises:
        TypeError, ValueError: as the model itself does; a list of another length than there are
            segments; no target; a model without a decoder. No `.grad` has changed then.

    Source:
        The reference's function of the same name, which takes neither a list nor `mems`, and
        returns nothing.
    """
    longest = model.encoder.max_seq_len
    decoder = need_decoder(model, "model", "; replay_backward takes a step with your own loss")
    if unchecked():
        check_source(model, src, src_mask, mems, longest=None)
    sources = src.split(longest, dim=1)
    count = len(sources)
    nothing: list[Tensor | None] = [None] * count
    source_masks = nothing if src_mask is None else list(src_mask.split(longest, dim=1))
    targets, target_masks = _one_each(tgt, tgt_mask, count)
    for target, target_mask in zip(targets, target_masks, strict=True):
        check_target_of(model, target, target_mask, batch=src.shape[0])  # before any gradient

    # A part may be in training mode where the model is not.
    draws = model.dropout > 0 and any(m.training for m in decoder.modules())

    def step(segment: Any, mems: Any) -> tuple[Tensor | None, Tensor]:
        src, src_mask, tgt, tgt_mask = segment
        if not (torch.is_grad_enabled() or draws):
            tgt = tgt_mask = None  # the rollout needs the memory only
        result = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
        return result.dec_out, result.mem

    if mems is None:
        mems = model.get_initial_mem(src.shape[0])
    segments = list(zip(sources, source_masks, targets, target_masks, strict=True))
    with checked():
        return replay_backward(step, segments, mems)


def _rollout(step: Step, segments: list, mems: State) -> tuple[list, list]:
    """Return the state and the random state at the start of each segment.

    The first state is `mems` itself, so that what it was computed from learns with segment 0;
    the others are leaves that collect a gradient to hand back.
    """
    starts, rng_states = [mems], [_get_rng_state()]
    with torch.no_grad():
        for segment in segments[:-1]:
            _, mems = _run_step(step, segment, mems)
            mems = _map(_copy, mems)
            starts.append(_map(_leaf, mems))
            now, before = _get_rng_state(), rng_states[-1]
            rng_states.append(before if _equal(now, before) else now)  # most often nothing is drawn
    return starts, rng_states


class _Replayed(NamedTuple):
    loss: Tensor | None
    mem: State
    gradients: list[Tensor | None]  # of the tensors of the state at the start; [] if all are None
    roots: int  # losses that something could learn from


def _replay(step: Step, segment: object, start: State, gradients: Sequence = ()) -> _Replayed:
    """Compute a segment with its graph and send back its loss and its end's `gradients`.

    No name of the graph outlives this call, so that it is gone before the next is built.
    """
    # Autocast caches casts of weights, also those made without a gradient in the rollout.
    torch.clear_autocast_cache()
    loss, end = _run_step(step, segment, start)
    mem = _map(_copy, end)
    if not gradients:
        end = ()  # nothing comes back through it: its graph may go before the backward pass
    roots = _backward([loss], end, gradients)
    collected = [tensor.grad if tensor.is_leaf else None for tensor in _tensors(start)]
    if all(gradient is None for gradient in collected):
        collected = []
    return _Replayed(None if loss is None else loss.detach(), mem, collected, roots)


def _backward(losses: list[Tensor | None], end: State = (), gradients: Sequence = ()) -> int:
    """Run one backward pass from the losses, and from `end` with `gradients`; count the losses."""
    roots = [loss for loss in losses if loss is not None and loss.requires_grad]
    count = len(roots)
    seeds = [None] * count
    if gradients:
        for tensor, gradient in zip(_tensors(end), gradients, strict=True):
            if gradient is not None and tensor.requires_grad:
                roots.append(tensor)
                seeds.append(gradient)
    if roots:
        torch.autograd.backward(roots, seeds)
    return count


def _run_step(step: Step, segment: object, mems: State) -> tuple[Tensor | None, State]:
    """Call `step` and check what it returns."""
    result = step(segment, mems)
    check_step(result)
    return result


def _sum(losses: list[Tensor | None], roots: int) -> Tensor:
    if not roots:
        raise ValueError(
            "step: expected for at least one segment a loss that requires a gradient, got none"
        )
    return torch.stack([loss.detach() for loss in losses if loss is not None]).sum()


def _one_each(
    tgt: Tensor | Sequence[Tensor | None],
    tgt_mask: Tensor | Sequence[Tensor | None] | None,
    count: int,
) -> tuple[list, list]:
    """Return one target and one mask a segment, most of them None; a tensor is for the last."""
    check_one_each(tgt, tgt_mask, count)
    entries = (tgt, [None] * count if tgt_mask is None else tgt_mask)
    targets, masks = (
        [None] * (count - 1) + [entry] if isinstance(entry, Tensor) else list(entry)
        for entry in entries
    )
    return targets, masks


def _tensors(state: State) -> tuple:
    return state if isinstance(state, tuple) else (state,)


def _map(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Apply `function` to the tensor, or to each of a tuple; a named tuple stays one."""
    if not isinstance(state, tuple):
        return function(state)
    return getattr(state, "_make", tuple)(function(tensor) for tensor in state)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()  # a view would keep the whole tensor it looks into


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.is_floating_point() or tensor.is_complex())


def _get_rng_state() -> tuple[Tensor, list[Tensor]]:
    """Return the random state of the CPU, and of all CUDA devices once CUDA is in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), cuda


def _equal(first: tuple, second: tuple) -> bool:
    return all(map(torch.equal, [first[0], *first[1]], [second[0], *second[1]]))


def _set_rng_state(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
