"""Every link inside the built site leads somewhere: to a file, and to an anchor that is there."""

import sys
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tools.build_site import SITE

PAGES = sorted(SITE.rglob("*.html"))


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path):
    return {tag["id"] for tag in soup(path).find_all(id=True)}


def broken(page):
    """The links of a page that lead nowhere."""
    for tag in soup(page).find_all(lambda tag: tag.has_attr("href") or tag.has_attr("src")):
        link = tag.get("href") or tag.get("src") or ""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or tag.name == "use":
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        inside = target.is_relative_to(SITE.resolve()) and target.is_file()
        fragment = unquote(parts.fragment)
        if not inside or (
            fragment and target.suffix == ".html" and fragment not in anchors(target)
        ):
            yield link


def test_there_is_a_site():
    assert PAGES, "no site in _build/html: run `make book` first"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(SITE).as_posix())
def test_links_lead_somewhere(page):
    assert sorted(set(broken(page))) == []


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SITE", tmp_path)
    page = tmp_path / "page.html"
    page.write_text(
        '<p id="a"></p><a href="#a"></a><a href="#b"></a><img src="no.png"><a href="../x">'
    )
    assert list(broken(page)) == ["#b", "no.png", "../x"]
