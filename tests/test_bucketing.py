"""Relative positions: the buckets of T5, exactly, and the bias that is looked up with them."""

import pytest
import torch
from helpers import assert_close, generator
from memformer.memformer import RelativePositionBias as PublishedBias

from memformer_lite import RelativePositionBias, relative_position_bucket

OPTIONS = [(32, 128), (16, 64), (64, 256), (32, 20), (8, 16)]
DIRECTIONS = [True, False]


def exact_bucket(offset: int, bidirectional: bool, num_buckets: int, max_distance: int) -> int:
    """T5's bucket in whole numbers only, so that no rounding can hide or make a difference.

    Beyond the exact range e, bucket e + j begins where (n / e) ** (N - e) >= (D / e) ** j, with N
    buckets in one direction and the largest distance D: its logarithm is the usual formula.
    """
    first, distance = 0, max(0, -offset)
    if bidirectional:
        num_buckets //= 2
        distance = abs(offset)
        first = num_buckets if offset > 0 else 0
    exact = num_buckets // 2
    if distance < exact:
        return first + distance
    power = num_buckets - exact
    step = 0
    while step + 1 < power:
        reached = distance**power * exact ** (step + 1)
        if reached < exact**power * max_distance ** (step + 1):
            break
        step += 1
    return first + exact + step


@pytest.mark.parametrize("bidirectional", DIRECTIONS)
@pytest.mark.parametrize(("num_buckets", "max_distance"), OPTIONS)
def test_every_bucket_equals_t5(num_buckets, max_distance, bidirectional):
    offsets = torch.arange(-2 * max_distance - 7, 2 * max_distance + 8)
    options = {
        "bidirectional": bidirectional,
        "num_buckets": num_buckets,
        "max_distance": max_distance,
    }
    got = relative_position_bucket(offsets, **options)
    for offset, bucket in zip(offsets.tolist(), got.tolist(), strict=True):
        expected = exact_bucket(offset, bidirectional, num_buckets, max_distance)
        assert bucket == expected, f"offset {offset}: bucket {bucket}, T5 has {expected}"


@pytest.mark.parametrize("bidirectional", DIRECTIONS)
@pytest.mark.parametrize(("num_buckets", "max_distance"), OPTIONS)
def test_published_function_agrees_once_its_flag_is_right(num_buckets, max_distance, bidirectional):
    offsets = torch.arange(-3 * max_distance, 3 * max_distance)
    published = PublishedBias._relative_position_bucket(
        offsets, causal=bidirectional, num_buckets=num_buckets, max_distance=max_distance
    )
    ours = relative_position_bucket(
        offsets, bidirectional=bidirectional, num_buckets=num_buckets, max_distance=max_distance
    )
    assert torch.equal(ours, published), "the published function with its flag set right differs"


def first_distances(sign: int, bidirectional: bool) -> dict[int, int]:
    """Map each bucket to the first distance that falls into it, with the default options."""
    distances = torch.arange(0, 400)
    buckets = relative_position_bucket(sign * distances, bidirectional=bidirectional).tolist()
    first = {}
    for distance, bucket in enumerate(buckets):
        first.setdefault(bucket, distance)
    return first


def test_first_distance_of_each_bucket_both_directions():
    expected = {**{n: n for n in range(8)}, 8: 8, 9: 12, 10: 16, 11: 23}
    expected |= {12: 32, 13: 46, 14: 64, 15: 91}
    assert first_distances(-1, True) == expected, "past half of a bidirectional table"
    future = {0: 0} | {16 + bucket: n for bucket, n in expected.items() if n > 0}
    assert first_distances(1, True) == future, "the future half is the past half plus 16"


def test_first_distance_of_each_bucket_one_direction():
    expected = {n: n for n in range(17)}
    expected |= {17: 19, 18: 21, 19: 24, 20: 27, 21: 31, 22: 35, 23: 40}
    expected |= {24: 46, 25: 52, 26: 59, 27: 67, 28: 77, 29: 87, 30: 99, 31: 113}
    assert first_distances(-1, False) == expected
    assert first_distances(1, False) == {0: 0}, "without a future half every future is bucket 0"


def test_defaults_are_32_buckets_and_128_tokens():
    offsets = torch.arange(-300, 301)
    for bidirectional in DIRECTIONS:
        assert torch.equal(
            relative_position_bucket(offsets, bidirectional=bidirectional),
            relative_position_bucket(
                offsets, bidirectional=bidirectional, num_buckets=32, max_distance=128
            ),
        )


@pytest.mark.parametrize("bidirectional", DIRECTIONS)
def test_buckets_never_leave_the_table_and_grow_with_distance(bidirectional):
    draw = generator(5)
    for _ in range(40):
        num_buckets = 2 * int(torch.randint(2, 40, (), generator=draw))
        exact = num_buckets // (4 if bidirectional else 2)
        max_distance = exact + int(torch.randint(1, 300, (), generator=draw))
        past = -torch.arange(0, 3 * max_distance)
        options = {
            "bidirectional": bidirectional,
            "num_buckets": num_buckets,
            "max_distance": max_distance,
        }
        buckets = relative_position_bucket(past, **options)
        everywhere = relative_position_bucket(torch.cat((past, -past)), **options)
        assert everywhere.min() >= 0, f"{options}: negative bucket"
        assert everywhere.max() < num_buckets, f"{options}: bucket beyond the table"
        assert (buckets.diff() >= 0).all(), f"{options}: a farther key has a smaller bucket"


@pytest.mark.parametrize("distance", [10**6, 2**31 - 1, 2**40])
def test_very_far_keys_fall_into_the_last_bucket(distance):
    far = torch.tensor([-distance, distance])
    assert relative_position_bucket(far, bidirectional=True).tolist() == [15, 31]
    assert relative_position_bucket(far, bidirectional=False).tolist() == [31, 0]


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_any_integer_dtype_gives_long_buckets_in_the_same_shape(dtype):
    offsets = torch.arange(-128, 82).to(dtype).view(2, 3, 5, 7)  # int8 has no +128
    buckets = relative_position_bucket(offsets, bidirectional=True)
    assert buckets.dtype == torch.long
    assert buckets.shape == (2, 3, 5, 7)
    assert torch.equal(buckets, relative_position_bucket(offsets.long(), bidirectional=True))


def test_input_is_left_as_it_was():
    offsets = torch.arange(-50, 51)
    before = offsets.clone()
    relative_position_bucket(offsets, bidirectional=True)
    relative_position_bucket(offsets, bidirectional=False)
    assert torch.equal(offsets, before)


@pytest.mark.parametrize("bidirectional", DIRECTIONS)
@pytest.mark.parametrize(
    ("q_len", "k_len", "q_start"),
    [(5, 5, 0), (3, 11, 0), (1, 13, 12), (11, 3, 0), (2, 7, 5), (1, 1, 0)],
)
def test_bias_is_a_look_up_at_each_query_and_key(q_len, k_len, q_start, bidirectional):
    bias = RelativePositionBias(
        heads=3, bidirectional=bidirectional, num_buckets=8, max_distance=16
    ).double()
    out = bias(q_len, k_len, q_start)
    assert out.shape == (1, 3, q_len, k_len)
    table = bias.relative_attention_bias.weight
    for i in range(q_len):
        for j in range(k_len):
            bucket = exact_bucket(j - (q_start + i), bidirectional, 8, 16)
            assert torch.equal(out[0, :, i, j], table[bucket]), f"query {q_start + i}, key {j}"


@pytest.mark.parametrize("bidirectional", DIRECTIONS)
def test_bias_options_reach_the_buckets(bidirectional):
    def largest_change(**options):
        torch.manual_seed(0)
        bias = RelativePositionBias(heads=3, bidirectional=bidirectional, **options).double()
        with torch.no_grad():
            bias.relative_attention_bias.weight.copy_(
                torch.arange(bias.num_buckets).double()[:, None].expand(-1, 3)
            )
        return bias(40, 40).detach()

    default = largest_change(num_buckets=16, max_distance=64)
    for changed in (
        {"num_buckets": 8, "max_distance": 64},
        {"num_buckets": 16, "max_distance": 20},
    ):
        assert not torch.equal(default, largest_change(**changed)), f"{changed} has no effect"


def test_bias_direction_reaches_the_buckets():
    torch.manual_seed(0)
    both = RelativePositionBias(heads=3, bidirectional=True)
    past = RelativePositionBias(heads=3, bidirectional=False)
    past.load_state_dict(both.state_dict())
    ahead = torch.ones(12, 12).triu(1).bool()
    assert len(both(12, 12)[0, 0][ahead].unique()) > 1, "the future has one bucket only"
    assert len(past(12, 12)[0, 0][ahead].unique()) == 1, "the future is no single bucket"


def test_bias_gradient_counts_how_often_each_bucket_is_used():
    bias = RelativePositionBias(heads=2, bidirectional=True, num_buckets=8, max_distance=16)
    bias = bias.double()
    bias(5, 9).sum().backward()
    counts = torch.zeros(8, dtype=torch.float64)
    for i in range(5):
        for j in range(9):
            counts[exact_bucket(j - i, True, 8, 16)] += 1
    expected = counts[:, None].expand(8, 2)
    assert_close(bias.relative_attention_bias.weight.grad, expected, "gradient of the table")


def test_bias_default_heads_is_8():
    assert RelativePositionBias(bidirectional=True)(2, 3).shape == (1, 8, 2, 3)


def test_decoder_table_is_used_from_end_to_end():
    offsets = -torch.arange(0, 200)
    used = set(relative_position_bucket(offsets, bidirectional=False).tolist())
    assert used == set(range(32)), f"buckets never used: {sorted(set(range(32)) - used)}"
