"""Bucket and attention explorer as a reader meets them: in Chromium, served and as files."""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from helpers import WIDGETS, record_story
from widget_pages import WAYS, blank, faults_at_any_step, shifted, spoiled

from memformer_lite.attention import Attention
from memformer_lite.widgets import (
    AttentionExplorer,
    BucketExplorer,
    MemoryExplorer,
    MemoryTimeLapse,
    ReplayStage,
)

MAKE = {
    "bucket": lambda: BucketExplorer(offset=100),
    "attention": lambda: AttentionExplorer.of_cards(keys="both"),
    "stage": lambda: ReplayStage(method="bptt"),
    "lapse": lambda: MemoryTimeLapse(record_story(), other=record_story(1), names=["one", "two"]),
}
# A widget that is not named here joins with its example; the explorer has tests of its own.
NAMED = {BucketExplorer, AttentionExplorer, ReplayStage, MemoryTimeLapse, MemoryExplorer}
MAKE |= {name: widget.example for name, widget in WIDGETS.items() if widget not in NAMED}
ALL = ".mfl-live > :not(.mfl-controls, .mfl-words)"
PICTURE = {
    "bucket": ".mfl-buckets",
    "attention": ".mfl-weights",
    "stage": ".mfl-stage .mfl-drawing",
    "lapse": ".mfl-lapse",
}
every = pytest.mark.parametrize("kind", MAKE)
UNCHOSEN = ".mfl-option input:enabled:not(:checked) >> nth=0"
# axe's rules that dark mode can break.
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
both_ways = pytest.mark.parametrize("way", WAYS)
# What is seen and said: the drawing as it is in the page, and the line of words.
SEEN = """([place, picture]) => {
  const root = document.querySelectorAll(".mfl-widget")[place];
  return [root.querySelector(picture).innerHTML, root.querySelector(".mfl-status").textContent];
}"""
RINGED = """() => {
  const active = document.activeElement;
  return [active, active.nextElementSibling].some((node) => {
    const style = node && getComputedStyle(node);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  });
}"""


@pytest.fixture(scope="module")
def made(bench):
    bench.pages = {kind: bench.write(make()) for kind, make in MAKE.items()}
    bench.pages["three"] = bench.write(MAKE["bucket"](), MAKE["bucket"](), MAKE["attention"]())
    return bench


def seen(tab, kind, place=0):
    return tab.evaluate(SEEN, [place, PICTURE.get(kind, ALL)])


def assert_answers(before, after, what):
    assert after[0] != before[0], f"{what}: the picture stays"
    assert after[1] != before[1], f"{what}: the words stay"


@both_ways
@every
def test_controls_have_names(made, kind, way):
    with made.tab(made.pages[kind], way=way) as tab:
        session = tab.context.new_cdp_session(tab)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        controls = [
            (node["role"]["value"], node["name"]["value"])
            for node in nodes
            if not node["ignored"]
            and node["role"]["value"] in ("slider", "radio", "checkbox", "button", "combobox")
        ]
        wanted = {
            "bucket": {"slider": 3, "radio": 5},
            "attention": {"radio": 15, "checkbox": 3},
            "stage": {"slider": 4, "radio": 5, "button": 4},
            "lapse": {"slider": 1, "radio": 4, "combobox": 2},
        }
        for role, count in wanted.get(kind, {}).items():
            assert sum(found == role for found, _ in controls) == count, controls
        assert all(re.search(r"\w|–", name) for _, name in controls), controls
        assert all(
            name.strip() and "undefined" not in name and len(name) < 60 for _, name in controls
        )
        groups = [n["name"]["value"] for n in nodes if n.get("role", {}).get("value") == "group"]
        assert all(groups) and groups
        status = tab.locator(".mfl-status[role=status][aria-live=polite]")
        assert status.count() == 1 and len(status.inner_text()) > 30
        assert tab.evaluate("siteChecks.pictures()") == []


KEYS = {"range": "ArrowRight", "radio": "ArrowRight", "checkbox": "Space"}
KEYS["select-one"] = "ArrowDown"


@both_ways
@every
def test_keyboard_alone_reaches_and_moves_everything(made, kind, way):
    with made.tab(made.pages[kind], way=way) as tab:
        reached = []
        while True:
            tab.keyboard.press("Tab")
            tag, what, name = tab.evaluate(
                """() => { const a = document.activeElement; return [a.tagName, a.type ?? "",
                  a.closest("fieldset")?.querySelector("legend")?.textContent + "/" +
                  (a.getAttribute("aria-label") ?? a.closest("label, button")?.textContent)]; }"""
            )
            if tag == "BODY":
                break
            reached.append(name)
            assert len(reached) < 40, "the keyboard is caught"
            assert tab.evaluate(RINGED), f"{name}: the focus is not seen"
            for _ in range(2 if what == "checkbox" else 1):  # on and off again
                before = seen(tab, kind)
                tab.keyboard.press(KEYS.get(what, "Space"))
                assert_answers(before, seen(tab, kind), name)
            assert tab.evaluate("document.activeElement !== document.body"), f"{name}: focus lost"
            if "Open all" in name:  # it can no longer be pressed: the focus goes into the table
                assert tab.evaluate("document.activeElement.matches('.mfl-cell')")
                break
        count = {"bucket": 5, "attention": 10, "stage": 8, "lapse": 4}.get(kind)
        assert len(reached) == count if count else reached, reached


def test_arrows_move_between_cells_and_space_closes_one(made):
    with made.tab(made.pages["attention"]) as tab:
        tab.locator(".mfl-cell[tabindex='0']").focus()
        at = "document.activeElement.dataset.at"
        for key, place in (
            ("ArrowLeft", "0,0"),
            ("ArrowRight", "0,1"),
            ("ArrowDown", "1,1"),
            ("ArrowLeft", "1,0"),
            ("ArrowUp", "0,0"),
            ("ArrowUp", "0,0"),
            ("ArrowRight", "0,1"),
        ):
            tab.keyboard.press(key)
            assert tab.evaluate(at) == place, key
        assert tab.locator(".mfl-cell[tabindex='0']").count() == 1
        tab.keyboard.press("Space")
        assert tab.evaluate(at) == "0,1", "the focus stays on the cell"
        assert tab.locator(".mfl-cell:focus").inner_text() == "×"
        tab.keyboard.press("Enter")
        assert tab.locator(".mfl-cell:focus").inner_text() == "0.02"


@every
def test_nothing_looks_alive_and_is_dead(made, kind):
    """Every option and every cell, from a fresh page each: a press changes picture and words."""
    selector = ".mfl-option input, .mfl-check input, .mfl-cell, .mfl-button"
    with made.tab(made.pages[kind]) as tab:
        count = tab.locator(selector).count()
    answered = 0
    with made.tab(made.pages[kind]) as tab:
        for place in range(count):
            tab.reload()
            tab.wait_for_selector(".mfl-widget[data-mfl-state=ready]")
            tab.wait_for_timeout(40)
            control = tab.locator(selector).nth(place)
            if control.is_disabled() or control.evaluate("e => e.type === 'radio' && e.checked"):
                continue
            before = seen(tab, kind)
            name = control.evaluate("e => e.ariaLabel ?? e.parentElement.textContent")
            control.click(force=True)
            assert_answers(before, seen(tab, kind), name)
            answered += 1
    count = {"bucket": 3, "attention": 10 + 3 + 35, "stage": 5, "lapse": 3}.get(kind)
    assert answered == count if count else answered


@pytest.mark.parametrize("reach", [20, 150, 300])
def test_a_press_in_the_map_chooses_the_offset(made, reach):
    with made.tab(made.pages["bucket"]) as tab:
        tab.get_by_label(f"±{reach}", exact=True).click()
        for place in (0, 1):
            for share, wanted in ((0.0, -reach), (0.5, 0), (1.0, reach)):
                box = tab.locator(".mfl-drawing").nth(place).bounding_box()
                x = box["x"] + 30 + share * (box["width"] - 40)
                tab.mouse.click(x, box["y"] + 80)
                chosen = int(tab.locator(".mfl-slider input").nth(2).input_value())
                assert abs(chosen - wanted) <= 2 * reach / (box["width"] - 40) + 1  # a pixel


def test_words_of_the_bucket_explorer(made):
    with made.tab(made.pages["bucket"]) as tab:
        line = tab.locator(".mfl-status")
        assert line.inner_text() == (
            "Offset 100, 100 tokens ahead. T5, both directions: bucket 31, with all offsets from "
            "91 ahead. Flag swapped, past only: bucket 0, with the present and all of the future. "
            "(32 buckets, distance 128, ±150 shown.)"
        )
        tab.locator(".mfl-slider input").nth(2).fill("-1")
        assert "1, 1 token back. T5, both directions: bucket 1, which no other" in line.inner_text()
        tab.locator(".mfl-slider input").nth(0).fill("7")
        words = "num_buckets=7: expected an even number, half for each direction"
        said = (
            "T5, both directions: no map, as num_buckets=7 is refused. Flag swapped, past only: b"
        )
        assert said in line.inner_text()
        assert tab.locator(".mfl-refused").first.inner_text() == words
        assert tab.locator(".mfl-refused").nth(1).inner_text() == ""


def test_words_of_the_attention_explorer(made):
    with made.tab(made.pages["attention"]) as tab:
        line, blind = tab.locator(".mfl-status"), tab.locator("fieldset:has-text('nothing gets')")
        assert line.inner_text() == (
            "C? in head 1 looks most at C6, with weight 0.92. Its answer: (5.63, 0.02, 0.02, 0.92, "
            "0.02, 0.00). Closed: 1 of its 7 keys, 11 of 35 cells; by hand: 0."
        )
        blind.get_by_label("equal weights").click()
        assert line.inner_text().startswith(
            "– in head 1 may look at nothing. The reference gives 0.14 to each key, closed or not."
        )
        assert tab.locator(".mfl-chosen td").all_inner_texts() == ["0.14"] * 7 + ["1.00"]
        blind.get_by_label("nan").click()
        assert "Plain softmax divides 0 by 0" in line.inner_text()
        assert tab.locator(".mfl-chosen td").all_inner_texts() == ["nan"] * 8
        blind.get_by_label("zeros").click()
        assert "all its weights are 0" in line.inner_text()
        assert tab.locator(".mfl-chosen td").all_inner_texts() == ["0.00"] * 8
        tab.get_by_label("query_mask").click()
        assert blind.locator("input").first.is_disabled(), "no row is blind: no effect"


def test_a_long_answer_is_told_in_part(made):
    torch.manual_seed(0)
    widget = AttentionExplorer(Attention(9, heads=1), torch.randn(1, 2, 9), tokens=["a", "b"])
    with made.tab(made.write(widget)) as tab:
        said = tab.locator(".mfl-status").inner_text()
        numbers = re.search(r"Its answer: \((.*) and 3 more\)", said)[1].split(", ")
        assert len(numbers) == 6


@every
def test_touch(made, kind):
    with made.tab(made.pages[kind], width=390, has_touch=True, is_mobile=True) as tab:
        small = tab.evaluate(
            """[...document.querySelectorAll(".mfl-live :is(input, button, select)")].map((e) => {
              const box = e.getBoundingClientRect();
              const label = e.closest("label.mfl-check")?.getBoundingClientRect() ?? box;
              return [e.outerHTML.slice(0, 90), label.width, label.height];
            }).filter(([, width, height]) => width < 24 || height < 24)"""
        )
        assert small == []
        for selector in {
            "bucket": [".mfl-option:has-text('past only') input", ".mfl-drawing >> nth=0"],
            "attention": [".mfl-option:has-text('scores') input", ".mfl-cell >> nth=3"],
            "stage": [".mfl-option:has-text('replay') input", ".mfl-button:has-text('Next')"],
            "lapse": [".mfl-option:has-text('norm') input", ".mfl-drawing >> nth=1"],
        }.get(kind, [UNCHOSEN]):
            before = seen(tab, kind)
            tab.locator(selector).tap()
            assert_answers(before, seen(tab, kind), selector)
        if tab.locator(".mfl-slider").count():
            before = seen(tab, kind)
            tab.locator(".mfl-slider input").first.tap(position={"x": 20, "y": 14})
            assert_answers(before, seen(tab, kind), "slider")


@every
@pytest.mark.parametrize("width", [320, 390, 560, 700, 1280])
def test_every_width_fits(made, kind, width):
    with made.tab(made.pages[kind], width=width) as tab:
        assert tab.evaluate("siteChecks.sideways()") == []
        outside = tab.evaluate(
            """[...document.querySelectorAll(".mfl-live *:not(.mfl-scroll *)")].filter((e) => {
              const box = document.querySelector(".mfl-live").getBoundingClientRect();
              const own = e.getBoundingClientRect();
              return own.width && (own.left < box.left - 0.5 || own.right > box.right + 0.5);
            }).map((e) => e.outerHTML.slice(0, 120))"""
        )
        assert outside == []
        sizes = tab.evaluate(
            """[...document.querySelectorAll(".mfl-live *")].filter((e) => e.checkVisibility() &&
              [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
              .map((e) => parseFloat(getComputedStyle(e).fontSize) *
                (e.ownerSVGElement ? e.getScreenCTM().a : 1))"""
        )
        assert min(sizes) >= 10.99, min(sizes)


@every
@pytest.mark.parametrize("width", [320, 700, 1280])
@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", COLOURS)])
def test_axe_finds_nothing(made, kind, width, scheme, rules):
    scores = ".mfl-option:has-text('scores') input"
    clicks = {
        "bucket": [".mfl-option:has-text('past only') input"],
        "attention": [".mfl-check input >> nth=0", ".mfl-cell >> nth=0", scores],
        "stage": [".mfl-option:has-text('truncated') input", ".mfl-button:has-text('Last')"],
        "lapse": [".mfl-option:has-text('norm') input"],
    }
    with made.tab(made.pages[kind], width=width, color_scheme=scheme) as tab:
        for click in [None, *clicks.get(kind, [UNCHOSEN])]:
            if click:
                tab.locator(click).first.click()
                tab.mouse.move(0, 0)
                tab.wait_for_timeout(200)  # a colour on its way has too little contrast
            broken = Axe().run(tab, "main", {"preload": False, **(rules or {})}).response
            found = [(rule["id"], node) for rule in broken["violations"] for node in rule["nodes"]]
            assert not found, found


@every
def test_colours_follow_the_page(made, kind):
    colours = {}
    for scheme in ("light", "dark"):
        with made.tab(made.pages[kind], color_scheme=scheme) as tab:
            colours[scheme] = tab.evaluate(
                """[".mfl-label, legend", ".mfl-status", ".mfl-drawing text, .mfl-cell"].map(
                  (one) => {
                    const s = getComputedStyle(document.querySelector(`.mfl-live :is(${one})`));
                    return s.fill === "rgb(0, 0, 0)" ? s.color : s.fill; })"""
            )
    assert colours["light"] == ["rgb(35, 39, 46)"] * 3
    assert colours["dark"] == ["rgb(223, 227, 232)"] * 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("widget", "drawn", "chosen"),
    [
        (BucketExplorer(), [".mfl-slider input", ".mfl-drawing"], [".mfl-option span"]),
        (AttentionExplorer.of_cards(), [".mfl-weights"], [".mfl-option span", ".mfl-check input"]),
        (MemoryExplorer(), [".me-bars", ".me-stay", ".me-key-look"], [".mfl-option span"]),
    ],
    ids=["bucket", "attention", "memory"],
)
def test_the_systems_own_colours_hide_nothing(made, widget, drawn, chosen, scheme):
    """Windows' contrast themes: what is drawn stays seen, and so does what is chosen."""
    with made.tab(made.write(widget), forced_colors="active", color_scheme=scheme) as tab:
        for selector in drawn:
            picture = tab.locator(f".mfl-live {selector}").first.screenshot()
            grey = plt.imread(io.BytesIO(picture))[..., :3].mean(axis=-1)
            assert np.ptp(grey) > 0.2, f"{selector}: one colour, nothing is seen"
        for selector in chosen:
            options = tab.locator(f".mfl-live {selector}")
            seen = {options.nth(place).screenshot() for place in range(options.count())}
            styles = options.evaluate_all("all => all.map((e) => getComputedStyle(e).background)")
            assert len(seen) > 1 and ("span" not in selector or len({*styles}) == 2), selector


@every
def test_reduced_motion(made, kind):
    moving = """[...document.querySelectorAll(".mfl-widget *")]
      .filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0 ||
        getComputedStyle(e).animationName !== "none").length"""
    with made.tab(made.pages[kind], reduced_motion="reduce") as tab:
        assert tab.evaluate(moving) == 0
    with made.tab(made.pages[kind]) as tab:
        assert tab.evaluate(moving) > 0


@every
@pytest.mark.parametrize("width", [320, 500, 600])
def test_nothing_moves_and_nothing_is_cut(made, kind, width):
    """Neither while the page comes in, nor at any step; other widths in test_widgets_fonts.py."""
    with made.tab(made.pages[kind], width=width, way="server") as tab:
        assert shifted(tab) < 0.001
        assert blank(tab) < 8
        assert faults_at_any_step(tab) == []


@pytest.mark.parametrize("width", [320, 500, 680, 1280])
def test_a_larger_table_has_room(made, width):
    torch.manual_seed(0)
    widget = AttentionExplorer(Attention(8, heads=4), torch.randn(1, 8, 8), tokens=["WWWW"] * 8)
    with made.tab(made.write(widget), width=width) as tab:
        assert faults_at_any_step(tab) == []


def test_a_choice_of_one_is_not_offered(made):
    torch.manual_seed(0)
    widget = AttentionExplorer(Attention(4, heads=1), torch.randn(1, 1, 4), tokens=["a"])
    with made.tab(made.write(widget)) as tab:
        names = tab.locator("legend").all_inner_texts()
        assert names == ["Numbers", "Masks that close cells", "A row that may look at nothing gets"]


@every
def test_print_shows_the_twin(made, kind):
    with made.tab(made.pages[kind]) as tab:
        assert not tab.locator(".mfl-twin svg").is_visible()
        tab.emulate_media(media="print")
        assert tab.locator(".mfl-twin svg").is_visible()
        assert not tab.locator(".mfl-live").is_visible()
        label = tab.locator(".mfl-twin svg").get_attribute("aria-label")
        assert label == MAKE[kind]().twin.alt


@both_ways
@every
def test_without_javascript_the_twin_is_there(made, kind, way):
    with made.tab(made.pages[kind], way=way, java_script_enabled=False, wait=False) as tab:
        picture = tab.get_by_role("img", name=MAKE[kind]().twin.alt)
        assert picture.is_visible()
        assert not tab.locator(".mfl-live").is_visible()
        assert tab.get_by_text("What follows.").is_visible()


START = {"method": "bptt", "losses": "last", "pages": 3, "detach_every": 1, "a": 1}
OFFSETS = {"offset": 1, "num_buckets": 32, "max_distance": 128, "bidirectional": True}
BAD = [
    ("bucket", {"start": None}, "no options to start with"),
    (
        "bucket",
        {"start": {"offset": 999, "num_buckets": 32, "max_distance": 128, "bidirectional": True}},
        "300 to start with",
    ),
    (
        "bucket",
        {"start": {"offset": 1, "num_buckets": 7, "max_distance": 128, "bidirectional": True}},
        "num_buckets=7: expected an even number, half for each direction",
    ),
    ("bucket", {"start": OFFSETS | {"offset": None}}, "an option or a range is no whole number"),
    ("bucket", {"distances": [16, {}]}, "an option or a range is no whole number"),
    ("attention", {"slots": ["C6", None]}, "a token or slot has no name"),
    ("attention", {"tokens": []}, "no token"),
    ("attention", {"tokens": None}, "no token"),
    ("attention", {"real": [True]}, "whether it is real"),
    ("attention", {"scores": [[[1.0]]]}, "scores are missing"),
    ("attention", {"values": None}, "values are missing"),
    ("attention", {"values": [[["x"]]]}, "values are missing"),
    ("stage", {"start": None}, "no options to start with"),
    ("stage", {"start": {"method": "magic", "losses": "last"}}, "no such way of learning"),
    ("stage", {"pages": [5, 6]}, "pages=4: expected 5 to 6"),
    ("stage", {"start": START | {"detach_every": 3}}, "detach_every=3: expected 1 to 2"),
    ("stage", {"start": START | {"a": 0}}, "a=0: expected more than 0, at most 1"),
    ("lapse", {"runs": None}, "no recorded run"),
    ("lapse", {"runs": [{"segments": []}]}, "a run has no name"),
    ("lapse", {"runs": [{"name": "one", "segments": []}]}, "one has no segments"),
]


@both_ways
@pytest.mark.parametrize(("kind", "parts", "words"), BAD)
def test_bad_data_are_told_and_harm_nothing_else(made, kind, parts, words, way):
    """The first of two widgets gets bad data: it says so and shows its twin; the other works."""

    def change(place, html):
        return html if place else spoiled(html, **parts)

    other = "bucket" if kind == "attention" else "attention"
    name = made.write(MAKE[kind](), MAKE[other](), change=change)
    with made.tab(name, way=way) as tab:
        first = tab.locator(".mfl-widget").first
        said = first.locator("[role=alert]").inner_text()
        assert said.startswith("This picture cannot answer: ") and words in said, said
        assert first.locator(".mfl-twin svg").is_visible()
        assert first.locator(".mfl-live input, .mfl-live button").count() == 0
        before = seen(tab, other, 1)
        tab.locator(".mfl-widget").nth(1).locator(".mfl-option input:not(:checked)").first.click(
            force=True
        )
        assert_answers(before, seen(tab, other, 1), "the other widget")


def test_a_failure_later_on_is_told_too(made):
    with made.tab(made.pages["bucket"]) as tab:
        tab.evaluate("void (Math.log = () => { throw new Error('no logarithms') })")
        tab.locator(".mfl-slider input").first.fill("8")
        said = tab.locator("[role=alert]").inner_text()
        assert said.startswith("This picture cannot answer: no logarithms.")
        assert tab.locator(".mfl-twin svg").is_visible()


@both_ways
def test_three_widgets_do_not_disturb_each_other(made, way):
    """Two of them are equal."""
    kinds = ["bucket", "bucket", "attention"]
    with made.tab(made.pages["three"], way=way) as tab:
        assert tab.locator(".mfl-widget[data-mfl-state=ready]").count() == 3
        for acting in range(3):
            before = [seen(tab, kind, place) for place, kind in enumerate(kinds)]
            root = tab.locator(".mfl-widget").nth(acting)
            root.locator(".mfl-option input:not(:checked)").first.click(force=True)
            after = [seen(tab, kind, place) for place, kind in enumerate(kinds)]
            for place in range(3):
                if place == acting:
                    assert_answers(before[place], after[place], place)
                else:
                    assert after[place] == before[place]


@both_ways
@every
def test_the_page_alone_is_loaded(made, kind, way):
    with made.tab(made.pages[kind], way=way) as tab:
        assert [address for address in tab.asked if not address.startswith("data:")] == [tab.url]


def test_names_are_text(made):
    torch.manual_seed(0)
    widget = AttentionExplorer(
        Attention(4, heads=2), torch.randn(1, 2, 4), tokens=["<b>", "</b>"], keys="tokens"
    )
    with made.tab(made.write(widget)) as tab:
        names = tab.locator(".mfl-weights th[scope=row]").all_inner_texts()
        assert names == ["<b>", "</b>"]
        assert tab.locator(".mfl-check input:disabled").count() == 2, "no padding: nothing to mask"
