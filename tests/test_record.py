"""What is recorded is what the model computed, and recording changes nothing."""

import copy
import gc
import json
import pickle
import warnings
import weakref
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    BATCH,
    SIZES,
    SLOTS,
    SOURCE,
    assert_close,
    assert_differ,
    length_mask,
    make_model,
    randn,
    source_tokens,
    target_tokens,
)
from torch import nn

from memformer_lite import (
    MemoryRule,
    bptt_backward,
    memory_replay_backprop,
    record,
    replay_backward,
)
from memformer_lite.inside.trace import RecordedSegment, Trace
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.recipes import RECIPES

LAYERS, HEADS, WRITERS = SIZES["enc_depth"], SIZES["enc_heads"], SIZES["mem_update_attn_heads"]
DIM, LENGTH = SIZES["dim"], SIZES["enc_max_seq_len"]
MASK = length_mask([SOURCE, 5, 0], SOURCE)  # the last row is all padding
WRITING = [
    {"mem_update": "gru"},
    {"mem_update": "gru", "num_mem_updates": 2, "mem_feed_forward": False},
    {"mem_update": "bmn", "mem_temperature": 0.5},
    {"mem_update": "bmn", "num_mem_updates": 2},
]
FIELDS = ("src", "src_mask", "before", "after", "read", "write", "gate")
writers = pytest.mark.parametrize("options", WRITING, ids=lambda o: "-".join(map(str, o.values())))


def run(model, count=3, mask=MASK, **inputs):
    """Compute a story of `count` segments and return all results."""
    mems, results = None, []
    for index in range(count):
        out = model(source_tokens(seed=index), mems=mems, src_mask=mask, **inputs)
        mems = out.mem
        results.append(out)
    return results


def recorded(model, *args, **inputs):
    with record(model) as trace:
        results = run(model, *args, **inputs)
    return trace, results


def hooks_of(model):
    """Count all hooks in a module and its parts."""
    names = [name for name in vars(model) if name.endswith("_hooks")]
    assert len(names) > 3, "torch keeps its hooks elsewhere now"
    return sum(len(getattr(part, name)) for part in model.modules() for name in names)


def same(first, second):
    return (first is None and second is None) or torch.equal(first, second)


def assert_same_traces(first, second):
    assert len(first) == len(second)
    assert first.complete is second.complete
    for one, other in zip(first, second, strict=True):
        for name in FIELDS:
            assert same(getattr(one, name), getattr(other, name)), name


# The numbers are the model's own.


@writers
def test_shapes(options):
    trace, _ = recorded(make_model(**options), mask=None)
    updates = options.get("num_mem_updates", 1)
    for index, segment in enumerate(trace):
        assert torch.equal(segment.src, source_tokens(seed=index))
        assert segment.src_mask is None
        assert segment.read.shape == (LAYERS, BATCH, HEADS, SOURCE, SLOTS)
        assert segment.write.shape == (updates, BATCH, WRITERS, SLOTS, 1 + SOURCE)
        if options["mem_update"] == "gru":
            assert segment.gate.shape == (updates, BATCH, SLOTS, DIM)
        else:
            assert segment.gate is None
        assert segment.before.shape == segment.after.shape == (BATCH, SLOTS, DIM)
    assert len(trace) == 3
    assert trace.complete


@writers
def test_weights_sum_to_one_and_padding_is_not_written(options):
    trace, _ = recorded(make_model(**options))
    for segment in trace:
        for weights in (segment.read, segment.write):
            assert (weights >= 0).all()
            assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]).double(), "sum")
        seen = segment.write[..., 1:]
        assert (seen.movedim(1, 0)[:, ..., :].flatten(1, 3).amax(1)[~MASK] == 0).all()
        assert (seen.movedim(1, 0).flatten(1, 3).amin(1)[MASK] > 0).all()
        assert (segment.write[:, 2, ..., 0] == 1).all(), "an all-padding row sees slots only"
        assert torch.equal(segment.src_mask, MASK)


@writers
def test_slots_before_and_after_are_the_memory(options):
    model = make_model(**options)
    trace, results = recorded(model)
    before = model.get_initial_mem(BATCH)
    for segment, result in zip(trace, results, strict=True):
        assert torch.equal(segment.before, before)
        assert torch.equal(segment.after, result.mem)
        assert torch.equal(segment.after[2], segment.before[2]), "all padding keeps the memory"
        before = result.mem
    assert_differ(trace[0].before, trace[0].after, "nothing was written")


@torch.no_grad()
def test_reading_rebuilt_head_by_head():
    model = make_model()
    trace, _ = recorded(model, mask=MASK)
    encoder, size = model.encoder.layer_blocks, DIM // HEADS
    for segment in trace:
        x = model.encoder.token_emb(segment.src)
        bias = encoder.rel_pos_emb(SOURCE, SOURCE)
        for number, layer in enumerate(encoder.layers):
            x = x + layer.look_around(layer.look_around_norm(x), pos_bias=bias, query_mask=MASK)
            module, normed = layer.read, layer.read_norm(x)
            keys, values = module.to_kv(segment.before).chunk(2, dim=-1)
            queries, heads = module.to_q(normed), []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                scores = torch.einsum("bnd,bkd->bnk", queries[..., part], keys[..., part])
                weights = segment.read[number, :, head]
                assert_close(weights, (scores / size**0.5).softmax(-1), "read weights")
                heads.append(weights @ values[..., part])
            implied = module.to_out(torch.cat(heads, dim=-1))
            found = module(normed, context=segment.before)
            assert_close(implied, found, "what was read")
            x = x + found
            x = x + layer.think(layer.think_norm(x))


@writers
@torch.no_grad()
def test_writing_rebuilt_from_weights_and_gate(options):
    model = make_model(**options)
    trace, results = recorded(model, mask=None)
    writer, size = model.memory_writer, DIM // WRITERS
    for segment, result in zip(trace, results, strict=True):
        mems = segment.before
        for update, weights in enumerate(segment.write):
            _, own = writer.attention.to_kv(mems).chunk(2, dim=-1)
            _, values = writer.attention.to_kv(result.enc_out).chunk(2, dim=-1)
            own = mems if options["mem_update"] == "bmn" else own
            heads = []
            for head in range(WRITERS):
                part = slice(head * size, (head + 1) * size)
                w = weights[:, head]
                heads.append(w[..., :1] * own[..., part] + w[..., 1:] @ values[..., part])
            written = torch.cat(heads, dim=-1)
            if options["mem_update"] == "gru":
                z = segment.gate[update]
                rule = writer.rule
                mems = z * mems + (1 - z) * candidate(rule.cell, writer.attention, written, mems)
                if rule.feed_forward is not None:
                    mems = rule.feed_forward(mems)
            else:
                written = writer.rule.feed_forward(written)
                mems = F.normalize(written + model.memory_slots, dim=-1)
        assert_close(segment.after, mems, "the memory after")


def candidate(gru, attention, written, mems):
    """Return what the GRU would take, from torch's formula: reset, update, new."""
    w_r, _, w_n = gru.weight_ih.chunk(3)
    b_r, _, b_n = gru.bias_ih.chunk(3)
    u_r, _, u_n = gru.weight_hh.chunk(3)
    c_r, _, c_n = gru.bias_hh.chunk(3)
    written = attention.to_out(written)
    reset = torch.sigmoid(written @ w_r.T + b_r + mems @ u_r.T + c_r)
    return torch.tanh(written @ w_n.T + b_n + reset * (mems @ u_n.T + c_n))


def test_a_gate_that_is_forced_open_or_shut():
    for bias, expected in ((50.0, 1.0), (-50.0, 0.0)):
        model = make_model(mem_feed_forward=False)
        with torch.no_grad():
            model.memory_writer.rule.cell.bias_ih[DIM : 2 * DIM] = bias
        trace, _ = recorded(model, mask=None)
        assert_close(trace[0].gate, torch.full_like(trace[0].gate, expected), "gate")
        kept = trace[0].change.max() < 1e-10
        assert kept == (expected == 1), "1 keeps"


class TakeAll(MemoryRule):
    def forward(self, written, mems, slots):
        return written, None


class KeepHalf(MemoryRule):
    def forward(self, written, mems, slots):
        return (written + mems) / 2, torch.full_like(mems, 0.5)


def test_the_gate_is_what_the_rule_says():
    for rule in (TakeAll(), KeepHalf()):
        trace, results = recorded(make_model(mem_update=rule), mask=None)
        for segment, result in zip(trace, results, strict=True):
            assert_close(segment.after, result.mem, "the memory after")
            if isinstance(rule, TakeAll):
                assert segment.gate is None
            else:
                assert torch.equal(segment.gate, torch.full((1, BATCH, SLOTS, DIM), 0.5).double())


class EveryOther(KeepHalf):
    def forward(self, written, mems, slots):
        new, gate = super().forward(written, mems, slots)
        self.calls = getattr(self, "calls", 0) + 1
        return new, gate if self.calls % 2 else None


def test_a_gate_of_some_updates_only_is_none():
    trace, _ = recorded(make_model(mem_update=EveryOther(), num_mem_updates=2))
    assert [segment.gate for segment in trace] == [None] * 3


def test_a_rule_that_gives_no_gate_is_not_reckoned_with_one():
    """From its second segment on: before, nobody can know."""
    model = make_model(mem_update=TakeAll())
    whole, _ = recorded(model)
    with warnings.catch_warnings(), record(model, max_mib=mib(whole)) as trace:
        warnings.simplefilter("error")
        run(model)
    assert_same_traces(trace, whole)


def test_norms_and_change():
    trace, _ = recorded(make_model())
    segment = trace[1]
    assert_close(segment.norm_before, segment.before.square().sum(-1).sqrt(), "norm before")
    assert_close(segment.norm_after, segment.after.square().sum(-1).sqrt(), "norm after")
    difference = (segment.after - segment.before).square().sum(-1).sqrt()
    assert_close(segment.change, difference, "change")
    assert (segment.change[:2] > 0).all()
    assert (segment.change[2] == 0).all()


# Recording changes nothing, and ends.


@writers
@pytest.mark.parametrize("training", [False, True])
def test_outputs_gradients_and_random_state_are_bitwise_the_same(options, training):
    model = make_model(dropout=0.3, **options).train(training)

    def compute():
        torch.manual_seed(5)
        model.zero_grad()
        results = run(model, tgt=target_tokens(batch=BATCH))
        sum(result.dec_out for result in results).backward()
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        return results, gradients, torch.get_rng_state()

    results, gradients, state = compute()
    with record(model) as trace:
        again, gradients_again, state_again = compute()
    assert len(trace) == 3
    for one, other in zip(results, again, strict=True):
        assert all(map(torch.equal, one, other))
    assert all(map(same, gradients, gradients_again))
    assert torch.equal(state, state_again)


def test_gradients_under_autocast_are_bitwise_the_same():
    model = make_model().float()

    def compute():
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            results = run(model, tgt=target_tokens(batch=BATCH))
        sum(result.dec_out for result in results).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    gradients = compute()
    with record(model) as trace:
        again = compute()
    assert all(map(torch.equal, gradients, again))
    floats = [getattr(trace[0], name).dtype for name in FIELDS[2:]]
    assert floats == [torch.float32] * 5


def test_the_trace_is_a_copy_without_gradients():
    model = make_model()
    before, tokens, mask = randn(BATCH, SLOTS, DIM), source_tokens(), MASK.clone()
    with record(model) as trace:
        out = model(tokens, mems=before, src_mask=mask)
    kept = {name: getattr(trace[0], name).clone() for name in FIELDS}
    with torch.no_grad():
        for tensor in (before, tokens, mask, out.mem, out.enc_out, *model.parameters()):
            tensor.zero_()
    for name, value in kept.items():
        now = getattr(trace[0], name)
        assert torch.equal(now, value), f"{name} is shared with the model"
        assert not now.requires_grad
        assert now.grad_fn is None


def test_nothing_of_the_graph_is_kept():
    model = make_model()
    with record(model) as trace:
        out = model(source_tokens())
        graph = weakref.ref(out.mem)
        del out
        gc.collect()
        assert graph() is None
    assert len(trace) == 1


def test_inference_mode_gives_tensors_that_can_be_used_later():
    model = make_model()
    with record(model) as trace, torch.inference_mode():
        run(model)
    weight = torch.ones(DIM, dtype=torch.float64, requires_grad=True)
    (trace[2].after * weight).sum().backward()
    assert weight.grad is not None
    with torch.no_grad():
        assert_same_traces(trace, recorded(model)[0])


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_stays(fails):
    model = make_model()
    assert hooks_of(model) == 0
    with pytest.raises(KeyError) if fails else warnings.catch_warnings(), record(model) as trace:
        run(model, 2)
        assert hooks_of(model) > 0
        if fails:
            raise KeyError
    assert hooks_of(model) == 0
    run(model)
    assert len(trace) == 2, "what was recorded stays, and nothing is added after the block"


def test_a_registration_that_fails_leaves_no_hook(monkeypatch):
    model = make_model()

    def refuse(*args, **options):
        raise OSError

    monkeypatch.setattr(model.memory_writer, "register_forward_hook", refuse)
    with pytest.raises(OSError), record(model):
        pass
    assert hooks_of(model) == 0


def test_nested_and_repeated_blocks_have_traces_of_their_own():
    model = make_model()
    with record(model) as outer:
        run(model, 1)
        with record(model) as inner:
            run(model, 3)
        run(model, 1)
    assert_same_traces(outer[1:4], inner)
    assert len(outer) == 5
    assert_same_traces(recorded(model)[0], inner)
    assert hooks_of(model) == 0


def test_a_copy_of_the_model_is_not_recorded():
    model = make_model()
    room = mib(recorded(model, 2)[0])
    with warnings.catch_warnings(), record(model, max_mib=room) as trace:
        warnings.simplefilter("error")  # a trace of the copy would grow beyond the limit
        twin = copy.deepcopy(model)
        run(twin)
        run(model, 2)
        run(twin)
    run(twin)
    assert len(trace) == 2


def test_a_call_that_fails_leaves_nothing():
    model = make_model()
    with record(model) as trace:
        for wrong in (
            {"src": source_tokens().float()},
            {"src": source_tokens(), "src_mask": [[True]]},
            {"src": source_tokens(), "src_mask": MASK.long()},
            {"src": source_tokens(), "mems": randn(BATCH, SLOTS + 1, DIM)},
            {"src": source_tokens(), "tgt": target_tokens() + 1000},
        ):
            with pytest.raises((TypeError, ValueError)) as fault:
                model(**wrong)
            assert next(iter(list(wrong)[-1:])) in str(fault.value)
        # Parts that are called alone are no segment, even after a call that broke in the middle.
        enc_out = model.encoder(source_tokens(), context=randn(BATCH, SLOTS, DIM))
        model.memory_writer(randn(BATCH, SLOTS, DIM), enc_out)
        assert len(trace) == 0
        run(model, 2)
    assert_same_traces(trace, recorded(model, 2)[0])


# Who may be recorded.


def test_a_learner_is_recorded_through_its_memformer():
    learner = Learner(RECIPES["cards"]).eval()
    task = learner.recipe.task
    stream = task.stream(2, 3, generator=torch.Generator().manual_seed(0))
    with record(learner) as trace:
        mems = learner.start(2)
        for segment in stream:
            _, mems = learner(segment, mems)
    assert len(trace) == 3
    assert torch.equal(trace[2].src, stream[2].tokens)
    assert torch.equal(trace[2].after, mems)
    assert trace[0].before.dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "fault", "message"),
    [
        (nn.Linear(2, 3), ValueError, "model: expected one Memformer in Linear, got 0"),
        (nn.ModuleList([make_model(), make_model()]), ValueError, "in ModuleList, got 2"),
        (make_model, TypeError, "model: expected a Memformer, got function"),
    ],
)
def test_wrong_models(model, fault, message):
    with pytest.raises(fault, match=message), record(model):
        pass


@torch.no_grad()  # torch warns where it traces a call with a memory that was computed
def test_a_model_that_was_compiled_is_recorded_too():
    model = make_model(encoder_only=True, enc_depth=1)
    compiled = torch.compile(model, backend="eager")
    run(compiled, 2)
    for either in (model, compiled):
        with record(either) as trace:
            run(compiled, 2)
        assert_same_traces(trace, recorded(model, 2)[0])
    torch._dynamo.reset()


# Memory replay, truncation, generation.


def story(count):
    """Return src, src_mask and one target a segment; the last segment is shorter."""
    n = LENGTH * count - 4
    mask = length_mask([n, n - 7, LENGTH], n)
    return source_tokens(length=n), mask, [target_tokens(seed=i) for i in range(count)]


def assert_tells_the_story(trace, model, count):
    """The trace is that of a plain pass over the story's segments."""
    src, mask, _ = story(count)
    mems = model.get_initial_mem(BATCH)
    assert len(trace) == count
    for segment, tokens, real in zip(
        trace, src.split(LENGTH, 1), mask.split(LENGTH, 1), strict=True
    ):
        assert torch.equal(segment.src, tokens)
        assert torch.equal(segment.src_mask, real)
        assert_close(segment.before, mems, "memory before")
        mems = model(tokens, mems=mems, src_mask=real).mem
        assert_close(segment.after, mems, "memory after")


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("asked", ["every", "last", "first"])
def test_memory_replay_is_recorded_once_and_in_order(count, asked):
    model = make_model()
    src, mask, targets = story(count)
    where = {"every": range(count), "last": [count - 1], "first": [0]}[asked]
    targets = [target if index in where else None for index, target in enumerate(targets)]

    def compute():
        model.zero_grad()
        result = memory_replay_backprop(model, src, targets, mask)
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        return result, gradients

    result, gradients = compute()
    with record(model) as trace:
        again, gradients_again = compute()
        compute()
    assert all(map(torch.equal, result, again))
    assert all(map(same, gradients, gradients_again))
    assert_tells_the_story(trace[:count], model, count)
    assert_tells_the_story(trace[count:], model, count)
    assert_same_traces(trace[:count], trace[count:])


def test_replay_with_dropout_records_the_draws_of_the_rollout():
    model = make_model(dropout=0.4).train()
    src, mask, targets = story(4)
    with record(model) as trace:
        torch.manual_seed(1)
        result = memory_replay_backprop(model, src, targets, mask)
    assert len(trace) == 4
    for early, late in pairwise(trace):
        assert torch.equal(early.after, late.before)
    assert torch.equal(trace[3].after, result.mem)


def test_replay_without_a_memory_that_is_carried():
    model = make_model()

    def step(segment, mems):
        out = model(source_tokens(seed=segment), target_tokens(), mems=mems)
        return out.dec_out, out.mem.detach() * 0 + model.get_initial_mem(BATCH)

    with record(model) as trace:
        replay_backward(step, [1, 1, 2, 3], model.get_initial_mem(BATCH))
    assert len(trace) == 4
    for seed, segment in zip([1, 1, 2, 3], trace, strict=True):
        assert torch.equal(segment.src, source_tokens(seed=seed))


@pytest.mark.parametrize("detach_every", [None, 1, 2])
def test_back_propagation_through_time_is_recorded_in_order(detach_every):
    model = make_model()
    src, mask, targets = story(4)
    segments = list(zip(src.split(LENGTH, 1), mask.split(LENGTH, 1), targets, strict=True))

    def step(segment, mems):
        out = model(segment[0], segment[2], mems=mems, src_mask=segment[1])
        return out.dec_out, out.mem

    with record(model) as trace:
        bptt_backward(step, segments, model.get_initial_mem(BATCH), detach_every=detach_every)
    assert_tells_the_story(trace, model, 4)


def test_a_story_told_again_with_gradients_is_no_replay():
    model = make_model()
    with record(model) as trace:
        with torch.no_grad():
            run(model)
        run(model)
        with torch.no_grad():
            mems = run(model)[-1].mem
        mems = model(source_tokens(seed=3), mems=mems).mem
        model(source_tokens(seed=4), mems=mems)
    assert len(trace) == 3 + 3 + 3 + 2
    told = [source_tokens(seed=i) for i in (0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4)]
    assert all(torch.equal(s.src, tokens) for s, tokens in zip(trace, told, strict=True))


def test_memories_seen_before_are_no_replay():
    model = make_model()
    starts = [(source_tokens(seed=i), randn(BATCH, SLOTS, DIM, seed=i)) for i in range(3)]
    with record(model) as trace:
        with torch.no_grad():
            for src, mems in starts:
                model(src, mems=mems)
        for src, mems in starts:
            model(src, mems=mems)
    assert len(trace) == 6
    assert all(torch.equal(trace[i].before, trace[i + 3].before) for i in range(3))


@pytest.mark.parametrize("use_cache", [True, False])
def test_generating_adds_nothing(use_cache):
    model = make_model()
    context = model(source_tokens()).enc_out
    start = target_tokens(length=2)

    def write():
        return model.generate(start, 5, context=context, temperature=0.0, use_cache=use_cache)

    expected = write()
    with record(model) as trace:
        assert torch.equal(write(), expected)
        model.logits(start, context)
        assert len(trace) == 0
        out = model(source_tokens())
        write()
    assert len(trace) == 1
    assert torch.equal(trace[0].after, out.mem)


def test_a_model_without_decoder():
    trace, _ = recorded(make_model(encoder_only=True))
    assert len(trace) == 3


# The limit.


def mib(trace):
    """Return what a trace takes, counted from its tensors."""
    values = [getattr(segment, name) for segment in trace for name in FIELDS]
    return sum(v.numel() * v.element_size() for v in values if v is not None) / 2**20


@writers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_recording_stops_before_the_limit(options, dtype):
    model = make_model(**options).to(dtype)
    whole, results = recorded(model)
    with warnings.catch_warnings(), record(model, max_mib=mib(whole)) as trace:
        warnings.simplefilter("error")
        run(model)
    assert trace.complete
    too_little = mib(whole) - 1e-6
    with (
        pytest.warns(UserWarning, match=r"segment 2 with src \(3, 11\) .* max_mib=.*stops") as told,
        record(model, max_mib=too_little) as trace,
    ):
        again = run(model, 5)
    assert len(told) == 1, "said once"
    assert not trace.complete
    assert_same_traces(Trace(trace.segments), whole[:2])
    assert torch.equal(again[2].mem, results[2].mem)
    assert not Trace.from_plain(trace.to_plain()).complete


def test_a_limit_below_the_first_segment():
    model = make_model()
    with pytest.warns(UserWarning, match="segment 0"), record(model, max_mib=0.001) as trace:
        run(model)
    assert len(trace) == 0


def test_the_warning_comes_before_anything_is_computed():
    model, calls = make_model(), []
    model.encoder.token_emb.register_forward_pre_hook(lambda *_: calls.append(1))
    with warnings.catch_warnings(), record(model, max_mib=0.001) as trace:
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            run(model)
    assert calls == []
    assert len(trace) == 0


def test_a_replay_does_not_count():
    model = make_model()
    src, mask, targets = story(4)
    with record(model) as trace:
        memory_replay_backprop(model, src, targets, mask)
    with warnings.catch_warnings(), record(model, max_mib=mib(trace)) as again:
        warnings.simplefilter("error")
        memory_replay_backprop(model, src, targets, mask)
    assert_same_traces(trace, again)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "1", None, True])
def test_wrong_limits(wrong):
    with (
        pytest.raises((TypeError, ValueError), match="max_mib="),
        record(make_model(), max_mib=wrong),
    ):
        pass


# A trace is a list of segments, and plain data.


def test_a_trace_is_a_sequence():
    trace, _ = recorded(make_model())
    assert [segment.src is trace[i].src for i, segment in enumerate(trace)] == [True] * 3
    assert isinstance(trace[-1], RecordedSegment)
    assert trace[-1] is trace[2]
    assert isinstance(trace[1:], Trace)
    assert len(trace[1:]) == 2
    assert repr(trace) == "Trace(3 segments)"
    assert repr(Trace([], False)) == "Trace(0 segments, stopped at max_mib)"
    with pytest.raises(IndexError):
        trace[3]


@writers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mask", [MASK, None], ids=["masked", "whole"])
def test_plain_data_and_files_keep_every_bit(tmp_path, options, dtype, mask):
    trace, _ = recorded(make_model(**options).to(dtype), 2, mask)
    plain = trace.to_plain()
    assert_same_traces(Trace.from_plain(json.loads(json.dumps(plain, allow_nan=False))), trace)
    path = tmp_path / "trace.json"
    trace.save(path)
    loaded = Trace.load(str(path))
    assert_same_traces(loaded, trace)
    assert loaded[0].read.dtype == dtype
    assert json.loads(path.read_text(encoding="utf-8")) == plain
    assert [file.name for file in tmp_path.iterdir()] == ["trace.json"]


def test_an_empty_trace_is_kept_too(tmp_path):
    Trace().save(tmp_path / "empty")
    assert len(Trace.load(tmp_path / "empty")) == 0


def test_saving_replaces_a_file_only_when_the_new_one_is_whole(tmp_path):
    trace, _ = recorded(make_model())
    path = tmp_path / "trace.json"
    trace.save(path)
    old = path.read_bytes()
    trace[2].gate[0, 1, 2, 3] = float("nan")
    with pytest.raises(ValueError, match="segment 2, gate: nan or inf"):
        trace.save(path)
    with pytest.raises(ValueError, match="segment 2, gate: nan or inf"):
        trace.to_plain()
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["trace.json"]
    trace[:2].save(path)
    assert len(Trace.load(path)) == 2


def test_folders_and_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.*expected a path in a folder that exists"):
        Trace().save(tmp_path / "gone" / "trace.json")
    with pytest.raises(FileNotFoundError, match=r"trace\.json: there is no such file"):
        Trace.load(tmp_path / "trace.json")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a file was executed",))


HEAD = '{"format": "memformer_lite trace 1", "complete": true, "segments": '


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe\x00",
        b"not a trace",
        pickle.dumps(Trap()),
        b'{"format": "memformer_lite trace 2", "complete": true, "segments": []}',
        b'{"format": "memformer_lite trace 1"}',
        b'{"format": "memformer_lite trace 1", "complete": 1, "segments": []}',
        (HEAD + "{}}").encode(),
        (HEAD + "[3]}").encode(),
        (HEAD + '[{"dtype": "float32"}]}').encode(),
        (HEAD + "[" * 100_000).encode(),
    ],
    ids=lambda content: repr(content[-20:]),
)
def test_files_that_are_no_trace(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.json: expected a trace"):
        Trace.load(path)


def test_a_file_that_was_cut_short(tmp_path):
    path = tmp_path / "trace.json"
    recorded(make_model())[0].save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"trace\.json: expected a trace"):
        Trace.load(path)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("src", None, "src: expected a tensor"),
        ("src", [[0.5] * SOURCE] * BATCH, "src: expected torch.long"),
        ("src", [[-1] * SOURCE] * BATCH, "src: expected token ids"),
        ("src", [[1, 2], [3]], "expected sequence of length 2"),
        ("src", [[2**70]], "verflow"),
        ("src_mask", [[1] * SOURCE] * BATCH, "src_mask: expected torch.bool"),
        ("src_mask", [[True]], r"src_mask: expected shape \(3, 11\)"),
        ("before", [[[1.0]]], r"before: expected shape \(3, any, any\)"),
        ("after", [[[1.0]]] * BATCH, r"after: expected shape \(3, 7, 30\)"),
        ("read", None, "read: expected a tensor"),
        ("read", [[[[[1.0]]]]], r"read: expected shape \(any, 3, any, 11, 7\)"),
        ("write", [[[[[1.0]]]]], r"write: expected shape \(any, 3, any, 7, 12\)"),
        ("gate", [[[[1.0]]]], r"gate: expected shape \(1, 3, 7, 30\)"),
        ("gate", "__import__('os')", "gate|str"),
        ("gate", {}, "segment 1"),
        ("dtype", "float16", "dtype='float16': expected 'float32' or 'float64'"),
        ("dtype", [], r"dtype=\[\]"),
        ("more", 1, "expected the keys dtype, src, src_mask"),
    ],
)
def test_plain_data_that_is_no_trace(name, wrong, message):
    plain = recorded(make_model(), 2)[0].to_plain()
    plain["segments"][1][name] = wrong
    with pytest.raises(ValueError, match=message) as fault:
        Trace.from_plain(plain)
    assert "segment 1: " in str(fault.value)


@pytest.mark.parametrize("name", ["before", "after", "read", "write", "gate"])
def test_loaded_numbers_are_finite(tmp_path, name):
    plain = recorded(make_model(), 1)[0].to_plain()
    inner = plain["segments"][0][name]
    while isinstance(inner[0], list):
        inner = inner[0]
    inner[0] = float("inf")
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(ValueError, match=f"segment 0: {name}: expected finite numbers"):
        Trace.load(path)
