"""The report on the site: its bars, its median, and what it says when something is missing."""

import dataclasses
import gzip
import urllib.request

import pytest

from tools import site_report
from tools.measure import Measures, served

GOOD = Measures(
    widgets=0,
    kilobytes=700.0,
    requests=23,
    foreign=[],
    forbidden=[],
    tabs=10,
    presses=10,
    shift=0.0199,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kilobytes": 701.0}, "701 kB, allowed are 700"),
        ({"kilobytes": 901.0, "widgets": 1}, "901 kB, allowed are 900"),
        ({"foreign": ["https://example.org/a.js"]}, "other hosts: https://example.org/a.js"),
        ({"forbidden": ["require.js"]}, "loads require.js"),
        ({"tabs": 11}, "11 tabs to the content"),
        ({"presses": 11}, "11 presses by the skip link"),
        ({"shift": 0.02}, "moves by 0.020"),
    ],
)
def test_each_bar_is_held_or_named(changes, words):
    assert GOOD.faults() == []
    assert dataclasses.replace(GOOD, kilobytes=900.0, widgets=1).faults() == []
    (fault,) = dataclasses.replace(GOOD, **changes).faults()
    assert words in fault


def report(score, audit):
    """A report of Lighthouse in which one category depends on one audit."""
    names = [*site_report.LEAST]
    entry = {"id": "contrast", "weight": 3}
    weightless = {"id": "advice", "weight": 0}
    good = {"score": 1, "auditRefs": []}
    categories = dict.fromkeys(names, good)
    categories["accessibility"] = {"score": score, "auditRefs": [entry, weightless]}
    return {
        "categories": categories,
        "audits": {"contrast": {"score": audit}, "advice": {"score": 0}},
    }


def test_scores_are_medians_and_name_the_audits_that_cost_points():
    seen = site_report.summary([report(0.9, 0), report(1, 1), report(0.95, 0.5)])
    assert seen.scores["accessibility"] == 95 and seen.scores["seo"] == 100
    assert seen.faults() == ["accessibility 95, expected 100: contrast"]
    assert site_report.summary([report(1, None)] * 3).missed["accessibility"] == []
    calm = site_report.Scores({"performance": 95}, {"performance": ["speed-index"]})
    slow = site_report.Scores({"performance": 94}, {"performance": ["speed-index"]})
    assert (calm.faults(), slow.faults()) == ([], ["performance 94, expected 95: speed-index"])


def test_table_prints_a_line_for_each_page_and_returns_what_is_missed(capsys):
    good = site_report.Scores(dict.fromkeys(site_report.LEAST, 100), {})
    bad = site_report.Scores({"seo": 90}, {"seo": ["meta-description"]})
    rows = [("book/one", GOOD, good), ("book/two", dataclasses.replace(GOOD, tabs=12), bad)]
    missed = site_report.table(rows)
    assert missed == [
        "book/two: 12 tabs to the content, allowed are 10",
        "book/two: seo 90, expected 100: meta-description",
    ]
    said = capsys.readouterr().out
    assert "book/one" in said and "0.0199" in said


def test_a_missing_node_is_a_failure_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="apt-get install nodejs npm"):
        site_report.install()


def test_an_unknown_page_is_a_failure(monkeypatch):
    monkeypatch.setattr("sys.argv", ["site_report", "book/lost"])
    assert site_report.main() == "Not in _toc.yml: book/lost"


def test_text_is_served_compressed_only_where_it_is_asked_for(tmp_path):
    text = b"one line, many times\n" * 500
    for name in ("index.html", "font.woff"):
        (tmp_path / name).write_bytes(text)
    with served(tmp_path) as address:

        def get(name, **headers):
            with urllib.request.urlopen(
                urllib.request.Request(f"{address}/{name}", headers=headers)
            ) as answer:
                return answer.headers["Content-Encoding"], answer.read()

        assert get("index.html") == (None, text)
        assert get("font.woff", **{"Accept-Encoding": "gzip"}) == (None, text)
        packing, body = get("index.html", **{"Accept-Encoding": "gzip"})
        assert packing == "gzip" and len(body) < 200 and gzip.decompress(body) == text
