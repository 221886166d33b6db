"""What holds for every run of pytest here: nothing goes untested, and workers share evenly.

A run in which a test was skipped, expected to fail, left out or not reached does not pass.
`pytest --nbval book/05_memory.ipynb` runs one chapter and compares its text outputs, in place of
the whole `make book`.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# Kernels and programs that tests start find this tree's package; a worker has one core.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"  # a progress bar is for who waits
os.environ["MEMFORMER_LITE_STATIC"] = "1"  # widgets as on the site, also where anywidget is

collected, finished, gaps = set(), set(), []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Say what one worker runs: a file's tests, or with the mark `spread` a part of them.

    What takes long comes first, so that no worker is left alone with it at the end.
    """
    for item in items:
        mark = item.get_closest_marker("spread")
        parts = [item.path.stem]
        if mark and not mark.args:
            parts.append(item.nodeid)
        elif mark:
            values = item.callspec.params if hasattr(item, "callspec") else {}
            parts += [str(values[name]) for name in mark.args if name in values]
        item.add_marker(pytest.mark.xdist_group(" ".join(parts)))
    items.sort(
        key=lambda item: (
            item.get_closest_marker("spread") is None,
            "chromium" not in getattr(item, "fixturenames", ()),  # a notebook's cell has none
        )
    )


def pytest_itemcollected(item):
    """Compare a chapter's text only: pictures are not committed, their text alternatives are."""
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
def pytest_xdist_node_collection_finished(node, ids):
    collected.update(ids)
    if node.config.getvalue("dist") == "loadgroup" and not all("@" in name for name in ids):
        raise pytest.UsageError("pytest-xdist lost the groups: not a match for this pytest")


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
    if gaps and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for gap in dict.fromkeys(gaps):
        terminalreporter.write_line(f"UNTESTED, so this run does not pass: {gap}", red=True)
