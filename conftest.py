"""What holds for every run of pytest here: chapters compare strictly, nothing goes untested.

`pytest --nbval book` runs each chapter and compares its text outputs with the committed ones.
A run in which a test was skipped, expected to fail, left out or not reached does not pass.
"""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# Kernels started by nbval find this tree's package; one thread, as each worker has one core.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"  # a progress bar is for who waits
os.environ["MEMFORMER_LITE_STATIC"] = "1"  # widgets as on the site, also where anywidget is

collected, finished, gaps = set(), set(), []


def pytest_configure(config):
    if config.option.nbval and getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadscope"  # all cells of a chapter need the same kernel


def pytest_itemcollected(item):
    """Compare text only: pictures are not committed, their text alternatives are."""
    if hasattr(item, "cell_num"):
        item.cell.execution_count = item.cell_num  # nbval takes None for "do not compare"
        item.parent.skip_compare += ("text/html", "image/svg+xml")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A warning on stderr is an error, also in a cell whose output is not compared."""
    result = yield
    for output in getattr(item, "test_outputs", None) or []:
        if output.get("name") == "stderr":
            item.raise_cell_error("The cell writes to stderr", output.text)
    return result


def pytest_collection_finish(session):
    collected.update(item.nodeid for item in session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids):
    collected.update(ids)


def pytest_deselected(items):
    gaps.extend(f"deselected: {item.nodeid}" for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take over from an xdist worker what only it could see."""
    gaps.extend(getattr(node, "workeroutput", {}).get("gaps", []))


def pytest_collectreport(report):
    if report.skipped:
        gaps.append(f"skipped: {report.nodeid}")


def pytest_runtest_logreport(report):
    if report.skipped or hasattr(report, "wasxfail"):
        gaps.append(f"skipped or expected to fail: {report.nodeid}")
    if report.when == "call" or not report.passed:
        finished.add(report.nodeid)


def missing_chapters(config):
    """Name the chapters of `_toc.yml` below the given folders of which no cell was collected."""
    given = [Path(config.invocation_params.dir, arg.split("::")[0]) for arg in config.args]
    chapters = re.findall(r"book/\d\d_\w+", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for chapter in (ROOT / f"{name}.ipynb" for name in chapters):
        name = chapter.relative_to(ROOT).as_posix()
        asked = any(folder.resolve() in chapter.parents for folder in given)
        if asked and not any(item.startswith(f"{name}::") for item in collected):
            yield f"no cell collected: {name}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if hasattr(config, "workerinput"):
        config.workeroutput["gaps"] = [gap for gap in gaps if gap.startswith("deselected")]
        return
    if config.option.collectonly:
        return
    if any(arg.startswith(("-k", "--lf")) for arg in config.invocation_params.args):
        gaps[:] = [gap for gap in gaps if not gap.startswith("deselected")]  # asked for
    gaps.extend(f"not run: {name}" for name in sorted(collected - finished))
    if config.option.nbval:
        gaps.extend(missing_chapters(config))
    if gaps and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for gap in dict.fromkeys(gaps):
        terminalreporter.write_line(f"UNTESTED, so this run does not pass: {gap}", red=True)
