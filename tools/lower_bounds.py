"""Print the oldest version of each package that pyproject.toml promises, as pip's constraints."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def bounds(project):
    """`name==version` for each `name>=version` among a project's dependencies."""
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    pairs = [re.fullmatch(r"([\w-]+)>=([\d.]+)", one) for wanted in lists for one in wanted]
    return sorted(f"{pair[1]}=={pair[2]}" for pair in pairs if pair)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print("\n".join(bounds(project)))
