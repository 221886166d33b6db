"""What all widgets share, in Python: the HTML, the live view's bundle, what is refused."""

import json
import os
import re
import subprocess
import sys
import types

import pytest
import torch
import traitlets
from helpers import WIDGETS

from memformer_lite.attention import Attention
from memformer_lite.figures import BOXES, KEPT, SLOTS, TOKENS, WRITTEN, Picture
from memformer_lite.widgets import AttentionExplorer, BucketExplorer, base, bucket_explorer
from memformer_lite.widgets.base import FOLDER, Widget

TWIN = Picture("<svg></svg>", "A picture for tests: nothing is drawn, and nothing follows from it.")
VIEW = "application/vnd.jupyter.widget-view+json"


class FakeView(traitlets.HasTraits):
    """What this package uses of anywidget.AnyWidget."""

    def _repr_mimebundle_(self, **kwargs):
        return {"text/plain": "View()", VIEW: {"model_id": "1"}}, {VIEW: {"colab": {}}}


@pytest.fixture
def kernel(monkeypatch):
    """A process that looks like a notebook's kernel with anywidget installed."""
    shell = types.SimpleNamespace(kernel=object())
    modules = {
        "IPython": types.SimpleNamespace(get_ipython=lambda: shell),
        "anywidget": types.SimpleNamespace(AnyWidget=FakeView),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("MEMFORMER_LITE_STATIC", raising=False)
    base._view_class.cache_clear()
    yield shell
    base._view_class.cache_clear()


def make(data=None):
    class Some(Widget):
        name = "bucket_explorer"

    return Some(data={} if data is None else data, twin=TWIN)


def test_html_holds_box_twin_style_and_script():
    widget = make({"a": 1})
    html = widget._repr_html_()
    assert html.count("<script") == html.count("</script>") == 1
    assert TWIN._repr_html_() in html
    assert repr(widget) == f"Widget: {TWIN.alt}"


def test_html_is_the_same_each_time():
    assert make({"a": 1})._repr_html_() == make({"a": 1})._repr_html_()
    assert BucketExplorer()._repr_html_() == BucketExplorer()._repr_html_()
    keys = {re.search('data-mfl="(.*?)"', make({"a": a})._repr_html_())[1] for a in (1, 2)}
    assert len(keys) == 2


def test_data_cannot_end_the_script():
    html = make({"name": "</script><!--<b>\u2028"})._repr_html_()
    assert html.count("</script>") == 1
    assert "<!--" not in html


def test_every_widget_is_named():
    """A class and a module of the same name make one: it is in `widgets`, and so in these tests."""
    scripts = {path.stem for path in FOLDER.glob("*.js") if path.with_suffix(".py").exists()}
    assert {widget.name for widget in WIDGETS.values()} == scripts
    assert all(isinstance(widget.example(), Widget) for widget in WIDGETS.values())


def test_modules_neither_load_nor_evaluate():
    paths = sorted(FOLDER.rglob("*.js"))
    assert len(paths) >= 3
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"</script|<!--|\bimport\(|\b(?:fetch|eval|require|Function)\(", text)
        assert not found, (path.name, found)
        assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
    assert "url(" not in base.style("memory_explorer") and "@import" not in base.style(
        "memory_explorer"
    )


def test_colours_are_those_of_the_pictures():
    style = base.style("memory_explorer")
    for colour in (SLOTS, TOKENS, KEPT, WRITTEN, *BOXES.values()):
        assert colour in style
    own = (FOLDER / "widgets.css").read_text(encoding="utf-8")
    texts = own + "".join(path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.js"))
    named = set(re.findall(r"--mfl-[a-z-]+(?=\))", texts))
    set_here = set(re.findall(r"(--mfl-[a-z-]+):", style))
    set_here |= set(re.findall(r"(--mfl-[a-z-]+)[:\"]", texts))
    assert named <= set_here, named - set_here


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"a": float("nan")}, ValueError, "data: expected finite numbers"),
        ({"a": [float("inf")]}, ValueError, "data: expected finite numbers"),
        ({"a": object()}, TypeError, "data: expected plain JSON"),
    ],
)
def test_bad_data_is_refused(data, error, words):
    with pytest.raises(error, match=words):
        make(data)


@pytest.mark.parametrize("alt", ["", " " * 50, "A picture."])
def test_a_picture_says_what_it_shows(alt):
    with pytest.raises(ValueError, match="expected a description of at least 40 characters"):
        Picture("<svg></svg>", alt)


@pytest.mark.parametrize(
    ("offset", "flag", "buckets"), [(-100, True, (15, 30)), (7, True, (23, 0)), (0, False, (0, 0))]
)
def test_the_still_picture_of_the_buckets_marks_the_chosen_offset(
    monkeypatch, offset, flag, buckets
):
    drawn = []
    kept = bucket_explorer.picture
    monkeypatch.setattr(
        bucket_explorer, "picture", lambda figure, alt: drawn.append(figure) or kept(figure, alt)
    )
    said = BucketExplorer(offset=offset, bidirectional=flag).twin.alt
    for axes, bucket in zip(drawn[0].axes, buckets, strict=True):
        _, point, line = axes.lines
        assert (point.get_xdata().tolist(), point.get_ydata().tolist()) == ([offset], [bucket])
        assert set(line.get_xdata()) == {offset}
        assert f"bucket {bucket} for offset {offset}" in said


def test_a_twin_is_a_picture():
    with pytest.raises(TypeError, match="twin: expected a Picture, got str"):
        Widget(data={}, twin="<svg>")


def test_without_a_kernel_there_is_html_alone():
    bundle = make()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"].startswith("Widget: ")
    assert make().state == {}


def test_with_a_kernel_the_bundle_has_view_and_html(kernel):
    widget = make({"a": 1})
    bundle, metadata = widget._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW}
    assert bundle["text/html"] == widget._repr_html_()
    assert bundle["text/plain"] == repr(widget)
    assert metadata == {VIEW: {"colab": {}}}
    assert widget._live.data == {"a": 1}
    first = widget._live
    widget._repr_mimebundle_()
    assert widget._live is first, "shown twice, it stays one widget"
    first.state = {"offset": 3}
    assert widget.state == {"offset": 3}


@pytest.mark.parametrize("gone", ["kernel", "anywidget", "wish", "own front end"])
def test_no_live_view_where_one_thing_is_missing(kernel, monkeypatch, gone):
    if gone == "kernel":
        kernel.kernel = None
    elif gone == "anywidget":
        monkeypatch.setitem(sys.modules, "anywidget", None)
    elif gone == "own front end":
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        monkeypatch.setenv("MEMFORMER_LITE_STATIC", "1")
    assert set(make()._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_import_needs_no_anywidget():
    code = """
import sys
sys.modules["anywidget"] = sys.modules["ipywidgets"] = sys.modules["traitlets"] = None
from memformer_lite.widgets import BucketExplorer
print(len(BucketExplorer()._repr_html_()) > 1000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout == "True\n", done.stderr


LIVE = """async ([code, traits]) => {
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const { default: view } = await import(address);
  const heard = new Map();
  const model = {
    saved: 0,
    get: (name) => traits[name],
    set(name, value) { traits[name] = value; heard.get(`change:${name}`)?.forEach((f) => f()); },
    save_changes() { this.saved += 1; },
    on: (name, f) => heard.set(name, [...(heard.get(name) ?? []), f]),
    off: (name, f) => heard.set(name, heard.get(name).filter((other) => other !== f)),
  };
  globalThis.live = { model, traits, heard, stops: [] };
  for (const place of [0, 1]) {
    const el = document.createElement("div");
    document.querySelector("article").append(el);
    live.stops.push(view.render({ model, el }));
  }
  await new Promise((done) => setTimeout(done, 200));
}"""


@pytest.mark.parametrize("name", WIDGETS)
def test_live_views_share_what_the_reader_chose(bench, name):
    """The module that anywidget gets, with a model that only keeps values: two views of it."""
    widget = WIDGETS[name].example()
    traits = {"data": widget.data, "markup": widget._markup("live"), "state": {}}
    lines = "[...document.querySelectorAll('.mfl-status')].map((line) => line.textContent)"
    with bench.tab(bench.write()) as tab:

        def told():
            here, there = tab.evaluate(lines)
            # The explorer's first sentence says what was done, where it was done.
            assert here.split(". ", 1)[1] == there.split(". ", 1)[1] and len(here) > 20
            return there

        def chosen(place):  # by the reader
            options = tab.locator(".mfl-option input:enabled:not(:checked)")
            options.nth(place).check(force=True)
            return told(), tab.evaluate("live.traits.state")

        tab.evaluate(LIVE, [base.live_code(widget.name), traits])
        words, states = zip((told(), {}), chosen(0), chosen(1), strict=True)
        assert words[0] != words[1] != words[2]
        assert tab.evaluate("live.model.saved") == 2
        some = {name: value for name, value in states[1].items() if value != states[2][name]}
        tab.evaluate("(state) => live.model.set('state', state)", some)  # from Python
        assert told() == words[1], "what Python does not name stays"
        _, last = chosen(1)
        assert last.keys() == states[1].keys()
        tab.evaluate("live.stops.forEach((stop) => stop())")
        assert tab.evaluate("live.heard.get('change:state').length") == 0


def test_data_is_a_copy():
    widget = make({"a": [1]})
    widget.data["a"].append(2)
    assert json.dumps(widget.data) == '{"a": [1]}'


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"offset": 301}, ValueError, "offset=301: expected at most 300"),
        ({"offset": -301}, ValueError, "offset=-301: expected at least -300"),
        ({"offset": 1.5}, TypeError, "offset=1.5: expected an integer"),
        ({"num_buckets": 3}, ValueError, "num_buckets=3: expected at least 4"),
        ({"num_buckets": 66}, ValueError, "num_buckets=66: expected at most 64"),
        ({"num_buckets": 7}, ValueError, "num_buckets=7: expected an even number"),
        ({"max_distance": 257}, ValueError, "max_distance=257: expected at most 256"),
        ({"bidirectional": 1}, TypeError, "bidirectional=1: expected True or False"),
        (
            {"num_buckets": 64, "max_distance": 16},
            ValueError,
            "max_distance=16: expected more than 16",
        ),
    ],
    ids=str,
)
def test_bucket_explorer_refuses(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        BucketExplorer(**options)


def test_bucket_explorer_starts_where_only_the_swapped_map_is_refused():
    widget = BucketExplorer(num_buckets=33, bidirectional=False)
    assert "flag swapped: refused (num_buckets=33: expected an even number" in repr(widget)


def explorer(**changes):
    torch.manual_seed(0)
    inputs = {
        "attention": Attention(6, heads=2),
        "x": torch.randn(1, 3, 6),
        "context": torch.randn(1, 2, 6),
        "tokens": ["a", "b", "c"],
        "slots": ["s1", "s2"],
    } | changes
    return AttentionExplorer(inputs.pop("attention"), inputs.pop("x"), **inputs)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"attention": torch.nn.Linear(6, 6)}, TypeError, "attention: expected an Attention"),
        ({"attention": Attention(10, heads=5)}, ValueError, "at most 4 heads, got 5"),
        ({"x": torch.randn(2, 3, 6)}, ValueError, "x: expected"),
        ({"x": torch.randn(1, 3, 5)}, ValueError, "x: expected"),
        ({"x": torch.randn(1, 7, 6)}, ValueError, "got 7 + 2: too many to show"),
        ({"context": torch.randn(1, 2, 4)}, ValueError, "context: expected"),
        ({"tokens": ["a", "b"]}, ValueError, "tokens: expected 3 names, got 2"),
        ({"tokens": ["a", "b", "later"]}, ValueError, "1 to 4 characters, got 'later'"),
        ({"tokens": "abc"}, TypeError, "tokens: expected a list of names, got 'abc'"),
        ({"slots": None}, ValueError, "slots: expected 2 names, got 0"),
        ({"real": torch.ones(1, 3)}, TypeError, "real: expected torch.bool"),
        ({"real": torch.ones(1, 2, dtype=torch.bool)}, ValueError, "real: expected"),
        ({"keys": "values"}, ValueError, "keys='values': expected 'tokens' or 'slots' or 'both'"),
        ({"context": None, "slots": None, "keys": "both"}, ValueError, "expected 'tokens'"),
        ({"x": torch.full((1, 3, 6), float("nan"))}, ValueError, "x, context: expected finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_attention_explorer_refuses(changes, error, words):
    with pytest.raises(error, match=re.escape(words)):
        explorer(**changes)


@pytest.mark.parametrize("keys", ["tokens", "slots", "both"])
def test_twin_of_the_attention_explorer_tells_its_weights(keys):
    """Causal among the tokens, padding masked, slots before all tokens."""
    attention = Attention(6, heads=1, causal=True)
    real = torch.tensor([[True, True, False]])
    widget = explorer(attention=attention, real=real, keys=keys)
    scores = torch.tensor(widget.data["scores"])[0]
    open_to = {
        "tokens": [[0], [0, 1]],
        "slots": [[3, 4], [3, 4]],
        "both": [[0, 3, 4], [0, 1, 3, 4]],
    }[keys]
    for row, columns in enumerate(open_to):
        weights = scores[row, columns].softmax(0).tolist()
        names = [["a", "b", "c", "s1", "s2"][column] for column in columns]
        said = ", ".join(
            f"{name} {weight:.2f}" for name, weight in zip(names, weights, strict=True)
        )
        assert f"head 1, {'ab'[row]}: {said};" in repr(widget)
    assert repr(widget).endswith("head 1, c: nothing.")


def test_the_cards_are_found():
    """Head 1 finds the note about the box: in the page, else in the memory."""
    told = repr(AttentionExplorer.of_cards(keys="both"))
    assert "head 1, C?: C? 0.02, A3 0.02, B1 0.02, A? 0.02, C6 0.92, D2 0.02" in told
    assert "head 1, A?: C? 0.02, A3 0.92" in told
    assert "head 1, –: nothing" in told
    assert "C? 0.25, A3 0.25, B1 0.25, A? 0.25;" in repr(AttentionExplorer.of_cards())
