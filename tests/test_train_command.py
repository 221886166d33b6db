"""The command `python -m memformer_lite train`, as a reader uses it."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from memformer_lite.learning.checkpoint import load_learner
from memformer_lite.learning.command import main
from memformer_lite.learning.recipes import RECIPES, Recipe, Stage
from memformer_lite.learning.tasks import Parity, Text
from memformer_lite.learning.train import Run, train

ROOT = Path(__file__).resolve().parents[1]
TINY = Recipe(
    stages=(
        Stage(Parity(), steps=2, segments=(2, 3)),
        Stage(Parity(), steps=7, segments=(3, 4)),
    ),
    dim=6,
    heads=2,
    slots=3,
    batch_size=5,
    warmup=3,
    dropout=0.1,
    score_every=4,
)
GUESS = Recipe(stages=(Stage(Text(length=5), steps=3, segments=(2, 2)),), dim=6, heads=2, slots=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Parity and text with tiny models; the thread count of the tests stays as it is."""
    monkeypatch.setitem(RECIPES, "parity", TINY)
    monkeypatch.setitem(RECIPES, "text", GUESS)
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    return threads


def command(*arguments):
    """Run it as a process of its own."""
    call = [sys.executable, "-m", "memformer_lite", "train", *map(str, arguments)]
    env = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    return subprocess.run(call, cwd=ROOT, env=env, capture_output=True, text=True)


def refuse(capsys, *arguments):
    """Run it; return the one line that says what is wrong, with exit code 2 and no traceback."""
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and out == "", out
    usage, _, message = err.rpartition("python -m memformer_lite train: error: ")
    assert usage.startswith("usage: python -m memformer_lite train"), err
    assert "Traceback" not in err and message.count("\n") == 1
    return message


RESULT = re.compile(
    r"(?P<recipe>\w+), seed (?P<seed>\d+): held-out (?P<measure>accuracy|bits a token) "
    r"(?P<score>\d\.\d{3}) after (?P<steps>\d+) steps, (?P<seconds>\d+\.\d) CPU seconds, "
    r"(?P<parameters>[\d,]+) parameters\n"
)


def result(capsys, *arguments):
    """Run it quietly; return what its only line says."""
    main([*map(str, arguments), "--quiet"])
    out, err = capsys.readouterr()
    found = RESULT.fullmatch(out)
    assert found and err == "", out + err
    return found.groupdict()


# In a process of its own


def test_help_says_what_there_is():
    done = command("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in (*RECIPES, "--seed", "--steps", "--save", "--resume", "--quiet", "--threads"):
        assert word in done.stdout, word


def test_parity_is_learnt_from_the_command_line():
    """With a bar, which ends, and one line of results."""
    done = command("parity", "--seed", "0")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    bar, _, line = done.stdout.rstrip("\n").rpartition("\n")
    said = RESULT.fullmatch(line + "\n")
    assert said, done.stdout
    assert said["score"] == "1.000" and said["measure"] == "accuracy" and said["recipe"] == "parity"
    assert 0 < int(said["steps"]) <= 300 and float(said["seconds"]) > 0
    assert "score=1.000" in bar and f"{said['steps']}/300" in bar


def test_a_wrong_call_ends_with_code_2():
    done = command("chess")
    assert done.returncode == 2 and done.stdout == ""
    assert "chess" in done.stderr and "'cards'" in done.stderr and "Traceback" not in done.stderr


# What is wrong is said in one line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chess"], ["chess", "cards"]),
        ([], ["recipe"]),
        (["parity", "--seed", "-1"], ["seed", "-1"]),
        (["parity", "--seed", "1.5"], ["--seed", "1.5"]),
        (["parity", "--seed", str(10**30)], ["seed", str(10**30)]),
        (["parity", "--steps", "0"], ["--steps", "0"]),
        (["parity", "--steps", "-3"], ["--steps", "-3"]),
        (["parity", "--steps", "many"], ["--steps", "many"]),
        (["parity", "--threads", "0"], ["--threads", "0"]),
        (["parity", "--threads", "-1"], ["--threads", "-1"]),
        (["parity", "--method", "rtrl"], ["--method", "rtrl", "mrbp"]),
        (["parity", "--save", "none/file"], ["--save", "none/file", "folder"]),
        (["parity", "--save-model", "none/file"], ["--save-model", "none/file", "folder"]),
        (["parity", "--save", "one", "--save-model", "one"], ["--save-model", "one", "--save"]),
        (["parity", "--resume", "none"], ["none", "no such file"]),
        (["parity", "--unknown"], ["--unknown"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_named(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    # As torch does; the real one would change the other tests.
    monkeypatch.setattr(torch, "set_num_threads", refuse_threads)
    message = refuse(capsys, *arguments)
    for word in words:
        assert word in message, message
    assert list(tmp_path.iterdir()) == []


def refuse_threads(count):
    if count < 1:
        raise RuntimeError("set_num_threads expects a positive integer")


@pytest.mark.parametrize("option", ["--save", "--save-model"])
def test_a_folder_in_place_of_a_file_is_refused_before_training(
    capsys, tmp_path, monkeypatch, option
):
    monkeypatch.setattr(Run, "advance", lambda run: pytest.fail("it was trained in vain"))
    assert str(tmp_path) in refuse(capsys, "parity", option, tmp_path)


@pytest.mark.parametrize("option", ["--save", "--save-model"])
@pytest.mark.parametrize(("place", "says"), [("pipe", "expected a file"), ("n" * 250, "too long")])
def test_a_place_that_cannot_be_written_is_refused_before_training(
    capsys, tmp_path, monkeypatch, option, place, says
):
    monkeypatch.setattr(Run, "advance", lambda run: pytest.fail("it was trained in vain"))
    os.mkfifo(tmp_path / "pipe")
    message = refuse(capsys, "parity", option, tmp_path / place)
    assert message.startswith(f"{option}: ") and place in message and says in message
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_file_that_is_no_checkpoint_is_named(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("no checkpoint")
    assert "notes.txt: expected a checkpoint" in refuse(
        capsys, "parity", "--resume", tmp_path / "notes.txt"
    )


@pytest.mark.parametrize(
    "other",
    [
        ["parity", "--seed", "1"],
        ["parity", "--steps", "8"],
        ["parity", "--no-memory"],
        ["parity", "--method", "mrbp"],
        ["cards"],
    ],
    ids=" ".join,
)
def test_another_training_is_not_resumed(capsys, tmp_path, other):
    result(capsys, "parity", "--save", tmp_path / "run")
    before = (tmp_path / "run").read_bytes()
    message = refuse(capsys, *other, "--resume", tmp_path / "run", "--save", tmp_path / "run")
    assert "--resume" in message and str(tmp_path / "run") in message
    assert "another recipe, seed or option" in message
    assert (tmp_path / "run").read_bytes() == before


def test_a_disk_that_is_full_is_reported(capsys, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = refuse(capsys, "parity", "--quiet", "--save", tmp_path / "run")
    assert "No space left" in message and list(tmp_path.iterdir()) == []


# What is right


def test_the_result_is_one_line(capsys):
    said = result(capsys, "parity", "--seed", 3)
    count = sum(p.numel() for p in Run(TINY).learner.parameters())
    assert (said["recipe"], said["seed"], said["steps"]) == ("parity", "3", "9")
    assert said["measure"] == "accuracy" and said["parameters"] == f"{count:,}"
    run = Run(TINY, seed=3)
    train(run, progress=False)
    assert said["score"] == f"{run.history.scores[-1]:.3f}"


def test_what_is_guessed_is_measured_in_bits(capsys):
    assert result(capsys, "text")["measure"] == "bits a token"


def test_a_bar_is_shown_unless_it_is_quiet(capsys, monkeypatch):
    # TQDM_DISABLE, which holds for all tests, switches it off unless it is asked for.
    monkeypatch.setattr(
        "memformer_lite.learning.train.tqdm", functools.partial(tqdm, disable=False)
    )
    main(["parity"])
    out = capsys.readouterr().out
    assert "9/9" in out and RESULT.search(out)
    result(capsys, "parity")


def test_options_change_the_recipe(capsys, tmp_path, quick):
    path = tmp_path / "run"
    options = ["--steps", 5, "--method", "mrbp", "--no-memory", "--threads", 2, "--save", path]
    said = result(capsys, "parity", *options)
    recipe = Run.load(path).recipe
    assert [stage.steps for stage in recipe.stages] == [2, 5] and said["steps"] == "7"
    assert recipe.method == "mrbp" and not recipe.use_memory
    assert recipe.stages[0] == TINY.stages[0]
    assert quick == [2]


def test_defaults_are_the_recipe_seed_0_and_one_thread(capsys, tmp_path, quick):
    assert result(capsys, "parity", "--save", tmp_path / "run")["seed"] == "0"
    run = Run.load(tmp_path / "run")
    assert run.recipe == TINY and run.seed == 0 and quick == [1]


def interrupt(monkeypatch, after):
    """Press Ctrl-C in the step that comes after so many."""
    advance = Run.advance

    def step(run):
        if len(run.history.losses) == after:
            raise KeyboardInterrupt
        return advance(run)

    monkeypatch.setattr(Run, "advance", step)


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(capsys, tmp_path):
    result(capsys, "parity", "--save", tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, after=6)
        with pytest.raises(SystemExit) as stopped:
            main(["parity", "--quiet", "--save", str(tmp_path / "run")])
    assert f"--resume {tmp_path / 'run'}" in str(stopped.value.code)
    assert "stopped after" in str(stopped.value.code)
    assert len(Run.load(tmp_path / "run").history.losses) in (4, 6)
    options = ["--resume", tmp_path / "run", "--save", tmp_path / "run"]
    said = result(capsys, "parity", *options)
    assert said["steps"] == "9"
    first, second = Run.load(tmp_path / "whole"), Run.load(tmp_path / "run")
    assert first.history == second.history
    for a, b in zip(first.learner.parameters(), second.learner.parameters(), strict=True):
        assert torch.equal(a, b)
    # Once more: there is nothing left to do.
    assert result(capsys, "parity", *options)["score"] == said["score"]


@pytest.mark.parametrize("after", [2, 6])
def test_an_interruption_promises_only_a_file_that_is_there(tmp_path, monkeypatch, after):
    """In the first steps nothing has been saved yet; later, not the last steps."""
    interrupt(monkeypatch, after=after)
    with pytest.raises(SystemExit) as stopped:
        main(["parity", "--quiet", "--save", str(tmp_path / "run")])
    said = str(stopped.value.code)
    if "--resume" in said:
        assert (tmp_path / "run").is_file(), said
        said = said.replace(str(tmp_path), "")
        saved = len(Run.load(tmp_path / "run").history.losses)
        assert re.search(rf"\b{saved}\b", said), f"goes on from step {saved}, but says: {said}"


def test_without_a_file_an_interruption_promises_none(monkeypatch):
    interrupt(monkeypatch, after=6)
    with pytest.raises(SystemExit) as stopped:
        main(["parity", "--quiet"])
    assert "6 steps" in str(stopped.value.code) and "--resume" not in str(stopped.value.code)


def test_the_trained_model_is_written_alone(capsys, tmp_path):
    result(capsys, "parity", "--save", tmp_path / "run", "--save-model", tmp_path / "model")
    run, learner = Run.load(tmp_path / "run"), load_learner(tmp_path / "model")
    for a, b in zip(run.learner.parameters(), learner.parameters(), strict=True):
        assert torch.equal(a.half().float(), b)
    assert learner.recipe == TINY


@pytest.mark.parametrize("name", ["file", "./file"])
def test_files_in_the_present_folder_need_no_path(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result(capsys, "parity", "--save", name, "--save-model", name + "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file2"]
