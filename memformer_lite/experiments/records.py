"""Records: for each case its recipe, and for each seed what its run gave; one JSON file a table."""

import json
import os
from pathlib import Path

from memformer_lite.experiments.table import EXPERIMENTS
from memformer_lite.learning.recipes import to_plain
from memformer_lite.validation import check_choice

RECORDS = Path(__file__).parent / "records"


def load_record(name: str) -> dict:
    """Return the record of an experiment.

    Raises:
        ValueError: no experiment has this name; its file was cut short.
        FileNotFoundError: it was never run.
    """
    check_choice("name", name, tuple(EXPERIMENTS))
    path = RECORDS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ValueError(f"{path}: expected a record, got no JSON: {fault}") from fault


def empty_record(name: str) -> dict:
    """Return the record of an experiment without any run: what the present code would do."""
    experiment = EXPERIMENTS[name]
    return {
        "experiment": name,
        "question": experiment.question,
        "command": f"python -m memformer_lite experiments {name}",
        "cases": {
            label: {"recipe": to_plain(case.recipe), "build": case.build, "runs": {}}
            for label, case in experiment.cases.items()
        },
    }


def read_or_empty(name: str) -> dict:
    """Return the record with those runs that belong to the present code, and no others."""
    record = empty_record(name)
    if (RECORDS / f"{name}.json").exists():
        old = load_record(name)["cases"]
        for label, case in record["cases"].items():
            same = label in old and all(old[label][k] == case[k] for k in ("recipe", "build"))
            if same:
                case["runs"] = old[label]["runs"]
    return record


def write_record(record: dict) -> None:
    """Write a record beside its place, then move it there."""
    path = RECORDS / f"{record['experiment']}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
