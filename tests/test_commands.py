"""The commands of the package, and what is said where a package is missing that they need."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from memformer_lite.__main__ import COMMANDS, main
from memformer_lite.extras import MissingExtraError, extra

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def python(*arguments, **variables):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )


def stopped(capsys, *arguments):
    """Run a command that ends at once; return exit code, output and errors."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return (caught.value.code, *capsys.readouterr())


def test_help_lists_the_commands_and_each_has_its_own(capsys):
    code, out, err = stopped(capsys, "--help")
    assert (code, err) == (0, "") and all(name in out for name in COMMANDS)
    for name in COMMANDS:
        code, out, err = stopped(capsys, name, "--help")
        assert (code, err) == (0, "") and out.startswith(f"usage: python -m memformer_lite {name}")


@pytest.mark.parametrize("arguments", [[], ["chess"], ["--unknown"]], ids=str)
def test_a_wrong_command_is_refused_with_the_right_ones(capsys, arguments):
    code, out, err = stopped(capsys, *arguments)
    assert (code, out) == (2, "") and "COMMAND" in err and "Traceback" not in err
    assert "chess" not in arguments or all(name in err for name in COMMANDS)


def test_the_installed_command_is_the_same():
    module, _, function = PROJECT["scripts"]["memformer-lite"].partition(":")
    assert getattr(sys.modules[module], function) is main
    done = python("-m", "memformer_lite", "experiments", "chess")
    assert done.returncode == 2 and "chess" in done.stderr and "cards" in done.stderr


# What is missing


def brings(name):
    """The packages of an extra, with those of the extras in it."""
    found = set()
    for line in PROJECT["optional-dependencies"][name]:
        inner = line.removeprefix("memformer-lite[").removesuffix("]")
        found |= {line.partition(">")[0]} if inner == line else brings(inner)
    return found


SCIKIT = "from memformer_lite.learning.tasks import Digits; Digits().all_images()"
MISSING = [
    ("safetensors", "import memformer_lite.learning.checkpoint", "train"),
    ("tqdm", "import memformer_lite.learning.train", "train"),
    ("sklearn.datasets", SCIKIT, "train"),
    ("matplotlib", "import memformer_lite.figures", "book"),
    ("matplotlib", "import memformer_lite.widgets", "book"),
    ("safetensors", "from memformer_lite.widgets import MemoryExplorer", "train"),
]


@pytest.mark.parametrize(("package", "code", "name"), MISSING)
def test_a_missing_package_is_named_with_what_installs_it(package, code, name):
    done = python("-c", f"import sys; sys.modules[{package!r}] = None; {code}")
    last = done.stderr.strip().splitlines()[-1]
    assert package in last and last.endswith(f"pip install 'memformer-lite[{name}]' brings it")
    assert {"sklearn.datasets": "scikit-learn"}.get(package, package) in brings(name)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("tqdm", ["train", "parity"]),
        ("safetensors", ["experiments", "--help"]),
        ("sklearn.datasets", ["train", "digits", "--quiet"]),
    ],
)
def test_a_command_says_it_in_one_line(package, arguments):
    code = f"import sys; sys.modules[{package!r}] = None; import memformer_lite.__main__ as m; "
    done = python("-c", f"{code} m.main({arguments!r})")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"python -m memformer_lite {arguments[0]}: ")
    assert done.stderr.endswith("pip install 'memformer-lite[train]' brings it\n")


def test_the_help_of_all_commands_needs_torch_alone():
    names = ("tqdm", "safetensors", "sklearn", "matplotlib", "einops", "anywidget")
    blocked = f"import sys; sys.modules.update(dict.fromkeys({names!r})); "
    done = python("-c", f"{blocked} import memformer_lite.__main__ as m; m.main(['--help'])")
    assert done.returncode == 0 and "experiments" in done.stdout, done.stderr


def test_a_module_of_ours_that_is_missing_is_no_missing_extra():
    with pytest.raises(ModuleNotFoundError) as caught, extra("train"):
        import memformer_lite.no_such_module  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)
