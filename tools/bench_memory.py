"""Peak memory and time of learning through many segments, and of reading a million tokens.

python tools/bench_memory.py            measure, print, and compare with the bars
python tools/bench_memory.py --record   the same, and store the figures for chapter 08

Each peak is measured in a process of its own: a warm-up, then the highest resident memory of the
process while it computes all gradients of S segments, minus what was resident before. Gradients are
counted, as after `optimizer.zero_grad()`. The process hands freed blocks of 64 KiB and more back to
the system at once, so that the peak counts what is needed at one time and not what the allocator
keeps. Linux only.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from bench import models
from memformer.mrbp import memory_replay_backprop as reference_replay

from memformer_lite import bptt_backward, memory_replay_backprop

RECORD = (
    Path(__file__).parents[1] / "memformer_lite" / "experiments" / "records" / "replay_memory.json"
)
DIM, TOKENS, SLOTS, BATCH, DEPTH, VOCABULARY = 256, 128, 32, 4, 4, 256
SEGMENTS = (2, 4, 8, 16, 32)
TIMED_SEGMENTS, ROUNDS = 16, 5
LOSSES = ("at the end", "everywhere")
METHODS = ("BPTT", "truncated", "reference", "replay")
STREAM = {"dim": 128, "tokens": 512, "slots": 32, "total": 1_000_000}
GROWTH, OF_REFERENCE, OF_BPTT_TIME, STREAM_GROWTH = 1.05, 0.70, 1.25, 1.02  # the bars
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def learner(
    method: str, segments: int, loss: str = "at the end", *, device: str = "cpu"
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a function that computes all gradients by `method`, and one that drops them."""
    theirs, ours = models(DIM, TOKENS, SLOTS, DEPTH, device=device)
    torch.manual_seed(1)
    src = torch.randint(VOCABULARY, (BATCH, TOKENS * segments)).to(device)
    tgt = torch.randint(VOCABULARY, (BATCH, TOKENS)).to(device)
    targets = [tgt if loss == "everywhere" else None] * (segments - 1) + [tgt]
    pieces = list(zip(src.split(TOKENS, dim=1), targets, strict=True))

    def step(piece: tuple, mems: torch.Tensor) -> tuple:
        result = ours(*piece, mems=mems)
        return result.dec_out, result.mem

    def bptt(detach_every: int | None = None) -> None:
        bptt_backward(step, pieces, ours.get_initial_mem(BATCH), detach_every=detach_every)

    learn = {
        "BPTT": bptt,
        "truncated": lambda: bptt(1),
        "reference": lambda: reference_replay(theirs, src, tgt),
        "replay": lambda: memory_replay_backprop(ours, src, targets),
    }[method]
    return learn, (theirs if method == "reference" else ours).zero_grad


def resident(field: str) -> float:
    """Return VmRSS (now) or VmHWM (highest since the last reset) of this process, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024


def settle() -> float:
    """Give back what is free, start the highest value anew; return what is resident, in MiB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def measure_peak(method: str, segments: int) -> dict:
    learn, zero_grad = learner(method, segments)
    learn()  # the libraries' own buffers
    zero_grad()
    before = settle()
    learn()
    return {"peak_mib": resident("VmHWM") - before}


def measure_stream() -> dict:
    """Read a million tokens without gradients, segment by segment; peaks are above the start."""
    _, model = models(STREAM["dim"], STREAM["tokens"], STREAM["slots"])
    count = -(-STREAM["total"] // STREAM["tokens"])
    mems, peaks = None, {}
    with torch.no_grad():
        for index in range(-10, count):
            if index == 0:
                before, start = settle(), time.perf_counter()
            source = torch.randint(VOCABULARY, (1, STREAM["tokens"]))
            mems = model(source, mems=mems).mem
            if index + 1 in (count // 10, count):
                peaks[index + 1] = resident("VmHWM")
    seconds = time.perf_counter() - start
    early, late = peaks.values()
    return {
        "tokens": count * STREAM["tokens"],
        "tokens_per_second": round(count * STREAM["tokens"] / seconds),
        "resident_mib_before": round(before, 1),
        "peak_mib_at_tenth": round(early, 1),
        "peak_mib_at_end": round(late, 1),
    }


def measure_time(loss: str) -> dict:
    """Time all methods in turn, in this process; return the median ratio to BPTT's."""
    able = [m for m in METHODS if m != "reference" or loss == "at the end"]  # it can no other
    learners = {method: learner(method, TIMED_SEGMENTS, loss) for method in able}
    rounds = []
    for _ in range(ROUNDS + 1):
        seconds = {}
        for method, (learn, zero_grad) in learners.items():
            start = time.perf_counter()
            learn()
            seconds[method] = time.perf_counter() - start
            zero_grad()
        rounds.append({method: seconds[method] / seconds["BPTT"] for method in able})
    return {
        method: round(statistics.median(ratios[method] for ratios in rounds[1:]), 3)
        for method in able
    }


def in_a_process(*arguments: object) -> dict:
    """Run one measurement in a fresh process and return what it found."""
    run = subprocess.run(
        [sys.executable, __file__, "--measure", *map(str, arguments)],
        env=os.environ | (ENVIRONMENT if arguments[0] != "time" else {}),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(run.stdout)


def measure(what: str, *arguments: str) -> dict:
    if what == "peak":
        return measure_peak(arguments[0], int(arguments[1]))
    return measure_time(*arguments) if what == "time" else measure_stream()


def bars(peaks: dict, ratios: dict, stream: dict) -> list[tuple[str, float, float]]:
    """Return what is asked of the replay: what, measured, at most."""
    ours, theirs = peaks["replay"], peaks["reference"]
    return [
        ("growth of the replay's peak from 4 to 32 segments", ours[32] / ours[4], GROWTH),
        (
            "largest share of the reference's peak",
            max(ours[count] / theirs[count] for count in SEGMENTS),
            OF_REFERENCE,
        ),
        # With a loss at the end only, the rollout is one more forward pass of all there is: a
        # third of the work of a product of matrices, and so 1.31 at 16 segments.
        (
            f"time beside BPTT's at {TIMED_SEGMENTS} segments, loss everywhere",
            ratios["everywhere"]["replay"],
            OF_BPTT_TIME,
        ),
        (
            "resident memory at a million tokens beside that at a tenth",
            stream["peak_mib_at_end"] / stream["peak_mib_at_tenth"],
            STREAM_GROWTH,
        ),
    ]


def store(path: Path, content: dict) -> None:
    """Write a record beside its place, then move it there, so that none is ever cut short."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
    print(f"\nStored in {path.parent.name}/{path.name}")


def record(peaks: dict, ratios: dict, stream: dict, seconds: float) -> None:
    content = {
        "command": "python tools/bench_memory.py --record",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "memformer": version("memformer"),
        },
        "seconds": round(seconds),
        "sizes": {"dim": DIM, "segment": TOKENS, "slots": SLOTS, "batch": BATCH, "depth": DEPTH},
        "peak_mib": {
            method: {str(count): round(peak, 1) for count, peak in row.items()}
            for method, row in peaks.items()
        },
        "time_segments": TIMED_SEGMENTS,
        "time_ratio": ratios,
        "stream": stream,
    }
    store(RECORD, content)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="store the figures for chapter 08")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    start = time.perf_counter()
    print(f"Peak resident memory above warm-up, MiB, each in a process of its own; width {DIM},")
    print(f"{DEPTH} layers, segment {TOKENS}, {SLOTS} slots, batch {BATCH}, one loss, at the end\n")
    print(f"{'segments':<12}" + "".join(f"{method:>12}" for method in METHODS) + "   of reference")
    peaks = {method: {} for method in METHODS}
    for count in SEGMENTS:
        for method in METHODS:
            peaks[method][count] = in_a_process("peak", method, count)["peak_mib"]
        share = peaks["replay"][count] / peaks["reference"][count]
        row = "".join(f"{peaks[method][count]:>12.1f}" for method in METHODS)
        print(f"{count:<12}{row}{share:>14.2f}×", flush=True)
    ratios = {loss: in_a_process("time", loss) for loss in LOSSES}
    print(f"\nTime beside BPTT's at {TIMED_SEGMENTS} segments")
    for loss, row in ratios.items():
        print(f"loss {loss}: " + ", ".join(f"{m} {ratio:.2f}×" for m, ratio in row.items()))
    stream = in_a_process("stream")
    print(
        f"\nA stream of {stream['tokens']:,} tokens, width {STREAM['dim']}: resident "
        f"{stream['resident_mib_before']} MiB at the start,\nat most "
        f"{stream['peak_mib_at_tenth']} MiB in the first tenth and {stream['peak_mib_at_end']} MiB "
        f"in all; {stream['tokens_per_second']:,} tokens a second\n"
    )
    missed = False
    for what, value, most in bars(peaks, ratios, stream):
        missed |= value > most
        print(f"{'MISSED' if value > most else 'holds':<8}{what}: {value:.3f}, at most {most:.2f}")
    if options.record:
        record(peaks, ratios, stream, time.perf_counter() - start)
    sys.exit("bench: a bar is missed" if missed else 0)


if __name__ == "__main__":
    main()
