"""What can differ on a GPU, checked there; and speed and memory there beside the reference's.

python tools/gpu_check.py            check, measure and print; three minutes at most
python tools/gpu_check.py --record   the same, and store the figures

Without a GPU it says so and fails: nothing was checked.
"""

import argparse
import math
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version

import torch
from bench import DECODING, NEW_TOKENS, SHAPES, Pair, greedy_pair, ratio, segment_pairs, timed
from bench_memory import BATCH, DEPTH, DIM, METHODS, RECORD, SEGMENTS, SLOTS, TOKENS, learner, store
from device_checks import CHECKS, Finding, memory

SECONDS = 0.5  # for one row of the table
GPU_RECORD = RECORD.with_name("gpu.json")


def run(name: str, part: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Run a part, print what it finds and return it; one that breaks off has failed."""
    findings = []
    try:
        for finding in part():
            print(finding.line(), flush=True)
            findings.append(finding)
    except Exception as fault:  # of any kind: the other parts are run all the same
        reason = str(fault).partition("\n")[0]
        findings.append(Finding(name, f"{type(fault).__name__}: {reason}", math.inf, 0))
        print(findings[-1].line(), flush=True)
    return findings


def peak_mib(call: Callable[[], object]) -> float:
    """Return the most device memory that `call` takes beyond what is taken before it, in MiB."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def learning(peaks: dict[str, dict[int, float]], *, device: str) -> Iterable[Finding]:
    """Put the peaks of computing all gradients, by method and segments, into `peaks`; judge."""
    print(f"\nPeak device memory above warm-up, MiB; width {DIM}, {DEPTH} layers, segment")
    print(f"{TOKENS}, {SLOTS} slots, batch {BATCH}, one loss, at the end\n")
    print(f"{'segments':<12}" + "".join(f"{method:>12}" for method in METHODS))
    for method in METHODS:  # warm-up: the libraries' own buffers stay
        learner(method, SEGMENTS[0], device=device)[0]()
    for count in SEGMENTS:
        for method in METHODS:
            learn, _ = learner(method, count, device=device)
            peaks.setdefault(method, {})[count] = peak_mib(learn)
        row = "".join(f"{peaks[method][count]:>12.1f}" for method in METHODS)
        print(f"{count:<12}{row}", flush=True)
    print()
    return memory(peaks)


def row_of(name: str, pair: Pair, *, device: str) -> dict:
    """Time a pair and measure its peaks, print the row of the table and return it."""
    times = timed(pair, device=device, seconds=SECONDS)
    theirs_ms, ours_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    theirs_mib, ours_mib = map(peak_mib, pair)
    print(
        f"{name:<29}{theirs_ms:>10.2f} ms{ours_ms:>10.2f} ms{ratio(times):>8.2f}×"
        f"{theirs_mib:>9.1f} MiB{ours_mib:>9.1f} MiB",
        flush=True,
    )
    return {
        "what": name,
        "ms": {"reference": round(theirs_ms, 3), "ours": round(ours_ms, 3)},
        "ratio": round(ratio(times), 3),
        "peak_mib": {"reference": round(theirs_mib, 1), "ours": round(ours_mib, 1)},
    }


def table(rows: list[dict], *, device: str) -> Iterable[Finding]:
    """Add a row to `rows` for each figure of `make bench`; no speed is asked for."""
    print("\nTime and peak device memory of memformer 0.3.1 and ours, and the ratio of times\n")
    names = f"{'reference':>13}{'ours':>13}"
    print(f"{'dim/segment/slots/batch':<29}{names}{'':>9}{names}")
    for shape in SHAPES:
        for what, pair in segment_pairs(shape, device=device).items():
            rows.append(row_of(f"{'/'.join(map(str, shape))} {what}", pair, device=device))
    for dim, batch in DECODING:
        name = f"{dim}/{batch} greedy, {NEW_TOKENS} tokens"
        rows.append(row_of(name, greedy_pair(dim, batch, device=device), device=device))
    return ()


def record(findings: list[Finding], peaks: dict, rows: list[dict], seconds: float) -> None:
    content = {
        "command": "python tools/gpu_check.py --record",
        "device": torch.cuda.get_device_name(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "memformer": version("memformer"),
        },
        "seconds": round(seconds),
        "checks": [
            {
                "name": finding.name,
                "compared": finding.compared,
                "difference": float(f"{finding.difference:.2g}"),
                "bound": finding.bound,
            }
            for finding in findings
        ],
        "sizes": {"dim": DIM, "segment": TOKENS, "slots": SLOTS, "batch": BATCH, "depth": DEPTH},
        "peak_mib": {
            method: {str(count): round(peak, 1) for count, peak in row.items()}
            for method, row in peaks.items()
        },
        "table": rows,
    }
    store(GPU_RECORD, content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="store the figures, if all holds")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"gpu-check: torch {torch.__version__} finds no GPU here: nothing was checked")
    start = time.perf_counter()
    warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")  # unused on purpose
    torch.set_float32_matmul_precision("highest")  # no TF32: it keeps 11 of 24 binary digits
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print("Relative differences, each the largest of all tensors compared\n")
    findings, peaks, rows = [], {}, []
    for name, check in CHECKS.items():
        findings += run(name, partial(check, device="cuda"))
    findings += run("memory", partial(learning, peaks, device="cuda"))
    findings += run("table", partial(table, rows, device="cuda"))
    seconds = time.perf_counter() - start
    failed = sum(not finding.holds for finding in findings)
    print(f"\n{len(findings) - failed} of {len(findings)} checks hold; {seconds:.0f} seconds")
    if failed:
        sys.exit(f"gpu-check: {failed} failed")
    if options.record:
        record(findings, peaks, rows, seconds)


if __name__ == "__main__":
    main()
