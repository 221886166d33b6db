"""The published model (PyPI memformer 0.3.1) and ours give the same numbers with its weights."""

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    BATCH,
    SIZES,
    SLOTS,
    SOURCE,
    TARGET,
    assert_close,
    assert_differ,
    length_mask,
    make_model,
    make_pair,
    make_published,
    randn,
    source_tokens,
    target_tokens,
)

from memformer_lite import load_reference, reference_state_dict

LENGTHS = [SOURCE, SOURCE, 5]  # of three segments; the last one is shorter


def masks(length: int) -> torch.Tensor:
    """Return a source mask in which no row is empty: there the two differ on purpose."""
    return length_mask([length, 3, 1], length)


@pytest.mark.parametrize("num_mem_updates", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("encoder_only", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_encoder_output_and_memory_over_three_segments(num_mem_updates, masked, encoder_only, seed):
    theirs, ours = make_pair(seed, encoder_only=encoder_only, num_mem_updates=num_mem_updates)
    their_mem = our_mem = None
    for segment, length in enumerate(LENGTHS):
        src = source_tokens(length=length, seed=segment)
        mask = masks(length) if masked else None
        expected = theirs(src, mems=their_mem, src_mask=mask)
        got = ours(src, mems=our_mem, src_mask=mask)
        real = mask if masked else torch.ones(BATCH, length, dtype=torch.bool)
        assert_close(got.enc_out[real], expected.enc_out[real], f"enc_out of segment {segment}")
        assert_close(got.mem, expected.mem, f"memory after segment {segment}")
        their_mem, our_mem = expected.mem, got.mem


@pytest.mark.parametrize("num_mem_updates", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_loss_over_three_segments(num_mem_updates, masked, seed):
    theirs, ours = make_pair(seed, num_mem_updates=num_mem_updates)
    their_mem = our_mem = None
    for segment, length in enumerate(LENGTHS):
        src, tgt = source_tokens(length=length, seed=segment), target_tokens(seed=segment)
        mask = masks(length) if masked else None
        expected = theirs(src, tgt, mems=their_mem, src_mask=mask)
        got = ours(src, tgt, mems=our_mem, src_mask=mask)
        assert_close(got.dec_out, expected.dec_out, f"loss of segment {segment}")
        their_mem, our_mem = expected.mem, got.mem


@pytest.mark.parametrize("masked", [False, True])
def test_logits(masked):
    theirs, ours = make_pair()
    src, tgt = source_tokens(), target_tokens()
    src_mask = masks(SOURCE) if masked else None
    tgt_mask = length_mask([TARGET, 4, 1], TARGET) if masked else None
    enc_out = ours(src, src_mask=src_mask).enc_out
    # Their decoder has the two masks' names crossed.
    expected = theirs.decoder.net(tgt, context=enc_out, src_mask=tgt_mask, tgt_mask=src_mask)
    got = ours.logits(tgt, enc_out, src_mask=src_mask, tgt_mask=tgt_mask)
    real = tgt_mask if masked else torch.ones(BATCH, TARGET, dtype=torch.bool)
    assert_close(got[real], expected[real], "logits")


def test_loss_with_a_target_mask_is_theirs_once_padding_is_left_out():
    """Their loss counts padding; the mean over the real tokens of their logits is our loss."""
    theirs, ours = make_pair()
    src, tgt = source_tokens(), target_tokens()
    src_mask, tgt_mask = masks(SOURCE), length_mask([TARGET, 4, 2], TARGET)
    enc_out = theirs.encoder(src, context=theirs.get_initial_mem(BATCH), src_mask=src_mask)
    logits = theirs.decoder.net(
        tgt[:, :-1], context=enc_out, src_mask=tgt_mask[:, :-1], tgt_mask=src_mask
    )
    real = tgt_mask[:, 1:]
    expected = F.cross_entropy(logits[real], tgt[:, 1:][real])
    got = ours(src, tgt, src_mask=src_mask, tgt_mask=tgt_mask).dec_out
    assert_close(got, expected, "loss over real tokens")
    counted = theirs(src, tgt, src_mask=src_mask, tgt_mask=tgt_mask).dec_out
    assert_differ(got, counted, "they leave padding out too")


@pytest.mark.parametrize("num_mem_updates", [1, 3])
def test_gradients_over_three_segments(num_mem_updates):
    """Equal numbers can have unequal gradients: compare those of every parameter."""
    theirs, ours = make_pair(num_mem_updates=num_mem_updates)
    for model in (theirs, ours):
        mems, total = None, 0.0
        for segment, length in enumerate(LENGTHS):
            src, tgt = source_tokens(length=length, seed=segment), target_tokens(seed=segment)
            out = model(src, tgt, mems=mems, src_mask=masks(length))
            mems, total = out.mem, total + out.dec_out
        (total + mems.square().mean()).backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    named = reference_state_dict(ours)  # their names, our tensors
    grads = {parameter.data_ptr(): parameter.grad for parameter in ours.parameters()}
    assert named.keys() == expected.keys()
    for name, tensor in named.items():
        assert_close(grads[tensor.data_ptr()], expected[name], f"gradient of {name}", 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_tokens(seed):
    """Their own generate cannot run, so its loop is spelt out here."""
    theirs, ours = make_pair(seed)
    enc_out = ours(source_tokens(seed=seed)).enc_out.detach()
    start = target_tokens(length=2, seed=seed)
    text = start
    with torch.no_grad():
        for _ in range(25):
            window = text[:, -SIZES["dec_max_seq_len"] :]
            new = theirs.decoder.net(window, context=enc_out)[:, -1].argmax(-1, keepdim=True)
            text = torch.cat((text, new), dim=1)
    assert torch.equal(ours.generate(start, 25, context=enc_out, temperature=0), text[:, 2:])


def test_the_default_mode_gives_other_numbers():
    """Mending the buckets changes what the published weights compute: the mode is needed."""
    theirs = make_published()
    ours = make_model(1)
    load_reference(ours, theirs.state_dict())
    src, tgt = source_tokens(), target_tokens()
    expected, got = theirs(src, tgt), ours(src, tgt)
    assert_differ(got.enc_out, expected.enc_out, "the encoder's buckets are still swapped", 1e-3)
    logits = (model.decoder.net(tgt, context=expected.enc_out) for model in (theirs, ours))
    assert_differ(*logits, "the decoder's buckets are still swapped", 1e-3)


def test_initial_memory():
    theirs, ours = make_pair()
    assert torch.equal(ours.get_initial_mem(BATCH), theirs.get_initial_mem(BATCH))


# The loader


@pytest.mark.parametrize("encoder_only", [False, True])
def test_weights_go_there_and_back(encoder_only):
    theirs, ours = make_pair(encoder_only=encoder_only)
    back = reference_state_dict(ours)
    expected = theirs.state_dict()
    assert list(back) == list(expected) or back.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(back[name], value), f"{name} came back changed"
    other = make_published(5, encoder_only=encoder_only)
    other.load_state_dict(back)
    assert_close(other(source_tokens()).mem, theirs(source_tokens()).mem, "memory", 0)


def test_loading_copies():
    theirs, ours = make_pair()
    before = ours(source_tokens()).mem
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(1)
    assert torch.equal(ours(source_tokens()).mem, before), "the two models share their weights"


def test_parameter_names_are_theirs_but_for_layers_and_writer():
    ours = set(make_model().state_dict())
    theirs = set(make_published().state_dict())
    moved = {
        "mem_updater": "memory_writer.attention",
        "gru": "memory_writer.rule.cell",
        "mem_ff": "memory_writer.rule.feed_forward",
    }
    for number, step in enumerate(("look_around", "read", "think")):
        for layer in ("encoder.layer_blocks.layers", "decoder.net.layer_blocks.layers"):
            for index in range(2):
                moved[f"{layer}.{index}.{number}.fn.fn"] = f"{layer}.{index}.{step}"
                moved[f"{layer}.{index}.{number}.fn.norm"] = f"{layer}.{index}.{step}_norm"
    expected = set()
    for name in theirs:
        start = next((start for start in moved if name.startswith(f"{start}.")), "")
        expected.add(moved.get(start, "") + name.removeprefix(start))
    assert ours == expected


def assert_refused(ours, state, *words):
    """The loader must refuse, name what is wrong, and leave the model as it was."""
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_reference(ours, state)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in the message: {caught.value}"
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was loaded before the error"


@pytest.mark.parametrize(
    "name",
    [
        "memory_slots",
        "gru.weight_ih",
        "mem_updater.to_kv.bias",
        "mem_ff.fn.norm.weight",
        "encoder.token_emb.weight",
        "decoder.net.to_logits.bias",
    ],
)
def test_loader_refuses_missing_unknown_and_misshapen_weights(name):
    theirs, ours = make_published(), make_model(1, position_buckets="reference")
    state = theirs.state_dict()
    assert_refused(ours, {k: v for k, v in state.items() if k != name}, name)
    assert_refused(ours, {**state, name + "_extra": state[name]}, name + "_extra")
    misshapen = torch.cat((state[name], state[name]))
    assert_refused(
        ours,
        {**state, name: misshapen},
        name,
        str(tuple(misshapen.shape)),
        str(tuple(state[name].shape)),
    )


def test_loader_refuses_a_state_that_broadcasts():
    theirs, ours = make_published(), make_model(1, position_buckets="reference")
    state = {**theirs.state_dict(), "memory_slots": torch.zeros(1, SIZES["dim"])}
    assert_refused(ours, state, "memory_slots")


def test_loader_refuses_other_models():
    theirs, half = make_published(), make_published(encoder_only=True)
    ours = make_model(1, position_buckets="reference")
    assert_refused(ours, half.state_dict(), "decoder.net.norm.weight")
    encoder_only = make_model(1, encoder_only=True, position_buckets="reference")
    assert_refused(encoder_only, theirs.state_dict(), "decoder.net.norm.weight")
    deeper = make_model(1, enc_depth=3, position_buckets="reference")
    assert_refused(deeper, theirs.state_dict(), "encoder.layer_blocks.layers.2")


def test_loader_refuses_our_own_names():
    ours = make_model(1, position_buckets="reference")
    assert_refused(
        ours, make_model().state_dict(), "memory_writer.rule.cell.weight_ih", "gru.weight_ih"
    )


@pytest.mark.parametrize("options", [{"mem_update": "bmn"}, {"mem_feed_forward": False}])
def test_models_without_a_published_counterpart_are_refused(options):
    ours = make_model(1, position_buckets="reference", **options)
    assert_refused(ours, make_published().state_dict())
    with pytest.raises(ValueError, match=r"mem_update|mem_feed_forward"):
        reference_state_dict(ours)


# What is mended on purpose: the published model shows the fault, ours does not.


def test_they_change_the_memory_of_an_empty_row_and_we_do_not():
    theirs, ours = make_pair()
    mems, mask = randn(BATCH, SLOTS, SIZES["dim"]), length_mask([SOURCE, 0, 4], SOURCE)
    assert_differ(theirs(source_tokens(), mems=mems, src_mask=mask).mem[1], mems[1], "theirs", 0.1)
    assert torch.equal(ours(source_tokens(), mems=mems, src_mask=mask).mem[1], mems[1])


def test_without_context_they_look_ahead_and_we_do_not():
    theirs, ours = make_pair()
    first = target_tokens()
    second = first.clone()
    second[:, -1] = (second[:, -1] + 1) % SIZES["dec_num_tokens"]
    moved = [
        (m.decoder.net(first) - m.decoder.net(second))[:, 0].abs().max() for m in (theirs, ours)
    ]
    assert moved[0] > 1e-3, "the published model does not show its fault"
    assert moved[1] == 0, "logit 0 depends on the last token"
