"""Real handwritten digits: named at the end, or guessed pixel by pixel (chapter 09)."""

import dataclasses
import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from memformer_lite.extras import extra
from memformer_lite.learning.tasks.task import (
    NOT_ASKED,
    AnswerTask,
    NextTask,
    Segment,
    check_sizes,
    integers,
)
from memformer_lite.validation import check_choice, check_integer


@functools.cache
def _digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Return pixels, long (images, 64) from 0 to 16, and labels, of each split."""
    with extra("train"):  # only the digits need scikit-learn
        from sklearn.datasets import load_digits

    data = load_digits()
    pixels = torch.from_numpy(data.data).long()
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    parts = {"test": order[:360], "train": order[360:]}
    return {split: (pixels[rows], labels[rows]) for split, rows in parts.items()}


@dataclass(frozen=True)
class Digits(AnswerTask):
    """Real handwritten digits, two of the eight rows a segment; the label is asked in the last.

    A pixel has one of 5 levels of ink. Training images are moved by up to one column, since 1437
    of them are few.

    Args:
        split: "train" (1437 images) or "test" (the other 360, never moved).

    Raises:
        ImportError: scikit-learn, which holds the images, is missing.
        ValueError: an unknown split.

    Source:
        `sklearn.datasets.load_digits`: 8 × 8 pixels from 0 to 16, from the UCI repository.
    """

    split: str = "train"

    num_tokens = 7  # 5 levels, the question, a blank
    max_seq_len = 16
    num_answers = 10

    def __post_init__(self):
        check_choice("split", self.split, ("train", "test"))

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw images: four segments of pixels, `segments - 5` blank ones, and the question."""
        check_sizes(batch_size, segments, at_least=5)
        pixels, labels = _digits()[self.split]
        rows = integers(len(pixels), batch_size, generator=generator)
        images = pixels[rows]
        if self.split == "train":
            images = _moved(images, generator=generator)
        return self._stream(images, labels[rows], segments)

    def held_out(self, segments: int) -> list[Segment]:
        """Return all test images, without blank segments."""
        return dataclasses.replace(self, split="test").all_images()

    def all_images(self, segments: int = 5) -> list[Segment]:
        """Return one stream with every image of the split."""
        check_integer("segments", segments, at_least=5)
        return self._stream(*_digits()[self.split], segments)

    def _stream(self, pixels: Tensor, labels: Tensor, segments: int) -> list[Segment]:
        nothing = torch.full_like(labels, NOT_ASKED)
        levels = (pixels + 2) // 4
        stream = [Segment(part, nothing) for part in levels.split(16, dim=1)]
        blank = torch.full_like(stream[0].tokens, self.num_tokens - 1)
        stream += [Segment(blank, nothing)] * (segments - 5)
        question = torch.full_like(labels, self.num_tokens - 2)[:, None]
        return [*stream, Segment(question, labels)]


def _moved(images: Tensor, *, generator: Generator) -> Tensor:
    """Move each image, (b, 64), by -1, 0 or 1 columns; what leaves is lost."""
    wide = F.pad(images.view(-1, 8, 8), (1, 1))
    start = integers(3, len(images), generator=generator)
    columns = (start[:, None] + torch.arange(8))[:, None].expand(-1, 8, -1)
    return wide.gather(2, columns).flatten(1)


@dataclass(frozen=True)
class Rows(NextTask):
    """The same digits, guessed pixel by pixel: the source is what came just before.

    Args:
        rows: image rows a segment: 1, 2, 4 or 8. With 8 the decoder sees the image from its first
            pixel, and a memory has nothing to add.
        split: "train" or "test".

    Raises:
        ImportError: scikit-learn, which holds the images, is missing.
        ValueError: an option outside its range.

    Source:
        `sklearn.datasets.load_digits`, as in `Digits`.
    """

    rows: int = 1
    split: str = "train"

    num_tokens = 18  # 17 levels and the start token

    def __post_init__(self):
        check_choice("rows", self.rows, (1, 2, 4, 8))
        check_choice("split", self.split, ("train", "test"))

    @property
    def max_seq_len(self) -> int:
        return 8 * self.rows + 1

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw whole images: `segments` must be `8 / rows`."""
        check_sizes(batch_size, segments)
        if segments != 8 // self.rows:
            raise ValueError(f"segments={segments}: expected {8 // self.rows}, a whole image")
        pixels, _ = _digits()[self.split]
        return self._stream(pixels[integers(len(pixels), batch_size, generator=generator)])

    def held_out(self, segments: int) -> list[Segment]:
        """Return all test images."""
        return dataclasses.replace(self, split="test").all_images()

    def all_images(self) -> list[Segment]:
        """Return one stream with every image of the split."""
        return self._stream(_digits()[self.split][0])

    def _stream(self, pixels: Tensor) -> list[Segment]:
        parts = pixels.split(8 * self.rows, dim=1)
        before = [torch.full_like(parts[0], 17), *parts[:-1]]
        start = torch.full_like(pixels[:, :1], 17)
        return [
            Segment(src, torch.cat((start, part), dim=1))
            for src, part in zip(before, parts, strict=True)
        ]
