"""Print tests/colab_pins.txt with the versions of a newer `pip freeze` of Colab, read from stdin.

Colab publishes it as pip-freeze.txt in the repository googlecolab/backend-info.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

PINS = Path(__file__).resolve().parents[1] / "tests" / "colab_pins.txt"


def versions(freeze):
    """The version of each package: `name==1.2`, or `name @ https://…/name-1.2+local-….whl`."""
    line = r"(?m)^([\w.-]+)(?:==| @ \S+/[\w.]+-)(\d[\w.]*)"
    return {name.lower(): version for name, version in re.findall(line, unquote(freeze))}


def renew(pins, freeze):
    """The pins with the freeze's versions; a package that Colab no longer has is an error."""
    current = versions(freeze)
    if lost := [n for n in re.findall(r"(?m)^([\w.-]+)==", pins) if n.lower() not in current]:
        raise SystemExit(f"not in Colab's list any more: {', '.join(lost)}")
    return re.sub(r"(?m)^([\w.-]+)==\S+", lambda m: f"{m[1]}=={current[m[1].lower()]}", pins)


if __name__ == "__main__":
    print(renew(PINS.read_text(encoding="utf-8"), sys.stdin.read()), end="")
