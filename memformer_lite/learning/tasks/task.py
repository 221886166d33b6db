"""What every task has: streams of segments to learn from, one to be scored on, and a loss."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from memformer_lite.replay import State
from memformer_lite.validation import check_integer

NOT_ASKED = -1  # an answer of this value counts nowhere


class Segment(NamedTuple):
    """One time step of a batch.

    Attributes:
        tokens: source tokens, long (b, n).
        answers: of a task with answers: one class a row, long (b,), `NOT_ASKED` where none is
            wanted. Of a task that guesses what comes next: the decoder's target, long (b, m).
    """

    tokens: Tensor
    answers: Tensor


class Task(ABC):
    """Where streams come from: an `AnswerTask`, or a `NextTask` that guesses what comes next.

    A new task is a frozen dataclass below one of these two, with sizes and `stream`, and an entry
    in `TASKS`. A learner that is trained on it has two methods: `start(batch_size)` returns the
    state before the first segment, a tensor or a tuple of tensors, and `answer(tokens, state)`
    the logits of the answers, (b, answers), and the state after the segment. For a `NextTask`
    it has `guess(tokens, targets, state)` in place of `answer`, which returns the mean loss a
    token, in nats, and the state.
    """

    guesses_next: bool

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Number of different tokens."""

    @property
    @abstractmethod
    def max_seq_len(self) -> int:
        """Most tokens that a segment has, as source or as target."""

    @abstractmethod
    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw a stream of `segments` segments, `batch_size` rows each."""

    @abstractmethod
    def loss(self, learner: Any, segment: Segment, state: State) -> tuple[Tensor | None, State]:
        """Return a learner's loss in a segment, in nats, and its state after it."""

    @property
    def meaning(self) -> tuple:
        """What fixes the sizes of a model and the meaning of tokens; equal if one reads both."""
        return (type(self), self.max_seq_len)

    def held_out(self, segments: int) -> list[Segment]:
        """Return the stream that is scored, always the same: here 512 rows."""
        # So many rows at once that no training draws them, whatever its seed.
        return self.stream(512, segments, generator=torch.Generator().manual_seed(0))


class AnswerTask(Task):
    """A task that asks for one of `num_answers` classes, in some segments of some rows."""

    guesses_next = False

    @property
    @abstractmethod
    def num_answers(self) -> int:
        """Number of different answers."""

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return 1 / self.num_answers

    def loss(self, learner: Any, segment: Segment, state: State) -> tuple[Tensor | None, State]:
        """Return the loss, or None where nothing is asked, and the state after the segment.

        The loss is the sum over the asked rows divided by the batch, in nats.
        """
        logits, after = learner.answer(segment.tokens, state)
        if (segment.answers == NOT_ASKED).all():
            return None, after
        loss = F.cross_entropy(logits, segment.answers, ignore_index=NOT_ASKED, reduction="sum")
        return loss / len(logits), after


class NextTask(Task):
    """A task that guesses each token of a target from those before it, and from the source."""

    guesses_next = True

    def loss(self, learner: Any, segment: Segment, state: State) -> tuple[Tensor, State]:
        """Return the mean loss a token, in nats, and the state after the segment."""
        return learner.guess(segment.tokens, segment.answers, state)


def check_sizes(batch_size: int, segments: int, *, at_least: int = 1) -> None:
    check_integer("batch_size", batch_size, at_least=1)
    check_integer("segments", segments, at_least=at_least)


def uniform(*shape: int, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


def integers(high: int, *shape: int, generator: Generator) -> Tensor:
    return torch.randint(high, shape, generator=generator)
