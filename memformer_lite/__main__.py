"""The package's commands: `python -m memformer_lite`, or `memformer-lite` where it is installed."""

import argparse
import sys
from importlib import import_module

from memformer_lite.extras import MissingExtraError

COMMANDS = {  # name: its module, with a function `main`, and what it does
    "train": ("memformer_lite.learning.command", "train a tiny Memformer on a task"),
    "experiments": (
        "memformer_lite.experiments.command",
        "run the book's experiments that are not on record",
    ),
    "lab": ("memformer_lite.lab.command", "the book as a course lab: prove its exercises"),
}


def main(arguments: list[str] | None = None) -> None:
    """Hand all that follows a command's name to its module; no other module is imported."""
    lines = "\n".join(f"  {name:<13}{purpose}" for name, (_, purpose) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite",
        description=f"commands, each with a --help of its own:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of these")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own")
    options = parser.parse_args(arguments)
    module, _ = COMMANDS[options.command]
    try:
        import_module(module).main(options.arguments)
    except MissingExtraError as fault:
        sys.exit(f"python -m memformer_lite {options.command}: {fault}")


if __name__ == "__main__":
    main()
