"""`make address` writes the public address everywhere at once, and takes it out again."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
URL = "https://github.com/some-reader/their.book"


def address(tree, *arguments):
    command = [sys.executable, str(tree / "tools" / "address.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def places(tree):
    code = "import address; print(*(f'{name}={url}' for name, url in address.places()), sep='\\n')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tree / "tools", capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def contents(tree):
    return {p: p.read_bytes() for p in tree.rglob("*") if p.is_file() and p.suffix != ".pyc"}


@pytest.fixture
def tree(tmp_path):
    for name in ("_config.yml", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("tools", "book"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    return tmp_path


def test_all_places_of_this_tree_agree():
    assert len(set(places(ROOT).values())) == 1, places(ROOT)


def test_it_is_written_everywhere_and_taken_out_again(tree):
    before = contents(tree)
    done = address(tree, URL)
    assert done.returncode == 0, done.stderr
    found = places(tree)
    assert len(found) == 4 + len(list((ROOT / "book").glob("*.ipynb")))
    assert set(found.values()) == {URL}, found
    after = contents(tree)
    assert address(tree, URL).returncode == 0
    assert contents(tree) == after, "the second time changes something"
    assert address(tree, "").returncode == 0
    assert set(places(tree).values()) == {""}
    config = yaml.safe_load((tree / "_config.yml").read_text(encoding="utf-8"))
    assert not config["html"]["use_repository_button"] and not config["html"]["use_issues_button"]
    assert address(tree, places(ROOT)["_config.yml"]).returncode == 0  # in a fork it is not ""
    assert contents(tree) == before


BAD = """github.com/owner/repo
http://github.com/owner/repo
https://github.com/owner
https://github.com/owner/repo/
https://github.com/owner/repo.git
https://github.com/owner/repo/tree/main
https://github.com/-owner/repo
https://github.com/owner/..
https://gitlab.com/owner/repo
https://github.com.evil.example/owner/repo
https://github.com/owner/repo"; print(1); "
https://github.com/owner/re po""".splitlines()


@pytest.mark.parametrize("arguments", [*([url] for url in BAD), [f"{URL}\n"], [URL, URL], []])
def test_what_is_no_such_address_is_refused(monkeypatch, arguments):
    """The tool is called in this process: a command for each would take a minute."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = importlib.import_module("address")
    for name in ("rewrite", "notebooks"):
        monkeypatch.setattr(tool, name, None)  # it would write
    said = tool.main(arguments)
    assert said and "expected https://github.com/OWNER/REPO" in said


def test_a_refused_address_ends_the_command_and_changes_nothing(tree):
    before = contents(tree)
    done = address(tree, BAD[0])
    assert done.returncode == 1 and "expected https://github.com/OWNER/REPO" in done.stderr
    assert contents(tree) == before


def test_the_badge_leads_to_the_book_where_the_host_has_it(tree):
    """A host's name has no capitals; the path behind it keeps them."""
    assert address(tree, "https://github.com/Some-Reader/Their.Book").returncode == 0
    readme = (tree / "README.md").read_text(encoding="utf-8")
    assert "(https://some-reader.github.io/Their.Book/)" in readme
    assert "(https://github.com/Some-Reader/Their.Book/actions/" in readme


def test_a_place_that_is_not_there_is_named(tree):
    readme = tree / "README.md"
    readme.write_text(readme.read_text().replace("<!-- badges -->", ""))
    done = address(tree, URL)
    assert done.returncode == 1 and "README.md: expected one place" in done.stderr
