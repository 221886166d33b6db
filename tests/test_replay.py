"""Memory replay is full back-propagation through time, in the memory of one segment."""

import weakref
from typing import NamedTuple

import pytest
import torch
from helpers import (
    BATCH,
    SIZES,
    SLOTS,
    TARGET,
    assert_differ,
    length_mask,
    make_model,
    make_pair,
    randn,
    source_tokens,
    target_tokens,
)
from memformer.mrbp import memory_replay_backprop as published_replay
from torch import nn

from memformer_lite import (
    ReplayResult,
    bptt_backward,
    memory_replay_backprop,
    replay_backward,
)
from memformer_lite.reference import reference_name

LENGTH = SIZES["enc_max_seq_len"]
DIM = SIZES["dim"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PLACES = {"last": lambda i, n: i == n - 1, "some": lambda i, n: i % 3 == 0, "every": lambda i, n: 1}


# What it is compared with: the plain loop that everybody writes first.


def plain(step, segments, mems) -> ReplayResult:
    """Full back-propagation through time, written without any of the package's replay."""
    total = 0
    for segment in segments:
        loss, mems = step(segment, mems)
        total = total if loss is None else total + loss
    total.backward()
    return ReplayResult(total.detach(), mems)


def model_step(model):
    def step(segment, mems):
        src, src_mask, tgt, tgt_mask = segment
        out = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
        return out.dec_out, out.mem

    return step


def document(count, place="every", masked=True, device="cpu"):
    """Return src, tgt, src_mask, tgt_mask of `count` segments; the last one is ragged."""
    total = LENGTH * count - 4
    tgt = [
        target_tokens(seed=i).to(device) if PLACES[place](i, count) else None for i in range(count)
    ]
    if not masked:
        return source_tokens(length=total).to(device), tgt, None, None
    # Row 1 ends in the middle, row 2 after two tokens: whole segments of padding follow.
    src_mask = length_mask([total, total // 2 + 1, 2], total).to(device)
    real = length_mask([TARGET, 5, 2], TARGET).to(device)
    return (
        source_tokens(length=total).to(device),
        tgt,
        src_mask,
        [None if t is None else real for t in tgt],
    )


def cut(src, tgt, src_mask, tgt_mask):
    """Cut a document into segments by hand."""
    nothing = [None] * len(tgt)
    sources = [src[:, LENGTH * i : LENGTH * (i + 1)] for i in range(len(tgt))]
    masks = nothing
    if src_mask is not None:
        masks = [src_mask[:, LENGTH * i : LENGTH * (i + 1)] for i in range(len(tgt))]
    return list(zip(sources, masks, tgt, tgt_mask or nothing, strict=True))


def gradients(*modules) -> dict:
    """Take the gradients of all parameters away; a missing one is None."""
    found = {}
    for index, module in enumerate(modules):
        for name, parameter in module.named_parameters():
            found[f"{index} {name}"] = parameter.grad
            parameter.grad = None
    return found


def assert_near(actual, expected, what, tolerance=1e-10):
    """Fail unless the largest difference is small beside the largest expected number."""
    assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)}"
    assert expected.isfinite().all(), f"{what}: the expected value is not finite"
    difference, scale = (actual - expected).abs().max().item(), expected.abs().max().item()
    assert difference <= tolerance * scale, f"{what}: {difference:.3g} beside {scale:.3g}"


def assert_same(actual, expected, tolerance=1e-10):
    """Fail unless two pairs (result, gradients) agree, also in which gradients there are."""
    (result, mine), (wanted, theirs) = actual, expected
    assert isinstance(result, ReplayResult) and not result.loss.requires_grad
    assert_near(result.loss, wanted.loss, "loss", tolerance)
    for got, want in zip(tensors(result.mem), tensors(wanted.mem), strict=True):
        assert not got.requires_grad, "the final state is not detached"
        assert_near(got, want.detach(), "final state", tolerance)
    assert mine.keys() == theirs.keys()
    for name, want in theirs.items():
        assert (mine[name] is None) == (want is None), f"{name}: one has no gradient"
        if want is not None:
            assert_near(mine[name], want, f"gradient of {name}", tolerance)


def tensors(state):
    return state if isinstance(state, tuple) else (state,)


# The same gradients


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("num_mem_updates", [1, 3])
@pytest.mark.parametrize("mem_update", ["gru", "bmn"])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_gradients_of_the_model_are_those_of_bptt(count, mem_update, num_mem_updates, place):
    model = make_model(mem_update=mem_update, num_mem_updates=num_mem_updates)
    src, tgt, src_mask, tgt_mask = document(count, place)
    segments = cut(src, tgt, src_mask, tgt_mask)
    wanted = plain(model_step(model), segments, model.get_initial_mem(BATCH)), gradients(model)
    assert wanted[1]["0 memory_slots"].abs().max() > 0, "nothing reaches the initial memory"
    result = memory_replay_backprop(model, src, tgt, src_mask, tgt_mask)
    assert_same((result, gradients(model)), wanted)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_tensor_as_target_belongs_to_the_last_segment(count):
    model = make_model()
    src, tgt, _, _ = document(count, "last", masked=False)
    wanted = (
        plain(model_step(model), cut(src, tgt, None, None), model.get_initial_mem(BATCH)),
        gradients(model),
    )
    assert_same((memory_replay_backprop(model, src, tgt[-1]), gradients(model)), wanted)
    mask = length_mask([TARGET, 5, 2], TARGET)
    segments = cut(src, tgt, None, [None] * (count - 1) + [mask])
    wanted = plain(model_step(model), segments, model.get_initial_mem(BATCH)), gradients(model)
    result = memory_replay_backprop(model, src, tgt[-1], tgt_mask=mask)
    assert_same((result, gradients(model)), wanted)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_carried_in_memory_and_what_it_came_from_learn(count):
    model, before = make_model(), nn.Linear(DIM, DIM).double()
    leaf = nn.ParameterList([randn(BATCH, SLOTS, DIM)])
    src, tgt, src_mask, tgt_mask = document(count)
    segments = cut(src, tgt, src_mask, tgt_mask)
    wanted = (
        plain(model_step(model), segments, before(leaf[0]).tanh()),
        gradients(model, before, leaf),
    )
    assert wanted[1]["2 0"].abs().max() > 0 and wanted[1]["0 memory_slots"] is None
    result = memory_replay_backprop(model, src, tgt, src_mask, tgt_mask, before(leaf[0]).tanh())
    assert_same((result, gradients(model, before, leaf)), wanted)
    wanted = plain(model_step(model), segments, leaf[0]), gradients(model, leaf)
    result = memory_replay_backprop(model, src, tgt, src_mask, tgt_mask, mems=leaf[0])
    assert_same((result, gradients(model, leaf)), wanted)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("place", PLACES)
def test_encoder_only_with_a_loss_of_ones_own(count, place):
    model, head = make_model(encoder_only=True), nn.Linear(DIM, 5).double()
    src, tgt, src_mask, _ = document(count, place)

    def step(segment, mems):
        src, src_mask, tgt, _ = segment
        out = model(src, mems=mems, src_mask=src_mask)
        answer = head(torch.cat((out.enc_out, out.mem), dim=1).mean(dim=1))
        return None if tgt is None else answer.logsumexp(dim=-1).mean(), out.mem

    segments = cut(src, tgt, src_mask, None)
    wanted = plain(step, segments, model.get_initial_mem(BATCH)), gradients(model, head)
    result = replay_backward(step, segments, model.get_initial_mem(BATCH))
    assert_same((result, gradients(model, head)), wanted)


class Pair(NamedTuple):
    hidden: torch.Tensor
    cell: torch.Tensor


@pytest.mark.parametrize("named", [False, True])
def test_a_state_of_several_tensors(named):
    cell, start = nn.LSTMCell(5, 7).double(), nn.ParameterList([randn(3, 7), randn(3, 7, seed=1)])
    kind = Pair._make if named else tuple

    def step(segment, state):
        assert isinstance(state, Pair) or not named
        state = kind(cell(segment, tuple(state)))
        return state[0].square().sum(), state

    segments = randn(4, 3, 5).unbind()
    wanted = plain(step, segments, kind(start)), gradients(cell, start)
    for backward in (replay_backward, bptt_backward):
        result = backward(step, segments, kind(start))
        assert isinstance(result.mem, Pair if named else tuple)
        assert_same((result, gradients(cell, start)), wanted)


def test_a_state_may_hold_integers_and_stay_as_it_is():
    weight = nn.ParameterList([randn(3)])

    def step(segment, state):
        count, mems = state
        loss = (mems * weight[0] * count).square().sum()
        return loss, (count + 1, mems if segment == "pass" else mems.tanh())

    segments = ["pass", "write", "pass", "pass"]
    wanted = plain(step, segments, (torch.tensor(1), weight[0] * 2)), gradients(weight)
    result = replay_backward(step, segments, (torch.tensor(1), weight[0] * 2))
    assert result.mem[0].item() == 5
    assert_same((result, gradients(weight)), wanted)


@pytest.mark.filterwarnings("error")
def test_a_step_may_detach_its_state():
    weight = nn.ParameterList([randn(3)])

    def step(segment, mems):
        new = (mems * weight[0]).tanh()
        return new.square().sum(), new.detach() if segment == 2 else new

    wanted = plain(step, range(5), weight[0] * 2), gradients(weight)
    assert_same((replay_backward(step, range(5), weight[0] * 2), gradients(weight)), wanted)


def test_published_replay_gives_the_same_gradients():
    published, ours = make_pair()
    src, tgt, _, _ = document(5, "last", masked=False)
    published_replay(published, src, tgt[-1])
    memory_replay_backprop(ours, src, tgt[-1])
    assert_near(ours.memory_slots.grad, published.memory_slots.grad, "memory_slots")
    theirs, mine = published.encoder.state_dict(keep_vars=True), ours.encoder
    for name, parameter in mine.named_parameters():
        theirs_name = reference_name(f"encoder.{name}").removeprefix("encoder.")
        assert_near(parameter.grad, theirs[theirs_name].grad, name)


def test_two_calls_add_up():
    model = make_model()
    given = document(3)
    memory_replay_backprop(model, *given)
    once = gradients(model)
    memory_replay_backprop(model, *given)
    memory_replay_backprop(model, *given)
    for name, twice in gradients(model).items():
        assert_near(twice, 2 * once[name], name)


def test_frozen_parameters_keep_no_gradient():
    model = make_model().requires_grad_(False)
    model.memory_writer.requires_grad_()
    given = document(4)
    wanted = (
        plain(model_step(model), cut(*given), model.get_initial_mem(BATCH)),
        gradients(model),
    )
    result = memory_replay_backprop(model, *given)
    found = gradients(model)
    assert {name for name, g in found.items() if g is not None} == {
        f"0 memory_writer.{name}" for name, _ in model.memory_writer.named_parameters()
    }
    assert_same((result, found), wanted)


# Dropout: the same dice


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_dropout_throws_the_same_dice(device, count):
    model = make_model(dropout=0.3).to(device).train()
    given = document(count, "some", device=device)
    segments = cut(*given)
    runs = []
    for backward in (
        lambda: plain(model_step(model), segments, model.get_initial_mem(BATCH)),
        lambda: memory_replay_backprop(model, *given),
    ):
        torch.manual_seed(3)
        result = backward()
        draws = torch.rand(5), torch.rand(5, device=device)
        runs.append(((result, gradients(model)), torch.get_rng_state(), draws))
    assert_same(runs[1][0], runs[0][0])
    assert torch.equal(runs[1][1], runs[0][1]), "the global random state is not BPTT's"
    for mine, wanted in zip(runs[1][2], runs[0][2], strict=True):
        assert torch.equal(mine, wanted), "what is drawn next is not what BPTT draws next"
    torch.manual_seed(4)
    other = memory_replay_backprop(model, *given)
    assert_differ(other.mem, runs[0][0][0].mem, "dropout is off, so this test shows nothing")


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_dropout_of_a_part_alone_throws_the_same_dice(part):
    """The model is in evaluation mode, and a part of it in training mode."""
    model, given, runs = make_model(dropout=0.3), document(4), []
    getattr(model, part).train()
    for backward in (
        lambda: plain(model_step(model), cut(*given), model.get_initial_mem(BATCH)),
        lambda: memory_replay_backprop(model, *given),
    ):
        torch.manual_seed(3)
        runs.append(((backward(), gradients(model)), torch.get_rng_state()))
    assert_same(runs[1][0], runs[0][0])
    assert torch.equal(runs[1][1], runs[0][1]), "the global random state is not BPTT's"


@pytest.mark.parametrize("device", DEVICES)
def test_the_random_state_of_every_device_is_replayed(device):
    weight = nn.ParameterList([randn(6).to(device)])

    def step(segment, mems):
        noise = torch.rand(6, device=device) + torch.rand(6).to(device)
        mems = (mems * weight[0] * noise).tanh()
        return mems.sum(), mems

    results = []
    for backward in (plain, replay_backward):
        torch.manual_seed(0)
        results.append((backward(step, range(4), weight[0] * 1), gradients(weight)))
    assert_same(results[1], results[0])


# The cost


def test_forward_and_backward_passes_are_counted(monkeypatch):
    calls, passes, weight = [], [], torch.ones(3, dtype=torch.float64, requires_grad=True)
    run_backward = torch.autograd.backward

    def counted(*arguments, **options):
        passes.append(arguments)
        run_backward(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "backward", counted)

    def step(segment, mems):
        calls.append((segment, torch.is_grad_enabled()))
        mems = (mems * weight).tanh()
        return (mems.sum() if segment in asked else None), mems

    for count in (1, 2, 5, 9):
        asked = [count - 1]
        calls.clear(), passes.clear()
        replay_backward(step, range(count), weight * 1)
        rollout = [(i, False) for i in range(count - 1)]
        assert calls == rollout + [(i, True) for i in reversed(range(count))]
        assert len(passes) == count
    # What comes after the last loss has nothing to learn: nothing is sent back through it.
    asked = [1]
    calls.clear(), passes.clear()
    replay_backward(step, range(5), weight * 1)
    assert len(calls) == 9 and len(passes) == 2


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_rollout_decodes_only_where_dice_are_thrown(dropout):
    model = make_model(dropout=dropout).train()
    decoded = []
    model.decoder.register_forward_hook(lambda *_: decoded.append(torch.is_grad_enabled()))
    src = source_tokens(length=3 * model.encoder.max_seq_len)
    memory_replay_backprop(model, src, [target_tokens(seed=seed) for seed in (1, 2, 3)])
    assert decoded.count(True) == 3
    assert decoded.count(False) == (2 if dropout else 0)


class Saved:
    """A tensor that a graph keeps, with the number of the call that it belongs to."""

    def __init__(self, tensor, call):
        self.tensor, self.call = tensor, call


def most_graphs_alive(backward, count=6) -> int:
    """Run `backward` and return from how many calls of the step a graph was alive at a time."""
    model, calls, alive, most = make_model(), [], weakref.WeakSet(), 0
    inner = model_step(model)

    def step(segment, mems):
        calls.append(segment)
        return inner(segment, mems)

    def pack(tensor):
        nonlocal most
        saved = Saved(tensor.detach(), len(calls))
        alive.add(saved)
        most = max(most, len({s.call for s in alive}))
        return saved

    start = model.get_initial_mem(BATCH)
    segments = cut(*document(count))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        backward(step, segments, start)
    assert most > 0 and not len(alive), "a graph outlives the call"
    return most


def test_one_graph_is_alive_at_a_time():
    assert most_graphs_alive(bptt_backward) == 6, "this test would not see several graphs"
    assert most_graphs_alive(replay_backward) == 1


def test_truncation_keeps_as_many_graphs_as_it_is_told():
    for size, most in ((1, 1), (2, 2), (4, 4), (6, 6), (10, 6)):

        def truncated(step, segments, mems, size=size):
            return bptt_backward(step, segments, mems, detach_every=size)

        assert most_graphs_alive(truncated) == most


def test_an_end_without_gradient_is_gone_before_the_backward_pass(monkeypatch):
    weight, ends, gone = torch.ones(2, requires_grad=True), [], []
    run_backward = torch.autograd.backward

    def watched(*arguments):
        gone.append(ends[-1]() is None)
        run_backward(*arguments)

    monkeypatch.setattr(torch.autograd, "backward", watched)

    def step(segment, mems):
        end = mems * weight
        ends.append(weakref.ref(end))
        return (mems * weight).sum(), end

    replay_backward(step, range(3), torch.ones(2))
    assert gone == [True, False, False]


def test_the_buffer_keeps_states_and_not_what_they_were_cut_from():
    weight, sizes = torch.ones(2, requires_grad=True), []

    def step(segment, mems):
        sizes.append(mems.untyped_storage().nbytes())
        everything = (mems * weight).repeat(1000, 1)
        return everything.sum(), everything[-1]

    replay_backward(step, range(4), torch.ones(2))
    assert sizes[-3:] == [8, 8, 8], "a view keeps the whole tensor it looks into"


# Mixed precision


@pytest.mark.parametrize("mem_update", ["gru", "bmn"])
def test_autocast(mem_update):
    model = make_model(mem_update=mem_update).float()
    given = document(4)
    segments = cut(*given)
    runs = []
    for backward in (
        lambda: plain(model_step(model), segments, model.get_initial_mem(BATCH)),
        lambda: memory_replay_backprop(model, *given),
    ):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = backward()
        runs.append((result, gradients(model)))
    for name, wanted in runs[0][1].items():
        mine = runs[1][1][name]
        assert mine is not None and mine.dtype == torch.float32, name
        error = (mine - wanted).norm() / wanted.norm()
        assert error < 0.02, f"{name}: relative error {error:.3g}"
    # Without gradients torch takes another attention kernel, which rounds to bfloat16 elsewhere.
    assert_near(runs[1][0].loss, runs[0][0].loss, "loss", 1e-3)


def test_autocast_cache_does_not_survive_in_either_direction():
    model = make_model().float()
    given = document(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            model(given[0][:, :LENGTH])
        memory_replay_backprop(model, *given)
        missing = [name for name, gradient in gradients(model).items() if gradient is None]
        assert not missing, f"casts from outside were used: {missing}"
        with torch.no_grad():
            model.encoder.layer_blocks.layers[0].look_around.to_q.weight.mul_(3)
            after = model(given[0][:, :LENGTH]).mem
            torch.clear_autocast_cache()
            fresh = model(given[0][:, :LENGTH]).mem
    assert torch.equal(after, fresh), "a cast of the old weights was used after the replay"


def test_autocast_cache_is_cleared_before_each_recomputation(monkeypatch):
    """Older versions of torch reuse a cast that was made without a gradient; 2.13 does not."""
    log, weight = [], torch.ones(2, requires_grad=True)
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: log.append("clear"))

    def step(segment, mems):
        log.append("learn" if torch.is_grad_enabled() else "roll")
        return (mems * weight).sum(), mems * weight

    replay_backward(step, range(3), torch.ones(2))
    assert log == ["roll", "roll", *["clear", "learn"] * 3, "clear"]


# Truncation


def writer_gradients(model, **options):
    bptt_backward(model_step(model), cut(*document(4)), model.get_initial_mem(BATCH), **options)
    found = gradients(model)
    return [gradient for name, gradient in found.items() if "memory_writer" in name]


def test_truncated_to_one_segment_the_writer_learns_nothing():
    model = make_model()
    assert all(gradient is None for gradient in writer_gradients(model, detach_every=1))
    for options in ({"detach_every": 2}, {"detach_every": None}, {}):
        assert all(gradient.abs().max() > 0 for gradient in writer_gradients(model, **options))


@pytest.mark.parametrize("detach_every", [1, 2, 3, 5, 8, None])
def test_truncation_detaches_every_so_many_segments(detach_every):
    model = make_model(dropout=0.3).train()
    segments = cut(*document(5))
    index, inner = 0, model_step(model)

    def detaching(segment, mems):
        nonlocal index
        mems = mems.detach() if index and detach_every and index % detach_every == 0 else mems
        index += 1
        return inner(segment, mems)

    torch.manual_seed(1)
    wanted = plain(detaching, segments, model.get_initial_mem(BATCH)), gradients(model)
    torch.manual_seed(1)
    result = bptt_backward(inner, segments, model.get_initial_mem(BATCH), detach_every=detach_every)
    assert_same((result, gradients(model)), wanted)


# What is refused, and what an error leaves behind

WEIGHT = torch.ones(2, requires_grad=True)


def returns(value):
    return lambda segment, mems: value


STEPS = [
    ("no segment", returns((WEIGHT.sum(), WEIGHT)), [], ValueError, "segments"),
    ("no loss", returns((None, WEIGHT)), [1, 2], ValueError, "loss"),
    ("loss without gradient", returns((torch.ones(()), WEIGHT)), [1, 2], ValueError, "loss"),
    ("loss of two numbers", returns((WEIGHT * 1, WEIGHT)), [1, 2], ValueError, "scalar"),
    ("a number as loss", returns((1.0, WEIGHT)), [1, 2], TypeError, "float"),
    ("three results", returns((None, WEIGHT, None)), [1, 2], TypeError, "got 3"),
    ("one result", returns(WEIGHT), [1, 2], TypeError, "got Tensor"),
    ("list as state", returns((WEIGHT.sum(), [WEIGHT])), [1, 2], TypeError, "state"),
    ("number in state", returns((WEIGHT.sum(), (WEIGHT, 1))), [1, 2], TypeError, "state"),
]


@pytest.mark.parametrize("backward", [bptt_backward, replay_backward])
@pytest.mark.parametrize(("what", "step", "segments", "kind", "says"), STEPS)
def test_steps_that_cannot_work_are_refused(backward, what, step, segments, kind, says):
    WEIGHT.grad = None
    with pytest.raises(kind, match=says):
        backward(step, segments, torch.zeros(2))
    assert WEIGHT.grad is None, "a gradient has changed"


@pytest.mark.parametrize("backward", [bptt_backward, replay_backward])
@pytest.mark.parametrize("mems", [None, [torch.zeros(2)], (torch.zeros(2), 1), 0.0], ids=repr)
def test_a_start_that_is_no_state_is_refused_before_any_gradient(backward, mems):
    WEIGHT.grad = None
    with pytest.raises(TypeError, match=f"mems: .* got {type(mems).__name__}"):
        backward(returns((WEIGHT.sum(), WEIGHT * 1)), [1, 2], mems)
    assert WEIGHT.grad is None, "a gradient has changed"


@pytest.mark.parametrize("backward", [bptt_backward, replay_backward])
def test_a_start_that_no_gradient_can_use_is_refused_before_any_gradient(backward):
    WEIGHT.grad = None
    with torch.inference_mode():
        mems = torch.zeros(2)
    with pytest.raises(ValueError, match="mems: made in torch"):
        backward(lambda _, mems: ((mems * WEIGHT).sum(), mems * WEIGHT), [1, 2], mems)
    assert WEIGHT.grad is None, "a gradient has changed"


@pytest.mark.parametrize("backward", [bptt_backward, replay_backward])
@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_without_gradients_there_is_nothing_to_do(backward, off):
    with off(), pytest.raises(RuntimeError, match="switched off"):
        backward(returns((WEIGHT.sum(), WEIGHT)), [1, 2], torch.zeros(2))


@pytest.mark.parametrize(
    ("value", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_truncation_needs_a_count(value, kind):
    with pytest.raises(kind, match="detach_every"):
        bptt_backward(returns((WEIGHT.sum(), WEIGHT)), [1], torch.zeros(2), detach_every=value)


SRC, TGT, SRC_MASK, TGT_MASK = document(3)
REFUSED = [
    ({"tgt": TGT[:2]}, ValueError, "tgt: expected 3 entries"),
    ({"tgt": [*TGT, None]}, ValueError, "tgt: expected 3 entries"),
    ({"tgt": [None] * 3, "tgt_mask": None}, ValueError, "tgt: expected a target"),
    ({"tgt": None, "tgt_mask": None}, TypeError, "tgt: expected a tensor or a list"),
    ({"tgt_mask": TGT_MASK[:2]}, ValueError, "tgt_mask: expected 3 entries"),
    ({"tgt_mask": TGT_MASK[0]}, TypeError, "tgt_mask: expected a list"),
    ({"tgt": [None, *TGT[:2]]}, ValueError, "tgt_mask: expected None"),
    ({"tgt": [TGT[0], TGT[1][:2], TGT[2]]}, ValueError, "tgt: expected batch 3"),
    ({"src": SRC.float()}, TypeError, "src: expected torch.long"),
    ({"src": SRC[0]}, ValueError, "src: expected shape"),
    ({"src": SRC + 100}, ValueError, "src: expected token ids"),
    ({"src_mask": SRC_MASK[:, :-1]}, ValueError, "src_mask: expected shape"),
    ({"src_mask": SRC_MASK.repeat(1, 2)}, ValueError, "src_mask: expected shape .3, 35."),
    ({"src_mask": SRC_MASK.float()}, TypeError, "src_mask: expected torch.bool"),
    ({"mems": randn(1, SLOTS, DIM)}, ValueError, "mems: expected shape"),
]


@pytest.mark.parametrize(("change", "kind", "says"), REFUSED)
def test_documents_that_do_not_fit_are_refused(change, kind, says):
    model = make_model()
    given = {"src": SRC, "tgt": TGT, "src_mask": SRC_MASK, "tgt_mask": TGT_MASK}
    with pytest.raises(kind, match=says):
        memory_replay_backprop(model, **given | change)
    assert all(gradient is None for gradient in gradients(model).values())


def test_without_a_decoder_it_points_to_the_general_function():
    with pytest.raises(ValueError, match=r"encoder_only=True.*replay_backward"):
        memory_replay_backprop(make_model(encoder_only=True), SRC, TGT)


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_step_that_fails_leaves_a_sensible_random_state(failing):
    weight, calls = torch.ones(2, requires_grad=True), 0

    def step(segment, mems):
        nonlocal calls
        calls += 1
        noise = torch.rand(2)
        if calls == failing:
            raise KeyError(segment)
        mems = mems * weight * noise
        return mems.sum(), mems

    torch.manual_seed(0)
    with pytest.raises(KeyError):
        replay_backward(step, range(4), torch.ones(2))
    found = torch.get_rng_state()
    torch.manual_seed(0)
    for _ in range(min(failing, 4)):  # what has been drawn once so far, in order
        torch.rand(2)
    assert torch.equal(found, torch.get_rng_state())
    assert (weight.grad is None) == (failing <= 4), "gradients changed before all was computed"
