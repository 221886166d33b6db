"""A memory rule is a class: the reader's own works wherever the two of the book do."""

import pytest
import torch
import torch.nn.functional as F
from helpers import BATCH, SIZES, SLOTS, assert_close, make_model, randn, source_tokens
from torch import nn

from memformer_lite import (
    BMN,
    Attention,
    GRUGate,
    MemoryRule,
    MemoryWriter,
    load_reference,
    memory_replay_backprop,
    record,
)

DIM = SIZES["dim"]


class TakeAll(MemoryRule):
    """A third rule: each slot becomes what was written."""

    def forward(self, written, mems, slots):
        return written, None


class Halves(MemoryRule):
    """A rule with all that a rule can have: a start, the raw slot, the slots, a gate."""

    raw_slot = True

    def start(self, slots):
        return 2 * slots

    def forward(self, written, mems, slots):
        gate = torch.full_like(mems, 0.5)
        return gate * mems + gate * written + slots, gate


def writer_with(update, **options):
    torch.manual_seed(0)
    return MemoryWriter(DIM, heads=2, update=update, **options).double()


def test_a_rule_of_ones_own_decides_what_becomes_of_what_was_written():
    mems, enc_out = randn(BATCH, SLOTS, DIM), randn(BATCH, 5, DIM, seed=1)
    writer = writer_with(TakeAll())
    written, _ = writer.attention(mems, enc_out)
    assert torch.equal(writer(mems, enc_out), written)
    slots, writer = randn(SLOTS, DIM, seed=2), writer_with(Halves())
    written, _ = writer.attention(mems, enc_out)
    assert not hasattr(writer.attention, "to_out"), "raw_slot did not reach the slot attention"
    assert_close(writer(mems, enc_out, slots=slots), mems / 2 + written / 2 + slots, "Halves")


def test_a_rule_says_how_the_memory_starts():
    model = make_model(mem_update=Halves())
    assert torch.equal(model.get_initial_mem(BATCH)[1], 2 * model.memory_slots)
    assert torch.equal(make_model().get_initial_mem(1)[0], make_model().memory_slots)
    unit = make_model(mem_update="bmn")
    assert torch.equal(unit.get_initial_mem(1)[0], F.normalize(unit.memory_slots, dim=-1))


@pytest.mark.parametrize("rule", [TakeAll, Halves])
def test_replay_gives_the_gradients_of_the_whole_graph(rule):
    src = torch.cat([source_tokens(length=13, seed=seed) for seed in range(3)], dim=1)
    tgt = source_tokens(length=7)
    gradients = []
    for replay in (False, True):
        model = make_model(mem_update=rule())
        if replay:
            memory_replay_backprop(model, src, tgt)
        else:
            mems = None
            for segment in src.split(13, dim=1):
                result = model(segment, tgt, mems=mems)
                mems = result.mem
            result.dec_out.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        assert (expected is None) == (gradients[1][name] is None), name
        if expected is not None:
            assert_close(gradients[1][name], expected, name)


def test_the_recorder_takes_the_gate_from_the_rule():
    for update, has_gate in ((TakeAll(), False), (Halves(), True), ("gru", True), ("bmn", False)):
        model = make_model(encoder_only=True, mem_update=update, num_mem_updates=2)
        told = []
        model.memory_writer.rule.register_forward_hook(
            lambda *call, told=told: told.append(call[2])
        )
        with record(model) as trace, torch.no_grad():
            model(source_tokens())
        assert (trace[0].gate is not None) == has_gate, update
        if has_gate:
            assert torch.equal(trace[0].gate, torch.stack([gate for _, gate in told]))


def test_a_model_with_a_rule_of_its_own_is_saved_like_any_other(tmp_path):
    model = make_model(mem_update=TakeAll())
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = make_model(1, mem_update=TakeAll())
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert torch.equal(other(source_tokens()).mem, model(source_tokens()).mem)


def test_the_reference_has_no_such_writer():
    with pytest.raises(ValueError, match="mem_update"):
        load_reference(make_model(mem_update=TakeAll()), {})

    class Mine(GRUGate):
        """Its numbers may be others."""

    with pytest.raises(ValueError, match="mem_update"):
        load_reference(make_model(mem_update=Mine(DIM)), {})


def test_the_gate_is_that_of_torchs_cell():
    """All at once, and each number: `nn.GRUCell` gives the same new slot."""
    rule = GRUGate(DIM, feed_forward=False).double()
    written, mems = randn(BATCH, SLOTS, DIM), randn(BATCH, SLOTS, DIM, seed=1)
    new, gate = rule(written, mems, None)
    expected = rule.cell(written.flatten(0, 1), mems.flatten(0, 1)).view_as(mems)
    assert_close(new, expected, "GRUCell", 1e-14)
    with torch.no_grad():
        rule.cell.bias_ih[:DIM] -= 1e9  # reset 0: the candidate knows the page only
        candidate = F.linear(written, rule.cell.weight_ih, rule.cell.bias_ih)[..., 2 * DIM :]
        fresh = torch.tanh(candidate)
        new, gate = rule(written, mems, None)
    assert_close(new, gate * mems + (1 - gate) * fresh, "gate")


class Returns(MemoryRule):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, written, mems, slots):
        return self.result(written)


@pytest.mark.parametrize(
    ("kind", "result", "words"),
    [
        (TypeError, lambda x: x, "(new, gate or None)"),
        (TypeError, lambda x: (x, None, None), "(new, gate or None)"),
        (TypeError, lambda x: (None, None), "new of Returns"),
        (TypeError, lambda x: (x.long(), None), "new of Returns"),
        (ValueError, lambda x: (x[:, :1], None), "new of Returns"),
        (ValueError, lambda x: (x, x[..., :1]), "gate of Returns"),
        (TypeError, lambda x: (x, 0.5), "gate of Returns"),
    ],
)
def test_a_rule_that_returns_something_else_is_named(kind, result, words):
    writer = writer_with(Returns(result))
    with pytest.raises(kind) as caught:
        writer(randn(BATCH, SLOTS, DIM), randn(BATCH, 5, DIM))
    assert words in str(caught.value)


def test_a_rule_without_forward_says_so():
    class Empty(MemoryRule):
        """Nothing in it."""

    with pytest.raises(NotImplementedError, match="Empty"):
        writer_with(Empty())(randn(BATCH, SLOTS, DIM), randn(BATCH, 5, DIM))


@pytest.mark.parametrize("update", ["lstm", "GRU", None, TakeAll, nn.GRUCell(3, 3), 7])
def test_what_is_no_rule_is_refused_by_the_callers_name(update):
    with pytest.raises(ValueError, match="'gru', 'bmn' or a MemoryRule") as caught:
        MemoryWriter(6, heads=2, update=update)
    assert str(caught.value).startswith("update=")
    with pytest.raises(ValueError, match=r"^mem_update=.*or a MemoryRule"):
        make_model(mem_update=update)


def test_what_a_rule_calls_is_checked_though_the_model_was():
    """A public piece that is used wrongly inside a rule says so, by its argument's name."""

    class Looks(MemoryRule):
        def __init__(self):
            super().__init__()
            self.attention = Attention(DIM, heads=2)

        def forward(self, written, mems, slots):
            wrong = torch.ones(1, 1, dtype=torch.bool)  # would broadcast in silence
            return self.attention(written, context=mems, kv_mask=wrong), None

    model = make_model(mem_update=Looks())
    with pytest.raises(ValueError, match="kv_mask: expected shape"):
        model(source_tokens())


def test_both_rules_of_the_book_are_such_classes():
    assert type(MemoryWriter(6, heads=2, update="gru").rule) is GRUGate
    assert type(MemoryWriter(6, heads=2, update="bmn").rule) is BMN
    assert MemoryWriter(6, heads=2, feed_forward=False).rule.feed_forward is None
    assert (GRUGate.raw_slot, BMN.raw_slot) == (False, True)
