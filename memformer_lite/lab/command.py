"""The command `python -m memformer_lite lab`."""

import argparse
import sys
import time
from pathlib import Path

import torch

from memformer_lite.lab import course
from memformer_lite.lab.pages import misconceptions_page
from memformer_lite.lab.proof import problems
from memformer_lite.validation import check_integer


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m memformer_lite lab`; see its `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite lab", description="The book as a course lab."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    proof = actions.add_parser(
        "proof", help="try every exercise with right answers and with each known mistake"
    )
    add = proof.add_argument
    add("--salts", type=int, default=20, help="how many courses to try (default 20)")
    add("--page", type=Path, metavar="FILE", help="write the table of mistakes here")
    options = parser.parse_args(arguments)
    try:
        check_integer("--salts", options.salts, at_least=1)
    except (TypeError, ValueError) as fault:
        parser.error(str(fault))
    torch.set_num_threads(1)
    sys.exit(_prove(options.salts, options.page))


def _prove(count: int, page: Path | None) -> int:
    """Print what does not hold, and a line of figures; return the exit status."""
    began = time.process_time()
    exercises, faults = course.exercises(), 0
    salts: list[str | None] = [None, *(f"salt {number}" for number in range(count))]
    for exercise in exercises:
        for problem in dict.fromkeys(problems(exercise, salts)):
            print(f"{exercise.id}: {problem}")
            faults += 1
    mistakes = sum(len(exercise.misconceptions) for exercise in exercises)
    print(
        f"{len(exercises)} exercises, {mistakes} misconceptions, {count} salts and the book's: "
        f"{faults} faults, {time.process_time() - began:.0f} CPU seconds"
    )
    if page is not None and not faults:
        page.write_text(misconceptions_page(exercises), encoding="utf-8")
    return 1 if faults else 0
