"""Training on a task: a run that can be stopped and resumed unnoticed (chapter 09)."""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memformer_lite.extras import extra
from memformer_lite.learning.checkpoint import below, prefixed, read_checkpoint, write_checkpoint
from memformer_lite.learning.learner import Learner, accuracy, bits_per_token
from memformer_lite.learning.recipes import Recipe, from_plain, to_plain
from memformer_lite.learning.tasks import NOT_ASKED, Segment
from memformer_lite.replay import State, bptt_backward, replay_backward
from memformer_lite.validation import check_integer

with extra("train"):
    from tqdm import tqdm


@dataclass
class History:
    """What a training went through; equal for equal recipe, seed and machine.

    Attributes:
        losses: of each step, the mean over the segments of its stream, in nats.
        score_steps: the numbers of steps after which a score was taken.
        scores: accuracy, or bits a token, on held-out streams.
    """

    losses: list[float] = field(default_factory=list)
    score_steps: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


class Run:
    """One training: learner, optimizer, random states and history: all that a checkpoint holds.

    Args:
        recipe: what to train.
        seed: of the weights and the streams; torch's global random state is set to it.
        build: called with the recipe, returns what is trained: a module with `start` and
            `answer`, or `guess`, as `Task` says.
    """

    def __init__(
        self, recipe: Recipe, *, seed: int = 0, build: Callable[[Recipe], nn.Module] = Learner
    ):
        check_integer("seed", seed, at_least=0)
        if seed >= 2**32:
            raise ValueError(f"seed={seed}: expected less than 2**32, the bits that torch uses")
        seed = int(seed)  # torch takes no NumPy number here
        torch.manual_seed(seed)
        self.recipe = recipe
        self.seed = seed
        self.learner: Any = build(recipe)
        self.optimizer = torch.optim.AdamW(
            self.learner.parameters(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.history = History()

    def advance(self) -> float:
        """Do one step of training on a new stream; return its loss."""
        recipe, step = self.recipe, len(self.history.losses)
        stage = recipe.stage(step)
        shortest, longest = stage.segments
        segments = int(torch.randint(shortest, longest + 1, (), generator=self.generator))
        stream = stage.task.stream(recipe.batch_size, segments, generator=self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        self.optimizer.zero_grad()
        loss = _backward(self.learner, stream, recipe)
        nn.utils.clip_grad_norm_(self.learner.parameters(), recipe.clip)
        self.optimizer.step()
        self.history.losses.append(loss)
        return loss

    def score(self) -> float:
        """Return the score on the held-out stream, and note it in the history."""
        learner = self.learner.eval()
        measure = bits_per_token if self.recipe.task.guesses_next else accuracy
        score = measure(learner, held_out(self.recipe))
        learner.train()
        self.history.score_steps.append(len(self.history.losses))
        self.history.scores.append(score)
        return score

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the last score is good enough."""
        last = self.history.scores[-1:]
        early = self.recipe.stop_at is not None and last and last[0] >= self.recipe.stop_at
        return bool(early) or len(self.history.losses) >= self.recipe.steps

    def save(self, path: str | Path) -> None:
        """Write everything to `path`; a file that was there stays whole until the new one is."""
        tensors = prefixed("learner.", self.learner.state_dict())
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= prefixed(f"optimizer.{number}.", state)
        tensors["random.global"] = torch.get_rng_state()
        tensors["random.streams"] = self.generator.get_state()
        notes = {
            "recipe": to_plain(self.recipe),
            "seed": self.seed,
            "history": asdict(self.history),
            "tensors": sorted(tensors),
        }
        write_checkpoint(path, tensors, notes)

    @classmethod
    def load(cls, path: str | Path, *, build: Callable[[Recipe], nn.Module] = Learner) -> "Run":
        """Return a run that goes on as the saved one would have.

        Args:
            path: what `save` wrote.
            build: as the saved run had it.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not the checkpoint of a run. Nothing in a file is executed.
        """
        tensors, notes = read_checkpoint(path)
        try:
            if sorted(tensors) != notes["tensors"]:
                raise ValueError("other tensors than it was saved with")
            run = cls(from_plain(notes["recipe"]), seed=notes["seed"], build=build)
            run.history = _history(notes["history"])
            run.learner.load_state_dict(below("learner.", tensors))
            run._load_optimizer(below("optimizer.", tensors))
            run.generator.set_state(tensors["random.streams"])
            torch.set_rng_state(tensors["random.global"])
        except (KeyError, TypeError, ValueError, RuntimeError) as fault:
            raise ValueError(f"{path}: expected the checkpoint of a run, got: {fault}") from fault
        return run

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        """Take over the optimizer's state; raise where it does not fit the parameters."""
        shapes = [parameter.shape for parameter in self.learner.parameters()]
        state = self.optimizer.state_dict()
        for name, value in tensors.items():
            number, kind = name.split(".")
            if value.ndim and value.shape != shapes[int(number)]:
                raise ValueError(f"optimizer.{name} has shape {tuple(value.shape)}")
            state["state"].setdefault(int(number), {})[kind] = value
        self.optimizer.load_state_dict(state)


def _history(plain: dict) -> History:
    """Return the history that a checkpoint holds; raise where it is none."""
    if not isinstance(plain, dict):
        raise TypeError(f"history={plain!r}: expected an object of lists")
    for name, values in plain.items():
        numbers = isinstance(values, list) and all(isinstance(v, int | float) for v in values)
        if not numbers:
            raise TypeError(f"history: expected a list of numbers as {name}")
    return History(**plain)


def _schedule(step: int, recipe: Recipe) -> float:
    """Return the learning rate as a part of the recipe's: linear rise, then a cosine to 5 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return min(1.0, (step + 1) / recipe.warmup) * (0.05 + 0.95 * cosine)


def _backward(learner: Any, stream: list[Segment], recipe: Recipe) -> float:
    """Fill the gradients of a stream's mean loss a segment; return that loss."""

    def step(segment: Any, state: State) -> tuple[Tensor | None, State]:
        loss, after = recipe.task.loss(learner, segment, state)
        return (None if loss is None else loss / len(stream)), after

    if all((segment.answers == NOT_ASKED).all() for segment in stream):
        return 0.0  # a stream without a question teaches nothing
    state = learner.start(recipe.batch_size)
    if recipe.method == "mrbp":
        return float(replay_backward(step, stream, state).loss)
    return float(bptt_backward(step, stream, state, detach_every=recipe.detach_every).loss)


def held_out(recipe: Recipe) -> list[Segment]:
    """Return the stream that is scored: test images or text, or a draw of 512 rows of its own.

    No training sees these images, texts or cards. Of parity's 4096 streams of 12 bits a training
    meets most sooner or later; the records measure longer ones too.
    """
    _, longest = recipe.stages[-1].segments
    return recipe.task.held_out(longest)


def train(run: Run, *, save: str | Path | None = None, progress: bool = True) -> History:
    """Train until the recipe's steps are done or its score is reached.

    Args:
        run: new, or loaded from a checkpoint.
        save: where to write a checkpoint at each score; None: nowhere.
        progress: True shows a bar.

    Returns:
        The run's history.
    """
    recipe, history = run.recipe, run.history
    options = {} if progress else {"disable": True}
    bar = tqdm(total=recipe.steps, initial=len(history.losses), file=sys.stdout, **options)
    with bar:
        while not run.finished:
            loss = run.advance()
            bar.update()
            if len(history.losses) % recipe.score_every == 0 or run.finished:
                bar.set_postfix(loss=f"{loss:.3f}", score=f"{run.score():.3f}")
                if save is not None:
                    run.save(save)
    return history
