"""Print what each page of the built site costs its reader, with Lighthouse's scores.

    python -m tools.site_report [PAGE …]

Pages are named as in `_toc.yml`; without names, all of them. A bar that is missed ends with a
non-zero status: those of `tools/measure.py`, and Lighthouse's below.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

from tools import browser
from tools.build_site import BUILD, ROOT, pages
from tools.measure import Measures, measure, served

LIGHTHOUSE = "12.8.2"  # the last one that runs on Node.js 18 and 20
FOLDER = BUILD / "lighthouse"
NO_NODE = (
    "No Node.js found. Lighthouse's scores need `node` and `npm`, 18.16 or newer (on Debian: "
    "apt-get install nodejs npm)."
)
LEAST = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
RUNS = 3


@dataclass(frozen=True)
class Scores:
    """Lighthouse's view of a page, as on a desktop."""

    scores: dict[str, float]  # category: median of the runs, 0 to 100
    missed: dict[str, list[str]]  # category: audits below 1 in any run

    def faults(self) -> list[str]:
        """Each score that is too low, with the audits behind it."""
        return [
            f"{category} {score:.0f}, expected {LEAST[category]}: "
            + ", ".join(self.missed[category])
            for category, score in self.scores.items()
            if score < LEAST[category]
        ]


def install() -> Path:
    """Return Lighthouse's program; fetch it from npm if it is not there."""
    if not shutil.which("node") or not shutil.which("npm"):
        sys.exit(NO_NODE)
    package = FOLDER / "node_modules" / "lighthouse" / "package.json"
    if not package.is_file() or json.loads(package.read_text())["version"] != LIGHTHOUSE:
        print(f"Installing Lighthouse {LIGHTHOUSE} from npm …", flush=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", FOLDER, "--no-save", "--no-audit", "--no-fund"]
        subprocess.run([*command, f"lighthouse@{LIGHTHOUSE}"], check=True)
    return FOLDER / "node_modules" / ".bin" / "lighthouse"


def audit(program: Path, url: str) -> dict:
    """Return the report of one run, an empty browser at its start."""
    command = [program, url, "--preset=desktop", "--output=json", "--quiet"]
    command += [f"--only-categories={','.join(LEAST)}", "--disable-full-page-screenshot"]
    command += [f"--chrome-flags={' '.join(browser.FLAGS)}"]
    env = os.environ | {"CHROME_PATH": browser.find()}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def summary(reports: list[dict]) -> Scores:
    """Return the median score of each category, and what cost it points in any run."""
    scores, missed = {}, {}
    for category in LEAST:
        parts = [report["categories"][category] for report in reports]
        scores[category] = statistics.median(100 * part["score"] for part in parts)
        missed[category] = sorted(
            {
                entry["id"]
                for report, part in zip(reports, parts, strict=True)
                for entry in part["auditRefs"]
                if entry["weight"] and report["audits"][entry["id"]]["score"] not in (None, 1)
            }
        )
    return Scores(scores, missed)


def table(rows: Iterable[tuple[str, Measures, Scores]]) -> list[str]:
    """Print a line for each page as soon as it is measured; return what is missed."""
    print(
        "kB: all answers behind gzip, nothing cached. tab: presses of the tab key to the first "
        "thing that takes\nthe focus in the article; skip: the same by the skip link, Enter "
        "counted. shift: layout shift, the larger of\na wide and a narrow window. Lighthouse "
        f"{LIGHTHOUSE}, desktop, median of {RUNS}.\n"
    )
    heads = (
        "widgets",
        "kB",
        "requests",
        "foreign",
        "tab",
        "skip",
        "shift",
        "perf",
        "a11y",
        "best",
        "seo",
    )
    print(f"{'page':32}" + "".join(f"{head:>9}" for head in heads))
    missed = []
    for page, cost, seen in rows:
        cells = [cost.widgets, f"{cost.kilobytes:.0f}", cost.requests, len(cost.foreign)]
        cells += [cost.tabs, cost.presses, f"{cost.shift:.4f}"]
        cells += [f"{score:.0f}" for score in seen.scores.values()]
        print(f"{page:32}" + "".join(f"{cell!s:>9}" for cell in cells), flush=True)
        missed += [f"{page}: {fault}" for fault in (*cost.faults(), *seen.faults())]
    return missed


def main():
    known = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="as in _toc.yml; default: all")
    wanted = parser.parse_args().pages or known
    if unknown := [page for page in wanted if page not in known]:
        return f"Not in _toc.yml: {', '.join(unknown)}"
    if not (path := browser.find()):
        return browser.ADVICE
    program = install()
    with served() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=browser.FLAGS)
        missed = table(
            (
                page,
                measure(chromium, address, page),
                summary([audit(program, f"{address}/{page}.html") for _ in range(RUNS)]),
            )
            for page in wanted
        )
    if missed:
        return "\nMissed:\n" + "\n".join(missed)
    print("\nEvery bar is held.")


if __name__ == "__main__":
    sys.exit(main())
