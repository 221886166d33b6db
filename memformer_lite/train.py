"""Training a Memformer on a task; the command is python -m memformer_lite.train (chapter 09).

`Run` is one training: it can be saved, and resumed as if it had never stopped.
"""

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from memformer_lite.attention import Attention
from memformer_lite.checkpoint import check_place, read_checkpoint, write_checkpoint
from memformer_lite.memformer import Memformer
from memformer_lite.memory import SlotAttention
from memformer_lite.recipes import RECIPES, Recipe, from_plain, to_plain
from memformer_lite.replay import bptt_backward, replay_backward
from memformer_lite.tasks import NOT_ASKED, Digits, Rows, Segment
from memformer_lite.validation import check_integer


class Learner(nn.Module):
    """A Memformer for a task: one step reads a segment, answers, and carries the memory on.

    For a task with answers it is an encoder with a linear read-out of the last token; for a task
    that guesses what comes next it has the decoder.

    Args:
        recipe: sizes and options; the weights are drawn from torch's random state.

    Source:
        The read-out and the start of the weights: this book.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        task = recipe.task
        sizes = {
            "dim": recipe.dim,
            "num_memory_slots": recipe.slots,
            "mem_update_attn_heads": recipe.heads,
            "mem_update": recipe.update,
            "mem_temperature": recipe.temperature,
            "mem_feed_forward": recipe.feed_forward,
            "enc_num_tokens": task.num_tokens,
            "enc_max_seq_len": task.max_seq_len,
            "enc_depth": 1,
            "enc_heads": recipe.heads,
            "dropout": recipe.dropout,
        }
        if task.guesses_next:
            sizes |= {
                "dec_num_tokens": task.num_tokens,
                "dec_max_seq_len": task.max_seq_len,
                "dec_depth": 1,
                "dec_heads": recipe.heads,
            }
        self.memformer = Memformer(**sizes, encoder_only=not task.guesses_next)
        self.read_out = None if task.guesses_next else nn.Linear(recipe.dim, task.num_answers)
        self.use_memory = recipe.use_memory
        if recipe.unit_scores:
            _unit_scores(self.memformer)
        with torch.no_grad():
            self.memformer.memory_slots *= recipe.slot_scale
        if recipe.update == "gru":
            _add_keep_bias(self.memformer, recipe.keep_bias)

    def start(self, batch_size: int) -> Tensor:
        """Return the memory before the first segment, (batch_size, k, d)."""
        return self.memformer.get_initial_mem(batch_size)

    def answer(self, tokens: Tensor, mems: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the answers, (b, answers), and the memory after the segment."""
        enc_out, after, _ = self.memformer(tokens, mems=mems)
        return self.read_out(enc_out[:, -1]), self._carry(after)

    def forward(self, segment: Segment, mems: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the loss of a segment, or None where nothing is asked, and the memory after it.

        The loss is the sum over the asked rows divided by the batch; for a task that guesses what
        comes next, the mean over its tokens. In nats.
        """
        if self.read_out is None:
            _, after, loss = self.memformer(segment.tokens, segment.answers, mems=mems)
            return loss, self._carry(after)
        logits, after = self.answer(segment.tokens, mems)
        if (segment.answers == NOT_ASKED).all():
            return None, after
        loss = F.cross_entropy(logits, segment.answers, ignore_index=NOT_ASKED, reduction="sum")
        return loss / len(logits), after

    def _carry(self, after: Tensor) -> Tensor:
        return after if self.use_memory else self.start(len(after))


@torch.no_grad()
def _unit_scores(model: Memformer) -> None:
    """Start all attention with scores of variance 1, and its biases at 0."""
    for module in model.modules():
        if isinstance(module, (Attention, SlotAttention)):
            for linear in module.children():
                if isinstance(linear, nn.Linear):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
                    if linear.bias is not None:
                        nn.init.zeros_(linear.bias)
    if model.mem_update == "bmn":
        for _, read, _ in model.encoder.layer_blocks.layers:
            read.fn.fn.to_kv.weight *= model.dim**0.5
        model.memory_writer.attention.to_q.weight *= model.dim**0.5


@torch.no_grad()
def _add_keep_bias(model: Memformer, keep_bias: float) -> None:
    """Move the update gate towards keeping; torch stores reset, update and new in this order."""
    model.memory_writer.gru.bias_ih[model.dim : 2 * model.dim] += keep_bias


@torch.no_grad()
def accuracy(learner: Learner, stream: list[Segment]) -> float:
    """Return the part of a stream's questions that is answered right."""
    mems = learner.start(len(stream[0].tokens))
    right = asked = 0
    for tokens, answers in stream:
        logits, mems = learner.answer(tokens, mems)
        wanted = answers != NOT_ASKED
        right += int((logits.argmax(dim=-1) == answers)[wanted].sum())
        asked += int(wanted.sum())
    return right / asked


@torch.no_grad()
def bits_per_token(learner: Learner, stream: list[Segment]) -> float:
    """Return the mean surprise over a stream's next tokens, in bits; lower is better."""
    mems = learner.start(len(stream[0].tokens))
    losses = []
    for segment in stream:
        loss, mems = learner(segment, mems)
        losses.append(float(loss))
    return sum(losses) / len(losses) / math.log(2)


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
    """One training: learner, optimizer, dice and history. All that a checkpoint has to hold.

    Args:
        recipe: what to train.
        seed: of the weights and the streams; torch's global random state is set to it.
        change: called with the learner before training starts, to try what no recipe can say; a
            changed run cannot be loaded from its checkpoint.
    """

    def __init__(
        self, recipe: Recipe, *, seed: int = 0, change: Callable[[Learner], None] | None = None
    ):
        check_integer("seed", seed, at_least=0)
        if seed >= 2**32:
            raise ValueError(f"seed={seed}: expected less than 2**32, the bits that torch uses")
        torch.manual_seed(seed)
        self.recipe = recipe
        self.seed = seed
        self.learner = Learner(recipe)
        if change is not None:
            change(self.learner)
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
        tensors = _prefixed("learner.", self.learner.state_dict())
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{number}.", state)
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
    def load(cls, path: str | Path) -> "Run":
        """Return a run that goes on as the saved one would have.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not the checkpoint of a run. Nothing in a file is executed.
        """
        tensors, notes = read_checkpoint(path)
        try:
            if sorted(tensors) != notes["tensors"]:
                raise ValueError("other tensors than it was saved with")
            run = cls(from_plain(notes["recipe"]), seed=notes["seed"])
            run.history = _history(notes["history"])
            run.learner.load_state_dict(_below("learner.", tensors))
            run._load_optimizer(_below("optimizer.", tensors))
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


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _schedule(step: int, recipe: Recipe) -> float:
    """Return the learning rate as a part of the recipe's: linear rise, then a cosine to 5 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return min(1.0, (step + 1) / recipe.warmup) * (0.05 + 0.95 * cosine)


def _backward(learner: Learner, stream: list[Segment], recipe: Recipe) -> float:
    """Fill the gradients of a stream's mean loss a segment; return that loss."""

    def step(segment: Segment, mems: Tensor) -> tuple[Tensor | None, Tensor]:
        loss, after = learner(segment, mems)
        return (None if loss is None else loss / len(stream)), after

    if not recipe.task.guesses_next and all((s.answers == NOT_ASKED).all() for s in stream):
        return 0.0  # a stream without a question teaches nothing
    mems = learner.start(recipe.batch_size)
    if recipe.method == "mrbp":
        return float(replay_backward(step, stream, mems).loss)
    return float(bptt_backward(step, stream, mems, detach_every=recipe.detach_every).loss)


def held_out(recipe: Recipe) -> list[Segment]:
    """Return the stream that is scored: test images or text, or a draw of 512 rows of its own.

    No training sees these images, texts or cards. Of parity's 4096 streams of 12 bits a training
    meets most sooner or later; the records measure longer ones too.
    """
    task = recipe.task
    if hasattr(task, "split"):
        task = dataclasses.replace(task, split="test")
    if isinstance(task, Digits | Rows):
        return task.all_images()
    # So many rows at once that no training draws them, whatever its seed.
    generator = torch.Generator().manual_seed(0)
    return task.stream(512, recipe.stages[-1].segments[1], generator=generator)


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


MODELS = Path(__file__).parent / "models"  # trained models that ship with the package


def save_learner(learner: Learner, path: str | Path, notes: dict) -> None:
    """Write a trained learner alone, in half precision: it can be used, not trained on.

    Args:
        learner: what to write.
        path: where to; a file that was there stays whole until the new one is.
        notes: more plain data to keep beside the weights and the recipe.
    """
    halves = {name: value.half() for name, value in learner.state_dict().items()}
    tensors = _prefixed("learner.", halves)
    write_checkpoint(path, tensors, {"recipe": to_plain(learner.recipe), **notes})


def load_learner(path: str | Path = MODELS / "stories.safetensors") -> Learner:
    """Return a trained learner from a checkpoint, in float32 and evaluation mode.

    Args:
        path: what `save_learner` or `Run.save` wrote; by default the model that ships.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this package. Nothing in a file is executed.
    """
    tensors, notes = read_checkpoint(path)
    try:
        with torch.random.fork_rng(devices=[]):
            learner = Learner(from_plain(notes["recipe"]))
        learner.load_state_dict(_below("learner.", tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise ValueError(f"{path}: expected a trained learner, got: {fault}") from fault
    return learner.eval()


def main(arguments: list[str] | None = None) -> None:
    """The command `python -m memformer_lite.train`; see its `--help`."""
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
        sys.exit(f"\nstopped after {len(run.history.losses)} steps{_way_on(options.save)}")
    seconds = time.process_time() - began
    parameters = sum(parameter.numel() for parameter in run.learner.parameters())
    measure = "bits a token" if run.recipe.task.guesses_next else "accuracy"
    print(
        f"{options.recipe}, seed {run.seed}: held-out {measure} {run.history.scores[-1]:.3f} after "
        f"{len(run.history.losses)} steps, {seconds:.1f} CPU seconds, {parameters:,} parameters"
    )


def _way_on(saved: Path | None) -> str:
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
        prog="python -m memformer_lite.train", description="Train a tiny Memformer on a task."
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


if __name__ == "__main__":
    main()
