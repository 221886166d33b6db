"""What was recorded of a memory, as tensors and as plain data in a file (chapter 10)."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from memformer_lite.validation import check_features, check_mask, check_tokens

FORMAT = "memformer_lite trace 1"


@dataclass(frozen=True, eq=False)
class RecordedSegment:
    """What happened to the memory in one segment; copies on the CPU, without gradients.

    Numbers are float64 for a float64 memory, else float32. A row that is all padding keeps its
    memory: its `write` and `gate` were computed and then not used.

    Attributes:
        src: source tokens, long (b, n).
        src_mask: real tokens, bool (b, n), or None.
        before: the memory that was read, (b, k, d).
        after: the memory after writing, (b, k, d).
        read: weights of the reading, (l, b, h, n, k): of each token for the slots, in each
            encoder layer and head; before dropout. Rows of padding are read too.
        write: weights of the writing, (u, b, h, k, 1 + n), u the number of updates: of each slot
            for itself (column 0) and the tokens.
        gate: the rule's gate, (u, b, k, d), 1 keeps; None for a rule without one.
    """

    src: Tensor
    src_mask: Tensor | None
    before: Tensor
    after: Tensor
    read: Tensor
    write: Tensor
    gate: Tensor | None

    @property
    def norm_before(self) -> Tensor:
        """Length of each slot before, (b, k)."""
        return self.before.norm(dim=-1)

    @property
    def norm_after(self) -> Tensor:
        """Length of each slot after, (b, k)."""
        return self.after.norm(dim=-1)

    @property
    def change(self) -> Tensor:
        """Distance that each slot moved, (b, k)."""
        return (self.after - self.before).norm(dim=-1)

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        values = (getattr(self, entry.name) for entry in fields(self))
        return sum(value.nbytes for value in values if value is not None)


@dataclass(repr=False, eq=False)
class Trace(Sequence[RecordedSegment]):
    """Recorded segments in the order in which they were computed; `trace[0]` is the first.

    Attributes:
        segments: list of `RecordedSegment`.
        complete: False where recording stopped because `max_mib` was reached.
    """

    segments: list[RecordedSegment] = field(default_factory=list)
    complete: bool = True

    def __len__(self) -> int:
        return len(self.segments)

    @overload
    def __getitem__(self, index: int) -> RecordedSegment: ...

    @overload
    def __getitem__(self, index: slice) -> "Trace": ...

    def __getitem__(self, index: int | slice) -> "RecordedSegment | Trace":
        if isinstance(index, slice):
            return Trace(self.segments[index], self.complete)
        return self.segments[index]

    def __repr__(self) -> str:
        stopped = "" if self.complete else ", stopped at max_mib"
        return f"Trace({len(self)} segments{stopped})"

    def to_plain(self) -> dict:
        """Return all of it as dicts, nested lists, numbers and strings, as JSON has them.

        Raises:
            ValueError: a number is nan or infinite, which JSON does not know.
        """
        segments = [_to_plain(index, segment) for index, segment in enumerate(self)]
        return {"format": FORMAT, "complete": self.complete, "segments": segments}

    @classmethod
    def from_plain(cls, plain: dict) -> "Trace":
        """Return the trace that `to_plain` was called on, bit for bit.

        Raises:
            ValueError: it is no such data; the message says where and what is wrong.
        """
        found = plain.get("format") if isinstance(plain, dict) else type(plain).__name__
        if found != FORMAT:
            raise ValueError(f"expected a trace with format {FORMAT!r}, got {found!r}")
        segments, complete = plain.get("segments"), plain.get("complete")
        if not isinstance(segments, list) or not isinstance(complete, bool):
            raise ValueError("expected a list 'segments' and a bool 'complete' in a trace")
        return cls([_from_plain(*item) for item in enumerate(segments)], complete)

    def save(self, path: str | Path) -> None:
        """Write a JSON file, about 20 bytes a number; one that was there stays until it is whole.

        Raises:
            FileNotFoundError: the folder of `path` does not exist.
            ValueError: a number is nan or infinite.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path}: expected a path in a folder that exists")
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        head = json.dumps({"format": FORMAT, "complete": self.complete})
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(f'{head[:-1]}, "segments": [')
                for index, segment in enumerate(self):  # one at a time: text is large
                    file.write(",\n" if index else "\n")
                    file.write(json.dumps(_to_plain(index, segment)))
                file.write("\n]}\n")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Return the trace in a file that `save` wrote. Nothing in a file is executed.

        Raises:
            FileNotFoundError: there is no file at `path`.
            ValueError: the file is no trace, or was cut short.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
        try:
            return cls.from_plain(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as fault:
            raise ValueError(f"{path}: expected a trace, got another file ({fault})") from fault


def _to_plain(index: int, segment: RecordedSegment) -> dict:
    plain: dict[str, Any] = {"dtype": str(segment.before.dtype).removeprefix("torch.")}
    for name in (entry.name for entry in fields(segment)):
        value = getattr(segment, name)
        if value is not None and not value.isfinite().all():
            raise ValueError(f"segment {index}, {name}: nan or inf cannot be plain data")
        plain[name] = None if value is None else value.tolist()
    return plain


def _from_plain(index: int, plain: dict) -> RecordedSegment:
    names = [entry.name for entry in fields(RecordedSegment)]
    try:
        if not isinstance(plain, dict) or set(plain) != {"dtype", *names}:
            raise ValueError(f"expected the keys dtype, {', '.join(names)}")
        if plain["dtype"] not in ("float32", "float64"):
            raise ValueError(f"dtype={plain['dtype']!r}: expected 'float32' or 'float64'")
        dtype = {name: getattr(torch, plain["dtype"]) for name in names[2:]}  # src has its own
        values: dict[str, Any] = {
            name: None if plain[name] is None else torch.tensor(plain[name], dtype=dtype.get(name))
            for name in names
        }
        segment = RecordedSegment(**values)
        _check(segment)
    except (TypeError, ValueError, RuntimeError, OverflowError) as fault:
        raise ValueError(f"segment {index}: {fault}") from fault
    return segment


def _check(segment: RecordedSegment) -> None:
    """Raise where shapes and dtypes of a segment do not fit each other."""
    check_tokens("src", segment.src, num_tokens=2**63 - 1)
    b, n = segment.src.shape
    check_mask("src_mask", segment.src_mask, (b, n))
    check_features("before", segment.before, (b, None, None))
    k, d = segment.before.shape[1:]
    check_features("after", segment.after, (b, k, d))
    check_features("read", segment.read, (None, b, None, n, k))
    check_features("write", segment.write, (None, b, None, k, 1 + n))
    if segment.gate is not None:
        check_features("gate", segment.gate, (len(segment.write), b, k, d))
    for name in ("before", "after", "read", "write", "gate"):
        value = getattr(segment, name)
        if value is not None and not value.isfinite().all():
            raise ValueError(f"{name}: expected finite numbers")
