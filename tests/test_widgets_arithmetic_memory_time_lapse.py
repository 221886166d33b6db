"""The time-lapse's arithmetic in Chromium against torch, on recorded runs."""

import itertools

import pytest
import torch
from helpers import SIZES, SLOTS, SOURCE, length_mask, record_story
from widget_pages import compute

from memformer_lite.widgets import MemoryTimeLapse

LAYERS, HEADS, WRITERS = SIZES["enc_depth"], SIZES["enc_heads"], SIZES["mem_update_attn_heads"]
LENGTH, SEGMENTS, UPDATES, ROW = 5, 4, 2, 1
HALF = 0.5 / 10_000 + 1e-12  # what rounding to a ten-thousandth may take
MASK = length_mask([LENGTH, 3, 0], LENGTH)
KINDS = {
    "gru": {},
    "updates": {"num_mem_updates": UPDATES},
    "bmn": {"mem_update": "bmn"},
    "padding": {"mask": MASK},
}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def tab(bench):
    with bench.tab(bench.write()) as tab:
        yield tab


@pytest.fixture(scope="module")
def traces():
    return {
        kind: record_story(segments=SEGMENTS, length=LENGTH, **options)
        for kind, options in KINDS.items()
    }


def chosen(stack, group, heads):
    """Each table of (groups, heads, …), and first the mean of all."""
    flat = stack.flatten(0, 1)
    assert len(flat) == group * heads
    return [flat.mean(dim=0), *flat]


def close(found, wanted, tolerance=HALF):
    found = torch.tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


@kinds
def test_weights_of_each_head_and_their_mean_equal_torchs(tab, traces, kind):
    trace = traces[kind]
    body = """const { unit, runs } = argument;
      return runs[0].segments.map((one) => [
      [...Array(one.read.length + 1).keys()].map((place) => m.tableOf(one.read, place - 1, unit)),
      [...Array(one.write.length + 1).keys()].map((place) => m.tableOf(one.write, place - 1, unit)),
      [...Array(one.read.length + 1).keys()].map((place) => m.readersOf(one, place - 1, unit)),
    ]);"""
    data = MemoryTimeLapse(trace, row=ROW).data
    for segment, (reads, writes, readers) in zip(
        trace, compute(tab, MemoryTimeLapse, body, data), strict=True
    ):
        updates = len(segment.write)
        for found, mean, wanted in zip(
            reads, readers, chosen(segment.read[:, ROW], LAYERS, HEADS), strict=True
        ):
            close(found, wanted)
            close(mean, wanted[MASK[ROW]].mean(0) if kind == "padding" else wanted.mean(0))
        for found, wanted in zip(
            writes, chosen(segment.write[:, ROW], updates, WRITERS), strict=True
        ):
            close(found, wanted)


@kinds
def test_gate_of_each_update_and_its_mean_equal_torchs(tab, traces, kind):
    trace = traces[kind]
    body = """const { unit, runs } = argument;
      return runs[0].segments.map((one) =>
      [...Array(one.write.length + 1).keys()].map((place) => m.gateOf(one, place - 1, unit)));"""
    data = MemoryTimeLapse(trace, row=ROW).data
    for segment, found in zip(trace, compute(tab, MemoryTimeLapse, body, data), strict=True):
        if kind == "bmn":
            assert segment.gate is None and not any(found)
            continue
        gates = segment.gate[:, ROW].mean(dim=-1)  # (u, k)
        close(found[0], gates.mean(dim=0))
        for update, head in itertools.product(range(len(gates)), range(WRITERS)):
            close(found[1 + update * WRITERS + head], gates[update])


@kinds
def test_bars_and_their_scale_equal_torchs(tab, traces, kind):
    """Every quantity, every head; the scale is that of both runs together."""
    trace, other = traces[kind], record_story(7, segments=SEGMENTS, **KINDS[kind])
    heads = [-1, *range(len(trace[0].write) * WRITERS)]
    body = """const [data, heads] = argument, { unit } = data;
      return Object.fromEntries(["change", "norm", "gate", "own"].map((show) => [show,
        heads.map((writing) => ({
          top: m.topOf(data.runs, { show, writing, unit }),
          bars: data.runs.map(({ segments }) =>
            segments.map((one) => m.barsOf(one, { show, writing, unit }))),
        }))]));"""
    data = MemoryTimeLapse(trace, other=other, row=ROW).data
    found = compute(tab, MemoryTimeLapse, body, [data, heads])
    for place, writing in enumerate(heads):
        for show, take in {
            "change": lambda segment: segment.change[ROW],
            "norm": lambda segment: segment.norm_after[ROW],
            "own": lambda segment, place=place: chosen(
                segment.write[:, ROW, :, :, 0], len(segment.write), WRITERS
            )[place],
        }.items():
            wanted = torch.stack(
                [torch.stack([take(one) for one in run]) for run in (trace, other)]
            )
            close(found[show][place]["bars"], wanted, 1e-4)
            top = 1.0 if show == "own" else wanted.max().item()
            assert abs(found[show][place]["top"] - top) < 1e-4, (show, writing)
        assert found["gate"][place]["top"] == 1
        bars = found["gate"][place]["bars"]
        if kind == "bmn":
            assert bars == [[None] * SEGMENTS] * 2
        elif kind == "gru":
            gates = [
                torch.stack([one.gate[0, ROW].mean(-1) for one in run]) for run in (trace, other)
            ]
            close(bars, torch.stack(gates))


def test_data_are_what_was_recorded_rounded():
    """To whole ten-thousandths and six digits: the tolerance of the tests above is theirs."""
    trace = record_story()
    plain = MemoryTimeLapse(trace).data["runs"][0]["segments"]
    for segment, given in zip(trace, plain, strict=True):
        for name in ("read", "write"):
            wanted = getattr(segment, name)[:, 0].flatten(0, 1) * 10_000
            assert torch.equal(torch.tensor(given[name]).double(), wanted.round())
        for name, wanted in {"before": segment.norm_before, "after": segment.norm_after}.items():
            close(given[name], wanted[0], 1e-5)
        close(given["change"], segment.change[0], 1e-5)
        assert given["tokens"] == [str(token) for token in segment.src[0].tolist()]


def test_nobody_reads_a_page_of_padding(tab, traces):
    body = "return argument.runs[0].segments.map((one) => m.readersOf(one, -1, argument.unit));"
    data = MemoryTimeLapse(traces["padding"], row=2).data
    assert compute(tab, MemoryTimeLapse, body, data) == [None] * SEGMENTS
    assert all(segment["pad"] == [True] * LENGTH for segment in data["runs"][0]["segments"])


def test_a_scale_of_zeros_is_one(tab):
    body = "return m.topOf([{ segments: [{ change: [0, 0] }] }], { show: 'change' });"
    assert compute(tab, MemoryTimeLapse, body) == 1


def test_sizes_differ():
    """So that no two of them can be swapped unseen."""
    assert len({LAYERS * HEADS, SLOTS, LENGTH, WRITERS, SEGMENTS, SOURCE}) == 6
