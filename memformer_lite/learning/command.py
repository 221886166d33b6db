"""The command `python -m memformer_lite train`."""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch

from memformer_lite.learning.checkpoint import check_place, save_learner
from memformer_lite.learning.recipes import RECIPES
from memformer_lite.learning.train import Run, train
from memformer_lite.validation import check_integer


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m memformer_lite train`; see its `--help`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        run = _new_or_resumed(options)
        torch.set_num_threads(options.threads)
    except (OSError, TypeError, ValueError) as fault:
        parser.error(str(fault))
    began = time.process_time()
    try:
        train(run, save=options.save, progress=not options.quiet)
        if options.save_model:
            save_learner(run.learner, options.save_model, {"seed": run.seed})
    except OSError as fault:
        parser.error(str(fault))
    except KeyboardInterrupt:
        sys.exit(f"\nstopped after {len(run.history.losses)} steps{_resume_hint(options.save)}")
    seconds = time.process_time() - began
    parameters = sum(parameter.numel() for parameter in run.learner.parameters())
    measure = "bits a token" if run.recipe.task.guesses_next else "accuracy"
    print(
        f"{options.recipe}, seed {run.seed}: held-out {measure} {run.history.scores[-1]:.3f} after "
        f"{len(run.history.losses)} steps, {seconds:.1f} CPU seconds, {parameters:,} parameters"
    )


def _resume_hint(saved: Path | None) -> str:
    """Say from where an interrupted training can go on, if it can."""
    if saved is None or not saved.is_file():
        return ""
    try:
        steps = len(Run.load(saved).history.losses)
    except ValueError:
        return ""
    return f"; go on from step {steps} with --resume {saved}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite train", description="Train a tiny Memformer on a task."
    )
    add = parser.add_argument
    add("recipe", choices=RECIPES, help="what to train")
    add("--seed", type=int, default=0, help="of the weights and the streams (default 0)")
    add("--steps", type=int, help="optimizer steps of the last stage, in place of the recipe's")
    add("--method", choices=("bptt", "mrbp"), help="how the gradient is computed")
    add("--no-memory", action="store_true", help="the baseline: forget after each segment")
    add("--save", type=Path, metavar="FILE", help="write a checkpoint here at each score")
    add("--resume", type=Path, metavar="FILE", help="go on from this checkpoint")
    add("--save-model", type=Path, metavar="FILE", help="write the trained model alone here")
    add("--threads", type=int, default=1, help="more only help larger models (default 1)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _new_or_resumed(options: argparse.Namespace) -> Run:
    """Return the run that the options ask for; raise where they make no sense."""
    check_integer("--threads", options.threads, at_least=1)
    for option, path in (("--save", options.save), ("--save-model", options.save_model)):
        try:
            if path is not None:
                check_place(path)
        except OSError as fault:
            raise ValueError(f"{option}: {fault}") from fault
    if options.save is not None and options.save == options.save_model:
        raise ValueError(f"--save-model {options.save_model}: expected another file than --save")
    recipe = RECIPES[options.recipe]
    if options.steps is not None:
        check_integer("--steps", options.steps, at_least=1)
        last = dataclasses.replace(recipe.stages[-1], steps=options.steps)
        recipe = dataclasses.replace(recipe, stages=(*recipe.stages[:-1], last))
    if options.method:
        recipe = dataclasses.replace(recipe, method=options.method)
    if options.no_memory:
        recipe = dataclasses.replace(recipe, use_memory=False)
    if options.resume is None:
        return Run(recipe, seed=options.seed)
    run = Run.load(options.resume)
    if (run.recipe, run.seed) != (recipe, options.seed):
        raise ValueError(
            f"--resume {options.resume}: it was trained with another recipe, seed or option; "
            "give the same ones again"
        )
    return run
