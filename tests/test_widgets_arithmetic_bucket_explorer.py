"""The bucket explorer's arithmetic in Chromium against the package's, on the whole grid."""

import base64

import pytest
import torch
from widget_pages import compute

from memformer_lite.bucketing import relative_position_bucket
from memformer_lite.widgets import BucketExplorer

REFUSED = 255
REACH = 300
OFFSETS = torch.arange(-REACH, REACH + 1)
ONE_SIZE = """
  const parts = [];
  for (const bidirectional of [true, false]) {
    for (let numBuckets = 4; numBuckets <= 64; numBuckets += 1) {
      for (let maxDistance = 16; maxDistance <= 256; maxDistance += 1) {
        const options = { bidirectional, numBuckets, maxDistance };
        const row = new Uint8Array(601).fill(255);
        if (!m.refusal(options)) {
          row.forEach((_, place) => { row[place] = m.bucketOf(place - 300, options); });
        }
        parts.push(row);
      }
    }
  }
  let text = "";
  for (const row of parts) text += String.fromCharCode(...row);
  return btoa(text);
"""


@pytest.fixture(scope="module")
def tab(bench):
    with bench.tab(bench.write()) as tab:
        yield tab


def expected(**options):
    try:
        return relative_position_bucket(OFFSETS, **options).to(torch.uint8), None
    except ValueError as error:
        return torch.full((len(OFFSETS),), REFUSED, dtype=torch.uint8), str(error)


def grid():
    for bidirectional in (True, False):
        for num_buckets in range(4, 65):
            for max_distance in range(16, 257):
                yield {
                    "bidirectional": bidirectional,
                    "num_buckets": num_buckets,
                    "max_distance": max_distance,
                }


def test_every_bucket_equals_pythons(tab):
    """All offsets from -300 to 300, 4 to 64 buckets, distances 16 to 256, both flags."""
    got = bytearray(base64.b64decode(compute(tab, BucketExplorer, ONE_SIZE)))
    got = torch.frombuffer(got, dtype=torch.uint8).view(-1, len(OFFSETS))
    wanted = torch.stack([expected(**options)[0] for options in grid()])
    assert got.shape == wanted.shape
    for place, options in enumerate(grid()):
        assert torch.equal(got[place], wanted[place]), options
    assert (wanted == REFUSED).any() and (wanted != REFUSED).any()


def test_refusals_say_what_python_says(tab):
    some = [
        {"bidirectional": flag, "num_buckets": number, "max_distance": distance}
        for flag in (True, False)
        for number in (0, 1, 2, 3, 4, 5, 7, 32, 33, 62, 63, 64)
        for distance in (0, 1, 2, 8, 9, 15, 16, 17, 31, 32, 33, 128)
    ]
    body = """return argument.map((o) => m.refusal({ bidirectional: o.bidirectional,
      numBuckets: o.num_buckets, maxDistance: o.max_distance }));"""
    said = [expected(**options)[1] for options in some]
    assert compute(tab, BucketExplorer, body, some) == said
    assert any(said) and not all(said)


def test_a_refused_map_has_no_bucket(tab):
    body = """const options = { bidirectional: true, numBuckets: 7, maxDistance: 16 };
      try { return m.bucketOf(-9, options); } catch (error) { return error.message; }"""
    words = expected(bidirectional=True, num_buckets=7, max_distance=16)[1]
    assert compute(tab, BucketExplorer, body) == words


def test_sharers_and_directions_equal_pythons(tab):
    """The run of offsets with one bucket, and how many buckets a direction has for itself."""
    line = torch.arange(-2000, 2001)
    some = [
        {"bidirectional": flag, "num_buckets": number, "max_distance": distance}
        for flag in (True, False)
        for number, distance in ((4, 16), (8, 16), (32, 128), (64, 256), (20, 50))
    ]
    offsets = [-300, -91, -90, -5, -1, 0, 1, 7, 8, 113, 300]
    body = """const [options, offsets] = argument;
      return options.map((o) => {
        const given = { bidirectional: o.bidirectional, numBuckets: o.num_buckets,
          maxDistance: o.max_distance };
        return [m.directions(given), offsets.map((offset) => m.sharers(offset, given))];
      });"""
    for options, (directions, found) in zip(
        some, compute(tab, BucketExplorer, body, [some, offsets]), strict=True
    ):
        buckets = relative_position_bucket(line, **options)
        past, future = set(buckets[line <= 0].tolist()), set(buckets[line > 0].tolist())
        assert directions == {"past": len(past), "future": len(future - past)}, options
        for offset, shared in zip(offsets, found, strict=True):
            place = offset + 2000
            first = last = place
            while first > 0 and buckets[first - 1] == buckets[place]:
                first -= 1
            while last < 4000 and buckets[last + 1] == buckets[place]:
                last += 1
            assert shared == {
                "bucket": buckets[place].item(),
                "from": None if first == 0 else first - 2000,
                "to": None if last == 4000 else last - 2000,
            }, (options, offset)
