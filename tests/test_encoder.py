"""The encoder: tokens look around, read the memory, think; padding and slot order do not matter."""

import pytest
import torch
from helpers import assert_close, assert_differ, generator, length_mask, randn, randomise

from memformer_lite import Encoder, TransformerWrapper

B, N, K, DIM, HEADS = 3, 11, 7, 15, 5  # batch, tokens, slots, width, heads
SELF, READ, FEED_FORWARD = "look_around", "read", "think"


def make_encoder(depth: int = 2, seed: int = 0, **options) -> Encoder:
    torch.manual_seed(seed)
    return randomise(Encoder(DIM, depth, heads=HEADS, **options).double(), seed).eval()


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embedded tokens (b, n, d) and a memory (b, k, d)."""
    return randn(B, N, DIM, seed=seed), randn(B, K, DIM, seed=seed + 1)


def silence(layer, part: str) -> None:
    """Make one part of a layer add nothing to the residual stream."""
    module = getattr(layer, part)
    last = module.net[2] if part == FEED_FORWARD else module.to_out
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)


def swap_future(x: torch.Tensor) -> torch.Tensor:
    """Keep token 0 and put all later tokens in reverse order."""
    return torch.cat((x[:, :1], x[:, 1:].flip(1)), dim=1)


def test_future_positions_are_told_apart():
    encoder, (x, mems) = make_encoder(depth=1), inputs()
    with torch.no_grad():
        before, after = encoder(x, context=mems)[:, 0], encoder(swap_future(x), context=mems)[:, 0]
    assert_differ(before, after, "token 0 cannot tell the order of later tokens", at_least=1e-3)


def test_reference_buckets_repeat_its_blindness_to_the_future():
    encoder, (x, mems) = make_encoder(depth=1, bidirectional_buckets=False), inputs()
    with torch.no_grad():
        before, after = encoder(x, context=mems)[:, 0], encoder(swap_future(x), context=mems)[:, 0]
    assert_close(before, after, "reference buckets: all later tokens share bucket 0", 1e-12)


def test_past_positions_are_told_apart_too():
    encoder, (x, mems) = make_encoder(depth=1), inputs()
    swapped = torch.cat((x[:, :-1].flip(1), x[:, -1:]), dim=1)
    with torch.no_grad():
        last, after = encoder(x, context=mems)[:, -1], encoder(swapped, context=mems)[:, -1]
    assert_differ(last, after, "the last token cannot tell the order before it", at_least=1e-3)


def test_every_token_sees_every_token_and_every_slot():
    encoder, (x, mems) = make_encoder(depth=1), inputs()
    x.requires_grad_(), mems.requires_grad_()
    out = encoder(x, context=mems)
    for i in range(N):
        gx, gm = torch.autograd.grad(out[:, i].square().sum(), (x, mems), retain_graph=True)
        assert (gx.abs().sum(-1) > 0).all(), f"token {i} does not see all tokens"
        assert (gm.abs().sum(-1) > 0).all(), f"token {i} does not see all slots"


def test_nothing_crosses_the_batch():
    encoder, (x, mems) = make_encoder(), inputs()
    x.requires_grad_(), mems.requires_grad_()
    gx, gm = torch.autograd.grad(encoder(x, context=mems)[1].square().sum(), (x, mems))
    assert (gx[[0, 2]] == 0).all() and (gm[[0, 2]] == 0).all(), "row 1 sees another row"


@pytest.mark.parametrize("seed", range(3))
def test_order_of_slots_does_not_matter(seed):
    encoder, (x, mems) = make_encoder(seed=seed), inputs(seed)
    shuffled = mems[:, torch.randperm(K, generator=generator(seed))]
    with torch.no_grad():
        expected = encoder(x, context=mems)
        assert_close(encoder(x, context=shuffled), expected, "slots shuffled", 1e-12)


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("part", [SELF, READ, FEED_FORWARD])
def test_every_part_of_every_layer_adds_something(layer, part):
    encoder, (x, mems) = make_encoder(depth=3), inputs()
    with torch.no_grad():
        before = encoder(x, context=mems)
        silence(encoder.layers[layer], part)
        assert_differ(before, encoder(x, context=mems), f"layer {layer}, part {part} adds nothing")


@pytest.mark.parametrize("part", [SELF, READ, FEED_FORWARD])
def test_each_part_adds_what_it_says_to_the_residual_stream(part):
    """With the other parts silent, one layer is x + part(norm(x)) and nothing else."""
    encoder, (x, mems) = make_encoder(depth=1), inputs()
    layer = encoder.layers[0]
    with torch.no_grad():
        for other in {SELF, READ, FEED_FORWARD} - {part}:
            silence(layer, other)
        norm, module = getattr(layer, f"{part}_norm"), getattr(layer, part)
        options = {
            SELF: {"pos_bias": encoder.rel_pos_emb(N, N)},
            READ: {"context": mems},
            FEED_FORWARD: {},
        }[part]
        expected = x + module(norm(x), **options)
        assert_close(encoder(x, context=mems), expected, f"part {part} of a layer")


def test_parts_run_in_order_self_read_feed_forward():
    encoder, (x, mems) = make_encoder(depth=2), inputs()
    called = []
    for index, layer in enumerate(encoder.layers):
        for part in (SELF, READ, FEED_FORWARD):
            getattr(layer, part).register_forward_hook(
                lambda *_, index=index, part=part: called.append((index, part))
            )
    encoder(x, context=mems)
    assert called == [(layer, part) for layer in range(2) for part in (SELF, READ, FEED_FORWARD)]


def test_without_a_memory_nothing_is_read():
    encoder, (x, mems) = make_encoder(), inputs()
    with torch.no_grad():
        without = encoder(x)
        for layer in encoder.layers:
            silence(layer, READ)
        assert_close(without, encoder(x, context=mems), "context=None")
    encoder = make_encoder()
    encoder(x).sum().backward()
    for layer in encoder.layers:
        for parameter in layer.read.parameters():
            assert parameter.grad is None, "reading took part without a memory"


@pytest.mark.parametrize("seed", range(3))
def test_padding_and_what_stands_in_it_do_not_matter(seed):
    encoder, (x, mems) = make_encoder(seed=seed), inputs(seed)
    lengths = [N, 5, 1]
    mask = length_mask(lengths, N)
    other = torch.where(mask[..., None], x, randn(B, N, DIM, seed=seed + 9) * 100)
    with torch.no_grad():
        padded = encoder(x, context=mems, src_mask=mask)
        changed = encoder(other, context=mems, src_mask=mask)
        assert torch.isfinite(changed).all(), "padding makes nan"
        assert torch.equal(padded[mask], changed[mask]), "what stands in the padding leaks"
        for b, length in enumerate(lengths):
            alone = encoder(x[b : b + 1, :length], context=mems[b : b + 1])
            assert_close(padded[b : b + 1, :length], alone, f"row {b} of {length} tokens alone")


def test_mask_hides_tokens_in_the_middle_too():
    encoder, (x, mems) = make_encoder(), inputs()
    mask = torch.rand(B, N, generator=generator(3)) < 0.5
    other = torch.where(mask[..., None], x, 7.0)
    with torch.no_grad():
        before = encoder(x, context=mems, src_mask=mask)[mask]
        assert torch.equal(before, encoder(other, context=mems, src_mask=mask)[mask])


def test_all_padding_gives_no_nan_forward_or_backward():
    encoder, (x, mems) = make_encoder(), inputs()
    x.requires_grad_(), mems.requires_grad_()
    mask = length_mask([0, 0, 4], N)
    out = encoder(x, context=mems, src_mask=mask)
    assert torch.isfinite(out).all()
    out.square().sum().backward()
    for name, tensor in [("x", x), ("mems", mems), *encoder.named_parameters()]:
        assert torch.isfinite(tensor.grad).all(), f"gradient of {name} is not finite"


def test_position_bias_is_computed_once_a_forward_pass():
    encoder, (x, mems) = make_encoder(depth=3), inputs()
    calls = []
    encoder.rel_pos_emb.register_forward_hook(lambda *_: calls.append(1))
    encoder(x, context=mems)
    assert len(calls) == 1, f"the bias was computed {len(calls)} times for 3 layers"


def test_number_of_heads_has_an_effect():
    x, mems = inputs()
    five = make_encoder()
    three = Encoder(DIM, 2, heads=3).double().eval()
    assert five.rel_pos_emb.relative_attention_bias.weight.shape == (32, 5)
    assert three.rel_pos_emb.relative_attention_bias.weight.shape == (32, 3)
    state = five.state_dict()
    state["rel_pos_emb.relative_attention_bias.weight"] = torch.zeros(32, 3).double()
    three.load_state_dict(state)
    torch.nn.init.zeros_(five.rel_pos_emb.relative_attention_bias.weight)
    assert_differ(five(x, context=mems), three(x, context=mems), "heads is ignored")
    for layer in range(2):  # the reading's heads have an effect of their own
        for part in (SELF, READ):
            assert getattr(five.layers[layer], part).heads == 5


@pytest.mark.parametrize("part", [SELF, READ, FEED_FORWARD])
def test_dropout_acts_in_every_part_and_only_in_training(part):
    """All other parts are silent, so any noise comes from this one."""
    encoder, (x, mems) = make_encoder(depth=1, dropout=0.4), inputs()
    plain = make_encoder(depth=1)
    with torch.no_grad():
        for model in (encoder, plain):
            for other in {SELF, READ, FEED_FORWARD} - {part}:
                silence(model.layers[0], other)
        expected = plain.train()(x, context=mems)
        assert torch.equal(encoder(x, context=mems), expected), "dropout in evaluation mode"
        encoder.train()
        torch.manual_seed(0)
        first = encoder(x, context=mems)
        assert_differ(first, encoder(x, context=mems), f"no dropout in part {part}", 1e-3)


# TransformerWrapper


def make_wrapper(seed: int = 0, **options) -> TransformerWrapper:
    torch.manual_seed(seed)
    wrapper = TransformerWrapper(
        num_tokens=23, max_seq_len=13, dim=DIM, layer_blocks=Encoder(DIM, 1, heads=HEADS), **options
    )
    return randomise(wrapper.double()).eval()


@pytest.mark.parametrize("return_logits", [True, False])
def test_wrapper_embeds_runs_the_layers_normalises_and_maps(return_logits):
    wrapper = make_wrapper(return_logits=return_logits)
    tokens, (_, mems) = torch.randint(23, (B, N), generator=generator(1)), inputs()
    mask = length_mask([N, 5, 1], N)
    out = wrapper(tokens, context=mems, src_mask=mask)
    x = wrapper.layer_blocks(wrapper.token_emb.weight[tokens], context=mems, src_mask=mask)
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    x = x * wrapper.norm.weight + wrapper.norm.bias
    if return_logits:
        x = x @ wrapper.to_logits.weight.T + wrapper.to_logits.bias
    assert out.shape == (B, N, 23 if return_logits else DIM)
    assert_close(out, x, "TransformerWrapper")


def test_wrapper_returns_logits_by_default_and_keeps_its_limits():
    wrapper = make_wrapper()
    assert wrapper(torch.zeros(1, 13, dtype=torch.long)).shape == (1, 13, 23)
    assert wrapper.max_seq_len == 13
