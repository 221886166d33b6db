"""Widgets with a kernel behind them, as a reader meets them in a notebook.

In JupyterLab with our pins, and with Colab's versions (ipywidgets 7, anywidget 0.9) in the front
end that these were made for, the classic notebook. Colab's own front end runs at Google only.
"""

import sys

import pytest
from colab_environment import colab_environment
from live_notebook import CLASSIC, LAB, running, until

from memformer_lite import widgets

STORY = ["A3", "–", "B1 C4", "A?"]
TRAIN = f"""
import torch
from memformer_lite import record
from memformer_lite.learning.recipes import Recipe, Stage
from memformer_lite.learning.tasks import Cards
from memformer_lite.learning.train import Run
from memformer_lite.widgets import {", ".join(widgets.__all__)}

stage = Stage(Cards(keys=3, values=5), steps=20, segments=(2, 3))
run = Run(Recipe(stages=(stage,), dim=24, heads=3, slots=3), seed=1)
losses = [run.advance() for _ in range(20)]
learner = run.learner
mems = learner.start(1)
with record(learner) as trace, torch.no_grad():
    for page in {STORY}:
        tokens = torch.tensor([learner.recipe.task.tokens_of(page)])
        _, mems = learner.answer(tokens, mems)
"""
MADE = {  # the name in the notebook, and how the reader makes it
    "bucket": "BucketExplorer(offset=100)",
    "attention": "AttentionExplorer.of_cards(keys='both')",
    "memory": f"MemoryExplorer(learner, stories={{'mine': {STORY}}})",
    "stage": "ReplayStage(method='truncated')",
    "lapse": "MemoryTimeLapse(trace)",
}
# A widget that is not made above joins with its example.
OTHERS = [name for name in widgets.__all__ if not any(name in code for code in MADE.values())]
WIDGETS = MADE | {name.lower(): f"{name}.example()" for name in OTHERS}
AGAIN = "bucket"  # shown once more, a second view of the same widget
STATIC = "import os; os.environ['MEMFORMER_LITE_STATIC'] = '1'\nBucketExplorer(offset=7)"
CELLS = [TRAIN, *(f"{name} = {code}\n{name}" for name, code in WIDGETS.items()), AGAIN, STATIC]
pytestmark = pytest.mark.spread("live")
PLACES = {name: place for place, name in enumerate(WIDGETS, 1)}
every = pytest.mark.parametrize("name", WIDGETS)
# All that takes arrow keys: sliders, radios, and the one cell of a table that the tab key reaches.
MOVED_BY_ARROWS = (
    ".mfl-live :is(input[type=range], input[type=radio]:checked:enabled, button[tabindex='0'])"
)


@pytest.fixture(scope="module", params=["jupyterlab", "ipywidgets7"])
def live(request, chromium, tmp_path_factory):
    front, python = LAB, sys.executable
    if request.param == "ipywidgets7":
        front, python = CLASSIC, colab_environment() / "bin" / "python"
    with running(chromium, front, python, tmp_path_factory.mktemp("live"), CELLS) as live:
        for place in range(1, len(CELLS)):
            live.widget(place).and_(live.tab.locator("[data-mfl-state=ready]")).wait_for()
        yield live
        assert not live.tab.troubles, "\n".join(live.tab.troubles)


def words(widget) -> str:
    return widget.locator(".mfl-status").inner_text()


def at_work(live, place):
    """The widget of this cell, after the reader has clicked into it: the cell is chosen."""
    widget = live.widget(place)
    widget.locator(".mfl-status").click()
    return widget


def state(live, name) -> dict:
    """What the kernel knows of the reader's choices."""
    return live.asked(f"import json; print(json.dumps({name}.state))")


def wait_for_change(live, name, old):
    until(lambda: state(live, name) != old)


def test_the_versions_are_those_promised(live):
    names = "ipywidgets", "anywidget", "IPython", "traitlets"
    found = live.asked(
        f"import json; print(json.dumps([__import__(name).__version__ for name in {names}]))"
    )
    wanted = ["7.7.1", "0.9.21", "7.34.0", "5.7.1"]
    assert found == wanted if live.front is CLASSIC else found[:2] == ["8.1.9", "0.11.0"]


@every
def test_the_view_is_live(live, name):
    """No key with a hash, which the static HTML has; drawn, and as wide as the cell."""
    widget = live.widget(PLACES[name])
    assert "-" not in widget.get_attribute("data-mfl")
    assert len(words(widget)) > 30
    assert not widget.locator(".mfl-twin").is_visible()
    assert widget.bounding_box()["width"] > 600


@every
def test_arrow_keys_reach_the_controls_and_python_hears_of_it(live, name):
    """A control moves, the picture says so, the kernel knows, and no cell is chosen or left."""
    widget = at_work(live, PLACES[name])
    count = widget.locator(MOVED_BY_ARROWS).count()
    assert count >= 2
    for place in range(count):
        control = widget.locator(MOVED_BY_ARROWS).nth(place)
        what = control.evaluate("e => e.outerHTML.slice(0, 200)")
        control.focus()
        cells = live.chosen()
        before = state(live, name), words(widget), widget.locator(":focus").element_handle()
        live.tab.keyboard.press("ArrowRight")
        if "<button" in what:  # the focus moves
            assert not before[2].evaluate("e => e === document.activeElement"), what
        else:
            assert words(widget) != before[1], what
            wait_for_change(live, name, before[0])
        for key in ("ArrowDown", "ArrowUp", "ArrowLeft"):
            live.tab.keyboard.press(key)
        assert live.chosen() == cells, f"{what}: the notebook took the key"


def test_enter_and_space_press_a_button_and_not_the_notebook(live):
    widget = at_work(live, PLACES["memory"])
    for key in ("Enter", "Space"):
        cells, said = live.chosen(), words(widget)
        widget.get_by_role("button", name="Add a page after it").focus()
        live.tab.keyboard.press(key)
        assert words(widget) != said, key
        assert live.chosen() == cells
        assert widget.locator(":focus").count() == 1, f"{key}: the notebook has the focus"
        widget.get_by_role("button", name="Start again").click()


def test_what_is_chosen_is_what_python_gets(live):
    slider = live.widget(PLACES["bucket"]).get_by_label("Offset", exact=True)
    slider.fill("41")
    assert "Offset 41, 41 tokens ahead." in words(live.widget(PLACES["bucket"]))
    until(lambda: state(live, "bucket")["offset"] == 41)
    slider.press("ArrowLeft")
    until(lambda: state(live, "bucket")["offset"] == 40)


def test_a_second_view_follows_the_first(live):
    first, second = live.widget(PLACES["bucket"]), live.widget(len(WIDGETS) + 1)
    for offset, (here, there) in ((-55, (first, second)), (66, (second, first))):
        here.get_by_label("Offset", exact=True).fill(str(offset))
        there.get_by_text(f"Offset {offset}".replace("-", "\u2212")).wait_for()
        assert words(here) == words(there)


def test_letters_typed_in_a_widget_are_no_commands_of_the_notebook(live):
    """In a notebook “a” makes a cell, “x” cuts one, “d d” removes one."""
    field = at_work(live, PLACES["memory"]).get_by_label("or type the page")
    field.click()
    cells = live.chosen()
    live.tab.keyboard.press("Control+a")
    live.tab.keyboard.type("a2 b0 x")
    live.tab.keyboard.press("Enter")
    assert live.chosen() == cells
    assert field.input_value() == "a2 b0 x"
    assert "Not a page" in words(live.widget(PLACES["memory"]))


NUMBERS = f"""
import json, torch
from memformer_lite.learning.checkpoint import load_learner

@torch.no_grad()
def told(learner):
    task, mems = learner.recipe.task, learner.start(1)
    for page in {STORY[:3]}:
        _, mems = learner.answer(torch.tensor([task.tokens_of(page)]), mems)
    questions = torch.tensor([task.tokens_of(f"{{box}}?") for box in "ABC"])
    answers = [learner.answer(question[None], mems)[0].softmax(-1)[0] for question in questions]
    return [answer.tolist() for answer in answers], mems[0].norm(dim=-1).tolist()

print(json.dumps(told(learner)))
"""


def test_the_explorer_shows_the_numbers_of_the_model_just_trained(live):
    """Weights travel in half precision: two decimals, and one unit of the last is allowed."""
    answers, norms = live.asked(NUMBERS)
    assert len(answers[0]) == 5 and len(norms) == 3, "not the sizes of the model that ships"
    widget = live.widget(PLACES["memory"])
    widget.get_by_role("button", name="Start again").click()
    widget.locator('[data-place="2 -1"]').click()
    if widget.locator(".me-more").get_attribute("open") is None:
        widget.locator("summary").click()
    tables = widget.locator(".me-inside table")
    rows = tables.first.locator("tbody tr")
    for box, answer in enumerate(answers):
        shown = [float(text) for text in rows.nth(box).locator("td").all_inner_texts()]
        assert shown == pytest.approx(answer, abs=0.0101), "ABC"[box]
    shown = tables.nth(3).locator("tbody tr").nth(3).locator("td").all_inner_texts()
    assert [float(text) for text in shown] == pytest.approx(norms, abs=0.0101)


def test_the_time_lapse_shows_the_run_just_recorded(live):
    changes, norms = live.asked(
        "import json; print(json.dumps([trace[2].change[0].tolist(), "
        "trace[2].norm_after[0].tolist()]))"
    )
    widget = live.widget(PLACES["lapse"])
    widget.get_by_label("Segment", exact=True).fill("3")
    assert "Segment 3 of 4" in words(widget)
    for label, truth in (("change", changes), ("norm to", norms)):
        shown = widget.locator(f"tr:has(th:text-is('{label}')) td").all_inner_texts()
        assert [float(text) for text in shown] == pytest.approx(truth, abs=0.0051), label


def test_without_a_view_the_page_itself_answers(live):
    """What a reader sees where no view can be made: the HTML, with the same keys."""
    widget = at_work(live, len(WIDGETS) + 2)
    assert "-" in widget.get_attribute("data-mfl")
    cells = live.chosen()
    slider = widget.get_by_label("Offset", exact=True)
    slider.focus()
    live.tab.keyboard.press("ArrowRight")
    assert words(widget).startswith("Offset 8, 8 tokens ahead.")
    assert live.chosen() == cells
