"""A save is all or nothing, and what is no checkpoint is refused by name and never executed."""

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from memformer_lite.experiments.builds import no_gate
from memformer_lite.learning import checkpoint
from memformer_lite.learning.checkpoint import (
    ENTRY,
    FORMAT,
    check_place,
    load_learner,
    read_checkpoint,
    save_learner,
    write_checkpoint,
)
from memformer_lite.learning.recipes import Recipe, Stage
from memformer_lite.learning.tasks import Parity
from memformer_lite.learning.train import Run

OLD = {"a": torch.arange(5.0)}
NEW = {"a": torch.arange(7.0), "b": torch.arange(3)}
RECIPE = Recipe(
    stages=(Stage(Parity(), steps=9, segments=(2, 2)),), dim=6, heads=2, slots=3, batch_size=5
)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def is_old(path):
    tensors, notes = read_checkpoint(path)
    return torch.equal(tensors["a"], OLD["a"]) and notes == {"age": "old"}


# Writing and reading


def test_tensors_and_notes_come_back(tmp_path):
    table = torch.arange(12).view(3, 4)
    tensors = {
        "float": torch.randn(3, 5, dtype=torch.float64),
        "half": torch.randn(2).half(),
        "long": torch.tensor([2**60, -1]),
        "bytes": torch.get_rng_state(),
        "a number": torch.tensor(3.5),
        "turned": table.T,
        "none": torch.zeros(0, 4),
    }
    notes = {"text": "– é \\ \n", "list": [1, 2.5, None, True], "deep": {"er": {"x": 1e-300}}}
    write_checkpoint(tmp_path / "file", tensors, notes)
    back, said = read_checkpoint(tmp_path / "file")
    assert said == notes and back.keys() == tensors.keys()
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype and torch.equal(back[name], value), name
    assert files(tmp_path) == ["file"]


def test_the_same_content_is_the_same_file(tmp_path):
    written = set()
    for number in range(20):
        write_checkpoint(tmp_path / str(number), NEW, {"x": 1, "y": [2]})
        written.add((tmp_path / str(number)).read_bytes())
    assert len(written) == 1


def test_a_file_is_replaced_and_a_name_without_folder_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for tensors in (OLD, NEW):
        write_checkpoint("file", tensors, {})
    assert torch.equal(read_checkpoint("file")[0]["a"], NEW["a"])
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002], ids=oct)
def test_the_file_has_the_rights_of_any_new_file(tmp_path, umask):
    """A temporary file made by `tempfile` would be for its owner alone."""
    before = os.umask(umask)
    try:
        write_checkpoint(tmp_path / "file", OLD, {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


# Interrupted saves


class Faulty:
    """A file that takes some bytes, and then the disk is full."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        self.file.write(content[:100])
        raise OSError(28, "No space left on device")


def fails(fault):
    def function(*arguments, **options):
        raise fault

    return function


def full_disk(*arguments):
    return Faulty(open(*arguments))


FAILURES = {
    "open": lambda m: m.setattr(
        checkpoint, "open", fails(PermissionError(13, "no")), raising=False
    ),
    "write": lambda m: m.setattr(checkpoint, "open", full_disk, raising=False),
    "fsync": lambda m: m.setattr(os, "fsync", fails(OSError(5, "Input/output error"))),
    "replace": lambda m: m.setattr(os, "replace", fails(OSError(18, "Invalid link"))),
    "Ctrl-C in fsync": lambda m: m.setattr(os, "fsync", fails(KeyboardInterrupt())),
    "Ctrl-C in replace": lambda m: m.setattr(os, "replace", fails(KeyboardInterrupt())),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_an_interrupted_save_leaves_the_last_good_file_and_no_other(tmp_path, monkeypatch, failure):
    write_checkpoint(tmp_path / "file", OLD, {"age": "old"})
    before = (tmp_path / "file").read_bytes()
    with monkeypatch.context() as patch:
        failure(patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_checkpoint(tmp_path / "file", NEW, {"age": "new"})
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_checkpoint(tmp_path / "first", NEW, {})
    assert files(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == before
    assert is_old(tmp_path / "file")
    write_checkpoint(tmp_path / "file", NEW, {})  # and the next save works
    assert torch.equal(read_checkpoint(tmp_path / "file")[0]["a"], NEW["a"])


def test_notes_or_tensors_that_cannot_be_written_leave_the_last_good_file(tmp_path):
    write_checkpoint(tmp_path / "file", OLD, {"age": "old"})
    shared = torch.zeros(4)
    for tensors, notes in ((NEW, {"x": object()}), ({"a": shared, "b": shared[1:]}, {})):
        with pytest.raises((TypeError, RuntimeError)):
            write_checkpoint(tmp_path / "file", tensors, notes)
    assert files(tmp_path) == ["file"] and is_old(tmp_path / "file")


def test_the_file_is_whole_and_on_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    steps = []
    sync, replace = os.fsync, os.replace

    def note_sync(number):
        size = os.fstat(number).st_size
        sync(number)
        steps.append(("fsync", size))

    def note_replace(source, target):
        assert Path(source).parent == tmp_path, "a move between disks would be a copy"
        assert is_old(target) and torch.equal(read_checkpoint(source)[0]["a"], NEW["a"])
        steps.append(("replace", Path(source).stat().st_size))
        replace(source, target)

    write_checkpoint(tmp_path / "file", OLD, {"age": "old"})
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_checkpoint(tmp_path / "file", NEW, {})
    size = (tmp_path / "file").stat().st_size
    assert steps == [("fsync", size), ("replace", size)]


KILLED = """
import os, signal, sys, torch
from memformer_lite.learning.checkpoint import write_checkpoint
os.{place} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
write_checkpoint(sys.argv[1], {{"a": torch.arange(99.0)}}, {{}})
"""


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_killed_process_leaves_the_last_good_file(tmp_path, place):
    write_checkpoint(tmp_path / "file", OLD, {"age": "old"})
    command = [sys.executable, "-c", KILLED.format(place=place), str(tmp_path / "file")]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert is_old(tmp_path / "file")


@pytest.mark.parametrize("write", ["run", "learner", "checkpoint"])
def test_a_folder_that_does_not_exist_is_named(tmp_path, write):
    path, run = tmp_path / "none" / "file", Run(RECIPE)
    with pytest.raises(FileNotFoundError, match=r"none/file.*folder that exists"):
        {
            "run": lambda: run.save(path),
            "learner": lambda: save_learner(run.learner, path, {}),
            "checkpoint": lambda: write_checkpoint(path, OLD, {}),
        }[write]()
    assert files(tmp_path) == []


def test_a_folder_in_place_of_the_file_is_left_alone(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_checkpoint(tmp_path / "file", OLD, {})
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize("what", ["pipe", "link to a pipe", "folder"])
def test_what_is_no_file_is_never_replaced(tmp_path, what):
    """Moved onto /dev/null by the superuser, a checkpoint would take its place for everybody."""
    path, pipe = tmp_path / "place", tmp_path / "pipe"
    os.mkfifo(pipe)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        path = pipe
    else:
        path.symlink_to(pipe)
    before = files(tmp_path), path.lstat()
    for write in (check_place, lambda path: write_checkpoint(path, OLD, {})):
        with pytest.raises(FileExistsError, match=f"{path}: expected a file"):
            write(path)
    assert (files(tmp_path), path.lstat()) == before


def test_a_place_is_checked_without_a_trace(tmp_path):
    check_place(tmp_path / "file")
    assert files(tmp_path) == []
    write_checkpoint(tmp_path / "file", OLD, {"age": "old"})
    check_place(str(tmp_path / "file"))
    assert files(tmp_path) == ["file"] and is_old(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"none/file.*folder that exists"):
        check_place(tmp_path / "none" / "file")
    with pytest.raises(OSError, match="too long"):
        check_place(tmp_path / ("n" * 250))


# What is no checkpoint


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run's checkpoint as bytes, tensors and notes."""
    path = tmp_path_factory.mktemp("good") / "run"
    run = Run(RECIPE)
    run.advance()
    run.save(path)
    return path.read_bytes(), *read_checkpoint(path)


def others(path, good):
    """Yield names of ways not to be a checkpoint; each is written to `path`."""
    content, tensors, notes = good
    plain = {
        "empty": b"",
        "text": b"not a checkpoint\n" * 99,
        "json": json.dumps(notes).encode(),
        "zeros": bytes(1000),
        "too long": content + b"\0",
        **{f"first {n} bytes": content[:n] for n in (1, 7, 8, 9, 900, len(content) - 1)},
    }
    for name, value in plain.items():
        path.write_bytes(value)
        yield name
    torch.save(tensors, path)
    yield "torch.save"
    save_file(tensors, path)
    yield "safetensors without notes"
    entry = {"format": FORMAT, "notes": notes}
    for value in (
        json.dumps({"notes": notes}),
        json.dumps(entry | {"format": "pt"}),
        json.dumps(entry | {"format": FORMAT + "0"}),
        json.dumps({"format": FORMAT}),
        json.dumps([FORMAT, notes]),
        json.dumps(FORMAT),
        "",
        "{'recipe': 1}",
        "[" * 100_000 + "]" * 100_000,
    ):
        metadata = {ENTRY: value}
        save_file(tensors, path, metadata)
        yield f"metadata {value[:60]}"


@pytest.mark.parametrize("load", [read_checkpoint, Run.load, load_learner])
def test_another_file_is_refused_by_its_name(tmp_path, good, load):
    path = tmp_path / "some.file"
    for name in others(path, good):
        with pytest.raises(Exception) as caught:
            load(path)
        assert caught.type is ValueError, f"{name}: {caught.type.__name__}: {caught.value}"
        assert "some.file" in str(caught.value) and "expected" in str(caught.value), (
            f"{name}: {caught.value}"
        )


@pytest.mark.parametrize("load", [read_checkpoint, Run.load, load_learner])
def test_a_missing_file_is_named(tmp_path, load):
    for path in (tmp_path / "none", tmp_path, tmp_path / "none" / "file"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            load(path)


@pytest.mark.parametrize("load", [read_checkpoint, Run.load, load_learner])
@pytest.mark.parametrize("protocol", [0, 2, 5, "torch", "old torch"])
def test_nothing_in_a_file_is_executed(tmp_path, load, protocol):
    bomb, path, crater = Bomb(tmp_path / "crater"), tmp_path / "file", tmp_path / "crater"
    if isinstance(protocol, int):
        path.write_bytes(pickle.dumps(bomb, protocol))
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=protocol == "torch")
    with pytest.raises(ValueError, match="expected a checkpoint"):
        load(path)
    assert not crater.exists(), "the file was unpickled"
    if isinstance(protocol, int):
        pickle.loads(path.read_bytes())  # the bomb is real
        assert crater.exists()


# Checkpoints that do not fit together


def changed(path, good, *, tensors=None, without=(), **notes):
    """Write the good checkpoint again with other tensors or notes."""
    _, old_tensors, old_notes = good
    kept = {name: value for name, value in old_tensors.items() if name not in without}
    write_checkpoint(path, {**kept, **(tensors or {})}, {**old_notes, **notes})


SLOTS = "learner.memformer.memory_slots"


def with_recipe(**options):
    return lambda good: {"recipe": {**good[2]["recipe"], **options}}


def with_history(**lists):
    return lambda good: {"history": {**good[2]["history"], **lists}}


def of_task(task):
    return lambda good: {
        "recipe": {
            **good[2]["recipe"],
            "stages": [{**good[2]["recipe"]["stages"][0], "task": task}],
        }
    }


def tensor(name, value):
    return lambda good: {"tensors": {name: value}}


LEARNERS = {
    "no tensor of the model": lambda good: {"without": [SLOTS]},
    "an unknown tensor of the model": tensor("learner.unknown", torch.zeros(2)),
    "a wrong shape": tensor(SLOTS, torch.zeros(3, 5)),
    "a shape that could be broadcast": tensor(SLOTS, torch.zeros(1, 6)),
    "another width": with_recipe(dim=8),
    "no width": with_recipe(dim=None),
    "an endless width": with_recipe(dim=10**15),
    "an unknown option": with_recipe(unknown=1),
    "no stages": with_recipe(stages=[]),
    "a list for a stage": with_recipe(stages=[[]]),
    "no recipe": lambda good: {"recipe": None},
    "a list for a recipe": lambda good: {"recipe": [1, 2]},
    "an unknown task": of_task({"name": "Chess"}),
    "a task of nothing": of_task(None),
    "a list for a task": of_task([]),
    "a word for a task": of_task("Parity"),
}
RUNS = {
    "no seed": lambda good: {"seed": None},
    "a negative seed": lambda good: {"seed": -1},
    "an endless seed": lambda good: {"seed": 10**30},
    "no history": lambda good: {"history": None},
    "an unknown history": with_history(unknown=[]),
    "no losses": with_history(losses=None),
    "a word for losses": with_history(losses="abc"),
    "losses that are no numbers": with_history(losses=["a"]),
    "a word for scores": with_history(scores="abc"),
    "no state of the streams": lambda good: {"without": ["random.streams"]},
    "no random state": lambda good: {"without": ["random.global"]},
    "a wrong state of the streams": tensor("random.streams", torch.zeros(3).byte()),
    "a state of another type": tensor("random.global", torch.zeros(5056)),
    "no state of the optimizer": lambda good: {
        "without": [name for name in good[1] if name.startswith("optimizer.")]
    },
    "no state of one weight": lambda good: {
        "without": [name for name in good[1] if name.startswith("optimizer.0.")]
    },
    "a part of a weight's state": lambda good: {"without": ["optimizer.0.exp_avg"]},
    "an optimizer of another shape": tensor("optimizer.0.exp_avg", torch.zeros(3)),
    "an optimizer of another model": tensor("optimizer.999.step", torch.zeros(())),
    "an optimizer with odd names": tensor("optimizer.a.b.c", torch.zeros(())),
}


@pytest.mark.parametrize("change", LEARNERS.values(), ids=LEARNERS.keys())
def test_a_learner_that_does_not_fit_together_is_refused(tmp_path, good, change):
    path = tmp_path / "some.file"
    changed(path, good, **change(good))
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"some\.file: expected a trained learner"):
        load_learner(path)
    assert torch.equal(torch.get_rng_state(), before), "the global random state changed"


EVERY = LEARNERS | RUNS


@pytest.mark.parametrize("change", EVERY.values(), ids=EVERY.keys())
def test_a_run_that_does_not_fit_together_is_refused(tmp_path, good, change):
    """At once: not at its first step, and not by going on without what is missing."""
    path = tmp_path / "some.file"
    changed(path, good, **change(good))
    with pytest.raises(ValueError, match=r"some\.file: expected the checkpoint of a run"):
        Run.load(path)


def test_the_changed_checkpoints_are_refused_for_what_was_changed(tmp_path, good):
    changed(tmp_path / "same", good)
    run = Run.load(tmp_path / "same")
    assert len(run.history.losses) == 1
    run.advance()
    load_learner(tmp_path / "same")


def test_a_learner_alone_is_no_run(tmp_path):
    save_learner(Run(RECIPE).learner, tmp_path / "half", {"history": {}, "seed": 0})
    with pytest.raises(ValueError, match="half: expected the checkpoint of a run"):
        Run.load(tmp_path / "half")


def test_a_changed_model_is_not_loaded_as_another(tmp_path):
    Run(RECIPE, build=no_gate).save(tmp_path / "run")
    with pytest.raises(ValueError, match="run: expected the checkpoint of a run"):
        Run.load(tmp_path / "run")
    Run.load(tmp_path / "run", build=no_gate).advance()
