"""The command `python -m memformer_lite experiments`: it runs what is not on record yet."""

import argparse
import platform
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch

from memformer_lite.experiments.records import read_or_empty, write_record
from memformer_lite.experiments.table import EXPERIMENTS
from memformer_lite.learning.train import train


def run_case(experiment: str, case: str, seed: int) -> dict:
    """Train and measure one case with one seed; return plain data."""
    torch.set_num_threads(1)
    began = time.process_time()
    run = EXPERIMENTS[experiment].cases[case].run(seed)
    history = train(run, progress=False)
    seconds = time.process_time() - began
    results = EXPERIMENTS[experiment].measure(run.learner.eval())
    return {
        "steps": len(history.losses),
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in run.learner.parameters()),
        "first_losses": history.losses[:3],
        "scores": {str(n): s for n, s in zip(history.score_steps, history.scores, strict=True)},
        "results": results,
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__)}


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m memformer_lite experiments`; see its `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite experiments",
        description="Run the book's experiments that are not on record; safe to interrupt.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side (default 1)")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in EXPERIMENTS:
            parser.error(f"{name!r}: expected one of {', '.join(EXPERIMENTS)}")
    if options.workers < 1:
        parser.error(f"--workers {options.workers}: expected at least 1")
    records = {name: read_or_empty(name) for name in options.names or EXPERIMENTS}
    failed = _run(records, options.workers)
    if failed:
        sys.exit("\n".join(["these runs failed, all others are on record:", *failed]))


def _run(records: dict[str, dict], workers: int) -> list[str]:
    """Do the runs that the records lack, writing each as it is done; return what failed."""
    jobs = [
        (name, label, seed)
        for name, record in records.items()
        for label, case in record["cases"].items()
        for seed in EXPERIMENTS[name].seeds
        if str(seed) not in case["runs"]
    ]
    print(f"{len(jobs)} runs to do", flush=True)
    failed = []
    # Ctrl-C reaches the workers too and ends them, so that nobody waits for runs in vain.
    stop_at_once = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_DFL)}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, **stop_at_once) as pool:
        running = {pool.submit(run_case, *job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                name, label, seed = running[future]
                if (fault := future.exception()) is not None:
                    failed.append(f"{name}: {label}, seed {seed}: {fault!r}")
                    continue
                runs = records[name]["cases"][label]["runs"]
                runs[str(seed)] = {**future.result(), "versions": _versions()}
                records[name]["cases"][label]["runs"] = dict(sorted(runs.items()))
                write_record(records[name])
                print(f"{done}/{len(jobs)} {name}: {label}, seed {seed}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit("\nstopped; the same command goes on with what is not on record")
    return failed
