"""The memory explorer as a reader meets it: in Chromium, from a server and from a file."""

import json
import re
from contextlib import ExitStack

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browsing import opened
from widget_pages import STEPS, blank

from memformer_lite.learning.checkpoint import load_learner
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.recipes import RECIPES, Recipe, Stage
from memformer_lite.learning.tasks import Cards
from memformer_lite.memory import GRUGate, MemoryRule
from memformer_lite.widgets.memory_explorer import STORIES, MemoryExplorer, pack
from tools.measure import served

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Explorer</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style>:root {{ color-scheme: light dark; }}
body {{ background: Canvas; color: CanvasText; font-family: sans-serif; }}
body {{ margin: 0 auto; padding: 0 8px; max-width: 48rem; }}</style></head>
<body><main><h1>Explorer</h1>{explorer}<p id="after">What follows.</p>{other}</main></body></html>
"""
SHIFTS = """new PerformanceObserver((list) => {
  for (const { value } of list.getEntries()) globalThis.shifted = (globalThis.shifted ?? 0) + value;
}).observe({ type: "layout-shift", buffered: true });"""
SIDEWAYS = """[...document.querySelectorAll('.mfl-live *')].filter((e) => e.checkVisibility() &&
  !e.parentElement.closest('.me-scroll, .me-tablebox') &&
  e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 120))"""
PICTURE = "document.querySelector('.me-grid').innerHTML"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page with an explorer, and one in which a first explorer's weights are cut short."""
    folder = tmp_path_factory.mktemp("page")
    good = MemoryExplorer()._repr_html_()
    broken = re.sub(r'("weights":")[^"]{8}', r"\1", good).replace("memory_explorer-", "broken-")
    assert broken != good
    (folder / "page.html").write_text(PAGE.format(explorer=good, other=""), encoding="utf-8")
    (folder / "broken.html").write_text(PAGE.format(explorer=broken, other=good), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["server", "file"])
def address(request, folder):
    if request.param == "file":
        yield folder.as_uri()
        return
    with served(folder) as address:
        yield address


@pytest.fixture
def visit(chromium, address):
    """Open a page in a tab of its own, in which nothing else can be reached or may go wrong."""
    with ExitStack() as tabs:
        visited = []

        def visit(name="page.html", width=1100, **options):
            size = {"width": width, "height": 900}
            tab = tabs.enter_context(opened(chromium, f"{address}/", viewport=size, **options))
            visited.append(tab)
            tab.add_init_script(SHIFTS)
            tab.goto(f"{address}/{name}")
            return tab

        yield visit
    troubles = [trouble for tab in visited for trouble in tab.troubles]
    assert not troubles, troubles


def status(tab):
    return tab.locator("[role=status]").inner_text().replace("\u00a0", " ")


def cell(tab, page, slot):
    """The cell of a slot after a page, both from 0; slot -1 is the page itself."""
    return tab.locator(f'[data-place="{page} {slot}"]')


def words(tab, slot=-1):
    return [
        cell(tab, page, slot).get_attribute("aria-label")
        for page in range(tab.locator(".me-column").count())
    ]


def pages(tab):
    return [re.match(r"Pages? [\d to]+: ([^.]+)\.", said)[1] for said in words(tab)]


def button(tab, name):
    return tab.get_by_role("button", name=name)


def chosen(tab, name):
    return tab.get_by_role("combobox", name=name, exact=True)


def test_first_screen_tells_the_story(visit):
    tab = visit()
    assert pages(tab) == ["A3", "noise", "B1 C6", "noise", "A5", "noise", "D2", "A?"]
    assert [re.search(r"after it: (\d)", said)[1] for said in words(tab)] == list("33335555")
    assert "It asks A? and the model answers 5" in words(tab)[-1] and "right" in words(tab)[-1]
    assert "the model answers 5 (100 %), right." in status(tab)
    kept = [re.search(r"slot \d keeps ([^.]+)", words(tab, slot)[-1])[1] for slot in range(4)]
    assert sorted(re.findall(r"[A-D]\d", " ".join(kept))) == ["A5", "B1", "C6", "D2"]
    assert not tab.locator(".mfl-twin").is_visible()


def test_numbers_in_the_page_are_those_of_the_model(visit):
    tab = visit()
    cell(tab, 4, -1).click()
    tab.locator("summary").click()
    learner, task = load_learner(), Cards()
    mems = learner.start(1)
    with torch.no_grad():
        for text in STORIES["The book's story"][:5]:
            _, mems = learner.answer(torch.tensor([task.tokens_of(text)]), mems)
        question = torch.tensor([task.tokens_of("B?")])
        truth = learner.answer(question, mems)[0].softmax(dim=-1)[0].tolist()
    rows = tab.locator(".me-inside table").first.locator("tbody tr")
    told = [float(text) for text in rows.nth(1).locator("td").all_inner_texts()]
    assert told == pytest.approx(truth, abs=0.00501)
    norms = tab.locator(".me-inside table").nth(3).locator("tbody tr").nth(3).locator("td")
    truth = mems[0].norm(dim=-1).tolist()
    assert [float(text) for text in norms.all_inner_texts()] == pytest.approx(truth, abs=0.00501)


def test_every_control_is_reached_named_and_alive_by_keyboard_alone(visit):
    """Tab through the widget: at each stop the focus is seen, and a key changes what one sees."""
    tab = visit()
    tab.locator("summary").click()
    tab.evaluate("document.body.tabIndex = -1; document.body.focus();")
    about = """() => {
      const e = document.activeElement, seen = e.matches('input[type=radio]') ? e.nextSibling : e;
      const label = e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent;
      const { outlineStyle, outlineWidth } = getComputedStyle(seen);
      const outline = outlineStyle === 'none' ? 0 : parseFloat(outlineWidth);
      return { tag: e.tagName, type: e.type ?? '', label, outline,
        inside: Boolean(e.closest('.mfl-live')) };
    }"""
    state = f"() => {PICTURE} + document.querySelector('[role=status]').textContent + " + (
        "document.querySelector('.me-more').open"
    )
    keys = {"SELECT": "ArrowDown", "radio": "ArrowRight", "text": "A4", "BUTTON": "Enter"}
    stops = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        here = tab.evaluate(about)
        if not here["inside"]:
            break
        stops.append(here["label"].strip())
        assert stops[-1] and here["outline"] >= 2, here
        if here["tag"] == "DIV":
            continue  # a table that may scroll
        before = tab.evaluate(state)
        if here["label"].startswith(("Page ", "Pages ")):
            key = "ArrowLeft"
        else:
            key = keys.get(here["type"]) or keys.get(here["tag"], "Enter")
        if key == "A4":
            tab.keyboard.press("Control+a")
            tab.keyboard.type("A4 C?")
            key = "Enter"
        tab.keyboard.press(key)
        if here["tag"] == "SELECT" and tab.evaluate(state) == before:
            tab.keyboard.press("ArrowUp")
        assert tab.evaluate(state) != before, f"nothing happens at {here}"
        if here["tag"] == "SUMMARY":
            tab.keyboard.press(key)  # open again: there is more inside
    told = " | ".join(stops)
    for part in (
        *("Story", "Shuffle pages", "Start again", "A?", "Slots show", "Place 1"),
        *("Place 3", "Question", "or type the page", "Move left", "Move right", "Add a page"),
        *("Remove it", "Slot", "Erase slot", "Freeze slot", "Swap with", "Swap slots"),
        *("Another story", "Take over its memory", "Gate off", "50 pages of noise", "Numbers"),
        "Head",
    ):
        assert part in told, part
    assert re.search(r"\bPages? \d+( to \d+)?: ", told), "the table of pages and slots"


def test_arrow_keys_walk_over_pages_and_slots(visit):
    tab = visit()
    cell(tab, 6, -1).focus()
    for key, place in [
        *(("ArrowLeft", "5 -1"), ("ArrowDown", "5 0"), ("ArrowDown", "5 1"), ("Home", "0 1")),
        *(("ArrowLeft", "0 1"), ("End", "7 1"), ("ArrowUp", "7 0"), ("ArrowUp", "7 -1")),
        ("ArrowUp", "7 -1"),
    ]:
        tab.keyboard.press(key)
        assert tab.evaluate("document.activeElement.dataset.place") == place, key
    assert tab.locator('.me-columns [tabindex="0"]').count() == 1
    assert tab.locator("legend", has_text="Change page 8").is_visible()


def test_the_reader_composes_a_story(visit):
    tab = visit()
    chosen(tab, "Story").select_option("Overwriting")
    assert pages(tab) == ["A1", "A2", "A3", "A4", "A?"]
    cell(tab, 1, -1).click()
    button(tab, "Add a page after it").click()
    assert pages(tab) == ["A1", "A2", "noise", "A3", "A4", "A?"]
    chosen(tab, "Place 2").select_option("B6")
    chosen(tab, "Question").select_option("B?")
    assert pages(tab)[2] == "– B6 B?" and "answers 6" in words(tab)[2]
    assert tab.get_by_label("or type the page").input_value() == "– B6 B?"
    button(tab, "Move left").click()
    assert pages(tab)[:3] == ["A1", "– B6 B?", "A2"]
    button(tab, "Move right").click()
    button(tab, "Move right").click()
    assert pages(tab)[2:5] == ["A3", "– B6 B?", "A4"]
    button(tab, "Remove it").click()
    assert pages(tab) == ["A1", "A2", "A3", "A4", "A?"] and "Removed" in status(tab)
    button(tab, "Shuffle pages").click()
    assert pages(tab) != ["A1", "A2", "A3", "A4", "A?"]
    assert sorted(pages(tab)) == ["A1", "A2", "A3", "A4", "A?"] and "Shuffled" in status(tab)
    button(tab, "Start again").click()
    assert pages(tab) == ["A1", "A2", "A3", "A4", "A?"]
    for _ in range(4):
        button(tab, "Remove it").click()
    button(tab, "Remove it").click()
    assert len(pages(tab)) == 1 and "needs at least one page" in status(tab)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A9", "expected cards A0 to D7, questions A? to D? or – for noise, got “A9”"),
        ("A1 B2 C3 D4", "expected at most 3 cards"),
        ("A? B1", "expected the question “A?” at the end"),
        ("– × 999", "expected 1 to 200 pages of noise"),
    ],
)
def test_an_unknown_word_gets_an_answer_and_changes_nothing(visit, text, says):
    tab = visit()
    field = tab.get_by_label("or type the page")
    before = pages(tab)
    field.fill(text)
    field.press("Enter")
    assert says in status(tab) and says in tab.locator(".me-wrong").inner_text()
    assert field.get_attribute("aria-invalid") == "true"
    assert tab.locator(f"#{field.get_attribute('aria-describedby')}").inner_text()
    assert pages(tab) == before
    field.fill("d4 a0")
    field.press("Enter")
    assert pages(tab)[6] == "D4 A0" and tab.locator(".me-wrong").inner_text() == ""


def keeper(tab, box):
    """The slot that keeps a box at the end of the story, as the page says."""
    said = [words(tab, slot)[-1].split(".")[0] for slot in range(4)]
    return next(i for i, text in enumerate(said) if re.search(rf"\b{box}\d", text))


def test_erasing_a_slot_kills_its_answers_and_can_be_undone(visit):
    tab = visit()
    slot = keeper(tab, "C")
    cell(tab, 6, 0).click()
    untouched = tab.evaluate(PICTURE)
    cell(tab, 5, slot).click()
    tab.get_by_label("C?", exact=True).check(force=True)
    erase = button(tab, f"Erase slot {slot + 1}")
    erase.click()
    assert f"Slot {slot + 1} erased after page 6." in status(tab)
    assert re.search(r"C\? 6 \(\d+ %\) becomes (?!6)\d .*wrong: the story says 6", status(tab))
    assert erase.get_attribute("aria-pressed") == "true"
    assert "Erased." in words(tab, slot)[5] and tab.locator(".me-was").count() == 3
    tab.get_by_label("A?", exact=True).check(force=True)
    cell(tab, 6, 0).click()
    button(tab, "Undo: ").click()
    assert "All" not in status(tab) and "answers 5" in status(tab)
    assert tab.evaluate("document.activeElement.textContent").startswith("Erase")
    assert tab.evaluate(PICTURE) == untouched


def test_freezing_a_slot_keeps_the_old_value(visit):
    tab = visit()
    slot = keeper(tab, "A")
    cell(tab, 4, slot).click()
    button(tab, "Freeze slot").click()
    assert "frozen from page 5 on" in status(tab)
    assert "A? 5 (100 %) becomes 3" in status(tab) and "wrong: the story says 5" in status(tab)
    assert ["Frozen." in said for said in words(tab, slot)] == [False] * 4 + [True] * 4


def test_swapping_slots_moves_what_they_keep_and_no_answer(visit):
    tab = visit()
    a, c = keeper(tab, "A"), keeper(tab, "C")
    cell(tab, 4, a).click()
    chosen(tab, "Swap with").select_option(str(c))
    button(tab, "Swap slots").click()
    assert "All answers at the end are as before" in status(tab)
    assert (keeper(tab, "A"), keeper(tab, "C")) == (c, a)
    chosen(tab, "Swap with").select_option(str(a))
    button(tab, "Swap slots").click()
    assert "Choose two different slots" in status(tab)


def test_another_storys_memory_answers_in_its_place(visit):
    tab = visit()
    chosen(tab, "Another story").select_option("Another story")
    button(tab, "Take over its memory").click()
    assert "Memory taken from the end of “Another story” after page 7." in status(tab)
    told = r"A\? 5 \(100 %\) becomes 6 \(\d+ %\), as the other story says; B\? 1 .* becomes 4"
    assert re.search(told, status(tab))


def test_the_gate_switched_off(visit):
    tab = visit()
    cell(tab, 5, 0).click()
    button(tab, "Gate off from page 6 on").click()
    assert "Gate off from page 6 on." in status(tab)
    assert all("Gate off." in said or "Gate off," in said for said in words(tab, 0)[5:])
    assert "Gate off" not in words(tab, 0)[4]


def test_fifty_pages_of_noise(visit):
    tab = visit()
    button(tab, "Add 50 pages of noise").click()
    assert pages(tab)[7] == "– × 50" and words(tab)[7].startswith("Pages 8 to 57")
    assert tab.locator(".me-column").nth(7).locator(".me-thin").count() == 50
    assert "Asked A? at the end, the model answers" in status(tab)
    for _ in range(6):
        button(tab, "Add 50 pages of noise").click()
    assert "at most 300 pages" in status(tab) and len(pages(tab)) < 15


def test_slots_show_what_is_chosen(visit):
    tab = visit()
    shown = {}
    for view in ("read", "kept", "change", "norm"):
        chosen(tab, "Slots show").select_option(view)
        shown[view] = [
            [float(x) for x in tab.locator(f'[data-place="4 {slot}"]').all_inner_texts()]
            for slot in range(4)
        ]
        assert status(tab).startswith("Slots show")
    assert sum(x[0] for x in shown["read"]) == pytest.approx(1, abs=0.021)
    written = keeper(tab, "A")
    assert min(range(4), key=lambda slot: shown["kept"][slot]) == written
    assert max(range(4), key=lambda slot: shown["change"][slot]) == written


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1100])
def test_axe_and_the_narrow_screen(visit, width, scheme):
    tab = visit(width=width, color_scheme=scheme, reduced_motion="reduce")
    cell(tab, 4, 3).click()
    button(tab, "Erase slot").click()
    tab.locator("summary").click()
    for _ in range(3):
        button(tab, "Add 50 pages of noise").click()
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert tab.evaluate(SIDEWAYS) == []
    found = Axe().run(tab, "main", {"resultTypes": ["violations"], "preload": False}).response
    told = [
        f"{rule['id']}: {node['html'][:200]} {[reason['message'] for reason in node['any']]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    assert not told, "\n".join(told)
    small = tab.evaluate("""[...document.querySelectorAll('.mfl-live *')]
      .filter((e) => e.checkVisibility() && parseFloat(getComputedStyle(e).fontSize) < 11)
      .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
      .map((e) => e.outerHTML)""")
    assert not small


def test_touch_works(visit):
    tab = visit(width=390, has_touch=True, is_mobile=True)
    before = tab.evaluate(PICTURE)
    cell(tab, 4, 3).tap()
    assert "Page 5 and slot 4 chosen" in status(tab)
    button(tab, "Erase slot 4").tap()
    assert tab.evaluate(PICTURE) != before and "erased" in status(tab)
    sizes = tab.evaluate("""[...document.querySelectorAll(
      '.mfl-live :is(button, select, summary, .mfl-option, input[type=text])')]
      .map((e) => e.getBoundingClientRect()).map((r) => [r.width, r.height])""")
    assert min(min(size) for size in sizes) >= 24


OTHERS = {
    "large.html": ({"keys": 8}, {"slots": 16}, ["A1 B2 C3 H?"]),
    "wide.html": ({"content": 8, "max_cards": 8}, {"slots": 4}, ["A1 A2 A3 A4 B1 B2 B3 C1 A?"]),
    "small.html": (
        {"keys": 1, "content": 1, "max_cards": 1},
        {"slots": 1, "heads": 1},
        ["A1", "A?"],
    ),
}


@pytest.fixture
def others(folder):
    """Pages with learners of other sizes."""
    for name, (task, sizes, pages) in OTHERS.items():
        learner = small(Cards(**task), **{"dim": 8, "heads": 2} | sizes)
        html = MemoryExplorer(learner, stories={"one": pages})._repr_html_()
        (folder / name).write_text(PAGE.format(explorer=html, other=""), encoding="utf-8")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("width", [320, 560, 680, 1100])
def test_other_sizes_are_not_cut(visit, width):
    for name in OTHERS:
        tab = visit(name, width=width)
        tab.evaluate(f"{STEPS};0")
        assert tab.evaluate("cutsOf(document.querySelector('.mfl-live'))") == [], name


@pytest.mark.usefixtures("others")
def test_a_choice_of_one_is_not_offered(visit):
    tab = visit("small.html")
    tab.locator("summary").click()
    for name in ("Story", "A?", "Slot", "Swap with", "Head"):
        assert tab.get_by_label(name, exact=True).count() == 0, name
    button(tab, "Erase slot 1").click()
    assert "Slot 1 erased after page 1" in status(tab)


@pytest.mark.parametrize("width", [320, 560, 1100])
def test_little_is_kept_free_and_nothing_moves_at_first(visit, width):
    """At any step: tests/test_widgets_fonts.py."""
    tab = visit(width=width)
    tab.wait_for_timeout(300)
    assert tab.evaluate("globalThis.shifted ?? 0") < 0.001
    assert 80 < blank(tab) < 180


def test_print_and_no_script_show_the_twin(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".mfl-twin svg").is_visible()
    told = tab.locator(".mfl-twin svg").get_attribute("aria-label")
    assert "it answers 3, 3, 3, 3, 5, 5, 5, 5" in told and "dies with the slot" in told
    tab = visit()
    for slot in range(4):
        kept = words(tab, slot)[-1].split(".")[0].split(" keeps ")[1]
        letters = re.sub(r"\d", "", kept).removeprefix("no box") or "no box"
        expected = letters if letters == "no box" else f"box {letters}"
        assert f"slot {slot + 1} {expected}" in re.split(r"[.,:] ", told), "as in the live picture"
    tab.emulate_media(media="print")
    assert tab.locator(".mfl-twin svg").is_visible() and not tab.locator(".mfl-live").is_visible()


def test_broken_weights_are_said_and_nothing_else_breaks(visit):
    tab = visit("broken.html")
    assert "cannot answer: expected" in tab.locator("[role=alert]").inner_text()
    assert tab.locator(".mfl-twin svg").first.is_visible()
    assert "Page 7 and slot 1 chosen" in status(tab)
    button(tab, "Erase slot 1").click()
    assert "Slot 1 erased" in status(tab)


# --- In Python ---


def test_text_for_who_sees_no_picture():
    told = repr(MemoryExplorer(stories={"mine": ["B2", "– × 3", "B7", "B?"]}, ask="B"))
    assert told.startswith("Widget: ") and "“mine”" in told
    assert "B2, – × 3, B7, B?" in told and "Asked B? after each page, it answers 2, 2, 7, 7" in told


def test_text_tells_only_boxes_that_were_named():
    told = repr(MemoryExplorer(stories={"one": ["A3", "–"]}))
    kept = re.findall(r"slot \d (no box|box [^,:]+)", told)
    assert len(kept) == 4 and kept.count("no box") >= 3 and set(kept) <= {"no box", "box A"}


def small(task, *, rule=None, **options):
    torch.manual_seed(0)
    return Learner(Recipe(stages=(Stage(task, steps=1, segments=(2, 2)),), **options), rule=rule)


class TakeAll(MemoryRule):
    def forward(self, written, mems, slots):
        return written, None


class Milder(GRUGate):
    """A kind of gate that the page does not know."""


def test_other_learners_bring_their_own_stories():
    explorer = MemoryExplorer(small(Cards(keys=2, values=3, content=1)))
    stories = json.loads(explorer._json)["stories"]
    assert stories == [{"name": "A short story", "pages": ["A0", "–", "A1", "A?"]}]
    explorer = MemoryExplorer(small(Cards(), update="bmn", dim=8, heads=2, slots=2))
    assert [story["name"] for story in json.loads(explorer._json)["stories"]] == [*STORIES]


def spoilt():
    learner = small(Cards())
    with torch.no_grad():
        learner.read_out.bias[0] = 1e6
    return learner


@pytest.mark.parametrize(
    ("learner", "options", "error", "says"),
    [
        ("model", {}, TypeError, "expected a Learner, got str"),
        (Learner(RECIPES["parity"]), {}, ValueError, "got Parity"),
        (small(Cards(), dim=64), {}, ValueError, r"too large to show: 1\d\d,\d\d\d parameters"),
        (small(Cards(keys=9), dim=8, heads=2), {}, ValueError, "at most 8 boxes"),
        (small(Cards(), slots=17), {}, ValueError, "16 slots"),
        (small(Cards(), rule=TakeAll()), {}, ValueError, "rules GRUGate and BMN, got TakeAll"),
        (small(Cards(), rule=Milder(32)), {}, ValueError, "rules GRUGate and BMN, got Milder"),
        (spoilt(), {}, ValueError, "read_out.bias holds numbers that half precision"),
        (None, {"ask": "E"}, ValueError, "ask"),
        (None, {"stories": {}}, ValueError, "at least one"),
        (None, {"stories": {" ": ["A1"]}}, ValueError, "names that can be seen, got ' '"),
        (None, {"stories": ["A1"]}, TypeError, "expected names and pages, got list"),
        (None, {"stories": {"x": "A1"}}, TypeError, "see 'x'"),
        (None, {"stories": {"x": [1]}}, TypeError, "see 'x'"),
        (None, {"stories": {"x": []}}, ValueError, "1 to 40 entries"),
        (None, {"stories": {"x": ["A1"] * 41}}, ValueError, "1 to 40 entries"),
        (None, {"stories": {"x": ["– × 200"] * 2}}, ValueError, "at most 300 pages"),
        (None, {"stories": {"x": ["– × 201"]}}, ValueError, "1 to 200 pages of noise"),
        (None, {"stories": {"x": ["A1", "Z9"]}}, ValueError, "'x': .*got 'Z9'"),
    ],
)
def test_what_makes_no_sense_is_refused(learner, options, error, says):
    with pytest.raises(error, match=says):
        MemoryExplorer(learner, **options)


def test_a_learner_in_the_midst_of_training_is_shown_without_dropout():
    learner = small(Cards(), dropout=0.5).train()
    before = torch.get_rng_state()
    assert repr(MemoryExplorer(learner)) == repr(MemoryExplorer(learner.eval()))
    assert torch.equal(torch.get_rng_state(), before)
    learner.train()
    MemoryExplorer(learner)
    assert learner.training and learner.memformer.encoder.training


def test_a_rule_of_the_readers_own_is_not_packed():
    with pytest.raises(ValueError, match="got TakeAll"):
        pack(small(Cards(), rule=TakeAll()))


def test_packing_changes_no_learner():
    learner = small(Cards())
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    packed = pack(learner)
    assert sum(count for _, count in packed["parameters"]) == 29416
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
