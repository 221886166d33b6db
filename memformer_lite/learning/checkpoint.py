"""Checkpoints: tensors and plain notes in one safetensors file, which cannot hold code.

A file is written beside its place and then moved there, so that the last good one is never lost.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from memformer_lite.extras import extra
from memformer_lite.learning.learner import Learner
from memformer_lite.learning.recipes import Recipe, from_plain, to_plain

with extra("train"):
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save

ENTRY = "memformer_lite"  # of the file's metadata
FORMAT = "memformer_lite checkpoint 1"
MODELS = Path(__file__).parents[1] / "models"  # trained models that ship with the package


def write_checkpoint(path: str | Path, tensors: dict[str, Tensor], notes: dict) -> None:
    """Write `tensors` and `notes` (plain data) to `path`, all or nothing.

    Raises:
        OSError: as `check_place`.
    """
    path = Path(path)
    # One entry, as safetensors writes several in any order: the same content is the same file.
    metadata = {ENTRY: json.dumps({"format": FORMAT, "notes": notes})}
    content = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    with _beside(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def check_place(path: str | Path) -> None:
    """Raise unless a checkpoint can be written to `path`; leave all as it is.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        FileExistsError: `path` is a folder, a device or something else that is no file: it would
            be replaced.
        OSError: no file may be written there.
    """
    with _beside(Path(path)) as temporary:
        temporary.touch()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a place for a file that will be moved to `path`, and clean up there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: expected a path in a folder that exists")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path}: expected a file, there is a folder or a device")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors and the notes of a checkpoint.

    Raises:
        FileNotFoundError: there is no file at `path`.
        ValueError: the file is no checkpoint of this package, or was cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as fault:
        raise ValueError(f"{path}: expected a checkpoint, got another file ({fault})") from fault
    try:
        entry = json.loads(metadata[ENTRY])
        found, notes = entry["format"], entry["notes"]
    except (KeyError, TypeError, ValueError, RecursionError) as fault:
        raise ValueError(f"{path}: expected a checkpoint of this package, got {fault!r}") from fault
    if found != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT!r}, got {found!r}")
    return tensors, notes


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def save_learner(learner: Learner, path: str | Path, notes: dict) -> None:
    """Write a trained learner alone, in half precision: it can be used, not trained on.

    Args:
        learner: what to write.
        path: where to; a file that was there stays whole until the new one is.
        notes: more plain data to keep beside the weights and the recipe.
    """
    halves = {name: value.half() for name, value in learner.state_dict().items()}
    tensors = prefixed("learner.", halves)
    write_checkpoint(path, tensors, {"recipe": to_plain(learner.recipe), **notes})


def load_learner(
    path: str | Path = MODELS / "stories.safetensors",
    *,
    build: Callable[[Recipe], Learner] = Learner,
) -> Learner:
    """Return a trained learner from a checkpoint, in float32 and evaluation mode.

    Args:
        path: what `save_learner` or `Run.save` wrote; by default the model that ships.
        build: as the learner was built from its recipe.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this package. Nothing in a file is executed.
    """
    tensors, notes = read_checkpoint(path)
    try:
        with torch.random.fork_rng(devices=[]):
            learner = build(from_plain(notes["recipe"]))
        learner.load_state_dict(below("learner.", tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise ValueError(f"{path}: expected a trained learner, got: {fault}") from fault
    return learner.eval()
