"""Writing the memory: who may look at whom, what is kept, what is forgotten."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, assert_differ, generator, length_mask, randn, randomise
from memformer.memformer import Memformer as PublishedMemformer

from memformer_lite import BMN, GRUGate, MemoryWriter, SlotAttention

B, K, N, DIM, HEADS = 3, 7, 11, 15, 5  # batch, slots, tokens, width, heads
UPDATES = ["gru", "bmn"]


def make_writer(seed: int = 0, dim: int = DIM, heads: int = HEADS, **options) -> MemoryWriter:
    torch.manual_seed(seed)
    return randomise(MemoryWriter(dim, heads=heads, **options).double(), seed)


def inputs(seed: int = 0, update: str = "gru") -> tuple[torch.Tensor, torch.Tensor]:
    """Return a memory (b, k, d) and an encoder output (b, n, d)."""
    mems = randn(B, K, DIM, seed=seed)
    if update == "bmn":
        mems = mems / mems.norm(dim=-1, keepdim=True)
    return mems, randn(B, N, DIM, seed=seed + 1)


def bias_for(update: str, seed: int = 7) -> torch.Tensor | None:
    """Return a bias for each slot where the writer takes one."""
    return randn(K, DIM, seed=seed) if update == "bmn" else None


def linear(module, x):
    return x @ module.weight.T + module.bias


def slow_slot(writer, slot, tokens, temperature):
    """Return what one slot (d,) reads from itself and from tokens (n, d), one head at a time."""
    attention, width = writer.attention, DIM // HEADS
    rows = torch.cat((slot[None], tokens))
    keys, values = linear(attention.to_kv, rows).split(DIM, dim=-1)
    if isinstance(writer.rule, BMN):
        values = torch.cat((slot[None], values[1:]))
    query = linear(attention.to_q, slot)
    parts = []
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        scores = keys[:, part] @ query[part] / math.sqrt(width) / temperature
        parts.append(torch.softmax(scores, dim=0) @ values[:, part])
    read = torch.cat(parts)
    return linear(attention.to_out, read) if isinstance(writer.rule, GRUGate) else read


def slow_feed_forward(module, x):
    norm, net = module.fn.norm, module.fn.fn.net
    y = (x - x.mean()) / torch.sqrt(x.var(correction=0) + norm.eps) * norm.weight + norm.bias
    y = linear(net[0], y)
    y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
    return x + linear(net[2], y)


def slow_gru(gru, new, old):
    """A GRU cell with update gate z, where z = 1 keeps the old slot."""
    (r_in, z_in, n_in) = (gru.weight_ih @ new + gru.bias_ih).chunk(3)
    (r_old, z_old, n_old) = (gru.weight_hh @ old + gru.bias_hh).chunk(3)
    r, z = torch.sigmoid(r_in + r_old), torch.sigmoid(z_in + z_old)
    candidate = torch.tanh(n_in + r * n_old)
    return z * old + (1 - z) * candidate


def slow_writer(writer, mems, enc_out, lengths, temperature, num_updates, slots=None):
    """Write slot by slot; rows without a real token keep their memory."""
    out = mems.clone()
    for b, k in itertools.product(range(B), range(K)):
        slot = mems[b, k]
        for _ in range(num_updates if lengths[b] else 0):
            read = slow_slot(writer, slot, enc_out[b, : lengths[b]], temperature)
            if isinstance(writer.rule, GRUGate):
                slot = slow_gru(writer.rule.cell, read, slot)
                if writer.rule.feed_forward is not None:
                    slot = slow_feed_forward(writer.rule.feed_forward, slot)
            else:
                if writer.rule.feed_forward is not None:
                    read = slow_feed_forward(writer.rule.feed_forward, read)
                biased = read if slots is None else read + slots[k]
                slot = biased / biased.square().sum().sqrt()
        out[b, k] = slot
    return out


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("feed_forward", [True, False])
@pytest.mark.parametrize(("num_updates", "temperature"), [(1, 1.0), (3, 0.3), (2, 5.0)])
@pytest.mark.parametrize("lengths", [[N, N, N], [N, 4, 0]])
def test_writer_equals_the_loop_over_slots(update, feed_forward, num_updates, temperature, lengths):
    writer = make_writer(
        num_updates=num_updates, update=update, temperature=temperature, feed_forward=feed_forward
    )
    (mems, enc_out), slots = inputs(update=update), bias_for(update)
    mask = None if min(lengths) == N else length_mask(lengths, N)
    with torch.no_grad():
        expected = slow_writer(writer, mems, enc_out, lengths, temperature, num_updates, slots)
        assert_close(writer(mems, enc_out, mask, slots), expected, f"{update} writer")


def test_bmn_without_a_bias_only_normalises():
    writer, (mems, enc_out) = make_writer(update="bmn"), inputs(update="bmn")
    with torch.no_grad():
        expected = slow_writer(writer, mems, enc_out, [N] * B, 1.0, 1)
        assert_close(writer(mems, enc_out), expected, "bmn, slots=None")


@pytest.mark.parametrize("num_updates", [1, 3])
def test_gru_writer_equals_the_published_one(num_updates):
    torch.manual_seed(0)
    published = PublishedMemformer(
        dim=DIM,
        num_memory_slots=K,
        num_mem_updates=num_updates,
        encoder_only=True,
        mem_update_attn_heads=HEADS,
        enc_num_tokens=23,
        enc_max_seq_len=N,
        enc_depth=1,
        enc_heads=3,
        dec_depth=1,
        dec_heads=3,
        dec_num_tokens=2,
        dec_max_seq_len=2,
    )
    published = randomise(published.double())
    writer = make_writer(1, num_updates=num_updates)
    writer.attention.load_state_dict(published.mem_updater.state_dict())
    writer.rule.cell.load_state_dict(published.gru.state_dict())
    writer.rule.feed_forward.load_state_dict(published.mem_ff.state_dict())
    tokens = torch.randint(23, (B, N), generator=generator(1))
    mask = length_mask([N, 5, 1], N)
    for src_mask in (None, mask):
        enc_out, mem = published(tokens, src_mask=src_mask)
        start = published.get_initial_mem(B)
        assert_close(writer(start, enc_out, src_mask), mem, "published writer", 1e-12)


def test_gradients_equal_those_of_the_loop():
    for update in UPDATES:
        writer, slots = make_writer(num_updates=2, update=update, temperature=0.7), None
        leaves = [leaf.requires_grad_() for leaf in inputs(update=update)]
        if update == "bmn":
            slots = bias_for(update).requires_grad_()
            leaves.append(slots)
        lengths = [N, 4, 0]
        direction = randn(B, K, DIM, seed=3)
        outs = (
            writer(leaves[0], leaves[1], length_mask(lengths, N), slots),
            slow_writer(writer, leaves[0], leaves[1], lengths, 0.7, 2, slots),
        )
        wanted = [*leaves, *writer.parameters()]
        fast, slow = (torch.autograd.grad(out, wanted, direction) for out in outs)
        names = ["mems", "enc_out", "slots"][: len(leaves)]
        names += [name for name, _ in writer.named_parameters()]
        for name, ours, expected in zip(names, fast, slow, strict=True):
            assert_close(ours, expected, f"{update}: gradient of {name}")


# Who may look at whom


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("num_updates", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_slots_do_not_see_each_other(update, num_updates, masked):
    writer = make_writer(num_updates=num_updates, update=update)
    (mems, enc_out), slots = inputs(update=update), bias_for(update)
    mask = length_mask([N, 4, 1], N) if masked else None
    mems.requires_grad_()
    new = writer(mems, enc_out, mask, slots)
    for slot in range(K):
        (gradient,) = torch.autograd.grad(
            new[:, slot].square().sum() + new[:, slot].sum(), mems, retain_graph=True
        )
        others = [other for other in range(K) if other != slot]
        assert (gradient[:, others] == 0).all(), f"slot {slot} sees another slot"
        assert (gradient[:, slot] != 0).any(-1).all(), f"slot {slot} does not see itself"


@pytest.mark.parametrize("update", UPDATES)
def test_slots_do_not_change_when_another_one_does(update):
    writer, slots = make_writer(num_updates=2, update=update), bias_for(update)
    mems, enc_out = inputs(update=update)
    changed = mems.clone()
    changed[:, 3] = randn(DIM, seed=99) * 50
    others = [k for k in range(K) if k != 3]
    with torch.no_grad():
        before = writer(mems, enc_out, slots=slots)
        after = writer(changed, enc_out, slots=slots)
    assert_close(after[:, others], before[:, others], "another slot was changed", 1e-13)
    assert_differ(after[:, 3], before[:, 3], "the changed slot itself stayed")


@pytest.mark.parametrize("update", UPDATES)
def test_every_slot_sees_every_token(update):
    writer, slots = make_writer(update=update), bias_for(update)
    mems, enc_out = inputs(update=update)
    enc_out.requires_grad_()
    new = writer(mems, enc_out, slots=slots)
    for slot in range(K):
        (gradient,) = torch.autograd.grad(
            new[:, slot].square().sum() + new[:, slot].sum(), enc_out, retain_graph=True
        )
        assert (gradient.abs().sum(-1) > 0).all(), f"slot {slot} does not see all tokens"


@pytest.mark.parametrize("update", UPDATES)
def test_nothing_crosses_the_batch(update):
    writer, slots = make_writer(update=update), bias_for(update)
    mems, enc_out = (x.requires_grad_() for x in inputs(update=update))
    new = writer(mems, enc_out, slots=slots)[1]
    for gradient in torch.autograd.grad(new.square().sum() + new.sum(), (mems, enc_out)):
        assert (gradient[[0, 2]] == 0).all(), "row 1 sees another row"


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("seed", range(3))
def test_permuting_slots_permutes_the_memory(update, seed):
    writer, slots = make_writer(seed, update=update), bias_for(update)
    mems, enc_out = inputs(seed, update)
    order = torch.randperm(K, generator=generator(seed))
    with torch.no_grad():
        expected = writer(mems, enc_out, slots=slots)[:, order]
        shuffled_bias = None if slots is None else slots[order]
        got = writer(mems[:, order], enc_out, slots=shuffled_bias)
    assert_close(got, expected, "permuted slots", 1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_order_of_tokens_does_not_matter_for_writing(update):
    writer, slots = make_writer(update=update), bias_for(update)
    mems, enc_out = inputs(update=update)
    with torch.no_grad():
        expected = writer(mems, enc_out, slots=slots)
        got = writer(mems, enc_out.flip(1), slots=slots)
    assert_close(got, expected, "tokens in reverse order", 1e-12)


@pytest.mark.parametrize("raw_self", [False, True])
def test_weights_sum_to_one_and_padding_has_none(raw_self):
    torch.manual_seed(0)
    attention = randomise(SlotAttention(DIM, heads=HEADS, raw_self=raw_self).double())
    mems, enc_out = inputs()
    mask = length_mask([N, 4, 0], N)
    for src_mask in (None, mask):
        _, weights = attention(mems, enc_out, src_mask)
        assert weights.shape == (B, HEADS, K, 1 + N)
        ones = torch.ones(B, HEADS, K, dtype=torch.float64)
        assert_close(weights.sum(-1), ones, "sum of the weights of a slot", 1e-12)
        assert (weights >= 0).all()
        if src_mask is not None:
            hidden = weights[..., 1:].masked_select(~mask[:, None, None])
            assert (hidden == 0).all(), "padding has a weight"
            assert (weights[2, ..., 0] == 1).all(), "with padding only, all weight is on itself"


def test_column_0_of_the_weights_is_the_slot_itself():
    torch.manual_seed(0)
    attention = randomise(SlotAttention(DIM, heads=1, raw_self=True).double())
    mems, enc_out = inputs()
    with torch.no_grad():
        written, weights = attention(mems, enc_out)
        values = linear(attention.to_kv, enc_out)[..., DIM:]
        expected = weights[:, 0, :, :1] * mems + weights[:, 0, :, 1:] @ values
    assert_close(written, expected, "weights of the slot itself, then of the tokens")


def test_a_low_temperature_takes_the_best_match_only():
    for raw_self in (False, True):
        torch.manual_seed(0)
        mild = randomise(SlotAttention(DIM, heads=HEADS, raw_self=raw_self).double())
        sharp = SlotAttention(DIM, heads=HEADS, raw_self=raw_self, temperature=1e-6).double()
        sharp.load_state_dict(mild.state_dict())
        _, at_one = mild(*inputs())
        _, at_zero = sharp(*inputs())
        best = torch.nn.functional.one_hot(at_one.argmax(-1), 1 + N).double()
        assert_close(at_zero, best, "temperature near 0", 1e-9)


@pytest.mark.parametrize("update", UPDATES)
def test_temperature_reaches_the_writer(update):
    mems, enc_out = inputs(update=update)
    one = make_writer(update=update)
    default = make_writer(update=update, temperature=1.0)
    sharp = make_writer(update=update, temperature=0.5)
    assert torch.equal(one(mems, enc_out), default(mems, enc_out)), "the default is not 1"
    assert_differ(one(mems, enc_out), sharp(mems, enc_out), "temperature is ignored", 1e-4)


# Padding


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("seed", range(2))
def test_padding_does_not_matter_and_a_row_equals_the_row_alone(update, seed):
    writer, slots = make_writer(seed, num_updates=2, update=update), bias_for(update)
    mems, enc_out = inputs(seed, update)
    lengths = [N, 4, 1]
    mask = length_mask(lengths, N)
    other = torch.where(mask[..., None], enc_out, 1e3)
    with torch.no_grad():
        padded = writer(mems, enc_out, mask, slots)
        again = writer(mems, other, mask, slots)
        assert torch.equal(padded, again), "what stands in the padding leaks"
        for b, length in enumerate(lengths):
            row = slice(b, b + 1)
            alone = writer(mems[row], enc_out[row, :length], slots=slots)
            assert_close(padded[row], alone, f"row {b} alone, without padding")


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("num_updates", [1, 3])
def test_a_row_of_padding_keeps_its_memory_bit_for_bit(update, num_updates):
    writer = make_writer(num_updates=num_updates, update=update)
    slots, (mems, enc_out) = bias_for(update), inputs()
    mask = length_mask([N, 0, 3], N)
    mems.requires_grad_(), enc_out.requires_grad_()
    new = writer(mems, enc_out, mask, slots)
    assert torch.equal(new[1], mems[1]), "the memory of an empty segment changed"
    assert_differ(new[[0, 2]], mems[[0, 2]], "the other rows were not written")
    new.square().sum().backward()
    assert torch.equal(mems.grad[1], 2 * mems[1]), "the kept row's gradient is not its own"
    assert (enc_out.grad[1] == 0).all(), "padding gets a gradient"
    for name, tensor in [("mems", mems), ("enc_out", enc_out), *writer.named_parameters()]:
        assert torch.isfinite(tensor.grad).all(), f"gradient of {name} is not finite"


# Options


@pytest.mark.parametrize("update", UPDATES)
def test_several_updates_are_one_update_several_times(update):
    (mems, enc_out), slots = inputs(update=update), bias_for(update)
    once, three = make_writer(update=update), make_writer(update=update, num_updates=3)
    mask = length_mask([N, 4, 0], N)
    with torch.no_grad():
        expected = mems
        for _ in range(3):
            expected = once(expected, enc_out, mask, slots)
        assert_close(three(mems, enc_out, mask, slots), expected, "num_updates=3")
        assert_differ(once(mems, enc_out, mask, slots), expected, "one update is like three")


@pytest.mark.parametrize("update", UPDATES)
def test_feed_forward_can_be_left_out(update):
    with_it, without = make_writer(update=update), make_writer(update=update, feed_forward=False)
    names = {name.split(".")[1] for name, _ in without.named_parameters()}
    assert "feed_forward" not in names, "the feed-forward's parameters are still there"
    assert "feed_forward" in {name.split(".")[1] for name, _ in with_it.named_parameters()}
    state = with_it.state_dict()
    without.load_state_dict(
        {k: v for k, v in state.items() if not k.startswith("rule.feed_forward")}
    )
    mems, enc_out = inputs(update=update)
    assert_differ(with_it(mems, enc_out), without(mems, enc_out), "feed_forward has no effect")


@pytest.mark.parametrize("update", UPDATES)
def test_each_writer_has_only_the_parameters_it_uses(update):
    writer = make_writer(update=update)
    slots, (mems, enc_out) = bias_for(update), inputs(update=update)
    writer(mems, enc_out, slots=slots).pow(3).sum().backward()
    unused = [n for n, p in writer.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused, f"never used: {unused}"
    parts = {name.split(".")[1] for name, _ in writer.rule.named_parameters(prefix="rule")}
    gated = {"cell"} if update == "gru" else set()
    assert parts == {"feed_forward"} | gated


def test_gate_near_one_keeps_and_near_zero_takes():
    mems, enc_out = inputs()
    for bias, keeps in ((60.0, True), (-60.0, False)):
        writer = make_writer(feed_forward=False)
        with torch.no_grad():
            writer.rule.cell.bias_ih[DIM : 2 * DIM] = bias
            new = writer(mems, enc_out)
        if keeps:
            assert_close(new, mems, "update gate at 1 keeps the slot", 1e-12)
        else:
            assert (new.abs() <= 1).all(), "update gate at 0 leaves something of the old slot"
            assert_differ(new, mems, "update gate at 0 keeps the slot")


def test_number_of_heads_has_an_effect():
    mems, enc_out = inputs()
    five, three = make_writer(), make_writer(heads=3)
    three.load_state_dict(five.state_dict())
    assert_differ(five(mems, enc_out), three(mems, enc_out), "heads is ignored", 1e-4)


def test_defaults_are_those_of_the_reference():
    torch.manual_seed(0)
    default = MemoryWriter(24).double()
    spelt = MemoryWriter(
        24, heads=8, num_updates=1, update="gru", temperature=1.0, feed_forward=True
    ).double()
    spelt.load_state_dict(default.state_dict())
    mems, enc_out = randn(2, 3, 24), randn(2, 5, 24, seed=1)
    assert torch.equal(default(mems, enc_out), spelt(mems, enc_out))


def test_inputs_are_left_as_they_were():
    for update in UPDATES:
        writer, slots = make_writer(num_updates=2, update=update), bias_for(update)
        mems, enc_out = inputs(update=update)
        given = [mems, enc_out, length_mask([N, 4, 0], N)]
        given += [] if slots is None else [slots]
        kept = [x.clone() for x in given]
        writer(*given)
        for before, now in zip(kept, given, strict=True):
            assert torch.equal(before, now), f"{update}: the writer wrote into what it was given"


# Forgetting


def selfish_writer(**options) -> MemoryWriter:
    """A BMN writer whose slots put all their weight on themselves, so that nothing is written.

    Query and key of a row are both large multiples of it; an encoder output of zeros scores 0,
    the slot itself scores thousands.
    """
    writer = make_writer(update="bmn", feed_forward=False, **options)
    with torch.no_grad():
        for weight in (writer.attention.to_q.weight, writer.attention.to_kv.weight[:DIM]):
            weight.copy_(1e3 * torch.eye(DIM))
        writer.attention.to_q.bias.zero_()
        writer.attention.to_kv.bias[:DIM] = 0
    return writer


@pytest.mark.parametrize("strength", [0.05, 0.5, 1.7])
@pytest.mark.parametrize("seed", range(3))
def test_bmn_walks_towards_the_bias_by_the_closed_formula(strength, seed):
    """tan(theta') = sin(theta) / (cos(theta) + |v|), theta being the angle to the bias v."""
    writer, (mems, _) = selfish_writer(), inputs(seed, "bmn")
    slots = randn(K, DIM, seed=seed + 5)
    slots = strength * slots / slots.norm(dim=-1, keepdim=True)
    nothing = torch.zeros(B, N, DIM, dtype=torch.float64)
    direction = slots / strength

    def angle(slots):
        cosine = (slots * direction).sum(-1)
        sine = (slots - cosine[..., None] * direction).norm(dim=-1)
        return torch.atan2(sine, cosine)

    with torch.no_grad():
        for step in range(12):
            theta = angle(mems)
            mems = writer(mems, nothing, slots=slots)
            expected = torch.atan2(theta.sin(), theta.cos() + strength)
            assert_close(angle(mems), expected, f"angle after {step + 1} empty segments", 1e-9)
    assert (angle(mems) < theta).all(), "the slots do not come closer to their bias"


def test_bmn_keeps_a_slot_that_looks_at_itself_only():
    """The slot's own value is the raw slot, so without forgetting nothing changes."""
    writer, (mems, _) = selfish_writer(), inputs(update="bmn")
    nothing = torch.zeros(B, N, DIM, dtype=torch.float64)
    with torch.no_grad():
        for bias in (None, torch.zeros(K, DIM, dtype=torch.float64)):
            assert_close(writer(mems, nothing, slots=bias), mems, f"slots={bias}", 1e-12)


@pytest.mark.parametrize("feed_forward", [True, False])
@pytest.mark.parametrize("num_updates", [1, 2])
def test_bmn_keeps_norm_one_over_1000_segments(feed_forward, num_updates):
    writer = make_writer(update="bmn", feed_forward=feed_forward, num_updates=num_updates)
    (mems, _), slots = inputs(update="bmn"), bias_for("bmn")
    ones = torch.ones(B, K, dtype=torch.float64)
    draw = generator(0)
    farthest = torch.zeros(B, K, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(1000):
            enc_out = torch.randn(B, 3, DIM, generator=draw, dtype=torch.float64)
            mems = writer(mems, enc_out, slots=slots)
            farthest = torch.maximum(farthest, (mems.norm(dim=-1) - 1).abs())
    assert_close(mems.norm(dim=-1), ones, "norm of the slots", 1e-12)
    assert farthest.max() < 1e-12, f"a norm was off by {farthest.max():.3g} on the way"


def test_bmn_bias_pulls_towards_itself():
    writer, (mems, enc_out) = make_writer(update="bmn", feed_forward=False), inputs(update="bmn")
    strong = 1e6 * bias_for("bmn")
    with torch.no_grad():
        new = writer(mems, enc_out, slots=strong)
    expected = (strong / strong.norm(dim=-1, keepdim=True)).expand(B, K, DIM)
    assert_close(new, expected, "a very strong bias wins", 1e-4)


def test_bmn_forgets_the_start_and_keeps_the_difference_without_a_bias():
    """Two memories become alike under a bias; without one they stay apart."""
    writer = selfish_writer()
    first, second = (inputs(seed, "bmn")[0] for seed in (0, 1))
    nothing, slots = torch.zeros(B, N, DIM, dtype=torch.float64), bias_for("bmn")
    with torch.no_grad():
        apart = (first - second).norm(dim=-1)
        with_bias = without = (first, second)
        for _ in range(10):
            with_bias = tuple(writer(m, nothing, slots=slots) for m in with_bias)
            without = tuple(writer(m, nothing) for m in without)
    assert ((with_bias[0] - with_bias[1]).norm(dim=-1) < 1e-3 * apart).all(), "no forgetting"
    assert_close((without[0] - without[1]).norm(dim=-1), apart, "without a bias", 1e-9)
