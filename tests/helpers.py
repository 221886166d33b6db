"""Small models of pairwise different sizes, and comparisons that say what went wrong."""

import math
import re

import pytest
import torch
from memformer.memformer import Memformer as PublishedMemformer

from memformer_lite import Memformer, load_reference, record, widgets
from memformer_lite.inside.trace import Trace

# No two sizes are equal and few divide each other, so that swapping two of them is seen.
BATCH = 3
SOURCE = 11
TARGET = 17
SLOTS = 7
SIZES = {
    "dim": 30,
    "num_memory_slots": SLOTS,
    "mem_update_attn_heads": 2,
    "enc_num_tokens": 23,
    "enc_max_seq_len": 13,
    "enc_depth": 2,
    "enc_heads": 3,
    "dec_num_tokens": 29,
    "dec_max_seq_len": 19,
    "dec_depth": 2,
    "dec_heads": 5,
}
NAN, INF = math.nan, math.inf
ENCODER_SIZES = {name: size for name, size in SIZES.items() if not name.startswith("dec_")}


def generator(seed: int = 0) -> torch.Generator:
    """Return a random generator of its own, so that no test depends on another."""
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Draw a normal tensor; the same numbers in every dtype."""
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def source_tokens(batch: int = BATCH, length: int = SOURCE, seed: int = 0) -> torch.Tensor:
    """Draw token ids for the encoder, (b, n)."""
    return torch.randint(SIZES["enc_num_tokens"], (batch, length), generator=generator(seed))


def target_tokens(batch: int = BATCH, length: int = TARGET, seed: int = 100) -> torch.Tensor:
    """Draw token ids for the decoder, (b, n)."""
    return torch.randint(SIZES["dec_num_tokens"], (batch, length), generator=generator(seed))


def length_mask(lengths: list[int], total: int) -> torch.Tensor:
    """Return the bool mask (b, total) of rows with `lengths` real tokens, padded on the right."""
    return torch.arange(total)[None, :] < torch.tensor(lengths)[:, None]


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Move all parameters from their start: no bias is 0, no norm is the identity."""
    source = generator(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.add_(0.1 * noise.to(parameter.dtype))
    return module


def make_model(seed: int = 0, *, encoder_only: bool = False, **options) -> Memformer:
    """Build a small float64 Memformer in evaluation mode."""
    sizes = ENCODER_SIZES if encoder_only else SIZES
    torch.manual_seed(seed)
    model = Memformer(**{**sizes, "encoder_only": encoder_only, **options})
    return randomise(model.double(), seed).eval()


@torch.no_grad()
def record_story(
    seed: int = 0,
    *,
    segments: int = 4,
    length: int = 5,
    mask: torch.Tensor | None = None,
    **options,
) -> Trace:
    """Record a small encoder that reads so many segments, with a batch of `BATCH`."""
    model, mems = make_model(seed, encoder_only=True, **options), None
    with record(model) as trace:
        for index in range(segments):
            mems = model(source_tokens(length=length, seed=index), mems=mems, src_mask=mask).mem
    return trace


def make_published(seed: int = 0, *, encoder_only: bool = False, **options) -> PublishedMemformer:
    """Build the published model (PyPI memformer 0.3.1) in the same sizes, float64."""
    # It reads its dec_… options even where it builds no decoder: it swallows what it is given.
    torch.manual_seed(seed)
    model = PublishedMemformer(**{**SIZES, "encoder_only": encoder_only, **options})
    return randomise(model.double(), seed).eval()


def make_pair(seed: int = 0, *, encoder_only: bool = False, **options):
    """Return the published model, and ours in its bucket mode with its weights."""
    published = make_published(seed, encoder_only=encoder_only, **options)
    ours = make_model(seed + 1, encoder_only=encoder_only, position_buckets="reference", **options)
    load_reference(ours, published.state_dict())
    return published, ours


def assert_close(actual, expected, what: str, tolerance: float = 1e-10) -> None:
    """Fail unless two float64 tensors agree; the message says what, where and by how much."""
    assert actual.shape == expected.shape, (
        f"{what}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    )
    assert torch.isfinite(actual).all(), f"{what}: has nan or inf in it"
    assert torch.isfinite(expected).all(), f"{what}: the expected value has nan or inf in it"
    difference = (actual - expected).abs().max().item()
    assert difference <= tolerance, f"{what}: differs by {difference:.3g}, allowed {tolerance:.3g}"


def assert_differ(first, second, why: str, at_least: float = 1e-6) -> None:
    """Fail where two tensors of one shape are (nearly) equal."""
    assert first.shape == second.shape, f"{tuple(first.shape)} and {tuple(second.shape)}: {why}"
    difference = (first - second).abs().max().item()
    assert difference >= at_least, f"{why} (they differ by {difference:.3g} only)"


def assert_finite_gradients(module: torch.nn.Module, why: str) -> None:
    """Fail where a parameter's gradient has nan or inf in it."""
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), f"{why}: gradient of {name} is not finite"


# Every widget: the tests of all widgets take them from here.
WIDGETS = {name: getattr(widgets, name) for name in widgets.__all__}


def refused(kind, function, *words):
    """The call must raise exactly this kind, and the message must have all the words."""
    with pytest.raises((TypeError, ValueError)) as caught:
        function()
    message = str(caught.value)
    assert caught.type is kind, f"{caught.type.__name__} in place of {kind.__name__}: {message}"
    for word in words:
        found = re.search(rf"(?<![\w.]){re.escape(str(word))}(?!\w)", message)
        assert found, f"{word!r} is not named in: {message}"


def whole(name, *too_small):
    """Cases for an option that must be a whole number: too small, and not a whole number."""
    return [*((name, value, ValueError) for value in too_small), (name, 2.5, TypeError)]
