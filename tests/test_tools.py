"""The smaller tools: formulas, Colab's versions, finding the browser."""

import importlib
import json
import re
from pathlib import Path

import pytest

from tools import browser, colab_pins
from tools.mathml import to_mathml


def shape(tex, **options):
    """The formula's elements, without what surrounds all formulas."""
    return re.sub(r"^<math[^>]*><mrow>|</mrow></math>$", "", to_mathml(tex, **options))


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\mathrm{GRU}", "<mrow><mi>GRU</mi></mrow>"),
        (r"\operatorname{softmax}", "<mi>softmax</mi>"),
        (r"\log p", '<mi>log</mi><mspace width="0.167em" /><mi>p</mi>'),
        (
            r"\log(p)",
            '<mi>log</mi><mo stretchy="false">(</mo><mi>p</mi><mo stretchy="false">)</mo>',
        ),
        ("n/2", '<mi>n</mi><mo lspace="0" rspace="0">/</mo><mn>2</mn>'),
        (
            "x_{a=b}",
            "<msub><mi>x</mi><mrow><mi>a</mi>"
            '<mo lspace="0" rspace="0">=</mo><mi>b</mi></mrow></msub>',
        ),
    ],
)
def test_formula(tex, expected):
    assert shape(tex) == expected


def test_formula_says_its_tex_to_those_who_cannot_see_it():
    assert 'alttext="a &lt; b"' in to_mathml("a < b")


@pytest.mark.parametrize(
    "tex", [r"a &= b \\ c &= d", r"\begin{aligned} a &= b \\ c &= d \end{aligned}"]
)
def test_lines_of_a_formula_are_aligned(tex):
    math = to_mathml(tex, block=True)
    assert 'display="block"' in math and math.count("<mtr>") == 2
    for side in ("right", "left"):
        assert math.count(f'style="text-align: {side}"') == 2


@pytest.mark.parametrize(
    ("tex", "named"),
    [
        (r"\unknown x", r"cannot render \\unknown"),
        (r"\frac{a}", "argument is missing in mfrac"),
        (r"\begin{tikzcd} a \end{tikzcd}", "unknown environment tikzcd"),
        (r"\boldsymbol{\theta}", "style bold-italic"),
        ("a & b", "cannot render &"),
        ("x_", "Error"),
    ],
)
def test_formula_that_cannot_be_rendered(tex, named):
    with pytest.raises(ValueError, match=named):
        to_mathml(tex)


def test_pins_follow_colab():
    pins = "# Colab's.\ntorch==2.1.0\nipython==7.34.0\n"
    freeze = (
        "IPython==9.1.0\nnumpy==2.1.3\n"
        "torch @ https://download.example/whl/cpu/torch-2.11.0%2Bcpu-cp313-cp313-linux.whl#sha256=0a\n"
    )
    assert colab_pins.renew(pins, freeze) == "# Colab's.\ntorch==2.11.0\nipython==9.1.0\n"
    with pytest.raises(SystemExit, match="ipython"):
        colab_pins.renew(pins, freeze.replace("IPython", "other"))


def test_a_missing_browser_is_a_failure_with_the_packages_name(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nonexistent")
    assert browser.find() is None
    assert "apt-get install chromium" in browser.main()


def test_the_record_of_memory_and_time_belongs_to_the_present_measurement(monkeypatch):
    monkeypatch.syspath_prepend(Path(browser.__file__).parent)  # as where it runs as a command
    bench = importlib.import_module("bench_memory")
    stored = json.loads(bench.RECORD.read_text(encoding="utf-8"))
    assert stored["sizes"] == {
        "dim": bench.DIM,
        "segment": bench.TOKENS,
        "slots": bench.SLOTS,
        "batch": bench.BATCH,
        "depth": bench.DEPTH,
    }
    segments = [str(count) for count in bench.SEGMENTS]
    assert list(stored["peak_mib"]) == list(bench.METHODS)
    assert all(list(row) == segments for row in stored["peak_mib"].values())
    assert stored["time_segments"] == bench.TIMED_SEGMENTS
    assert list(stored["time_ratio"]) == list(bench.LOSSES)
    assert stored["stream"]["tokens"] >= bench.STREAM["total"]
    assert stored["command"] == "python tools/bench_memory.py --record"
    assert stored["versions"].keys() == {"python", "torch", "memformer"} and stored["seconds"] > 0
