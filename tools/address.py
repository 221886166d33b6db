"""Write the project's public address everywhere it is needed, or take it out again.

python tools/address.py https://github.com/OWNER/REPO
python tools/address.py ""
"""

import os
import re
import sys
from pathlib import Path

import notebooks
import yaml

ROOT = Path(__file__).resolve().parents[1]
URL = re.compile(r"https://github\.com/([A-Za-z0-9](?:-?[A-Za-z0-9])*)/(?!\.+$)([\w.-]+)", re.ASCII)
COLAB = "https://colab.research.google.com"
WORKFLOW = "actions/workflows/book.yml"
BADGES = """<!-- badges -->
[![tests]({url}/{workflow}/badge.svg)]({url}/{workflow})
[Read the book](https://{owner}.github.io/{repo}/)
<!-- /badges -->"""


def rules(url):
    """Per file, what to find exactly once and what to put in its place."""
    owner, repo = URL.fullmatch(url).groups() if url else ("", "")
    on, badges = str(bool(url)).lower(), "<!-- badges -->\n<!-- /badges -->"
    if url:
        badges = BADGES.format(url=url, workflow=WORKFLOW, owner=owner.lower(), repo=repo)
    return {
        "_config.yml": [
            (r'(?m)^  url: ".*"$', f'  url: "{url}"'),
            (r"(?m)^  use_repository_button: \w+$", f"  use_repository_button: {on}"),
            (r"(?m)^  use_issues_button: \w+$", f"  use_issues_button: {on}"),
            (r'(?m)^  colab_url: ".*"$', f'  colab_url: "{COLAB if url else ""}"'),
        ],
        "tools/setup_cell.py": [(r'(?m)^ADDRESS = ".*"$', f'ADDRESS = "{url}"')],
        "README.md": [(r"(?s)<!-- badges -->\n.*?<!-- /badges -->", badges)],
    }


def places():
    """What each place says now: its name and the address in it."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    url = config["repository"]["url"]
    yield "_config.yml", url
    yield "Colab button", url if config["launch_buttons"]["colab_url"] == COLAB else ""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    badge = re.search(rf"<!-- badges -->\n\[!\[\w+\]\((.*)/{WORKFLOW}/badge", readme)
    yield "README.md", badge[1] if badge else ""
    for path in [ROOT / "tools" / "setup_cell.py", *sorted(ROOT.glob("book/*.ipynb"))]:
        found = re.search(r'ADDRESS = \\?"(.*?)\\?"', path.read_text(encoding="utf-8"))
        yield path.name, found[1] if found else None


def rewrite(name, replacements):
    """Change one file whole or not at all."""
    path = ROOT / name
    text = path.read_text(encoding="utf-8")
    for pattern, new in replacements:
        text, count = re.subn(pattern, lambda _, new=new: new, text)
        if count != 1:
            raise SystemExit(f"{name}: expected one place that looks like {pattern}, found {count}")
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def main(arguments):
    url = arguments[0] if len(arguments) == 1 else None
    if url is None or (url and (url.endswith(".git") or not URL.fullmatch(url))):
        return f"URL={url}: expected https://github.com/OWNER/REPO, or nothing to unset the address"
    for name, replacements in rules(url).items():
        rewrite(name, replacements)
    if notebooks.main(["--stamp"]):
        return "The chapters could not be stamped: see above. Mend them and repeat the command."
    if wrong := [name for name, there in places() if there != url]:
        return f"These places do not say {url!r}: {', '.join(wrong)}"
    print(f"The project's address is now {url or 'unset'} everywhere.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
