"""Cards: recall and overwriting in one task (chapter 09)."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from memformer_lite.learning.tasks.task import (
    NOT_ASKED,
    AnswerTask,
    Segment,
    check_sizes,
    integers,
    uniform,
)
from memformer_lite.validation import check_flag, check_integer, check_number


def _check_probability(name: str, value: float) -> None:
    check_number(name, value, low=0.0, high=1.0, expected="a probability in [0, 1]")


@dataclass(frozen=True)
class Cards(AnswerTask):
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
    def meaning(self) -> tuple:
        return (*super().meaning, self.keys, self.values, self.noise)

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
        check_sizes(batch_size, segments)
        low, high = self._write_range
        writes = low + (high - low) * float(uniform(generator=generator))
        held = torch.full((batch_size, self.keys), NOT_ASKED)
        return [self._segment(held, writes, generator=generator) for _ in range(segments)]

    def recall_stream(self, batch_size: int, gap: int, *, generator: Generator) -> list[Segment]:
        """Draw one card for each box, a segment each, `gap` segments of noise, and one question.

        The result has `keys + gap + 1` segments; only the last one asks.
        """
        check_integer("batch_size", batch_size, at_least=1)
        check_integer("gap", gap, at_least=0)
        order = uniform(batch_size, self.keys, generator=generator).argsort(dim=-1)
        held = integers(self.values, batch_size, self.keys, generator=generator)
        nothing = torch.full((batch_size,), NOT_ASKED)
        stream = []
        for step in range(self.keys + gap + 1):
            tokens = self._noise(batch_size, generator=generator)
            if step < self.keys:
                key = order[:, step : step + 1]
                place = integers(self.content, batch_size, 1, generator=generator)
                tokens.scatter_(1, place, self.card(key, held.gather(1, key)))
            stream.append(Segment(tokens, nothing))
        key = integers(self.keys, batch_size, 1, generator=generator)
        tokens[:, -1:] = self.question(key)
        return [*stream[:-1], Segment(tokens, held.gather(1, key).squeeze(1))]

    def tokens_of(self, page: str) -> list[int]:
        """Return the tokens of a page such as "A3 – B?": cards, noise (–), and a question last.

        Places that are not named hold noise token 0. Boxes are A, B, …; values are numbers.

        Raises:
            ValueError: a word that is none of these, too many cards, a question before the end.
        """
        noise = self.question(self.keys)
        tokens: list = [noise] * self.max_seq_len
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
        return first + integers(self.noise, *shape, generator=generator)

    def _segment(self, held: Tensor, write_probability: float, *, generator: Generator) -> Segment:
        """Draw one segment; update what each box holds, (b, keys), in place."""
        batch_size = len(held)
        rows = torch.arange(batch_size)
        known_before = held != NOT_ASKED
        tokens = self._noise(batch_size, generator=generator)
        writes = uniform(batch_size, generator=generator) < write_probability
        cards = writes * (1 + integers(self.max_cards, batch_size, generator=generator))
        # A card stands where a random order of the places has one of its first `cards` ranks.
        order = uniform(batch_size, self.content, generator=generator).argsort(dim=-1)
        is_card = order.argsort(dim=-1) < cards[:, None]
        key = integers(self.keys, batch_size, self.content, generator=generator)
        value = integers(self.values, batch_size, self.content, generator=generator)
        tokens[:, :-1] = torch.where(is_card, self.card(key, value), tokens[:, :-1])
        fresh = torch.zeros_like(known_before)
        for place in range(self.content):
            here = rows[is_card[:, place]]
            held[here, key[here, place]] = value[here, place]
            fresh[here, key[here, place]] = True
        may_ask = (held != NOT_ASKED) if self.ask_fresh else known_before & ~fresh
        lottery = uniform(batch_size, self.keys, generator=generator).masked_fill(~may_ask, -1.0)
        asked = lottery.argmax(dim=-1)
        wants = uniform(batch_size, generator=generator) < self.ask_probability
        wants &= may_ask.any(dim=-1)
        tokens[:, -1] = torch.where(wants, self.question(asked), tokens[:, -1])
        return Segment(tokens, torch.where(wants, held[rows, asked], NOT_ASKED))
