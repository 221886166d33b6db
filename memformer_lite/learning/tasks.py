"""Tasks that need a memory: seeded streams of segments, without any download (chapter 09).

A task draws streams. A stream is a list of `Segment`: the tokens of one time step for a batch of
rows, and what should be answered there, `NOT_ASKED` where nothing is.
"""

import functools
import string
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from memformer_lite.validation import check_choice, check_flag, check_integer, check_number

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


def _check_probability(name: str, value: float) -> None:
    check_number(name, value, low=0.0, high=1.0, expected="a probability in [0, 1]")


def _check_sizes(batch_size: int, segments: int, *, at_least: int = 1) -> None:
    check_integer("batch_size", batch_size, at_least=1)
    check_integer("segments", segments, at_least=at_least)


def _uniform(*shape: int, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


def _integers(high: int, *shape: int, generator: Generator) -> Tensor:
    return torch.randint(high, shape, generator=generator)


@dataclass(frozen=True)
class Cards:
    """Recall and overwriting in one: boxes hold values, pages say which, the end of a page asks.

    A segment has `content` places and a place for a question. A card such as A3 is one token and
    says that box A now holds 3; a question such as A? is one token; all else is noise.

    Args:
        keys: number of boxes, at least 1.
        values: number of values, at least 2; chance is one in `values`.
        noise: number of different noise tokens, at least 1.
        content: places for cards or noise in a segment, at least 1.
        write_probability: of a segment to hold any card; or a range, from which each stream
            draws its own.
        max_cards: a segment with cards holds from 1 to this many, each number equally often; at
            most `content`. Where a box is named twice in a segment, the later place counts.
        ask_probability: of a segment to end in a question, if a box is known.
        ask_fresh: True may also ask for a box that this very segment has (re)written.

    Raises:
        TypeError, ValueError: an option outside its range.

    Source:
        This book. Associative recall with one token a pair, so that a tiny model learns it in a
        minute.
    """

    keys: int = 4
    values: int = 8
    noise: int = 4
    content: int = 3
    write_probability: float | tuple[float, float] = 0.6
    max_cards: int = 1
    ask_probability: float = 1.0
    ask_fresh: bool = False

    guesses_next: ClassVar[bool] = False

    def __post_init__(self):
        for name, least in (("keys", 1), ("values", 2), ("noise", 1), ("content", 1)):
            check_integer(name, getattr(self, name), at_least=least)
        check_integer("max_cards", self.max_cards, at_least=1)
        if self.max_cards > self.content:
            raise ValueError(f"max_cards={self.max_cards}: expected at most content={self.content}")
        for bound in self._write_range:
            _check_probability("write_probability", bound)
        if len(self._write_range) != 2 or self._write_range[0] > self._write_range[1]:
            raise ValueError(
                f"write_probability={self.write_probability}: expected one or (lowest, highest)"
            )
        _check_probability("ask_probability", self.ask_probability)
        check_flag("ask_fresh", self.ask_fresh)

    @property
    def num_tokens(self) -> int:
        return self.keys * self.values + self.keys + self.noise

    @property
    def max_seq_len(self) -> int:
        return self.content + 1

    @property
    def num_answers(self) -> int:
        return self.values

    @property
    def chance(self) -> float:
        return 1 / self.values

    @property
    def _write_range(self) -> tuple[float, float]:
        given = self.write_probability
        return given if isinstance(given, tuple) else (given, given)

    def card(self, key: Tensor | int, value: Tensor | int) -> Tensor | int:
        """Return the token that says "box `key` now holds `value`"."""
        return key * self.values + value

    def question(self, key: Tensor | int) -> Tensor | int:
        """Return the token that asks for box `key`."""
        return self.keys * self.values + key

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw a stream of `segments` segments, `batch_size` rows each."""
        _check_sizes(batch_size, segments)
        low, high = self._write_range
        writes = low + (high - low) * float(_uniform(generator=generator))
        held = torch.full((batch_size, self.keys), NOT_ASKED)
        return [self._segment(held, writes, generator=generator) for _ in range(segments)]

    def recall_stream(self, batch_size: int, gap: int, *, generator: Generator) -> list[Segment]:
        """Draw one card for each box, a segment each, `gap` segments of noise, and one question.

        The result has `keys + gap + 1` segments; only the last one asks.
        """
        check_integer("batch_size", batch_size, at_least=1)
        check_integer("gap", gap, at_least=0)
        order = _uniform(batch_size, self.keys, generator=generator).argsort(dim=-1)
        held = _integers(self.values, batch_size, self.keys, generator=generator)
        nothing = torch.full((batch_size,), NOT_ASKED)
        stream = []
        for step in range(self.keys + gap + 1):
            tokens = self._noise(batch_size, generator=generator)
            if step < self.keys:
                key = order[:, step : step + 1]
                place = _integers(self.content, batch_size, 1, generator=generator)
                tokens.scatter_(1, place, self.card(key, held.gather(1, key)))
            stream.append(Segment(tokens, nothing))
        key = _integers(self.keys, batch_size, 1, generator=generator)
        tokens[:, -1:] = self.question(key)
        return [*stream[:-1], Segment(tokens, held.gather(1, key).squeeze(1))]

    def tokens_of(self, page: str) -> list[int]:
        """Return the tokens of a page such as "A3 – B?": cards, noise (–), and a question last.

        Places that are not named hold noise token 0. Boxes are A, B, …; values are numbers.

        Raises:
            ValueError: a word that is none of these, too many cards, a question before the end.
        """
        noise = self.question(self.keys)
        tokens = [noise] * self.max_seq_len
        for place, word in enumerate(page.split()):
            letter, rest = word[0], word[1:]
            key = ord(letter) - ord("A")
            known = 0 <= key < self.keys
            if known and rest == "?":
                tokens[-1] = self.question(key)
                if place != len(page.split()) - 1:
                    raise ValueError(f"page={page!r}: expected the question {word!r} at the end")
                continue
            if place >= self.content:
                raise ValueError(f"page={page!r}: expected at most {self.content} cards")
            if known and rest.isascii() and rest.isdecimal() and int(rest) < self.values:
                tokens[place] = self.card(key, int(rest))
            elif word not in ("–", "-"):
                last = chr(ord("A") + self.keys - 1)
                raise ValueError(
                    f"page={page!r}: expected cards A0 to {last}{self.values - 1}, questions A? "
                    f"to {last}? or – for noise, got {word!r}"
                )
        return tokens

    def _noise(self, batch_size: int, *, generator: Generator) -> Tensor:
        """Return (b, content + 1) noise tokens."""
        first = self.question(self.keys)
        shape = (batch_size, self.max_seq_len)
        return first + _integers(self.noise, *shape, generator=generator)

    def _segment(self, held: Tensor, write_probability: float, *, generator: Generator) -> Segment:
        """Draw one segment; update what each box holds, (b, keys), in place."""
        batch_size = len(held)
        rows = torch.arange(batch_size)
        known_before = held != NOT_ASKED
        tokens = self._noise(batch_size, generator=generator)
        writes = _uniform(batch_size, generator=generator) < write_probability
        cards = writes * (1 + _integers(self.max_cards, batch_size, generator=generator))
        # A card stands where a random order of the places has one of its first `cards` ranks.
        order = _uniform(batch_size, self.content, generator=generator).argsort(dim=-1)
        is_card = order.argsort(dim=-1) < cards[:, None]
        key = _integers(self.keys, batch_size, self.content, generator=generator)
        value = _integers(self.values, batch_size, self.content, generator=generator)
        tokens[:, :-1] = torch.where(is_card, self.card(key, value), tokens[:, :-1])
        fresh = torch.zeros_like(known_before)
        for place in range(self.content):
            here = rows[is_card[:, place]]
            held[here, key[here, place]] = value[here, place]
            fresh[here, key[here, place]] = True
        may_ask = (held != NOT_ASKED) if self.ask_fresh else known_before & ~fresh
        lottery = _uniform(batch_size, self.keys, generator=generator).masked_fill(~may_ask, -1.0)
        asked = lottery.argmax(dim=-1)
        wants = _uniform(batch_size, generator=generator) < self.ask_probability
        wants &= may_ask.any(dim=-1)
        tokens[:, -1] = torch.where(wants, self.question(asked), tokens[:, -1])
        return Segment(tokens, torch.where(wants, held[rows, asked], NOT_ASKED))


@dataclass(frozen=True)
class Parity:
    """One bit a segment; the answer is whether the ones so far are odd in number.

    Source:
        A standard test of recurrent state; forgetting one bit anywhere makes every later answer a
        guess.
    """

    guesses_next: ClassVar[bool] = False
    num_tokens: ClassVar[int] = 2
    max_seq_len: ClassVar[int] = 1
    num_answers: ClassVar[int] = 2
    chance: ClassVar[float] = 0.5

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw a stream of `segments` segments, `batch_size` rows each."""
        _check_sizes(batch_size, segments)
        bits = _integers(2, segments, batch_size, generator=generator)
        parity = bits.cumsum(dim=0) % 2
        return [Segment(b[:, None], p) for b, p in zip(bits, parity, strict=True)]


@functools.cache
def _digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Return pixels, long (images, 64) from 0 to 16, and labels, of each split."""
    from sklearn.datasets import load_digits  # only the digits need scikit-learn

    data = load_digits()
    pixels = torch.from_numpy(data.data).long()
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    parts = {"test": order[:360], "train": order[360:]}
    return {split: (pixels[rows], labels[rows]) for split, rows in parts.items()}


@dataclass(frozen=True)
class Digits:
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

    guesses_next: ClassVar[bool] = False
    num_tokens: ClassVar[int] = 7  # 5 levels, the question, a blank
    max_seq_len: ClassVar[int] = 16
    num_answers: ClassVar[int] = 10
    chance: ClassVar[float] = 0.1

    def __post_init__(self):
        check_choice("split", self.split, ("train", "test"))

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw images: four segments of pixels, `segments - 5` blank ones, and the question."""
        _check_sizes(batch_size, segments, at_least=5)
        pixels, labels = _digits()[self.split]
        rows = _integers(len(pixels), batch_size, generator=generator)
        images = pixels[rows]
        if self.split == "train":
            images = _moved(images, generator=generator)
        return self._stream(images, labels[rows], segments)

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
    start = _integers(3, len(images), generator=generator)
    columns = (start[:, None] + torch.arange(8))[:, None].expand(-1, 8, -1)
    return wide.gather(2, columns).flatten(1)


@dataclass(frozen=True)
class Rows:
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

    guesses_next: ClassVar[bool] = True
    num_tokens: ClassVar[int] = 18  # 17 levels and the start token

    def __post_init__(self):
        check_choice("rows", self.rows, (1, 2, 4, 8))
        check_choice("split", self.split, ("train", "test"))

    @property
    def max_seq_len(self) -> int:
        return 8 * self.rows + 1

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw whole images: `segments` must be `8 / rows`."""
        _check_sizes(batch_size, segments)
        if segments != 8 // self.rows:
            raise ValueError(f"segments={segments}: expected {8 // self.rows}, a whole image")
        pixels, _ = _digits()[self.split]
        return self._stream(pixels[_integers(len(pixels), batch_size, generator=generator)])

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
class Text:
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

    guesses_next: ClassVar[bool] = True
    num_tokens: ClassVar[int] = len(CHARACTERS) + 1

    def __post_init__(self):
        check_integer("length", self.length, at_least=1)
        check_choice("split", self.split, ("train", "test"))

    @property
    def max_seq_len(self) -> int:
        return self.length + 1

    def stream(self, batch_size: int, segments: int, *, generator: Generator) -> list[Segment]:
        """Draw rows that start anywhere and run on for `segments` segments."""
        _check_sizes(batch_size, segments)
        text = _characters()[self.split]
        length = self.length * (segments + 1)
        if length > len(text):
            raise ValueError(f"segments={segments}: the {self.split} text is too short for that")
        start = _integers(len(text) - length + 1, batch_size, generator=generator)
        rows = text[start[:, None] + torch.arange(length)]
        return [
            Segment(rows[:, at - self.length : at], rows[:, at - 1 : at + self.length])
            for at in range(self.length, length, self.length)
        ]
