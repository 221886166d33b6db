"""Attention and the small parts around it, against a version written with loops."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close, assert_differ, generator, randn, randomise
from memformer.memformer import Attention as PublishedAttention

from memformer_lite import Attention, FeedForward, PreNorm, RelativePositionBias, Residual

B, Q, J, HEADS, DIM = 2, 7, 11, 3, 15  # batch, queries, keys, heads, width


def make_attention(seed: int = 0, **options) -> Attention:
    torch.manual_seed(seed)
    return randomise(Attention(DIM, heads=HEADS, **options).double(), seed)


def random_mask(*shape: int, seed: int) -> torch.Tensor:
    """Draw a mask with both kinds of entries, and at least one True in each last dimension."""
    mask = torch.rand(*shape, generator=generator(seed)) < 0.6
    mask[..., 0] = True
    return mask


def everything(i: int = Q, j: int = J) -> torch.Tensor:
    return torch.ones(B, i, j, dtype=torch.bool)


def slow_attention(module, x, source, allowed, pos_bias=None):
    """One query, one head at a time; a row that may look at nothing has no weights at all."""
    width = DIM // HEADS
    weight_k, weight_v = module.to_kv.weight[:DIM], module.to_kv.weight[DIM:]
    bias_k, bias_v = module.to_kv.bias[:DIM], module.to_kv.bias[DIM:]
    queries = x @ module.to_q.weight.T + module.to_q.bias
    keys = source @ weight_k.T + bias_k
    values = source @ weight_v.T + bias_v
    joined = torch.zeros_like(x)
    for b, h, i in itertools.product(range(x.shape[0]), range(HEADS), range(x.shape[1])):
        part = slice(h * width, (h + 1) * width)
        seen = [j for j in range(source.shape[1]) if allowed[b, i, j]]
        scores = [
            (queries[b, i, part] * keys[b, j, part]).sum() / math.sqrt(width)
            + (0 if pos_bias is None else pos_bias[0, h, i, j])
            for j in seen
        ]
        exponentials = [torch.exp(score) for score in scores]
        for j, exponential in zip(seen, exponentials, strict=True):
            joined[b, i, part] += exponential / sum(exponentials) * values[b, j, part]
    return joined @ module.to_out.weight.T + module.to_out.bias


@pytest.mark.parametrize("seed", range(3))
def test_self_attention_without_masks(seed):
    module, x = make_attention(seed), randn(B, Q, DIM, seed=seed)
    with torch.no_grad():
        assert_close(module(x), slow_attention(module, x, x, everything(Q, Q)), "self-attention")


@pytest.mark.parametrize("seed", range(3))
def test_cross_attention_without_masks(seed):
    module = make_attention(seed)
    x, context = randn(B, Q, DIM, seed=seed), randn(B, J, DIM, seed=seed + 50)
    with torch.no_grad():
        expected = slow_attention(module, x, context, everything())
        assert_close(module(x, context=context), expected, "cross-attention")


def test_causal_rows_see_themselves_and_the_past():
    module, x = make_attention(causal=True), randn(B, Q, DIM)
    allowed = torch.stack([torch.tensor([[j <= i for j in range(Q)] for i in range(Q)])] * B)
    with torch.no_grad():
        assert_close(module(x), slow_attention(module, x, x, allowed), "causal attention")


@pytest.mark.parametrize("seed", range(3))
def test_mask_says_who_may_look_where(seed):
    module, mask = make_attention(seed), random_mask(B, Q, J, seed=seed)
    x, context = randn(B, Q, DIM, seed=seed), randn(B, J, DIM, seed=seed + 50)
    with torch.no_grad():
        expected = slow_attention(module, x, context, mask)
        assert_close(module(x, context=context, mask=mask), expected, "mask (True = may look)")


@pytest.mark.parametrize("seed", range(3))
def test_kv_mask_hides_keys(seed):
    module, kv_mask = make_attention(seed), random_mask(B, J, seed=seed)
    x, context = randn(B, Q, DIM, seed=seed), randn(B, J, DIM, seed=seed + 50)
    with torch.no_grad():
        expected = slow_attention(module, x, context, everything() & kv_mask[:, None, :])
        assert_close(module(x, context=context, kv_mask=kv_mask), expected, "kv_mask")


def test_kv_mask_of_self_attention_hides_keys_and_no_query():
    module, x, kv_mask = make_attention(), randn(B, Q, DIM), random_mask(B, Q, seed=3)
    with torch.no_grad():
        expected = slow_attention(module, x, x, everything(Q, Q) & kv_mask[:, None, :])
        assert_close(module(x, kv_mask=kv_mask), expected, "kv_mask without context")


def test_query_mask_with_context_hides_no_key():
    module, query_mask = make_attention(), random_mask(B, Q, seed=4)
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    with torch.no_grad():
        expected = slow_attention(module, x, context, everything() & query_mask[:, :, None])
        assert_close(module(x, context=context, query_mask=query_mask), expected, "query_mask")


def test_query_mask_alone_hides_keys_of_self_attention():
    module, x, query_mask = make_attention(), randn(B, Q, DIM), random_mask(B, Q, seed=5)
    allowed = query_mask[:, :, None] & query_mask[:, None, :]
    with torch.no_grad():
        expected = slow_attention(module, x, x, allowed)
        assert_close(module(x, query_mask=query_mask), expected, "query_mask without context")


def test_query_mask_and_kv_mask_of_self_attention_are_kept_apart():
    module, x = make_attention(), randn(B, Q, DIM)
    query_mask, kv_mask = random_mask(B, Q, seed=5), random_mask(B, Q, seed=6)
    allowed = query_mask[:, :, None] & kv_mask[:, None, :]
    with torch.no_grad():
        expected = slow_attention(module, x, x, allowed)
        got = module(x, query_mask=query_mask, kv_mask=kv_mask)
        assert_close(got, expected, "query_mask and kv_mask")


@pytest.mark.parametrize("causal", [False, True])
def test_all_masks_and_a_bias_at_once(causal):
    module, x = make_attention(causal=causal), randn(B, Q, DIM)
    query_mask, kv_mask = random_mask(B, Q, seed=1), random_mask(B, Q, seed=2)
    mask, pos_bias = random_mask(B, Q, Q, seed=3), randn(1, HEADS, Q, Q, seed=4)
    allowed = mask & query_mask[:, :, None] & kv_mask[:, None, :]
    if causal:
        allowed = allowed & torch.ones(Q, Q).tril().bool()
    with torch.no_grad():
        expected = slow_attention(module, x, x, allowed, pos_bias)
        got = module(x, pos_bias=pos_bias, mask=mask, query_mask=query_mask, kv_mask=kv_mask)
        assert_close(got, expected, "all masks together")


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_pos_bias_is_added_to_the_scores(causal, learned):
    module, x, pos_bias = make_attention(causal=causal), randn(B, Q, DIM), randn(1, HEADS, Q, Q)
    allowed = everything(Q, Q).tril() if causal else everything(Q, Q)
    expected = slow_attention(module, x, x, allowed, pos_bias)
    got = module(x, pos_bias=pos_bias.requires_grad_(learned))
    assert_close(got, expected, "pos_bias")


@pytest.mark.parametrize("masked", [False, True])
def test_attend_self_puts_x_before_context(masked):
    module = make_attention()
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    allowed = random_mask(B, Q, Q + J, seed=2) if masked else everything(Q, Q + J)
    with torch.no_grad():
        expected = slow_attention(module, x, torch.cat((x, context), dim=1), allowed)
        mask = allowed if masked else None
        got = module(x, context=context, mask=mask, attend_self=True)
        assert_close(got, expected, "attend_self")


def test_row_that_may_look_at_nothing_returns_the_output_bias():
    module, x, context = make_attention(), randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    mask = random_mask(B, Q, J, seed=2)
    mask[1, 4] = False
    with torch.no_grad():
        out = module(x, context=context, mask=mask)
        assert_close(out[1, 4], module.to_out.bias, "a row of zero weights")
        assert_close(out, slow_attention(module, x, context, mask), "the other rows")


@pytest.mark.parametrize("how", ["mask", "query_mask", "kv_mask"])
@pytest.mark.parametrize("bias", [None, "fixed", "learned"])
def test_gradients_stay_finite_where_rows_may_look_at_nothing(how, bias):
    module = make_attention()
    x, context = randn(B, Q, DIM).requires_grad_(), randn(B, J, DIM, seed=1).requires_grad_()
    shape = {"mask": (B, Q, J), "query_mask": (B, Q), "kv_mask": (B, J)}[how]
    nothing = torch.zeros(shape, dtype=torch.bool)
    nothing[0] = True
    pos_bias = None if bias is None else randn(1, HEADS, Q, J, seed=2)
    if bias == "learned":
        pos_bias.requires_grad_()
    module(x, context=context, pos_bias=pos_bias, **{how: nothing}).square().sum().backward()
    for name, tensor in [("x", x), ("context", context), *module.named_parameters()]:
        assert torch.isfinite(tensor.grad).all(), f"gradient of {name} is not finite"
    if bias == "learned":
        assert torch.isfinite(pos_bias.grad).all(), "gradient of pos_bias is not finite"
    assert (x.grad[1] == 0).all(), "a row that looks at nothing sends a gradient to its query"
    assert (context.grad[1] == 0).all(), "keys that nobody sees get a gradient"


@pytest.mark.parametrize("how", ["mask", "kv_mask"])
def test_a_hidden_key_has_no_influence_at_all(how):
    module = make_attention()
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    hidden = torch.ones((B, Q, J) if how == "mask" else (B, J), dtype=torch.bool)
    hidden[..., 3] = False
    changed = context.clone()
    changed[:, 3] = 1e6
    with torch.no_grad():
        before = module(x, context=context, **{how: hidden})
        after = module(x, context=changed, **{how: hidden})
    assert torch.equal(before, after), f"a key hidden by {how} still leaks"


def test_weights_of_a_row_sum_to_one():
    """Equal values come back as they are, however the weights are spread."""
    module, x = make_attention(), randn(B, Q, DIM)
    with torch.no_grad():
        module.to_kv.weight[DIM:] = 0
        module.to_out.weight.copy_(torch.eye(DIM))
        module.to_out.bias.zero_()
        for options in ({}, {"mask": random_mask(B, Q, Q, seed=1)}):
            expected = module.to_kv.bias[DIM:].expand(B, Q, DIM)
            assert_close(module(x, **options), expected, f"mean of equal values, {options.keys()}")


def test_batch_row_equals_the_row_alone():
    module, mask = make_attention(), random_mask(B, Q, J, seed=1)
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    with torch.no_grad():
        together = module(x, context=context, mask=mask)
        for b in range(B):
            row = slice(b, b + 1)
            alone = module(x[row], context=context[row], mask=mask[row])
            assert_close(together[row], alone, f"row {b} alone")


@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_published_attention(causal):
    torch.manual_seed(0)
    published = randomise(PublishedAttention(DIM, heads=HEADS, causal=causal).double())
    ours = make_attention(1, causal=causal)
    ours.load_state_dict(published.state_dict())
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    bias = RelativePositionBias(heads=HEADS, bidirectional=True).double()
    mask = random_mask(B, Q, Q, seed=1)
    mask |= torch.eye(Q).bool()
    for options in ({}, {"mask": mask}):
        theirs = published(x, pos_emb=bias, **options)
        assert_close(ours(x, pos_bias=bias(Q, Q), **options), theirs, f"self, {options.keys()}")
    if not causal:
        kv_mask = random_mask(B, J, seed=2)
        theirs = published(x, context=context, kv_mask=kv_mask)
        assert_close(ours(x, context=context, kv_mask=kv_mask), theirs, "cross with kv_mask")
        theirs = published(x, context=context, attend_self=True)
        assert_close(ours(x, context=context, attend_self=True), theirs, "attend_self")


def test_gradients_equal_those_of_the_slow_version():
    module, mask, pos_bias = make_attention(), random_mask(B, Q, J, seed=1), randn(1, HEADS, Q, J)
    direction = randn(B, Q, DIM, seed=9)

    def gradients(function):
        leaves = [randn(B, Q, DIM), randn(B, J, DIM, seed=1), pos_bias.clone()]
        for leaf in leaves:
            leaf.requires_grad_()
        out = function(*leaves)
        return torch.autograd.grad(out, [*leaves, *module.parameters()], direction)

    fast = gradients(lambda x, c, p: module(x, context=c, mask=mask, pos_bias=p))
    slow = gradients(lambda x, c, p: slow_attention(module, x, c, mask, p))
    names = ["x", "context", "pos_bias", *(name for name, _ in module.named_parameters())]
    for name, ours, expected in zip(names, fast, slow, strict=True):
        assert_close(ours, expected, f"gradient of {name}")


def test_a_learned_bias_gives_the_numbers_of_a_fixed_one():
    """Which way is faster must not change what comes out, nor any gradient."""
    module, mask = make_attention(), random_mask(B, Q, J, seed=1)
    mask[1, 4] = False
    results = []
    for learned in (False, True):
        x, context = randn(B, Q, DIM).requires_grad_(), randn(B, J, DIM, seed=1).requires_grad_()
        pos_bias = randn(1, HEADS, Q, J, seed=2).requires_grad_(learned)
        out = module(x, context=context, mask=mask, pos_bias=pos_bias)
        leaves = [x, context, *module.parameters()]
        results.append((out, *torch.autograd.grad(out.pow(2).sum(), leaves)))
    for fixed, learned in zip(*results, strict=True):
        assert_close(learned, fixed, "a learned bias", 1e-10)


def test_inputs_are_left_as_they_were():
    module, mask, pos_bias = make_attention(), random_mask(B, Q, J, seed=1), randn(1, HEADS, Q, J)
    x, context, kv_mask = randn(B, Q, DIM), randn(B, J, DIM, seed=1), random_mask(B, J, seed=2)
    kept = [t.clone() for t in (x, context, mask, pos_bias, kv_mask)]
    module(x, context=context, mask=mask, pos_bias=pos_bias, kv_mask=kv_mask)
    for before, now in zip(kept, (x, context, mask, pos_bias, kv_mask), strict=True):
        assert torch.equal(before, now), "attention wrote into what it was given"


@pytest.mark.parametrize("heads", [1, 3, 5, 15])
def test_number_of_heads_has_an_effect(heads):
    one = make_attention()
    x = randn(B, Q, DIM)
    other = Attention(DIM, heads=heads).double()
    other.load_state_dict(one.state_dict())
    if heads == HEADS:
        assert torch.equal(one(x), other(x))
    else:
        assert_differ(one(x), other(x), f"heads={heads} is the same as heads={HEADS}")


def test_default_heads_is_8():
    module = Attention(24).double()
    eight = Attention(24, heads=8).double()
    eight.load_state_dict(module.state_dict())
    x = randn(B, Q, 24)
    assert torch.equal(module(x), eight(x))


# Dropout


def outputs_of_seeds(module, run, count=400):
    outputs = []
    for seed in range(count):
        torch.manual_seed(seed)
        outputs.append(run(module))
    return torch.stack(outputs)


@pytest.mark.parametrize("bias", [None, "fixed", "learned"])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_dropout_works_in_training_only_and_keeps_the_mean(masked, bias):
    module, x = make_attention(dropout=0.4), randn(1, Q, DIM)
    options = {"mask": random_mask(1, Q, Q, seed=2)} if masked else {}
    if bias is not None:
        options["pos_bias"] = randn(1, HEADS, Q, Q, seed=3).requires_grad_(bias == "learned")
    plain = make_attention(dropout=0.0).train()(x, **options).detach()
    module.eval()
    assert torch.equal(module(x, **options), plain), "dropout acts in evaluation mode"
    module.train()
    outputs = outputs_of_seeds(module, lambda m: m(x, **options).detach())
    assert_differ(outputs[0], outputs[1], "dropout does nothing in training")
    error = (outputs.mean(0) - plain).abs()
    allowed = 5 * outputs.std(0) / math.sqrt(len(outputs)) + 1e-12
    assert (error <= allowed).all(), "dropout changes the mean of the output"


def test_feed_forward_dropout_works_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    module = FeedForward(DIM, dropout=0.4).double()
    x = randn(1, Q, DIM)
    with torch.no_grad():
        plain = module.eval()(x)
        reference = FeedForward(DIM).double().train()
        reference.load_state_dict(module.state_dict())
        assert torch.equal(reference(x), plain), "dropout acts by default"
        outputs = outputs_of_seeds(module.train(), lambda m: m(x))
    assert_differ(outputs[0], outputs[1], "dropout does nothing in training")
    error = (outputs.mean(0) - plain).abs()
    assert (error <= 5 * outputs.std(0) / math.sqrt(len(outputs)) + 1e-12).all(), "mean moved"


# The small parts


@pytest.mark.parametrize("mult", [1, 3, 4])
def test_feed_forward_is_linear_gelu_linear(mult):
    torch.manual_seed(0)
    module = randomise(FeedForward(DIM, mult=mult).double())
    x = randn(B, Q, DIM)
    first, last = module.net[0], module.net[2]
    assert first.weight.shape == (DIM * mult, DIM)
    hidden = x @ first.weight.T + first.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2  # GELU, not its approximation
    assert_close(module(x), hidden @ last.weight.T + last.bias, "feed-forward")


def test_feed_forward_is_4_times_as_wide_by_default():
    assert FeedForward(DIM).net[0].out_features == 4 * DIM


def test_residual_adds_the_input_and_passes_named_inputs_on():
    class Scale(torch.nn.Module):
        def forward(self, x, by=1.0):
            return x * by

    x = randn(B, Q, DIM)
    assert_close(Residual(Scale())(x, by=3.0), 4 * x, "residual")
    with pytest.raises(TypeError, match="unknown"):
        Residual(Scale())(x, unknown=1)


def test_pre_norm_normalises_x_and_nothing_else():
    class Both(torch.nn.Module):
        def forward(self, x, context):
            return torch.cat((x, context), dim=1)

    torch.manual_seed(0)
    module = randomise(PreNorm(DIM, Both()).double())
    x, context = randn(B, Q, DIM), randn(B, J, DIM, seed=1)
    normal = F.layer_norm(x, (DIM,)) * module.norm.weight + module.norm.bias
    expected = torch.cat((normal, context), dim=1)
    assert_close(module(x, context=context), expected, "PreNorm")
    with pytest.raises(TypeError, match="unknown"):
        module(x, unknown=1)


@pytest.mark.parametrize("query", range(Q))
def test_causal_jacobian_is_exactly_zero_towards_the_future(query):
    module, x = make_attention(causal=True), randn(1, Q, DIM).requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0, query].sum(), x)
    assert (gradient[0, query + 1 :] == 0).all(), f"row {query} looks ahead"
    assert (gradient[0, : query + 1].abs().sum(-1) > 0).all(), f"row {query} misses its past"
