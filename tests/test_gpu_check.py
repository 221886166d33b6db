"""`make gpu-check` without a GPU: it says so; its checks run on the CPU and name faults."""

import copy
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from memformer_lite import DecoderCache, MemoryWriter, replay

# torch.compile itself asks a memory for its gradient.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
TOOLS = Path(__file__).parents[1] / "tools"
FINE = {"replay": {4: 100.0, 32: 104.0}, "BPTT": {4: 100.0, 32: 800.0}}


@pytest.fixture(scope="module")
def tools():
    """The tool's modules, imported as where it runs as a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        names = ("bench", "bench_memory", "device_checks", "gpu_check")
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture(scope="module")
def checks(tools):
    """The checks by name, each a function of nothing; on the CPU no compiler is called."""
    named = dict(tools.device_checks.CHECKS)
    options = {name: {"device": "cpu"} for name in named}
    options["torch.compile"]["backend"] = "eager"
    return {name: lambda n=name: list(named[n](**options[n])) for name in named}


@pytest.fixture(scope="module")
def findings(checks, tools):
    found = {name: check() for name, check in checks.items()}
    return found | {"memory": list(tools.device_checks.memory(FINE))}


def test_without_a_gpu_it_says_so_in_one_line_and_fails():
    done = subprocess.run(
        [sys.executable, TOOLS / "gpu_check.py"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line == f"gpu-check: torch {torch.__version__} finds no GPU here: nothing was checked"


def test_every_check_holds_on_the_cpu(findings):
    assert all(findings.values())
    failed = [finding.line() for several in findings.values() for finding in several]
    assert not [line for line in failed if not line.startswith("ok ")]


def test_no_two_findings_are_alike(findings):
    named = [finding[:2] for several in findings.values() for finding in several]
    assert len(set(named)) == len(named)


# Faults: each check names its own


def changed(by):
    """Return what moves or compiles a model, and changes its weights a little on the way."""

    def move(model, *_, **__):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for weight in other.parameters():
                weight.add_(by * torch.rand_like(weight))
        return other

    return move


def other_draws(patch, tools):
    patch.setattr(replay, "_set_rng_state", lambda state: None)


def other_numbers(patch, tools):
    patch.setattr(tools.device_checks, "moved", changed(by=1e-8))


def other_tokens(patch, tools):
    patch.setattr(tools.device_checks, "moved", changed(by=0.5))


def stale_cache(patch, tools):
    bias = DecoderCache.bias
    patch.setattr(DecoderCache, "bias", lambda self, *given: bias(self, *given).roll(1, dims=-1))


def after_writing(change):
    """Return a fault that changes the memory under autocast."""

    def plant(patch, tools):
        write = MemoryWriter.forward

        def forward(self, *given):
            mems = write(self, *given)
            return change(mems) if torch.is_autocast_enabled("cpu") else mems

        patch.setattr(MemoryWriter, "forward", forward)

    return plant


def other_graph(patch, tools):
    patch.setattr(tools.device_checks, "_compile", changed(by=0.01))


def no_unscaling(patch, tools):
    patch.setattr(torch.amp.GradScaler, "unscale_", lambda self, optimizer: None)


@pytest.mark.parametrize(
    ("check", "plant", "named"),
    [
        ("parity", other_numbers, "float64"),
        ("dropout", other_draws, ""),
        ("generation", stale_cache, "without cache"),
        ("generation", other_tokens, "the CPU's"),
        ("autocast", after_writing(lambda mems: mems.bfloat16()), "memories not in float32"),
        ("autocast", after_writing(lambda mems: mems * 1.2), "gradients"),
        ("torch.compile", other_graph, "eager mode"),
        ("GradScaler", no_unscaling, ""),
    ],
)
def test_a_fault_is_named(check, plant, named, checks, tools, monkeypatch):
    monkeypatch.setattr(tools.device_checks, "RULES", ("gru",))
    plant(monkeypatch, tools)
    about = [finding for finding in checks[check]() if named in finding.line()]
    assert about and all(finding.line().startswith("FAIL ") for finding in about), about


def test_peaks_that_grow_with_replay_or_not_with_bptt_are_named(tools):
    def failed(**rows):
        return [f.name for f in tools.device_checks.memory(FINE | rows) if not f.holds]

    assert not failed()
    assert failed(replay={4: 100.0, 32: 106.0}) == ["memory replay"]
    assert failed(BPTT={4: 100.0, 32: 300.0}) == ["memory BPTT"]


def test_a_number_that_is_not_finite_or_not_there_differs_without_end(tools):
    largest, one = tools.device_checks.largest, torch.ones(3)
    assert largest({"a": one, "b": one * 1.5}, {"a": one, "b": one}) == (0.5, "b")
    assert largest({"a": one * 1e-3}, {"a": one * 0})[0] > 0
    assert largest({"a": one * math.nan}, {"a": one}) == (math.inf, "a")
    assert largest({}, {"a": one}) == (math.inf, "only one has a")


# The tool


def test_all_parts_run_and_one_that_breaks_off_has_failed(tools, monkeypatch, capsys):
    def broken(*, device):
        yield tools.device_checks.Finding("first", "a thing", 0.0, 1.0)
        raise RuntimeError(f"no such kernel on {device}\nand more")

    gpu_check, ran = tools.gpu_check, []
    for name in ("learning", "table"):
        monkeypatch.setattr(gpu_check, name, lambda x, device, n=name: ran.append(n) or ())
    monkeypatch.setattr(gpu_check, "CHECKS", {"second": broken})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(gpu_check, "record", lambda *_: pytest.fail("a failure went on record"))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--record"])
    with pytest.raises(SystemExit, match="1 failed"):
        gpu_check.main()
    printed = capsys.readouterr().out
    assert "ok   first" in printed and "FAIL second" in printed
    assert "RuntimeError: no such kernel on cuda" in printed and "and more" not in printed
    assert ran == ["learning", "table"] and "1 of 2 checks hold" in printed


def without_device_memory(tools, patch):
    """Let a peak be a number of its own, as the CPU counts none."""
    peaks = iter(range(1, 100))
    patch.setattr(tools.gpu_check, "peak_mib", lambda call: (call(), float(next(peaks)))[1])


def test_the_table_has_a_row_for_each_figure(tools, monkeypatch, capsys):
    without_device_memory(tools, monkeypatch)
    monkeypatch.setattr(tools.gpu_check, "SHAPES", ((16, 11, 3, 2),))
    monkeypatch.setattr(tools.gpu_check, "DECODING", ((16, 2),))
    monkeypatch.setattr(tools.gpu_check, "SECONDS", 0.0)
    monkeypatch.setattr(tools.gpu_check, "NEW_TOKENS", 3)
    monkeypatch.setattr(tools.bench, "NEW_TOKENS", 3)
    rows = []
    assert not list(tools.gpu_check.table(rows, device="cpu"))
    segment = ("encode + write", "+ decoder", "fwd + bwd")
    names = [f"16/11/3/2 {what}" for what in segment] + ["16/2 greedy, 3 tokens"]
    assert [row["what"] for row in rows] == names
    assert all(row["ratio"] > 0 and min(row["ms"].values()) >= 0 for row in rows)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_peaks_are_measured_for_each_method_and_number_of_segments(tools, monkeypatch):
    without_device_memory(tools, monkeypatch)
    monkeypatch.setattr(tools.gpu_check, "SEGMENTS", (1,))
    for name, size in {"DIM": 16, "TOKENS": 11, "DEPTH": 1}.items():
        monkeypatch.setattr(tools.bench_memory, name, size)
    monkeypatch.setattr(tools.gpu_check, "memory", lambda peaks: ())
    peaks = {}
    tools.gpu_check.learning(peaks, device="cpu")
    assert peaks == {method: {1: n} for n, method in enumerate(tools.gpu_check.METHODS, start=1)}


# The record


def test_the_record_belongs_to_the_present_checks(tools, findings):
    gpu_check = tools.gpu_check
    stored = json.loads(gpu_check.GPU_RECORD.read_text(encoding="utf-8"))
    assert stored["command"] == "python tools/gpu_check.py --record" and stored["device"]
    assert stored["versions"].keys() == {"python", "torch", "memformer"}
    assert 0 < stored["seconds"] < 180
    found = [finding for several in findings.values() for finding in several]
    assert [(row["name"], row["compared"], row["bound"]) for row in stored["checks"]] == [
        (finding.name, finding.compared, finding.bound) for finding in found
    ]
    assert all(row["difference"] <= row["bound"] for row in stored["checks"])
    assert list(stored["peak_mib"]) == list(gpu_check.METHODS)
    assert all(
        list(row) == [str(count) for count in gpu_check.SEGMENTS]
        for row in stored["peak_mib"].values()
    )
    assert len(stored["table"]) == 3 * len(gpu_check.SHAPES) + len(gpu_check.DECODING)
    assert all(row.keys() == {"what", "ms", "ratio", "peak_mib"} for row in stored["table"])
