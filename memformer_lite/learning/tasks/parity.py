"""Parity: one bit that must never be lost (chapter 09)."""

from dataclasses import dataclass

from torch import Generator

from memformer_lite.learning.tasks.task import AnswerTask, Segment, check_sizes, integers


@dataclass(frozen=True)
class Parity(AnswerTask):
    """One bit a segment; the answer is whether the ones so far are odd in number.

    Source:
        A standard test of recurrent state; forgetting one bit anywhere makes every later answer a
        guess.
    """

    num_tokens = 2
    max_seq_len = 1
    num_answers = 2

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw a stream of `segments` segments, `batch_size` rows each."""
        check_sizes(batch_size, segments)
        bits = integers(2, segments, batch_size, generator=generator)
        parity = bits.cumsum(dim=0) % 2
        return [Segment(b[:, None], p) for b, p in zip(bits, parity, strict=True)]
