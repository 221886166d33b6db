"""The decoder: no look ahead, a loss over real tokens only, sampling, and generation."""

import math

import pytest
import torch
from helpers import assert_close, assert_differ, generator, length_mask, randn, randomise

from memformer_lite import (
    AutoregressiveWrapper,
    Decoder,
    DecoderCache,
    TransformerWrapper,
    sample_token,
    top_k,
    top_p,
)

B, N, J, DIM, HEADS, VOCABULARY, LIMIT = 3, 7, 11, 15, 5, 29, 13
SELF, CROSS, FEED_FORWARD = "look_around", "read", "think"


def make_decoder(depth: int = 2, seed: int = 0, **options) -> Decoder:
    torch.manual_seed(seed)
    return randomise(Decoder(DIM, depth, heads=HEADS, **options).double(), seed).eval()


def make_wrapper(seed: int = 0, **options) -> AutoregressiveWrapper:
    torch.manual_seed(seed)
    net = TransformerWrapper(
        num_tokens=VOCABULARY,
        max_seq_len=LIMIT,
        dim=DIM,
        layer_blocks=Decoder(DIM, 2, heads=HEADS, **options),
    )
    wrapper = randomise(AutoregressiveWrapper(net).double(), seed).eval()
    with torch.no_grad():  # far from uniform, so that the most likely token is clear and varied
        wrapper.net.to_logits.weight.mul_(5)
    return wrapper


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embedded target tokens (b, n, d) and an encoder output (b, j, d)."""
    return randn(B, N, DIM, seed=seed), randn(B, J, DIM, seed=seed + 1)


def tokens(batch: int = B, length: int = N, seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=generator(seed))


def silence(layer, part: str) -> None:
    """Make one part of a layer add nothing to the residual stream."""
    module = getattr(layer, part)
    last = module.net[2] if part == FEED_FORWARD else module.to_out
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)


# Causality


@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("bidirectional_buckets", [True, False])
def test_no_token_looks_ahead_and_all_look_back(with_context, masked, bidirectional_buckets):
    decoder = make_decoder(bidirectional_buckets=bidirectional_buckets)
    x, context = inputs()
    x.requires_grad_()
    mask = length_mask([N, N, N], N) if masked else None
    out = decoder(x, context=context if with_context else None, tgt_mask=mask)
    for i in range(N):
        (gradient,) = torch.autograd.grad(out[:, i].square().sum(), x, retain_graph=True)
        assert (gradient[:, i + 1 :] == 0).all(), f"token {i} looks ahead"
        assert (gradient[:, : i + 1] != 0).any(-1).all(), f"token {i} misses its past"


@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("changed", range(1, N))
def test_a_later_token_changes_no_earlier_logits(with_context, changed):
    net, context = make_wrapper().net, inputs()[1] if with_context else None
    first = tokens()
    second = first.clone()
    second[:, changed:] = (second[:, changed:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = net(first, context=context), net(second, context=context)
    assert_close(after[:, :changed], before[:, :changed], "logits before the change", 1e-13)
    assert_differ(after[:, changed], before[:, changed], "the change itself has no effect")


def test_without_context_cross_attention_is_skipped():
    decoder, (x, context) = make_decoder(), inputs()
    with torch.no_grad():
        without = decoder(x)
        for layer in decoder.layers:
            silence(layer, CROSS)
        assert_close(without, decoder(x, context=context), "context=None")
    decoder = make_decoder()
    decoder(x).sum().backward()
    for layer in decoder.layers:
        assert all(p.grad is None for p in layer.read.parameters()), "cross-attention took part"


def test_every_token_sees_the_whole_context_of_its_row_only():
    decoder, (x, context) = make_decoder(), inputs()
    context.requires_grad_()
    out = decoder(x, context=context)
    for i in range(N):
        (gradient,) = torch.autograd.grad(out[1, i].square().sum(), context, retain_graph=True)
        assert (gradient[1] != 0).any(-1).all(), f"token {i} does not see the whole context"
        assert (gradient[[0, 2]] == 0).all(), f"token {i} sees another row's context"


# Layers


@pytest.mark.parametrize("part", [SELF, CROSS, FEED_FORWARD])
def test_each_part_adds_what_it_says_to_the_residual_stream(part):
    decoder, (x, context) = make_decoder(depth=1), inputs()
    layer = decoder.layers[0]
    with torch.no_grad():
        for other in {SELF, CROSS, FEED_FORWARD} - {part}:
            silence(layer, other)
        norm, module = getattr(layer, f"{part}_norm"), getattr(layer, part)
        options = {
            SELF: {"pos_bias": decoder.rel_pos_emb(N, N)},
            CROSS: {"context": context},
            FEED_FORWARD: {},
        }[part]
        expected = x + module(norm(x), **options)
        assert_differ(expected, x, "the part adds nothing")
        assert_close(decoder(x, context=context), expected, f"part {part} of a layer")


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("part", [SELF, CROSS, FEED_FORWARD])
def test_every_part_of_every_layer_adds_something(layer, part):
    decoder, (x, context) = make_decoder(depth=3), inputs()
    with torch.no_grad():
        before = decoder(x, context=context)
        silence(decoder.layers[layer], part)
        assert_differ(before, decoder(x, context=context), f"layer {layer}, part {part}")


def test_position_bias_is_computed_once_a_forward_pass():
    decoder, (x, context) = make_decoder(depth=3), inputs()
    calls = []
    decoder.rel_pos_emb.register_forward_hook(lambda *_: calls.append(1))
    decoder(x, context=context)
    assert len(calls) == 1, f"the bias was computed {len(calls)} times for 3 layers"


def test_all_buckets_are_in_use_and_reach_the_output():
    torch.manual_seed(0)
    decoder = randomise(Decoder(DIM, 1, heads=HEADS).double())
    decoder(randn(1, 131, DIM)).square().sum().backward()
    gradient = decoder.rel_pos_emb.relative_attention_bias.weight.grad
    unused = [bucket for bucket in range(32) if not gradient[bucket].any()]
    assert not unused, f"buckets without any effect: {unused}"


def test_reference_buckets_use_half_of_the_table_only():
    torch.manual_seed(0)
    decoder = randomise(Decoder(DIM, 1, heads=HEADS, bidirectional_buckets=True).double())
    decoder(randn(1, 131, DIM)).square().sum().backward()
    gradient = decoder.rel_pos_emb.relative_attention_bias.weight.grad
    used = [bucket for bucket in range(32) if gradient[bucket].any()]
    assert used == list(range(16)), f"buckets in use: {used}"


@pytest.mark.parametrize("part", [SELF, CROSS, FEED_FORWARD])
def test_dropout_acts_in_every_part_and_only_in_training(part):
    decoder, (x, context) = make_decoder(depth=1, dropout=0.4), inputs()
    plain = make_decoder(depth=1)
    with torch.no_grad():
        for model in (decoder, plain):
            for other in {SELF, CROSS, FEED_FORWARD} - {part}:
                silence(model.layers[0], other)
        expected = plain.train()(x, context=context)
        assert torch.equal(decoder(x, context=context), expected), "dropout in evaluation mode"
        decoder.train()
        torch.manual_seed(0)
        first = decoder(x, context=context)
        assert_differ(first, decoder(x, context=context), f"no dropout in part {part}", 1e-3)


# Padding


@pytest.mark.parametrize("seed", range(3))
def test_padding_does_not_matter_and_a_row_equals_the_row_alone(seed):
    decoder, (x, context) = make_decoder(seed=seed), inputs(seed)
    target, source = [N, 3, 1], [4, J, 1]
    tgt_mask, src_mask = length_mask(target, N), length_mask(source, J)
    other_x = torch.where(tgt_mask[..., None], x, 50.0)
    other_context = torch.where(src_mask[..., None], context, -50.0)
    with torch.no_grad():
        out = decoder(x, context=context, tgt_mask=tgt_mask, src_mask=src_mask)
        again = decoder(other_x, context=other_context, tgt_mask=tgt_mask, src_mask=src_mask)
        assert torch.isfinite(again).all(), "padding makes nan"
        assert torch.equal(out[tgt_mask], again[tgt_mask]), "what stands in the padding leaks"
        for b in range(B):
            alone = decoder(x[b : b + 1, : target[b]], context=context[b : b + 1, : source[b]])
            assert_close(out[b : b + 1, : target[b]], alone, f"row {b} alone, without padding")


def test_hidden_target_tokens_are_seen_by_nobody():
    """A mask with holes, also at the start: causality alone would not hide what stands there."""
    wrapper, context = make_wrapper(), inputs()[1]
    tgt_mask = torch.tensor([[1, 0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0]])
    tgt_mask = tgt_mask.bool()
    first = tokens()
    second = torch.where(tgt_mask, first, (first + 5) % VOCABULARY)
    with torch.no_grad():
        before, after = (
            wrapper.net(text, context=context, tgt_mask=tgt_mask) for text in (first, second)
        )
        assert torch.equal(before[tgt_mask], after[tgt_mask]), "logits see hidden tokens"
        assert_differ(before[~tgt_mask], after[~tgt_mask], "the hidden tokens did not change")
        open_, _ = (wrapper.net(text, context=context) for text in (first, second))
        assert_differ(open_[tgt_mask], before[tgt_mask], "tgt_mask has no effect")
    # A real token counts even where the one before it is hidden.
    guessed = before[:, :-1].log_softmax(-1).gather(-1, first[:, 1:, None]).squeeze(-1)
    loss = wrapper(first, context=context, tgt_mask=tgt_mask)
    both_real = tgt_mask[:, 1:] & tgt_mask[:, :-1]
    assert both_real.any() and (tgt_mask[:, 1:] & ~tgt_mask[:, :-1]).any()
    assert_close(loss, -guessed[tgt_mask[:, 1:]].mean(), "loss with holes in the target mask")


def test_all_padding_gives_no_nan_forward_or_backward():
    decoder, (x, context) = make_decoder(), inputs()
    x.requires_grad_(), context.requires_grad_()
    tgt_mask, src_mask = length_mask([0, N, 0], N), length_mask([3, 0, 0], J)
    out = decoder(x, context=context, tgt_mask=tgt_mask, src_mask=src_mask)
    assert torch.isfinite(out).all()
    out.square().sum().backward()
    for name, tensor in [("x", x), ("context", context), *decoder.named_parameters()]:
        assert torch.isfinite(tensor.grad).all(), f"gradient of {name} is not finite"


# Loss


def slow_loss(net, tgt, mask=None, **context) -> torch.Tensor:
    """Mean of -log p(token) over the real tokens but the first, one token at a time."""
    losses = []
    for b in range(tgt.shape[0]):
        row = {name: value[b : b + 1] for name, value in context.items()}
        logits = net(tgt[b : b + 1, :-1], **row)
        for i in range(1, tgt.shape[1]):
            if mask is None or mask[b, i]:
                losses.append(-torch.log_softmax(logits[0, i - 1], dim=-1)[tgt[b, i]])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("lengths", [None, [N, 3, 2], [2, 1, N]])
def test_loss_is_the_mean_over_real_target_tokens(with_context, lengths):
    wrapper = make_wrapper()
    context = {"context": inputs()[1]} if with_context else {}
    tgt_mask = None if lengths is None else length_mask(lengths, N)
    with torch.no_grad():
        expected = slow_loss(wrapper.net, tokens(), tgt_mask, **context)
        got = wrapper(tokens(), tgt_mask=tgt_mask, **context)
        assert got.shape == (), "the loss is no scalar"
        assert_close(got, expected, "loss")


def test_loss_ignores_what_stands_in_the_padding():
    wrapper, tgt_mask = make_wrapper(), length_mask([N, 3, 2], N)
    src_mask, context = length_mask([J, 4, 1], J), inputs()[1]
    losses = set()
    for pad in (0, 5, VOCABULARY - 1):
        padded = torch.where(tgt_mask, tokens(), pad)
        filled = torch.where(src_mask[..., None], context, float(pad))
        loss = wrapper(padded, context=filled, tgt_mask=tgt_mask, src_mask=src_mask)
        losses.add(loss.item())
    assert len(losses) == 1, f"the loss depends on the pad token: {losses}"


def test_more_padding_does_not_change_the_loss():
    wrapper, context = make_wrapper(), inputs()[1]
    plain = wrapper(tokens(), context=context)
    longer = torch.cat((tokens(), tokens(length=4, seed=9)), dim=1)
    padded = wrapper(longer, context=context, tgt_mask=length_mask([N] * B, N + 4))
    assert_close(padded, plain, "loss with 4 tokens of padding")


def test_batch_loss_is_the_token_weighted_mean_of_the_rows():
    wrapper, context, lengths = make_wrapper(), inputs()[1], [N, 3, 2]
    tgt_mask = length_mask(lengths, N)
    together = wrapper(tokens(), context=context, tgt_mask=tgt_mask)
    total = 0.0
    for b, length in enumerate(lengths):
        alone = wrapper(tokens()[b : b + 1, :length], context=context[b : b + 1])
        total = total + alone * (length - 1)
    assert_close(together, total / sum(n - 1 for n in lengths), "weighted mean of the rows")
    rows = [
        wrapper(tokens()[b : b + 1, :n], context=context[b : b + 1]) for b, n in enumerate(lengths)
    ]
    assert_differ(together, torch.stack(rows).mean(), "the plain mean over rows is the same")


def test_first_token_is_given_and_never_guessed():
    """Its mask entry counts for nothing but who may look at it; its logits have no part."""
    wrapper, context = make_wrapper(), inputs()[1]
    wrapper(tokens(), context=context).backward()
    gradient = wrapper.net.to_logits.bias.grad
    counted = torch.bincount(tokens()[:, 1:].flatten(), minlength=VOCABULARY)
    probabilities = wrapper.net(tokens()[:, :-1], context=context).softmax(-1).sum((0, 1))
    expected = (probabilities - counted) / (B * (N - 1))
    assert_close(gradient, expected, "gradient of the loss: probabilities minus counts")


@pytest.mark.parametrize("lengths", [[0, 0, 0], [1, 1, 0], [1, 1, 1]])
def test_loss_is_zero_and_not_nan_where_nothing_is_left_to_guess(lengths):
    wrapper, context = make_wrapper(), inputs()[1].requires_grad_()
    loss = wrapper(tokens(), context=context, tgt_mask=length_mask(lengths, N))
    assert loss.item() == 0.0, f"loss {loss.item()}"
    loss.backward()
    for name, tensor in [("context", context), *wrapper.named_parameters()]:
        assert tensor.grad is not None and (tensor.grad == 0).all(), f"gradient of {name}"


def test_uniform_logits_lose_log_of_the_vocabulary():
    wrapper = make_wrapper()
    torch.nn.init.zeros_(wrapper.net.to_logits.weight)
    torch.nn.init.zeros_(wrapper.net.to_logits.bias)
    expected = torch.tensor(math.log(VOCABULARY), dtype=torch.float64)
    for mask in (None, length_mask([N, 3, 2], N)):
        assert_close(wrapper(tokens(), tgt_mask=mask), expected, "loss in nats a token")


# Choosing a token


def distinct_logits(seed: int = 0, rows: int = 5) -> torch.Tensor:
    return 2 * randn(rows, 11, seed=seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 2, 7, 11])
def test_top_k_keeps_exactly_the_k_largest(k, seed):
    logits = distinct_logits(seed)
    kept = top_k(logits, k)
    for row, out in zip(logits.tolist(), kept.tolist(), strict=True):
        best = sorted(row, reverse=True)[:k]
        for before, after in zip(row, out, strict=True):
            assert after == (before if before in best else -math.inf), f"k={k}: {before}"


def test_top_k_keeps_exactly_k_of_equal_logits():
    kept = top_k(torch.zeros(3, 11), 4)
    assert (kept.isfinite().sum(-1) == 4).all(), "ties are not broken"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.99, 1.0])
def test_top_p_keeps_the_fewest_tokens_that_hold_p(p, seed):
    logits = distinct_logits(seed)
    kept = top_p(logits, p)
    for row, out in zip(logits.tolist(), kept.tolist(), strict=True):
        total = math.fsum(math.exp(x) for x in row)
        order = sorted(range(len(row)), key=lambda i: -row[i])
        expected, mass = set(), 0.0
        for i in order:
            if mass >= p:
                break
            expected.add(i)
            mass += math.exp(row[i]) / total
        if p == 1.0:
            expected = set(order)
        got = {i for i, x in enumerate(out) if x > -math.inf}
        assert got == expected, f"p={p}: kept {sorted(got)}, expected {sorted(expected)}"
        assert all(out[i] == row[i] for i in got), "a kept logit was changed"


def test_top_p_of_five_known_probabilities():
    """The case that shows an inverted top-p: 0.9 must keep 4 of these 5, not 1."""
    probabilities = torch.tensor([[0.05, 0.4, 0.1, 0.15, 0.3]], dtype=torch.float64)
    for p, count in ((0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.9, 4), (0.96, 5), (1.0, 5)):
        kept = top_p(probabilities.log(), p).isfinite()
        assert kept.sum() == count, f"p={p}: kept {int(kept.sum())} of 5, expected {count}"
        largest = probabilities.topk(count).indices
        assert kept[0, largest[0]].all(), f"p={p}: not the most likely ones"


@pytest.mark.parametrize(("tokens", "kept"), [(2, 1), (4, 1), (4, 2), (8, 3), (8, 8)])
def test_top_p_keeps_no_token_beyond_those_that_hold_exactly_p(tokens, kept):
    """Ties, whose probabilities and sums are exact: so many tokens hold p and no more stay."""
    stays = top_p(torch.zeros(3, tokens), kept / tokens).isfinite().sum(dim=-1)
    assert stays.tolist() == [kept] * 3


LOW_PRECISION = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", [torch.float64, *LOW_PRECISION])
def test_top_p_of_one_keeps_everything(dtype):
    """However large the vocabulary and however coarse the numbers."""
    logits = (3 * randn(4, 5000)).to(dtype)
    logits[0, 7] = -300  # so unlikely that its probability vanishes beside the others
    assert torch.equal(top_p(logits, 1.0), logits), "p=1 lost tokens, or changed their logits"
    two = torch.tensor([[0.0, -1000.0], [-1000.0, 0.0]], dtype=dtype)
    assert torch.equal(top_p(two, 1.0), two), "p=1 lost a token of probability 0"


@pytest.mark.parametrize("dtype", LOW_PRECISION)
@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_top_p_counts_exactly_in_low_precision(dtype, p):
    """Summing thousands of probabilities in bfloat16 would stop adding up."""
    for logits in ((3 * randn(4, 5000)).to(dtype), torch.zeros(1, 999, dtype=dtype)):
        exact = top_p(logits.double(), p).isfinite().sum(-1)
        got = top_p(logits, p)
        assert got.dtype == dtype
        assert torch.equal(got.isfinite().sum(-1), exact), "other numbers of tokens are kept"


def test_each_row_is_cut_by_itself():
    flat, steep = torch.zeros(1, 11), torch.tensor([[9.0] + [0.0] * 10])
    kept = top_p(torch.cat((flat, steep)), 0.9).isfinite().sum(-1).tolist()
    assert kept == [10, 1], f"kept {kept}"


@pytest.mark.parametrize("cut", [lambda x: top_k(x, 3), lambda x: top_p(x, 0.5)])
def test_cutting_leaves_its_input_as_it_was(cut):
    logits = distinct_logits()
    before = logits.clone()
    cut(logits)
    assert torch.equal(logits, before)


def frequencies(logits: torch.Tensor, **options) -> torch.Tensor:
    """Draw from one row of logits very often; return how often each token came."""
    draws = 40_000
    drawn = sample_token(logits.expand(draws, -1), generator=generator(1), **options)
    assert drawn.shape == (draws,) and drawn.dtype == torch.long
    return torch.bincount(drawn, minlength=logits.shape[-1]).double() / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_samples_follow_the_softmax_of_logits_over_temperature(temperature):
    logits = distinct_logits()[0]
    expected = torch.softmax(logits / temperature, dim=-1)
    got = frequencies(logits, temperature=temperature)
    assert_close(got, expected, f"frequencies at temperature {temperature}", 0.01)


def test_temperature_is_1_by_default():
    logits = distinct_logits()[0]
    assert_close(frequencies(logits), torch.softmax(logits, dim=-1), "frequencies", 0.01)


def test_temperature_acts_before_top_p():
    """At a high temperature more tokens are needed to hold the same probability."""
    logits = distinct_logits()[0]
    for temperature in (0.5, 3.0):
        kept = top_p((logits / temperature)[None], 0.6)[0]
        expected = kept.softmax(-1)
        got = frequencies(logits, temperature=temperature, top_p=0.6)
        assert_close(got, expected, f"top_p at temperature {temperature}", 0.01)


def test_top_k_then_top_p():
    """With both, top-p counts the probability that top-k has left."""
    logits = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=torch.float64).log()
    got = frequencies(logits, top_k=2, top_p=0.5)
    expected = torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64)
    assert torch.equal(got, expected), "of the two that are left, the first holds more than half"
    got = frequencies(logits, top_k=3, top_p=0.5)
    expected = torch.tensor([0.3, 0.25, 0, 0, 0], dtype=torch.float64) / 0.55
    assert_close(
        got, expected, "top_k=3 leaves 0.75, of which two tokens hold more than a half", 0.01
    )


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.0, "top_k": 3},
        {"top_k": 1},
        {"top_p": 1e-9},
        {"temperature": 1e-9},
        {"temperature": 1e-30},
        {"temperature": 0, "top_p": 0.5},
    ],
)
def test_greedy_in_all_its_ways(options):
    logits = distinct_logits(rows=50)
    got = sample_token(logits, generator=generator(0), **options)
    assert torch.equal(got, logits.argmax(-1)), f"{options} is not greedy"


@pytest.mark.parametrize("temperature", [1e-30, 1e-38])
def test_a_tiny_temperature_does_not_overflow(temperature):
    """In float32, 30 / 1e-38 would be inf, and a softmax of inf is nan."""
    logits = torch.tensor([[10.0, 30.0, 29.0], [-30.0, -10.0, -20.0], [5.0, 5.5, -1e4]])
    got = sample_token(logits, temperature=temperature, generator=generator(0))
    assert got.tolist() == [1, 1, 1]


def test_greedy_needs_no_randomness():
    state = torch.get_rng_state()
    sample_token(distinct_logits(), temperature=0)
    assert torch.equal(torch.get_rng_state(), state), "temperature 0 drew a random number"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sampling_works_with_huge_logits_and_low_precision(dtype):
    logits = torch.tensor([[3e4, -3e4, 2.9e4]]).to(dtype)
    for options in ({}, {"temperature": 1e-3}, {"top_p": 0.5}, {"top_k": 2}):
        assert sample_token(logits, generator=generator(0), **options).item() == 0, options


# Generation


def slow_generate(wrapper, start, seq_len, context, context_mask=None, limit=LIMIT):
    """Greedy, every prefix from the start, from the last `limit` tokens at most."""
    text = start
    for _ in range(seq_len):
        logits = wrapper.net(text[:, -limit:], context=context, src_mask=context_mask)
        text = torch.cat((text, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    return text[:, start.shape[1] :]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize(
    ("start", "seq_len"), [(1, 12), (3, 10), (3, 11), (1, 23), (13, 5), (17, 7)]
)
def test_greedy_tokens_are_the_most_likely_ones(use_cache, with_context, start, seq_len):
    """With and without cache, up to and beyond the decoder's limit of 13 tokens."""
    wrapper = make_wrapper()
    context = inputs()[1] if with_context else None
    with torch.no_grad():
        expected = slow_generate(wrapper, tokens(length=start), seq_len, context)
    got = wrapper.generate(
        tokens(length=start), seq_len, context=context, temperature=0, use_cache=use_cache
    )
    assert got.shape == (B, seq_len) and got.dtype == torch.long
    assert torch.equal(got, expected), f"got\n{got}\nexpected\n{expected}"
    assert len(expected.unique()) > 3, "this model repeats itself: the test shows nothing"


@pytest.mark.parametrize("seed", range(5))
def test_cached_and_uncached_tokens_are_equal(seed):
    wrapper, context = make_wrapper(seed), inputs(seed)[1]
    mask = length_mask([J, 4, 1], J)
    options = {"context": context, "context_mask": mask, "temperature": 0}
    cached = wrapper.generate(tokens(length=2, seed=seed), 17, **options)
    uncached = wrapper.generate(tokens(length=2, seed=seed), 17, use_cache=False, **options)
    assert torch.equal(cached, uncached)


@pytest.mark.parametrize("max_length", [N, 200])
@pytest.mark.parametrize("splits", [[7], [1] * 7, [3, 1, 2, 1], [1, 6]])
def test_cache_gives_the_same_numbers_in_any_steps(splits, max_length):
    decoder, (x, context) = make_decoder(), inputs()
    src_mask = length_mask([J, 4, 1], J)
    with torch.no_grad():
        expected = decoder(x, context=context, src_mask=src_mask)
        cache, parts = DecoderCache(max_length), []
        for part in x.split(splits, dim=1):
            parts.append(decoder(part, context=context, src_mask=src_mask, cache=cache))
    assert_close(torch.cat(parts, dim=1), expected, f"cache fed with {splits} tokens", 1e-12)
    assert cache.length == N


def test_cache_tells_far_tokens_apart_as_the_full_pass_does():
    """150 tokens, one at a time: every bucket of the table is looked up from the cache."""
    decoder, x = make_decoder(depth=1), randn(1, 150, DIM)
    with torch.no_grad():
        cache = DecoderCache(150)
        parts = [decoder(part, cache=cache) for part in x.split(1, dim=1)]
        assert_close(torch.cat(parts, dim=1), decoder(x), "150 single steps", 1e-12)


def test_cache_projects_each_token_and_the_context_once():
    wrapper, context = make_wrapper(), inputs()[1]
    rows = []
    for layer in wrapper.net.layer_blocks.layers:
        for part in (SELF, CROSS):
            getattr(layer, part).to_kv.register_forward_hook(
                lambda module, args, out, part=part: rows.append((part, args[0].shape[1]))
            )
    wrapper.generate(tokens(length=3), LIMIT - 2, context=context, temperature=0)
    seen = [sum(n for kind, n in rows if kind == part) for part in (SELF, CROSS)]
    assert seen == [2 * LIMIT, 2 * J], f"tokens and context rows projected: {seen}"


def test_batch_rows_equal_rows_alone():
    wrapper, context, lengths = make_wrapper(), inputs()[1], [J, 4, 1]
    mask = length_mask(lengths, J)
    start = tokens(length=3)
    together = wrapper.generate(start, 15, context=context, context_mask=mask, temperature=0)
    for b, length in enumerate(lengths):
        row = slice(b, b + 1)
        alone = wrapper.generate(start[row], 15, context=context[row, :length], temperature=0)
        assert torch.equal(together[row], alone), f"row {b} alone writes other tokens"


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("pad_token", [None, 0, 28])
def test_each_row_stops_at_its_own_end_and_is_padded_after_it(use_cache, pad_token):
    wrapper, context = make_wrapper(), inputs()[1]
    options = {"context": context, "temperature": 0, "use_cache": use_cache}
    free = wrapper.generate(tokens(length=2), 20, **options)
    padding = {} if pad_token is None else {"pad_token": pad_token}
    ends_seen = set()
    for eos in free.unique().tolist():
        got = wrapper.generate(tokens(length=2), 20, eos_token=eos, **padding, **options)
        assert got.shape == free.shape, "the result has another length"
        for b in range(B):
            where = (free[b] == eos).nonzero()
            end = int(where[0]) + 1 if len(where) else 20
            ends_seen.add(end)
            expected = torch.full((20,), pad_token or 0)
            expected[:end] = free[b, :end]
            assert torch.equal(got[b], expected), f"row {b}, eos {eos}: {got[b].tolist()}"
    assert len(ends_seen) > 3 and 20 in ends_seen, "all rows ended alike: the test shows nothing"


def test_an_end_token_in_the_start_ends_nothing():
    wrapper, context = make_wrapper(), inputs()[1]
    start = tokens(length=2)
    free = wrapper.generate(start, 6, context=context, temperature=0)
    eos = next(t for t in range(VOCABULARY) if t not in free)
    start[:, 0] = eos
    free = wrapper.generate(start, 6, context=context, temperature=0)
    ended = wrapper.generate(start, 6, context=context, temperature=0, eos_token=eos)
    if eos not in free:
        assert torch.equal(free, ended)
    else:
        end = int((free[0] == eos).nonzero()[0]) if eos in free[0] else 6
        assert torch.equal(free[0, :end], ended[0, :end])


def test_generation_stops_working_when_all_rows_have_ended():
    wrapper, context = make_wrapper(), inputs()[1]
    eos = int(wrapper.generate(tokens(1, 2), 1, context=context[:1], temperature=0)[0, 0])
    calls = []
    wrapper.net.register_forward_hook(lambda *_: calls.append(1))
    out = wrapper.generate(tokens(1, 2), 9, context=context[:1], temperature=0, eos_token=eos)
    assert len(calls) == 1, f"{len(calls)} steps for a text of one token"
    assert out.tolist() == [[eos] + [0] * 8]


def test_a_generator_makes_sampling_reproducible_and_leaves_the_global_one_alone():
    wrapper, context, start = make_wrapper(), inputs()[1], tokens(length=2)
    with torch.no_grad():
        wrapper.net.to_logits.weight.div_(20)  # close to uniform: every draw is open

    def write(seed):
        return wrapper.generate(start, 11, context=context, generator=generator(seed))

    before = torch.get_rng_state()
    first = write(0)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert torch.equal(first, write(0)), "the same generator gives other tokens"
    assert not torch.equal(first, write(1)), "the generator has no effect"


def test_without_a_generator_the_global_one_is_used():
    wrapper, context, start = make_wrapper(), inputs()[1], tokens(length=2)
    with torch.no_grad():
        wrapper.net.to_logits.weight.div_(20)
    torch.manual_seed(5)
    first = wrapper.generate(start, 11, context=context)
    assert not torch.equal(first, wrapper.generate(start, 11, context=context))
    torch.manual_seed(5)
    assert torch.equal(first, wrapper.generate(start, 11, context=context))


@pytest.mark.parametrize("use_cache", [True, False])
def test_sampled_tokens_do_not_depend_on_the_cache(use_cache):
    wrapper, context, start = make_wrapper(), inputs()[1], tokens(length=2)
    options = {"context": context, "temperature": 1.3, "top_k": 9, "top_p": 0.95}
    plain = wrapper.generate(start, 17, generator=generator(3), use_cache=False, **options)
    got = wrapper.generate(start, 17, generator=generator(3), use_cache=use_cache, **options)
    assert torch.equal(got, plain)


@pytest.mark.parametrize(
    ("options", "kept"),
    [({"top_k": 1}, 1), ({"top_p": 1e-9}, 1), ({"temperature": 1e-9}, 1), ({"top_k": 2}, 2)],
)
def test_sampling_options_reach_the_choice(options, kept):
    """Each generated token is among the most likely ones, given all tokens before it."""
    wrapper, context, start = make_wrapper(), inputs()[1], tokens(length=2)
    with torch.no_grad():
        wrapper.net.to_logits.weight.div_(20)
        new = wrapper.generate(start, 11, context=context, generator=generator(0), **options)
        logits = wrapper.net(torch.cat((start, new), dim=1)[:, :-1], context=context)
    best = logits[:, 1:].topk(kept, dim=-1).indices
    assert (best == new[..., None]).any(-1).all(), f"{options} let another token through"
    if kept == 2:
        assert (best[..., 1] == new).any(), "top_k=2 is greedy"


def test_generation_runs_without_dropout_and_puts_the_modes_back():
    wrapper, context = make_wrapper(dropout=0.5), inputs()[1]
    expected = wrapper.generate(tokens(length=2), 9, context=context, temperature=0)
    wrapper.train()
    frozen = wrapper.net.layer_blocks.layers[0]
    frozen.eval()  # a part that the caller has frozen stays frozen
    got = wrapper.generate(tokens(length=2), 9, context=context, temperature=0)
    assert torch.equal(got, expected), "dropout acts while generating"
    assert wrapper.training and wrapper.net.training, "the training mode was not put back"
    assert not any(module.training for module in frozen.modules()), "a frozen part was thawed"
    wrapper.eval().generate(tokens(length=2), 2, context=context)
    assert not any(module.training for module in wrapper.modules())


def test_modes_are_put_back_when_generation_fails():
    wrapper = make_wrapper(dropout=0.5).train()

    def fail(*_):
        raise RuntimeError("stop here")

    handle = wrapper.net.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="stop here"):
        wrapper.generate(tokens(length=2), 3)
    handle.remove()
    assert all(module.training for module in wrapper.modules())


def test_generation_keeps_no_graph_and_leaves_its_inputs_as_they_were():
    wrapper, context, start = make_wrapper(), inputs()[1].requires_grad_(), tokens(length=2)
    kept = start.clone(), context.detach().clone()
    recording = []
    wrapper.net.register_forward_hook(lambda m, args, out: recording.append(out.requires_grad))
    wrapper.generate(start, 5, context=context)
    assert recording == [False] * 5, "a graph is recorded while generating"
    assert torch.equal(start, kept[0]) and torch.equal(context, kept[1])
    assert all(parameter.grad is None for parameter in wrapper.parameters())


def test_start_tokens_are_not_part_of_the_result():
    wrapper, context = make_wrapper(), inputs()[1]
    for length in (1, 2, 5):
        out = wrapper.generate(tokens(length=length), 3, context=context, temperature=0)
        assert out.shape == (B, 3)
