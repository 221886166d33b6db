"""The memory time-lapse: what it refuses, what it says, and what it does in Chromium.

What it has in common with the explorers is tested with them.
"""

import re
from dataclasses import replace

import pytest
import torch
from helpers import BATCH, SLOTS, length_mask, record_story
from widget_pages import blank, faults_at_any_step, shifted, spoiled

from memformer_lite.inside.trace import Trace
from memformer_lite.widgets import MemoryTimeLapse

LENGTH, SEGMENTS = 5, 4
WORDS = [f"w{token}" for token in range(23)]


@pytest.fixture(scope="module")
def made(bench):
    return bench


def lapse(**options):
    return MemoryTimeLapse(record_story(), **options)


def changed(trace, place, **parts):
    """A copy of a trace with other contents in one segment."""
    segments = list(trace)
    segments[place] = replace(segments[place], **parts)
    return Trace(segments)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"trace": Trace()}, ValueError, "trace: expected 1 to 128 segments, got 0: was the model"),
        ({"trace": []}, TypeError, "trace: expected a Trace, got list"),
        ({"trace": Trace([3])}, TypeError, "trace: expected a Trace of RecordedSegments, has int"),
        ({"other": Trace()}, ValueError, "other: expected 1 to 128 segments, got 0"),
        (
            {"other": record_story(segments=2)},
            ValueError,
            "other: expected 4 segments, 2 layers, 3",
        ),
        (
            {"other": record_story(mem_update_attn_heads=3)},
            ValueError,
            "1 updates, 2 write heads, as in trace, got 4 segments, 2 layers, 3 heads, 1 updates",
        ),
        ({"row": 3}, ValueError, "row=3: expected 0 to 2, the rows of trace"),
        ({"row": -1}, ValueError, "row=-1: expected at least 0"),
        ({"row": True}, TypeError, "row=True: expected an integer"),
        ({"names": ["a", "b"]}, ValueError, "names=['a', 'b']: expected 1, no two alike"),
        ({"names": ["a", "a"], "other": record_story()}, ValueError, "expected 2, no two alike"),
        ({"names": ["a" * 25]}, ValueError, "names: expected 1 to 24 visible characters, got 'aaa"),
        ({"names": "gate"}, TypeError, "names: expected a list of names, got 'gate'"),
        (
            {"words": WORDS[:3]},
            ValueError,
            "words: expected a name for each token id, trace",
        ),
        (
            {"words": [*WORDS[:22], " "]},
            ValueError,
            "words: expected 1 to 6 visible characters, got",
        ),
        ({"words": [*WORDS[:22], "toolong"]}, ValueError, "got 'toolong'"),
        ({"words": dict(enumerate(WORDS))}, TypeError, "words: expected a list of names"),
        (
            {"trace": record_story(num_memory_slots=9)},
            ValueError,
            "segment 1 has 5 tokens and 9 slots; the widget shows at most 16 and 8",
        ),
        (
            {"trace": record_story(length=17, enc_max_seq_len=17)},
            ValueError,
            "segment 1 has 17 tokens and 7 slots; the widget shows at most 16 and 8",
        ),
        (
            {"trace": Trace([*record_story(segments=1), *record_story(num_memory_slots=2)])},
            ValueError,
            "trace: segment 2 is of another model than the one before",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_bad_input_is_refused(changes, error, words):
    inputs = {"trace": record_story()} | changes
    with pytest.raises(error, match=re.escape(words)):
        MemoryTimeLapse(inputs.pop("trace"), **inputs)


def test_a_long_trace_is_refused_and_a_part_of_it_shown():
    trace = Trace(list(record_story(segments=3)) * 43)
    with pytest.raises(ValueError, match=re.escape("got 129: show fewer, such as trace[::4]")):
        MemoryTimeLapse(trace)
    short = trace[:128]
    with pytest.raises(ValueError, match=r"too large to show: 41,.* expected at most 40,000"):
        MemoryTimeLapse(short)
    assert len(MemoryTimeLapse(trace[::4]).data["runs"][0]["segments"]) == 33


@pytest.mark.parametrize("part", ["read", "write", "gate"])
def test_shares_that_are_not_finite_are_named(part):
    trace = record_story()
    wrong = torch.full_like(getattr(trace[1], part), float("nan"))
    with pytest.raises(ValueError, match=f"trace: segment 2, {part}: expected finite numbers"):
        MemoryTimeLapse(changed(trace, 1, **{part: wrong}))


def test_numbers_that_are_not_finite_are_named():
    trace = record_story()
    after = trace[2].after.clone()
    after[0, 3, 1] = float("inf")
    with pytest.raises(ValueError, match=r"other: segment 3, norm: expected finite numbers"):
        MemoryTimeLapse(trace, other=changed(trace, 2, after=after))
    MemoryTimeLapse(changed(trace, 2, after=after), row=1)  # another row is none of its business


def test_the_twin_tells_both_runs():
    trace = record_story()
    told = repr(MemoryTimeLapse(trace, other=trace[:4], names=["mine", "yours"]))
    change = torch.stack([segment.change[0] for segment in trace])
    place, slot = divmod(change.argmax().item(), SLOTS)
    said = f"the largest change is {change.max():.2f}, of slot {slot + 1} in segment {place + 1}; "
    before, after = trace[0].norm_before[0].mean(), trace[-1].norm_after[0].mean()
    gates = torch.stack([segment.gate[0, 0].mean(-1) for segment in trace])
    said += f"mean norm {before:.2f} before the first segment, {after:.2f} after the last; "
    said += f"gates {gates.min():.2f} to {gates.max():.2f}."
    assert f"mine: {said} yours: {said}" in told
    assert "no gate" in repr(MemoryTimeLapse(record_story(mem_update="bmn")))


def test_a_recording_that_stopped_early_says_so(made):
    trace = Trace(list(record_story()), complete=False)
    widget = MemoryTimeLapse(trace, other=record_story())
    assert repr(widget).count("The recording stopped early.") == 1
    with made.tab(made.write(widget)) as tab:
        titles = tab.locator(".mfl-lapse-bars .mfl-title").all_inner_texts()
        assert titles == ["run 1: change (the recording stopped early)", "run 2: change"]


def numbers(tab, run=0):
    """The table of one run: name of each row -> its cells."""
    rows = tab.locator(".mfl-lapse table").nth(run).locator("tbody tr:not(.mfl-lapse-part)").all()
    return [(row.locator("th").inner_text(), row.locator("td").all_inner_texts()) for row in rows]


def shown(values):
    return [f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in values.tolist()]


def test_the_tables_show_what_was_recorded(made):
    trace, other = record_story(), record_story(1)
    with made.tab(made.write(MemoryTimeLapse(trace, other=other, words=WORDS))) as tab:
        tab.locator(".mfl-slider input").fill("3")
        for run, recorded in enumerate((trace, other)):
            segment = recorded[2]
            read = segment.read[:, 0].mean(dim=(0, 1))
            write = segment.write[:, 0].mean(dim=(0, 1))
            tokens = [WORDS[token] for token in segment.src[0]]
            wanted = [(word, shown(row)) for word, row in zip(tokens, read, strict=True)]
            for place, name in enumerate(["itself", *tokens]):
                wanted.append((name, shown(write[:, place])))
            wanted.append(("gate", shown(segment.gate[0, 0].mean(-1))))
            wanted.append(("change", shown(segment.change[0])))
            wanted.append(("norm from", shown(segment.norm_before[0])))
            wanted.append(("norm to", shown(segment.norm_after[0])))
            assert numbers(tab, run) == wanted


def test_the_words_follow_every_choice(made):
    trace = record_story()
    segment = trace[1]
    slot = segment.change[0].argmax().item()
    moved = (
        f"Segment 2 of 4, {' '.join(str(token) for token in segment.src[0].tolist())}. run 1: slot "
        f"{slot + 1} moves most, by {segment.change[0, slot]:.2f}, norm "
        f"{segment.norm_before[0, slot]:.2f} to {segment.norm_after[0, slot]:.2f}, gate "
        f"{segment.gate[0, 0, slot].mean():.2f}. It looks most at "
    )
    reads = segment.read[1, 0, 2].mean(dim=0)
    read = f"Slot {reads.argmax() + 1} is read most ({reads.max():.2f}, layer 2, head 3)."
    with made.tab(made.write(MemoryTimeLapse(trace))) as tab:
        line = tab.locator(".mfl-status")
        tab.locator(".mfl-slider input").press("ArrowRight")
        assert line.inner_text().startswith(moved)
        tab.get_by_label("Read by").select_option(label="layer 2, head 3")
        assert read in line.inner_text()
        looked_at = set()
        for place, page in enumerate(trace, 1):
            tab.locator(".mfl-slider input").fill(str(place))
            mover = page.change[0].argmax()
            for head, writes in enumerate(page.write[0, 0, :, mover], 1):
                tab.get_by_label("Written by").select_option(label=f"head {head}")
                to = writes.argmax().item()
                whom = page.src[0, to - 1].item() if to else "itself"
                assert f"most at {whom} ({writes.max():.2f}, head {head})." in line.inner_text()
                looked_at.add(whom)
        assert "itself" in looked_at and len(looked_at) > 2
        tab.get_by_label("weight on itself").check(force=True)
        assert line.inner_text().endswith("Bars: weight on itself, up to 1.00.")


def test_a_press_in_either_strip_moves_the_one_playhead(made):
    with made.tab(made.write(lapse(other=record_story(1)))) as tab:
        for strip in (0, 1):
            for place in (4, 1, 3):
                box = tab.locator(".mfl-lapse .mfl-drawing").nth(strip).bounding_box()
                width = box["width"] - 42 - 36
                tab.mouse.click(box["x"] + 42 + (place - 0.5) * width / SEGMENTS, box["y"] + 50)
                assert tab.locator(".mfl-slider input").input_value() == str(place)
                titles = tab.locator(".mfl-lapse-table .mfl-title").all_inner_texts()
                assert [f"segment {place}:" in title for title in titles] == [True, True]


def test_bars_have_one_scale_and_sum_up_the_run(made):
    """The highest bar of both runs is as tall as a row allows, and all are in proportion."""
    trace, other = record_story(), record_story(1)
    wanted = torch.stack([torch.stack([one.change[0] for one in run]) for run in (trace, other)])
    with made.tab(made.write(MemoryTimeLapse(trace, other=other))) as tab:
        for run in (0, 1):
            bars = tab.locator(".mfl-lapse .mfl-drawing").nth(run).locator(".mfl-lapse-bar")
            heights = bars.evaluate_all(
                "(all) => all.map((one) => Number(one.getAttribute('height')))"
            )
            found = torch.tensor(heights).view(SLOTS, SEGMENTS).T  # a row for each segment
            torch.testing.assert_close(
                found.double(), wanted[run] / wanted.max() * 22, rtol=0, atol=1e-3
            )


def test_no_gate_is_said_and_offers_no_bars(made):
    bmn = record_story(mem_update="bmn")
    with made.tab(made.write(MemoryTimeLapse(bmn))) as tab:
        assert "no gate" in tab.locator(".mfl-status").inner_text()
        assert tab.locator(".mfl-option").all_inner_texts() == [
            "change",
            "norm",
            "weight on itself",
        ]
        assert "gate" not in dict(numbers(tab))
    with made.tab(made.write(lapse(other=bmn))) as tab:
        tab.get_by_label("gate", exact=True).check(force=True)
        assert dict(numbers(tab, 1))["gate"] == ["–"] * SLOTS
        assert "no gate" in tab.locator(".mfl-drawing").nth(1).get_attribute("aria-label")
        assert "no gate" in tab.locator(".mfl-status").inner_text()


def test_nothing_is_offered_that_has_no_effect(made):
    """One segment: nothing to scrub. One head: none to choose."""
    one = record_story(segments=1, enc_depth=1, enc_heads=1, mem_update_attn_heads=1)
    with made.tab(made.write(MemoryTimeLapse(one))) as tab:
        assert tab.locator(".mfl-slider, .mfl-dropdown").count() == 0
        assert tab.locator(".mfl-option").count() == 4
    two = record_story(segments=1, enc_depth=1, enc_heads=1)
    with made.tab(made.write(MemoryTimeLapse(two))) as tab:
        assert tab.locator(".mfl-dropdown .mfl-label").all_inner_texts() == ["Written by"]


def test_padding_is_told(made):
    mask = length_mask([LENGTH, 3, 0], LENGTH)
    with made.tab(
        made.write(*[MemoryTimeLapse(record_story(mask=mask), row=row) for row in range(BATCH)])
    ) as tab:
        lines = tab.locator(".mfl-status").all_inner_texts()
        assert "run 1: only padding, the memory stays." in lines[2]
        assert "moves most" in lines[0] and "moves most" in lines[1]
        names = [[name for name, _ in numbers(tab, row)][:LENGTH] for row in range(BATCH)]
        assert [sum("(pad)" in name for name in row) for row in names] == [0, 2, 5]


def test_names_and_words_are_text(made):
    words = ["<b>"] * 23
    with made.tab(made.write(lapse(words=words, names=["<i>a</i>"]))) as tab:
        assert tab.locator(".mfl-live b, .mfl-live i").count() == 0
        assert tab.locator(".mfl-lapse-bars .mfl-title").inner_text() == "<i>a</i>: change"


@pytest.mark.parametrize("width", [320, 400, 500, 600, 720, 1280])
@pytest.mark.parametrize("kind", ["small", "long", "large"])
def test_every_size_fits_and_moves_nothing(made, kind, width):
    one_head = {"enc_depth": 1, "enc_heads": 1, "mem_update_attn_heads": 1}
    names = ["a name that is as long as", "another that is as long"]
    names = [name[:24].strip() for name in names]
    widget = {
        "small": lambda: MemoryTimeLapse(
            record_story(segments=1, length=1, num_memory_slots=1, **one_head)
        ),
        "long": lambda: MemoryTimeLapse(record_story(segments=100)),
        "large": lambda: MemoryTimeLapse(
            *[record_story(length=16, enc_max_seq_len=16, num_memory_slots=8)],
            other=record_story(1, length=16, enc_max_seq_len=16, num_memory_slots=8),
            names=names,
        ),
    }[kind]()
    with made.tab(made.write(widget), width=width) as tab:
        assert shifted(tab) < 0.001
        assert blank(tab) < 8
        assert faults_at_any_step(tab) == []


def segments_with(**parts):
    data = lapse().data
    runs = data["runs"]
    runs[0]["segments"][1] |= parts
    return runs


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"runs": []}, "there is no recorded run"),
        ({"runs": segments_with(change=None)}, "segment 2 of run 1 lacks norms or change"),
        ({"runs": segments_with(after=[1.0])}, "segment 2 of run 1 lacks norms or change"),
        ({"runs": segments_with(tokens=["a"])}, "segment 2 of run 1 lacks its reading"),
        (
            {"runs": segments_with(tokens=[None] * 5)},
            "segment 2 of run 1 has a token without a name",
        ),
        (
            {"runs": segments_with(pad="x")},
            "segment 2 of run 1 does not say which tokens are padding",
        ),
        ({"runs": segments_with(write=[[[1]]])}, "segment 2 of run 1 lacks its writing"),
        ({"runs": segments_with(gate=[["x"] * SLOTS])}, "segment 2 of run 1 lacks its gate"),
        ({"layers": 5}, "segment 1 of run 1 has other layers, heads or updates"),
        (
            {
                "runs": [
                    *segments_with(),
                    {"name": "short", "segments": segments_with()[0]["segments"][:2]},
                ]
            },
            "the runs differ in their number of segments",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_data_are_told_in_the_page(made, parts, words):
    name = made.write(lapse(), change=lambda place, html: spoiled(html, **parts))
    with made.tab(name) as tab:
        said = tab.locator("[role=alert]").inner_text()
        assert said == f"This picture cannot answer: {words}. A still picture stands in its place."
        assert tab.locator(".mfl-twin svg").is_visible()


def test_the_longest_names_fit_a_narrow_screen(made):
    pair = [record_story(seed, segments=4) for seed in (0, 1)]
    names = ["W" * 24, "M" * 24]
    widget = MemoryTimeLapse(pair[0], other=pair[1], names=names)
    with made.tab(made.write(widget), width=320) as tab:
        assert faults_at_any_step(tab) == []
        assert tab.locator(".mfl-status").evaluate("e => e.scrollHeight <= e.clientHeight + 1")


def test_headings_of_the_table_are_not_cut_below(made):
    with made.tab(made.write(lapse())) as tab:
        cut = tab.evaluate(
            """[...document.querySelectorAll('.mfl-lapse-part th')].map((cell) => {
              const text = document.createRange();
              text.selectNodeContents(cell);
              return text.getBoundingClientRect().bottom - cell.getBoundingClientRect().bottom;
            })"""
        )
        assert len(cut) == 3 and max(cut) <= 0


def test_with_one_segment_nothing_looks_as_if_it_could_be_chosen(made):
    shown = "e => getComputedStyle(e).cursor"
    for segments, cursor in ((1, "auto"), (2, "pointer")):
        with made.tab(made.write(MemoryTimeLapse(record_story(segments=segments)))) as tab:
            assert tab.locator(".mfl-drawing").evaluate(shown) == cursor
            assert tab.locator(".mfl-slider").count() == segments - 1
            before = tab.locator(".mfl-lapse").inner_html()
            box = tab.locator(".mfl-drawing").bounding_box()
            tab.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 40)
            assert (tab.locator(".mfl-lapse").inner_html() == before) == (segments == 1)


def test_the_page_gets_only_what_is_shown():
    """No memories, no other rows: two runs of eight short segments take less than 20 kB."""
    pair = [record_story(seed, segments=8, num_memory_slots=4, length=3) for seed in (0, 1)]
    widget = MemoryTimeLapse(pair[0], other=pair[1])
    assert len(widget._json) < 20_000
    assert set(widget.data["runs"][0]["segments"][0]) == {
        *("tokens", "pad", "read", "write", "gate", "before", "after", "change")
    }
