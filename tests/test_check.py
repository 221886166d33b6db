"""The checker that chapters use must pass what is equal and name what is not."""

import copy

import pytest
import torch
from helpers import randn, randomise
from torch import nn

from memformer_lite import Attention, FeedForward, MemoryWriter, top_k, top_p
from memformer_lite.check import same_function, same_module


class Mine(nn.Module):
    """A feed-forward as a reader would build it, with a mistake that a test can plant."""

    def __init__(self, dim: int = 5, hidden: int = 20, mistake=lambda hidden, out: out):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.mistake = mistake

    def forward(self, x):
        hidden = self.net[1](self.net[0](x))
        return self.mistake(hidden, self.net[2](hidden))


def finished() -> FeedForward:
    torch.manual_seed(0)
    return randomise(FeedForward(5))


def test_an_equal_module_passes_and_says_what_agreed():
    sentence = same_module(Mine(), finished(), randn(2, 3, 5))
    assert isinstance(sentence, str)
    assert "1 output" in sentence and "5 gradients" in sentence, sentence  # x and 4 parameters


def test_weights_are_copied_into_a_copy_only():
    mine, good = Mine(), finished()
    before = [copy.deepcopy(module.state_dict()) for module in (mine, good)]
    x = randn(2, 3, 5, dtype=torch.float32).requires_grad_()
    same_module(mine, good, x)
    for module, state in zip((mine, good), before, strict=True):
        for name, value in module.state_dict().items():
            assert torch.equal(value, state[name]), f"{name} of the caller's module changed"
            assert value.dtype == torch.float32, f"{name} of the caller's module became float64"
        assert module.training, "the caller's module left its training mode"
        assert all(parameter.grad is None for parameter in module.parameters())
    assert x.grad is None and x.dtype == torch.float32


def test_comparison_is_in_float64():
    """An error of 1e-9, far below float32, is found even when float32 modules are handed in."""
    mine = Mine(mistake=lambda hidden, out: out + 1e-9)
    with pytest.raises(AssertionError, match="output"):
        same_module(mine, finished(), randn(2, 3, 5, dtype=torch.float32))


def test_dropout_does_not_disturb():
    good = FeedForward(5, dropout=0.9).train()
    same_module(Mine(), good, randn(2, 3, 5))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda hidden, out: out + 1e-6, ["output", "1e-06"]),
        (lambda hidden, out: out * 1.001, ["output"]),
        (lambda hidden, out: out[:, :1], ["shape", "(2, 1, 5)", "(2, 3, 5)"]),
        (lambda hidden, out: out.sum(), ["shape", "()", "(2, 3, 5)"]),
        (lambda hidden, out: out * float("nan"), ["has nan in it", "softmax row"]),
        (lambda hidden, out: out + float("inf"), ["output"]),
        (lambda hidden, out: (out, out), ["2", "1"]),
        (lambda hidden, out: None, ["0", "1"]),
        (lambda hidden, out: out.detach(), ["gradient"]),
        (lambda hidden, out: out.detach() + 0 * out, ["gradient"]),
        (lambda hidden, out: 2 * out - out.detach(), ["gradient"]),
        (lambda hidden, out: out.round().long(), ["dtype"]),
    ],
    ids=[
        "a little off",
        "scaled",
        "shorter",
        "a scalar",
        "nan",
        "inf",
        "two outputs",
        "none",
        "detached",
        "no gradient",
        "doubled gradient",
        "integers",
    ],
)
def test_a_mistake_is_found_and_named(mistake, words):
    with pytest.raises(AssertionError) as caught:
        same_module(Mine(mistake=mistake), finished(), randn(2, 3, 5))
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_a_parameter_that_is_detached_is_named():
    class Detached(Mine):
        def forward(self, x):
            layer = self.net[0]
            hidden = nn.functional.linear(x, layer.weight.detach(), layer.bias)
            return self.net[2](self.net[1](hidden))

    with pytest.raises(AssertionError, match=r"net\.0\.weight"):
        same_module(Detached(), finished(), randn(2, 3, 5))


def test_an_input_that_is_detached_is_named():
    class Detached(Mine):
        def forward(self, x):
            return super().forward(x.detach())

    with pytest.raises(AssertionError, match="'x'"):
        same_module(Detached(), finished(), randn(2, 3, 5))


def test_other_parameter_names_are_listed():
    mine = Mine()
    mine.extra, mine.net[2] = nn.Linear(2, 2), nn.Linear(20, 5, bias=False)
    with pytest.raises(AssertionError) as caught:
        same_module(mine, finished(), randn(2, 3, 5))
    assert "net.2.bias" in str(caught.value) and "extra.weight" in str(caught.value)


def test_one_parameter_too_many_or_too_few_is_enough():
    more, fewer = Mine(), Mine()
    more.extra, fewer.net[2] = nn.Linear(2, 2), nn.Linear(20, 5, bias=False)
    with pytest.raises(AssertionError, match=r"Missing in yours: none.*extra\.weight"):
        same_module(more, finished(), randn(2, 3, 5))
    with pytest.raises(AssertionError, match=r"Missing in yours: net\.2\.bias.*none"):
        same_module(fewer, finished(), randn(2, 3, 5))


def test_rounding_of_large_numbers_is_no_difference():
    """The tolerance is relative to the largest entry: float64 has 16 digits, not 16 decimals."""
    x = randn(2, 3)
    same_function(lambda a: a * 1e6 * (1 + 1e-14), lambda a: a * 1e6, x)
    with pytest.raises(AssertionError, match="output"):
        same_function(lambda a: a * 1e6 * (1 + 1e-8), lambda a: a * 1e6, x)


def test_other_parameter_shapes_are_named():
    with pytest.raises(AssertionError, match=r"net\.0\.weight.*\(10, 5\).*\(20, 5\)"):
        same_module(Mine(hidden=10), finished(), randn(2, 3, 5))


def test_named_inputs_masks_and_their_gradients():
    class Wrong(Attention):
        def forward(self, x, context=None, **options):
            return super().forward(x, context.detach(), **options)

    torch.manual_seed(0)
    good, x, context = Attention(6, heads=3), randn(2, 3, 6), randn(2, 5, 6, seed=1)
    kv_mask = torch.tensor([[True, True, False, True, False]] * 2)
    same_module(Attention(6, heads=3), good, x, context=context, kv_mask=kv_mask)
    with pytest.raises(AssertionError, match="context"):
        same_module(Wrong(6, heads=3), good, x, context=context, kv_mask=kv_mask)
    with pytest.raises(AssertionError, match="output"):
        same_module(Attention(6, heads=2), good, x, context=context, kv_mask=kv_mask)


def test_modules_with_several_outputs_and_none_among_them():
    class Several(nn.Module):
        def __init__(self, factor=1.0):
            super().__init__()
            self.weight, self.factor = nn.Parameter(torch.ones(())), factor

        def forward(self, x):
            return {"a": x * self.weight, "b": (None, [x * x * self.factor])}

    x = randn(2, 3)
    assert "2 outputs" in same_module(Several(), Several(), x)
    with pytest.raises(AssertionError, match="output"):
        same_module(Several(1.5), Several(), x)


def test_functions_are_compared_with_their_gradients():
    x, y = randn(2, 3), randn(2, 3, seed=1)
    assert "1 output" in same_function(lambda a, b: a * b, torch.mul, x, y)
    with pytest.raises(AssertionError, match="output"):
        same_function(lambda a, b: a * b + 1e-6, torch.mul, x, y)
    with pytest.raises(AssertionError, match="gradient"):
        same_function(lambda a, b: a * b.detach(), torch.mul, x, y)


def test_integers_must_be_equal():
    x = torch.arange(7)
    same_function(lambda a: a * 2, lambda a: a + a, x)
    with pytest.raises(AssertionError, match="differs in 1 of 7"):
        same_function(lambda a: a * 2 + (a == 3).long(), lambda a: a + a, x)


def test_infinite_entries_must_stand_at_the_same_places():
    """-inf is what top-k and top-p write: it must neither hide a mistake nor make one."""
    logits = randn(3, 11)
    same_function(lambda x: top_k(x, 4), lambda x: top_k(x, 4), logits)
    same_function(lambda x: top_p(x, 0.7), lambda x: top_p(x, 0.7), logits)
    for wrong in (
        lambda x: top_k(x, 5),
        lambda x: top_k(x, 3),
        lambda x: top_k(x, 4) + 1,
        lambda x: -top_k(x, 4),
        lambda x: x,
    ):
        with pytest.raises(AssertionError, match="output"):
            same_function(wrong, lambda x: top_k(x, 4), logits)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_expected_value_that_is_not_finite_is_no_free_pass(value):
    """Without gradients, so that the outputs alone must show the difference."""
    x = randn(3, 11)

    def expected(x):
        return torch.where(x > 0, x, value).detach()

    same_function(expected, expected, x)
    for wrong in (
        lambda x: (x * 0 + 5).detach(),
        lambda x: expected(x) + 1e-3,
        lambda x: torch.where(x > 0, x, 0.0).detach(),
        lambda x: torch.where(x > 0.1, x, value).detach(),
    ):
        with pytest.raises(AssertionError, match="output"):
            same_function(wrong, expected, x)


def test_nothing_to_compare_is_a_failure():
    with pytest.raises(AssertionError, match="nothing was compared"):
        same_function(lambda x: None, lambda x: None, randn(2))


def test_modules_without_parameters_or_gradients():
    class Shift(nn.Module):
        def __init__(self, by=1):
            super().__init__()
            self.by = by

        def forward(self, x):
            return x + self.by

    assert "1 output" in same_module(Shift(), Shift(), torch.arange(4))
    with pytest.raises(AssertionError, match="differs in 4 of 4"):
        same_module(Shift(2), Shift(), torch.arange(4))


@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_package_modules_equal_themselves(update):
    torch.manual_seed(0)
    writers = [MemoryWriter(6, heads=3, update=update, num_updates=2) for _ in range(2)]
    mask = torch.tensor([[True, True, False]] * 2)
    sentence = same_module(*writers, randn(2, 5, 6), randn(2, 3, 6, seed=1), src_mask=mask)
    assert "1 output" in sentence
