"""The whole model: segments, memory, padding, slots, loss and generation together."""

import pytest
import torch
from helpers import (
    BATCH,
    ENCODER_SIZES,
    SIZES,
    SLOTS,
    SOURCE,
    TARGET,
    assert_close,
    assert_differ,
    assert_finite_gradients,
    generator,
    length_mask,
    make_model,
    randn,
    source_tokens,
    target_tokens,
)

from memformer_lite import Memformer, Results

UPDATES = ["gru", "bmn"]
DIM = SIZES["dim"]


# Results


def test_results_have_one_type_in_all_modes():
    model = make_model()
    for options in ({}, {"tgt": target_tokens()}):
        out = model(source_tokens(), **options)
        assert isinstance(out, Results) and Results._fields == ("enc_out", "mem", "dec_out")
        assert out.enc_out.shape == (BATCH, SOURCE, DIM)
        assert out.mem.shape == (BATCH, SLOTS, DIM)
        if options:
            assert out.dec_out.shape == () and out.dec_out.requires_grad
        else:
            assert out.dec_out is None, "without a target there is no loss, and no fake one"
    out = make_model(encoder_only=True)(source_tokens())
    assert isinstance(out, Results) and out.dec_out is None


@pytest.mark.parametrize("update", UPDATES)
def test_initial_memory(update):
    model = make_model(mem_update=update)
    mems = model.get_initial_mem(BATCH)
    assert mems.shape == (BATCH, SLOTS, DIM)
    slots = model.memory_slots
    if update == "bmn":
        slots = slots / slots.norm(dim=-1, keepdim=True)
    for b in range(BATCH):
        assert_close(mems[b], slots, f"row {b} of the initial memory", 1e-14)
    out, same = model(source_tokens()), model(source_tokens(), mems=mems)
    assert torch.equal(out.mem, same.mem) and torch.equal(out.enc_out, same.enc_out)


def test_initial_memory_rows_share_no_storage():
    model = make_model()
    before = model.memory_slots.detach().clone()
    with torch.no_grad():
        mems = model.get_initial_mem(BATCH)
        mems[1] += 1
    assert torch.equal(model.memory_slots, before), "writing to the memory changed the parameter"
    assert torch.equal(mems[0], mems[2]) and not torch.equal(mems[0], mems[1])


def test_slots_start_apart():
    torch.manual_seed(0)
    slots = Memformer(**SIZES).memory_slots
    assert torch.pdist(slots).min() > 0.1, "equal slots would stay equal for ever"


# The order of events


@pytest.mark.parametrize("update", UPDATES)
def test_pieces_are_put_together_as_described(update):
    """Encode with the old memory; decode from that; write last."""
    model = make_model(mem_update=update, num_mem_updates=2)
    src, tgt, mems = source_tokens(), target_tokens(), randn(BATCH, SLOTS, DIM)
    src_mask, tgt_mask = length_mask([SOURCE, 4, 1], SOURCE), length_mask([TARGET, 2, 9], TARGET)
    out = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
    enc_out = model.encoder(src, context=mems, src_mask=src_mask)
    bias = model.memory_slots if update == "bmn" else None
    mem = model.memory_writer(mems, enc_out, src_mask, bias)
    loss = model.decoder(tgt, context=enc_out, src_mask=src_mask, tgt_mask=tgt_mask)
    assert_close(out.enc_out, enc_out, "enc_out", 1e-13)
    assert_close(out.mem, mem, "mem", 1e-13)
    assert_close(out.dec_out, loss, "loss", 1e-13)


@pytest.mark.parametrize("update", UPDATES)
def test_memory_makes_a_difference_to_everything(update):
    model, src, tgt = make_model(mem_update=update), source_tokens(), target_tokens()
    first, second = (model(src, tgt, mems=randn(BATCH, SLOTS, DIM, seed=seed)) for seed in (0, 1))
    assert_differ(first.enc_out, second.enc_out, "the encoder does not read")
    assert_differ(first.mem, second.mem, "the old memory does not matter")
    assert_differ(first.dec_out, second.dec_out, "the loss does not depend on the memory")


def test_target_changes_neither_encoder_output_nor_memory():
    model, src = make_model(), source_tokens()
    with_target, without = model(src, target_tokens()), model(src)
    assert torch.equal(with_target.enc_out, without.enc_out)
    assert torch.equal(with_target.mem, without.mem)


def test_loss_of_a_segment_gives_the_writer_no_gradient_but_the_next_one_does():
    model = make_model()
    out = model(source_tokens(), target_tokens())
    out.dec_out.backward(retain_graph=True)
    assert all(p.grad is None for p in model.memory_writer.parameters())
    model(source_tokens(seed=1), target_tokens(seed=1), mems=out.mem).dec_out.backward()
    for name, parameter in model.memory_writer.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} learns nothing"
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("update", UPDATES)
def test_every_parameter_is_used(update):
    model = make_model(mem_update=update)
    out = model(source_tokens(), target_tokens())
    out = model(source_tokens(seed=1), target_tokens(seed=1), mems=out.mem)
    (out.dec_out + out.mem.pow(3).sum()).backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused, f"never used: {unused}"


# Padding


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("pad", [0, 5, 22])
def test_padding_changes_nothing(update, pad):
    """Right padding of any id: same encoder output, memories and losses over three segments."""
    model = make_model(mem_update=update)
    source, target = [[11, 4, 1], [1, 11, 6], [5, 0, 11]], [[17, 3, 2], [2, 17, 9], [9, 5, 17]]
    mems = None
    alone_mems = [None] * BATCH
    for segment in range(3):
        src_mask = length_mask(source[segment], SOURCE)
        tgt_mask = length_mask(target[segment], TARGET)
        src = torch.where(src_mask, source_tokens(seed=segment), pad)
        tgt = torch.where(tgt_mask, target_tokens(seed=segment), pad)
        out = model(src, tgt, mems=mems, src_mask=src_mask, tgt_mask=tgt_mask)
        assert all(torch.isfinite(x).all() for x in out), "nan or inf"
        total, count = 0.0, 0
        for b in range(BATCH):
            n, m = source[segment][b], target[segment][b]
            if n == 0:  # nothing to encode: only the memory can be compared, with itself
                kept = model.get_initial_mem(1) if alone_mems[b] is None else alone_mems[b]
                assert_close(out.mem[b : b + 1], kept, "memory of an empty segment", 1e-10)
                one = slice(b, b + 1)
                loss = model(src[one], tgt[one, :m], mems=kept, src_mask=src_mask[one]).dec_out
            else:
                alone = model(src[b : b + 1, :n], tgt[b : b + 1, :m], mems=alone_mems[b])
                assert_close(out.enc_out[b, :n], alone.enc_out[0], f"enc_out of row {b}")
                assert_close(out.mem[b], alone.mem[0], f"memory of row {b}")
                alone_mems[b], loss = alone.mem, alone.dec_out
            total, count = total + loss * (m - 1), count + m - 1
        assert_close(out.dec_out, total / count, "loss: token-weighted mean of the rows")
        mems = out.mem


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("num_mem_updates", [1, 3])
def test_a_row_of_padding_keeps_its_memory_bit_for_bit(update, num_mem_updates):
    model = make_model(mem_update=update, num_mem_updates=num_mem_updates)
    mems, src_mask = randn(BATCH, SLOTS, DIM), length_mask([SOURCE, 0, 0], SOURCE)
    out = model(source_tokens(), mems=mems, src_mask=src_mask)
    assert torch.equal(out.mem[1:], mems[1:]), "an empty segment changed the memory"
    assert_differ(out.mem[0], mems[0], "a full segment did not change the memory")
    again = model(source_tokens(), src_mask=src_mask)
    assert torch.equal(again.mem[1:], model.get_initial_mem(2)), "nor the initial memory"


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("lengths", [[0, 0, 0], [0, 3, 0]])
def test_no_nan_anywhere_where_all_is_padding(update, lengths):
    model = make_model(mem_update=update)
    mems = randn(BATCH, SLOTS, DIM).requires_grad_()
    out = model(
        source_tokens(),
        target_tokens(),
        mems=mems,
        src_mask=length_mask(lengths, SOURCE),
        tgt_mask=length_mask([4, 0, 1], TARGET),
    )
    assert all(torch.isfinite(x).all() for x in out)
    (out.enc_out.square().sum() + out.mem.square().sum() + out.dec_out).backward()
    assert torch.isfinite(mems.grad).all()
    assert_finite_gradients(model, "rows of padding")
    tokens = model.generate(
        target_tokens(length=2), 5, context=out.enc_out, context_mask=length_mask(lengths, SOURCE)
    )
    assert ((tokens >= 0) & (tokens < SIZES["dec_num_tokens"])).all()


def test_hidden_source_tokens_have_no_influence_on_anything():
    """A mask with holes: what stands in them does not reach any result."""
    model = make_model()
    src_mask = torch.rand(BATCH, SOURCE, generator=generator(2)) < 0.5
    src_mask[:, 0] = True
    first = source_tokens()
    second = torch.where(src_mask, first, (first + 7) % SIZES["enc_num_tokens"])
    before = model(first, target_tokens(), src_mask=src_mask)
    after = model(second, target_tokens(), src_mask=src_mask)
    assert torch.equal(before.enc_out[src_mask], after.enc_out[src_mask])
    assert torch.equal(before.mem, after.mem)
    assert torch.equal(before.dec_out, after.dec_out)
    unmasked = model(first, target_tokens()), model(second, target_tokens())
    assert_differ(unmasked[0].mem, unmasked[1].mem, "without a mask they must have one")


def test_a_mask_of_only_true_is_no_mask():
    model = make_model()
    everything = {
        "src_mask": torch.ones(BATCH, SOURCE).bool(),
        "tgt_mask": torch.ones(BATCH, TARGET).bool(),
    }
    masked = model(source_tokens(), target_tokens(), **everything)
    plain = model(source_tokens(), target_tokens())
    for name, with_mask, without in zip(Results._fields, masked, plain, strict=True):
        assert_close(with_mask, without, name, 1e-12)


@pytest.mark.parametrize("row", range(BATCH))
def test_reordering_the_batch_reorders_the_results(row):
    model, order = make_model(), [1, 2, 0]
    src, mems = source_tokens(), randn(BATCH, SLOTS, DIM)
    src_mask = length_mask([SOURCE, 4, 1], SOURCE)
    plain = model(src, mems=mems, src_mask=src_mask)
    moved = model(src[order], mems=mems[order], src_mask=src_mask[order])
    assert_close(moved.mem[row], plain.mem[order[row]], "memory", 1e-12)
    assert_close(moved.enc_out[row], plain.enc_out[order[row]], "enc_out", 1e-12)


# Slots


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("seed", range(3))
def test_permuting_slots_permutes_the_memory_and_leaves_enc_out(update, seed):
    model, order = make_model(seed, mem_update=update), torch.randperm(SLOTS)
    mems, src_mask = randn(BATCH, SLOTS, DIM, seed=seed), length_mask([SOURCE, 4, 1], SOURCE)
    plain = model(source_tokens(), target_tokens(), mems=mems, src_mask=src_mask)
    if update == "bmn":  # each slot's bias goes with it
        with torch.no_grad():
            model.memory_slots.copy_(model.memory_slots[order])
    moved = model(source_tokens(), target_tokens(), mems=mems[:, order], src_mask=src_mask)
    assert_close(moved.enc_out, plain.enc_out, "enc_out with permuted slots", 1e-12)
    assert_close(moved.dec_out, plain.dec_out, "loss with permuted slots", 1e-12)
    assert_close(moved.mem, plain.mem[:, order], "memory with permuted slots", 1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_slots_meet_only_through_what_the_tokens_have_read(update):
    """With reading silenced, the Jacobian between two slots is exactly zero in the whole model."""
    model = make_model(mem_update=update, num_mem_updates=2)
    for layer in model.encoder.layer_blocks.layers:
        torch.nn.init.zeros_(layer.read.to_out.weight)
    mems = randn(BATCH, SLOTS, DIM).requires_grad_()
    out = model(source_tokens(), mems=mems).mem
    for slot in range(SLOTS):
        (gradient,) = torch.autograd.grad(out[:, slot].pow(3).sum(), mems, retain_graph=True)
        others = [k for k in range(SLOTS) if k != slot]
        assert (gradient[:, others] == 0).all(), f"slot {slot} sees another slot"
        assert gradient[:, slot].any()


def test_bmn_keeps_norm_one_over_1000_segments():
    model = make_model(encoder_only=True, mem_update="bmn", enc_depth=1)
    mems, draw, worst = None, generator(0), 0.0
    with torch.no_grad():
        for _ in range(1000):
            src = torch.randint(SIZES["enc_num_tokens"], (2, 3), generator=draw)
            mems = model(src, mems=mems).mem
            worst = max(worst, (mems.norm(dim=-1) - 1).abs().max().item())
    assert worst < 1e-12, f"a norm was off by {worst:.3g}"


def test_bmn_bias_is_the_slots_parameter():
    """The model forgets towards `memory_slots`, not away from it, nor towards its direction."""
    model = make_model(mem_update="bmn")
    with torch.no_grad():
        model.memory_slots.mul_(1e6)
        out = model(source_tokens(), mems=randn(BATCH, SLOTS, DIM))
        expected = model.get_initial_mem(BATCH)
    assert_close(out.mem, expected, "an overwhelming bias", 1e-3)


# Every option has an effect


def changed_outputs(**options):
    """Return results of a default model, and of one with an option changed, from one state."""
    plain, other = make_model(), make_model()
    other = Memformer(**{**SIZES, **options}).double().eval()
    state = plain.state_dict()
    own = other.state_dict()
    assert {n: v.shape for n, v in own.items() if n in state} == {n: state[n].shape for n in own}
    other.load_state_dict({name: state[name] for name in own})
    args = source_tokens(), target_tokens()
    return plain(*args), other(*args), other


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"num_mem_updates": 2}, ["mem"]),
        ({"mem_update_attn_heads": 3}, ["mem"]),
        ({"mem_temperature": 0.5}, ["mem"]),
        ({"mem_feed_forward": False}, ["mem"]),
        ({"position_buckets": "reference"}, ["enc_out", "mem", "dec_out"]),
    ],
    ids=str,
)
def test_option_changes_what_it_should(options, changes):
    plain, other, _ = changed_outputs(**options)
    for name in Results._fields:
        before, after = getattr(plain, name), getattr(other, name)
        if name in changes:
            assert_differ(before, after, f"{options} has no effect on {name}", 1e-5)
        else:
            assert torch.equal(before, after), f"{options} changes {name}"


def test_bmn_differs_from_gru_and_takes_its_temperature():
    results = []
    for options in (
        {},
        {"mem_temperature": 0.25},
        {"num_mem_updates": 2},
        {"mem_feed_forward": False},
        {"mem_update_attn_heads": 3},
    ):
        model = make_model(mem_update="bmn")
        other = Memformer(**{**SIZES, "mem_update": "bmn", **options}).double().eval()
        state = model.state_dict()
        other.load_state_dict({name: state[name] for name in other.state_dict()})
        results.append(other(source_tokens()).mem)
    for index in range(1, len(results)):
        assert_differ(results[0], results[index], f"option {index} has no effect on bmn", 1e-5)
    assert "memory_writer.rule.cell.weight_ih" not in model.state_dict()


def test_position_buckets_mend_both_directions():
    right, swapped = make_model(), make_model(position_buckets="reference")
    assert right.encoder.layer_blocks.rel_pos_emb.bidirectional is True
    assert right.decoder.net.layer_blocks.rel_pos_emb.bidirectional is False
    assert swapped.encoder.layer_blocks.rel_pos_emb.bidirectional is False
    assert swapped.decoder.net.layer_blocks.rel_pos_emb.bidirectional is True
    default = Memformer(**SIZES)
    assert default.encoder.layer_blocks.rel_pos_emb.bidirectional is True, "default is not t5"
    assert default.decoder.net.layer_blocks.rel_pos_emb.bidirectional is False


def test_sizes_reach_their_places():
    model = make_model(enc_depth=3, dec_depth=1)
    assert model.encoder.token_emb.weight.shape == (23, DIM)
    assert model.decoder.net.token_emb.weight.shape == (29, DIM)
    assert model.decoder.net.to_logits.weight.shape == (29, DIM)
    assert model.encoder.max_seq_len == 13 and model.decoder.net.max_seq_len == 19
    assert len(model.encoder.layer_blocks.layers) == 3
    assert len(model.decoder.net.layer_blocks.layers) == 1
    encoder_bias = model.encoder.layer_blocks.rel_pos_emb.relative_attention_bias
    decoder_bias = model.decoder.net.layer_blocks.rel_pos_emb.relative_attention_bias
    assert encoder_bias.weight.shape == (32, 3) and decoder_bias.weight.shape == (32, 5)
    for layer in model.encoder.layer_blocks.layers:
        assert (layer.look_around.heads, layer.read.heads) == (3, 3)
    for layer in model.decoder.net.layer_blocks.layers:
        assert (layer.look_around.heads, layer.read.heads) == (5, 5)
    assert model.memory_writer.attention.heads == 2
    assert model.memory_slots.shape == (SLOTS, DIM)


def test_all_heads_are_8_by_default():
    sizes = {name: size for name, size in SIZES.items() if "heads" not in name}
    model = Memformer(**{**sizes, "dim": 24})
    assert model.encoder.layer_blocks.layers[0].look_around.heads == 8
    assert model.decoder.net.layer_blocks.layers[0].look_around.heads == 8
    assert model.memory_writer.attention.heads == 8


def test_dropout_acts_in_encoder_and_decoder_in_training_only():
    model, plain = make_model(dropout=0.3), make_model()
    args = source_tokens(), target_tokens()
    for before, after in zip(plain(*args), model(*args), strict=True):
        assert torch.equal(before, after), "dropout acts in evaluation mode"
    plain.train()
    for before, after in zip(make_model()(*args), plain(*args), strict=True):
        assert torch.equal(before, after), "there is dropout by default"
    model.train()
    torch.manual_seed(0)
    first, second = model(*args), model(*args)
    assert_differ(first.enc_out, second.enc_out, "no dropout in the encoder", 1e-3)
    context = first.enc_out.detach()
    losses = [model.logits(target_tokens(), context) for _ in range(2)]
    assert_differ(*losses, "no dropout in the decoder", 1e-3)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("kind", ["look_around", "read", "think"])
def test_dropout_reaches_every_part(part, kind):
    model = make_model(dropout=0.3)
    blocks = model.encoder.layer_blocks if part == "encoder" else model.decoder.net.layer_blocks
    for layer in blocks.layers:
        module = getattr(layer, kind)
        if kind == "think":
            rates = [m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)]
            assert rates and set(rates) == {0.3}, f"{part}, {kind}: {rates}"
        else:
            assert module.dropout == 0.3, f"{part}, {kind}: {module.dropout}"


# Encoder only


def test_encoder_only_has_no_decoder_and_gives_the_same_numbers():
    full, half = make_model(), make_model(encoder_only=True)
    assert half.decoder is None
    assert not any(name.startswith("decoder") for name, _ in half.named_parameters())
    state = full.state_dict()
    half.load_state_dict({name: state[name] for name in half.state_dict()})
    mems = randn(BATCH, SLOTS, DIM)
    src_mask = length_mask([SOURCE, 4, 0], SOURCE)
    expected, got = (m(source_tokens(), mems=mems, src_mask=src_mask) for m in (full, half))
    assert torch.equal(got.enc_out, expected.enc_out) and torch.equal(got.mem, expected.mem)


def test_encoder_only_warns_of_options_it_does_not_use():
    with pytest.warns(UserWarning) as caught:
        Memformer(**ENCODER_SIZES, encoder_only=True, dec_depth=2, dec_num_tokens=5)
    message = " ".join(str(warning.message) for warning in caught)
    assert "dec_depth" in message and "dec_num_tokens" in message, message
    assert "dec_max_seq_len" not in message, f"an option that was not given: {message}"
    assert caught[0].filename == __file__, "the warning does not point at the caller's line"


def test_encoder_only_warns_of_decoder_heads_too():
    with pytest.warns(UserWarning, match="dec_heads"):
        Memformer(**ENCODER_SIZES, encoder_only=True, dec_heads=5)


@pytest.mark.filterwarnings("error")
def test_no_warning_where_all_options_are_used():
    Memformer(**ENCODER_SIZES, encoder_only=True)
    Memformer(**SIZES)


# Logits and loss


@pytest.mark.parametrize("masked", [True, False])
def test_logits_at_i_are_for_token_i_plus_1(masked):
    """The loss, computed from the logits, token by token."""
    model, tgt = make_model(), target_tokens()
    masks = (
        {
            "src_mask": length_mask([SOURCE, 4, 1], SOURCE),
            "tgt_mask": length_mask([TARGET, 3, 8], TARGET),
        }
        if masked
        else {}
    )
    src_mask = {"src_mask": masks["src_mask"]} if masked else {}
    out = model(source_tokens(), tgt, **masks)
    logits = model.logits(tgt, out.enc_out, **masks)
    assert logits.shape == (BATCH, TARGET, SIZES["dec_num_tokens"])
    chosen = logits.log_softmax(-1)[:, :-1].gather(-1, tgt[:, 1:, None]).squeeze(-1)
    real = masks["tgt_mask"][:, 1:] if masked else torch.ones_like(chosen, dtype=torch.bool)
    assert_close(out.dec_out, -chosen[real].mean(), "loss from logits")
    if masked:
        other = model.logits(tgt, out.enc_out, **src_mask)
        real = masks["tgt_mask"]
        assert_close(logits[real], other[real], "tgt_mask hides only what is to the right", 1e-12)
        assert_differ(logits, model.logits(tgt, out.enc_out, tgt_mask=real), "src_mask is ignored")


def test_logits_hide_target_tokens_in_the_middle():
    model, tgt = make_model(), target_tokens()
    enc_out = model(source_tokens()).enc_out
    tgt_mask = torch.rand(BATCH, TARGET, generator=generator(4)) < 0.6
    other = torch.where(tgt_mask, tgt, (tgt + 3) % SIZES["dec_num_tokens"])
    before, after = (model.logits(text, enc_out, tgt_mask=tgt_mask) for text in (tgt, other))
    assert torch.equal(before[tgt_mask], after[tgt_mask]), "tgt_mask does not reach the decoder"
    seen = model.logits(tgt, enc_out)
    assert_differ(before[tgt_mask], seen[tgt_mask], "tgt_mask has no effect")


def test_logits_do_not_look_ahead():
    model, tgt = make_model(), target_tokens()
    enc_out = model(source_tokens()).enc_out
    for i in range(1, TARGET):
        other = tgt.clone()
        other[:, i:] = (other[:, i:] + 1) % SIZES["dec_num_tokens"]
        before, after = model.logits(tgt, enc_out), model.logits(other, enc_out)
        assert_close(before[:, :i], after[:, :i], f"logits before token {i}", 1e-13)
        assert_differ(before[:, i], after[:, i], f"logits at token {i}")


@pytest.mark.parametrize("length", [1, SIZES["dec_max_seq_len"]])
def test_logits_of_the_shortest_and_longest_target(length):
    model = make_model()
    enc_out = model(source_tokens()).enc_out
    assert model.logits(target_tokens(length=length), enc_out).shape == (BATCH, length, 29)


def test_shortest_and_longest_segments():
    model = make_model()
    for n, m in ((1, 2), (SIZES["enc_max_seq_len"], SIZES["dec_max_seq_len"])):
        out = model(source_tokens(length=n), target_tokens(length=m))
        assert out.enc_out.shape == (BATCH, n, DIM)
        assert torch.isfinite(out.dec_out)


def test_memory_passes_over_segments_of_different_lengths():
    model, mems = make_model(), None
    for seed, length in enumerate((SOURCE, 1, 5)):
        mems = model(source_tokens(length=length, seed=seed), mems=mems).mem
        assert mems.shape == (BATCH, SLOTS, DIM)


def test_inputs_are_left_as_they_were():
    for update in UPDATES:
        model = make_model(mem_update=update)
        given = [
            source_tokens(),
            target_tokens(),
            randn(BATCH, SLOTS, DIM),
            length_mask([SOURCE, 4, 0], SOURCE),
            length_mask([TARGET, 3, 1], TARGET),
        ]
        kept = [x.clone() for x in given]
        model(*given)
        for before, now in zip(kept, given, strict=True):
            assert torch.equal(before, now), f"{update}: the model wrote into what it was given"


# Generation


def test_generate_follows_the_logits_and_the_source_mask():
    model, start = make_model(), target_tokens(length=2)
    src_mask = length_mask([SOURCE, 4, 1], SOURCE)
    enc_out = model(source_tokens(), src_mask=src_mask).enc_out.detach()
    text = start
    for _ in range(23):  # beyond the limit of 19
        logits = model.logits(text[:, -19:], enc_out, src_mask=src_mask)
        text = torch.cat((text, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    for use_cache in (True, False):
        got = model.generate(
            start, 23, context=enc_out, context_mask=src_mask, temperature=0, use_cache=use_cache
        )
        assert torch.equal(got, text[:, 2:]), f"use_cache={use_cache}"


def test_generate_passes_every_option_on():
    """The model's method gives what the decoder's own gives, option by option."""
    model, start = make_model(), target_tokens(length=2)
    enc_out = model(source_tokens()).enc_out.detach()
    free = model.generate(start, 9, context=enc_out, temperature=0)
    eos = int(free[0, 3])
    src_mask = length_mask([SOURCE, 2, 1], SOURCE)
    for options in (
        {"temperature": 0, "eos_token": eos},
        {"temperature": 0, "eos_token": eos, "pad_token": 11},
        {"temperature": 0, "context_mask": src_mask},
        {"temperature": 0.3},
        {"temperature": 4.0},
        {"top_k": 2},
        {"top_p": 0.3},
        {"use_cache": False},
        {},
    ):
        results = [
            write(start, 9, context=enc_out, generator=generator(0), **options)
            for write in (model.generate, model.decoder.generate)
        ]
        assert torch.equal(*results), f"{options} is not passed on"
    calls = []
    model.decoder.net.register_forward_hook(lambda m, args, out: calls.append(args[0].shape[1]))
    model.generate(start, 4, context=enc_out)
    assert calls == [2, 1, 1, 1], f"the cache is not used by default: {calls}"
    calls.clear()
    model.generate(start, 4, context=enc_out, use_cache=False)
    assert calls == [2, 3, 4, 5], f"use_cache=False is not passed on: {calls}"


def test_generate_depends_on_the_context():
    model, start = make_model(), target_tokens(length=2)
    first, second = (
        model.generate(start, 15, context=10 * randn(BATCH, 5, DIM, seed=seed), temperature=0)
        for seed in (0, 1)
    )
    assert not torch.equal(first, second), "the context has no effect"
