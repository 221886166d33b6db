"""The replay stage as a reader meets it; what all explorers share is in test_widgets_explorers."""

import re

import pytest

from memformer_lite.widgets import ReplayStage
from memformer_lite.widgets.replay_stage import LOSSES, METHODS, SURVIVES, memories, schedule

STARTS = [
    {"method": "bptt", "pages": 4, "losses": "every", "detach_every": 1, "a": 0.5},
    {"method": "truncated", "pages": 5, "losses": "last", "detach_every": 2, "a": 1.0},
    {"method": "truncated", "pages": 3, "losses": "every", "detach_every": 1, "a": 0.75},
    {"method": "replay", "pages": 6, "losses": "last", "detach_every": 3, "a": 0.25},
]
ALL = [
    {"method": method, "pages": pages, "losses": losses, "detach_every": every, "a": a}
    for method in METHODS
    for losses in LOSSES
    for pages in range(3, 7)
    for every in range(1, pages)
    for a in SURVIVES
]


@pytest.fixture(scope="module")
def made(bench):
    bench.page = bench.write(ReplayStage())
    return bench


def press(tab, name):
    tab.get_by_role("button", name=name, exact=True).click()


def status(tab):
    return tab.locator(".mfl-status").inner_text()


def shown(number):
    """Four digits; where the page rounds a tie it rounds it up."""
    return "–" if number is None else f"{number * (1 + 1e-12):.4g}"


def drawn(number, texts, sign=""):
    """Whether a number is in the drawing: where there is no room for four digits, with fewer."""
    rounded = [number * (1 + 1e-12), number]
    ways = [f"{one:.{digits}g}" for one in rounded for digits in (4, 3, 2)] + [f"{number:.0f}"]
    return any(f"{sign}{way}" in texts for way in ways)


@pytest.mark.parametrize("options", STARTS, ids=lambda options: options["method"])
def test_every_step_draws_what_is_there(made, options):
    """Graphs, notes, cuts, gradients, shares and the table of the cost, first step to last."""
    moments, m = schedule(**options), memories(options["pages"], options["a"])
    full, cuts = schedule(**options | {"method": "bptt"}), 0
    kinds = [".mfl-alive", ".mfl-slot.mfl-full", ".mfl-made", ".mfl-gradient", ".mfl-acting"]
    with made.tab(made.write(ReplayStage(**options))) as tab:
        for number, moment in enumerate(moments, 1):
            cuts += moment.action == "cut"
            came = [gradient for gradient in moment.gradients if gradient is not None]
            acts = moment.action not in ("cut", "end")
            wanted = [len(moment.graphs), len(moment.notes), 2 * cuts, len(came), int(acts)]
            assert [tab.locator(kind).count() for kind in kinds] == wanted, moment
            texts = tab.locator(".mfl-drawing text").all_text_contents()
            for gradient in came:
                assert drawn(gradient, texts), (gradient, texts)
            for share in moment.shares:
                assert share is None or drawn(share, texts, "+"), (share, texts)
            for note in moment.notes:
                assert drawn(m[note], texts)
            so_far = moments[:number]
            blocks = tab.locator(".mfl-block").count(), tab.locator(".mfl-noted").count()
            assert blocks == tuple(
                sum(len(one) for one in lists)
                for lists in zip(*[(past.graphs, past.notes) for past in so_far], strict=True)
            )
            rows = [
                (moment.forwards, full[-1].forwards),
                (moment.backwards, full[-1].backwards),
                tuple(max(len(one.graphs) for one in run) for run in (so_far, full)),
                tuple(max(len(one.notes) for one in run) for run in (so_far, full)),
                tuple(shown(sum(share or 0 for share in run[-1].shares)) for run in (so_far, full)),
                (shown(moment.gradients[0]), shown(full[-1].gradients[0])),
            ]
            cells = tab.locator(".mfl-cost tbody td").all_inner_texts()
            assert cells == [str(cell) for row in rows for cell in row], moment
            assert status(tab).startswith(f"Step {number} of {len(moments)}, ")
            if number < len(moments):
                press(tab, "Next")
        assert tab.locator(".mfl-gone").count() == options["pages"] - 1, "m0 and the last stay"


def test_memories_in_a_graph_are_shown_and_others_forgotten(made):
    with made.tab(made.page) as tab:
        for way, step, gone in (("BPTT", 4, 0), ("truncated", 3, 2), ("replay", 8, 1)):
            tab.get_by_label(way, exact=True).check(force=True)
            tab.get_by_label("Step", exact=True).fill(str(step))
            assert tab.locator(".mfl-gone").count() == gone, way


SAID = [
    (
        {"method": "replay"},
        {
            1: "replay: page 1 is read without a graph. Only its note is kept, m1 = 2. Kept: 0 "
            "graphs, 1 note. Gradient of a: 0 of BPTT's 84.38. (4 pages, loss on last page, a",
            4: "page 4 is read and its graph is kept. It makes m4 = 6.25. Kept: 1 graph, 3 notes.",
            5: "page 4 is sent back. With 12.5 at its end it adds 12.5 × 4.5 = 56.25 and hands "
            "6.25 to m3. Kept: 1 graph, 3 notes. Gradient of a: 56.25 of BPTT's 84.38.",
            6: "page 3 is read again, from m2 = 3, now with its graph. Kept: 1 graph, 2 notes.",
            12: "done. Every page added what it adds in BPTT. Kept: 0 graphs, 0 notes.",
        },
    ),
    (
        {"method": "truncated", "detach_every": 2},
        {
            3: "m2 goes on, cut off from its past. The graph of pages 1 and 2 is dropped, nothing "
            "learned. Kept: 0 graphs, 0 notes.",
            7: "and hands nothing over the cut. Kept: 1 graph, 0 notes. Gradient of a: 75 of "
            "BPTT's 84.38. (4 pages, loss on last page, cut every 2 pages, a = 0.5.)",
            8: "done. Less than in BPTT was added by pages 1 and 2. Kept",
        },
    ),
    (
        {"method": "truncated", "losses": "every"},
        {
            3: "m1 goes on, cut off from its past. Kept",
            5: "and hands nothing over the cut.",  # though a gradient stands at m1: its own page's
            12: "done. Less than in BPTT was added by pages 1 to 3. Kept",
        },
    ),
    ({"method": "bptt"}, {4: "page 4 is read", 5: "hands 6.25 to m3. Kept: 4 graphs, 0 notes."}),
]


@pytest.mark.parametrize(("options", "said"), SAID, ids=lambda given: given.get("method", ""))
def test_every_step_is_told(made, options, said):
    with made.tab(made.write(ReplayStage(**options))) as tab:
        for step, words in said.items():
            tab.get_by_label("Step", exact=True).fill(str(step))
            assert words in status(tab), status(tab)
            assert f"Step {step} of " in status(tab)


def test_picture_has_words(made):
    with made.tab(made.write(ReplayStage(method="replay"))) as tab:
        tab.get_by_label("Step", exact=True).fill("7")
        assert tab.locator(".mfl-drawing").get_attribute("aria-label") == (
            "Pages 1 to 4 in a row, the memories m0 to m4 between them. Graphs kept: page 3. "
            "Notes in the buffer: m1, m2. Gradients: 3.125 at m2, 6.25 at m3, 12.5 at m4. "
            "Added to the gradient of a: 18.75 by page 3, 56.25 by page 4."
        )


def test_buttons_go_where_they_say_and_keep_the_focus(made):
    """One that can no longer be pressed gives the focus to the one that leads back."""
    focused = "document.activeElement.textContent"
    with made.tab(made.page) as tab:
        places = []
        for name in ("Next", "Next", "Back", "Last", "Back", "Next", "First", "Next", "Back"):
            button = tab.get_by_role("button", name=name, exact=True)
            button.focus()
            tab.keyboard.press("Enter")
            step = int(re.search(r"Step (\d+)", status(tab))[1])
            places.append((step, tab.evaluate(focused)))
            told = tab.get_by_label("Step", exact=True).get_attribute("aria-valuetext")
            assert told == f"{step} of 12", "the slider does not follow"
        assert places == [
            (2, "Next"),
            (3, "Next"),
            (2, "Back"),
            (12, "Back"),
            (11, "Back"),
            (12, "Back"),
            (1, "Next"),
            (2, "Next"),
            (1, "Next"),
        ]
        for name, dead in (("First", True), ("Back", True), ("Next", False), ("Last", False)):
            assert tab.get_by_role("button", name=name, exact=True).is_disabled() == dead


def test_other_options_keep_the_step_where_there_is_one(made):
    with made.tab(made.page) as tab:
        tab.get_by_label("Step", exact=True).fill("10")
        tab.get_by_label("BPTT", exact=True).check(force=True)
        assert "Step 9 of 9" in status(tab), "BPTT of four pages has nine steps"
        tab.get_by_label("truncated", exact=True).check(force=True)
        assert "Step 9 of 9" in status(tab), "whoever stands at the end stays there"
        tab.get_by_label("every page", exact=True).check(force=True)
        assert "Step 12 of 12" in status(tab)
        tab.get_by_label("Step", exact=True).fill("3")
        tab.get_by_label("Pages", exact=True).fill("6")
        assert "Step 3 of 18" in status(tab)
        every = tab.get_by_label("Truncated every", exact=True)
        every.fill("5")
        tab.get_by_label("Pages", exact=True).fill("4")
        assert "4 pages, loss on every page, cut every 3 pages" in status(tab)
        assert (every.input_value(), every.get_attribute("max")) == ("3", "3")
        tab.get_by_label("replay", exact=True).check(force=True)
        assert every.is_disabled(), "without truncation there is no cut to place"


LINES = """async ([code, all]) => {
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const m = await import(address);
  const line = document.querySelector(".mfl-status");
  const [reserved, long] = [line.getBoundingClientRect().height, []];
  line.style.bottom = "auto";
  let longest = 0;
  for (const options of all) {
    const full = m.schedule({ ...options, method: "bptt" });
    const cost = m.costOf(full, full.length - 1);
    const moments = m.schedule(options);
    moments.forEach((_, at) => {
      line.textContent = m.stepWords(moments, at, options, cost);
      const height = line.getBoundingClientRect().height;
      longest = Math.max(longest, height);
      if (height > reserved + 0.5) long.push(line.textContent);
    });
  }
  return [long, reserved - longest];
}"""


@pytest.mark.parametrize("width", [320, 390, 503, 504, 600, 703, 704, 1280])
def test_the_longest_words_fit(made, width):
    """All options, all steps: the line of words never grows, and is not much too high."""
    with made.tab(made.page, width=width) as tab:
        long, slack = tab.evaluate(LINES, [ReplayStage.code(), ALL])
        assert long == []
        assert slack < 70


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "mrbp"}, ValueError, "method='mrbp': expected one of 'bptt', 'truncated'"),
        ({"pages": 2}, ValueError, "pages=2: expected at least 3"),
        ({"pages": 7}, ValueError, "pages=7: expected at most 6"),
        ({"pages": 4.0}, TypeError, "pages=4.0: expected an integer"),
        ({"losses": "first"}, ValueError, "losses='first': expected one of 'last', 'every'"),
        ({"detach_every": 0}, ValueError, "detach_every=0: expected at least 1"),
        ({"detach_every": 4}, ValueError, "detach_every=4: expected fewer than pages=4"),
        ({"detach_every": None}, TypeError, "detach_every=None: expected an integer"),
        ({"a": 0.3}, ValueError, "a=0.3: expected one of 0.25, 0.5, 0.75, 1.0"),
    ],
    ids=str,
)
def test_replay_stage_refuses(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        ReplayStage(**options)


def test_twin_tells_the_run():
    assert repr(ReplayStage(pages=3)) == (
        "Widget: memory replay of 3 pages, a loss on the last page, in 9 steps; blue is a graph "
        "that is kept, an orange dot a memory in the replay buffer. 5 pages are read and 3 sent "
        "back; at most 1 graph and 2 notes are kept. To the gradient of a, 40.5, they add: page 1 "
        "4.5, page 2 9, page 3 27. BPTT's is 40.5."
    )
    told = repr(ReplayStage(method="truncated", pages=3))
    assert told.startswith("Widget: truncated BPTT with a cut every 1 page of 3 pages, a loss on")
    assert "3 pages are read and 1 sent back; at most 1 graph and 0 notes" in told
    assert "gradient of a, 27, they add: page 1 0, page 2 0, page 3 27. BPTT's is 40.5." in told
    assert "a loss on every page" in repr(ReplayStage(losses="every"))
