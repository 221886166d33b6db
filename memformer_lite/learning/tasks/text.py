"""Real text, guessed character by character (chapter 09)."""

import dataclasses
import functools
import string
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from memformer_lite.learning.tasks.task import NextTask, Segment, check_sizes, integers
from memformer_lite.validation import check_choice, check_integer

CHARACTERS = string.printable[:95] + "\n"  # all others count as one more


@functools.cache
def _characters() -> dict[str, Tensor]:
    """Return the characters of Python's own help texts as ids, (length,), of each split."""
    from pydoc_data.topics import topics

    # Topics repeat one another; what was trained on must not come up in the test.
    paragraphs = dict.fromkeys(
        paragraph for name in sorted(topics) for paragraph in topics[name].split("\n\n")
    )
    text = "\n\n".join(paragraphs)
    ids = {character: i for i, character in enumerate(CHARACTERS)}
    tokens = torch.tensor([ids.get(character, len(CHARACTERS)) for character in text])
    cut = len(tokens) * 9 // 10
    return {"train": tokens[:cut], "test": tokens[cut:]}


@dataclass(frozen=True)
class Text(NextTask):
    """Real text, guessed character by character: the source is the segment before.

    Args:
        length: characters a segment, at least 1.
        split: "train", the first nine tenths, or "test", the last.

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        `pydoc_data.topics`: the reference of the Python language that comes with Python; each
        paragraph once. It differs a little between versions of Python.
    """

    length: int = 32
    split: str = "train"

    num_tokens = len(CHARACTERS) + 1

    def __post_init__(self):
        check_integer("length", self.length, at_least=1)
        check_choice("split", self.split, ("train", "test"))

    @property
    def max_seq_len(self) -> int:
        return self.length + 1

    def held_out(self, segments: int) -> list[Segment]:
        """Return 512 rows of the test text."""
        test = dataclasses.replace(self, split="test")
        return test.stream(512, segments, generator=torch.Generator().manual_seed(0))

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw rows that start anywhere and run on for `segments` segments."""
        check_sizes(batch_size, segments)
        text = _characters()[self.split]
        length = self.length * (segments + 1)
        if length > len(text):
            raise ValueError(f"segments={segments}: the {self.split} text is too short for that")
        start = integers(len(text) - length + 1, batch_size, generator=generator)
        rows = text[start[:, None] + torch.arange(length)]
        return [
            Segment(rows[:, at - self.length : at], rows[:, at - 1 : at + self.length])
            for at in range(self.length, length, self.length)
        ]
