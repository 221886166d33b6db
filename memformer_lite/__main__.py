"""The package's commands: `python -m memformer_lite`, or `memformer-lite` where it is installed."""

import argparse
from importlib import import_module

COMMANDS = {
    "train": "train a tiny Memformer on a task",
    "experiments": "run the book's experiments that are not on record",
}
MODULES = {
    "train": "memformer_lite.learning.command",
    "experiments": "memformer_lite.experiments.command",
}


def main(arguments: list[str] | None = None) -> None:
    """Hand the arguments behind a command's name to its module, which alone is imported."""
    lines = "\n".join(f"  {name:<13}{help}" for name, help in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m memformer_lite",
        description=f"commands, each with a --help of its own:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the command")
    options = parser.parse_args(arguments)
    import_module(MODULES[options.command]).main(options.arguments)


if __name__ == "__main__":
    main()
