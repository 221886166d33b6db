"""Run the chapters and build the site to _build/html.

A failing cell, a page of _toc.yml that is not there, or any warning ends with a non-zero status.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SITE = BUILD / "html"
CACHE = BUILD / ".jupyter_cache"  # what the cells of the chapters gave; Jupyter Book reads it
READ_BY_CHAPTERS = {".py", ".js", ".css", ".json", ".safetensors"}
REDIRECT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="description" content="The book starts on its first page.">
<meta http-equiv="refresh" content="0; url={page}">
<link rel="canonical" href="{page}">
</head>
<body><p><a href="{page}">{title}</a></p></body>
</html>
"""


def pages(entry):
    """The pages of a table of contents, in reading order."""
    if isinstance(entry, list):
        return [page for item in entry for page in pages(item)]
    own = [entry[key] for key in ("root", "file") if key in entry]
    return own + [p for key in ("parts", "chapters", "sections") for p in pages(entry.get(key, []))]


def source(page):
    """The file behind a page, or None."""
    return next((p for end in (".ipynb", ".md") if (p := ROOT / (page + end)).is_file()), None)


def fingerprint():
    """A hash of what the chapters run on, besides their own cells."""
    package = (p for p in (ROOT / "memformer_lite").rglob("*") if p.suffix in READ_BY_CHAPTERS)
    files = [ROOT / "requirements.txt", ROOT / "constraints.txt", *sorted(package)]
    contents = [sys.version.encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def forget():
    """Remove old pages; and what the cells gave, when the package under them has changed.

    The cache of outputs knows the cells only, and Sphinx repeats no warning about a page that it
    does not read again. So pages are always made anew, and cells run when they can have changed.
    """
    mark, now = BUILD / "fingerprint", fingerprint()
    for old in (SITE, BUILD / ".doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    if not mark.is_file() or mark.read_text() != now:
        print("The package or its requirements are new: every chapter runs again.", flush=True)
        shutil.rmtree(CACHE, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    mark.write_text(now)


def executed(chapter):
    """The chapter with what its cells gave in a new kernel and an empty folder, or None."""
    import nbformat
    import notebooks

    notebook = nbformat.read(chapter, as_version=4)
    try:
        notebooks.run(notebook)
    except notebooks.FAULTS:
        return None
    return notebook


def run(chapters):
    """Run the chapters that the cache does not know, one on each processor core.

    One that fails is left out: Jupyter Book runs it again and says what is wrong.
    """
    import nbformat
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    def known(chapter):
        with contextlib.suppress(KeyError):
            return cache.match_cache_notebook(nbformat.read(chapter, as_version=4))

    cache = get_cache(CACHE)
    new = [chapter for chapter in reversed(chapters) if not known(chapter)]  # the last take longest
    with ProcessPoolExecutor() as pool:
        for chapter, notebook in zip(new, pool.map(executed, new), strict=True):
            if notebook:
                bundle = CacheBundleIn(notebook, str(chapter))
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def main():
    toc = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    if missing := [page for page in toc if source(page) is None]:
        return "_toc.yml names pages that do not exist: " + ", ".join(missing)
    print(f"Building {len(toc)} pages; a chapter takes up to a minute when it runs …", flush=True)
    forget()
    # The chapters import this tree's package, also in a copy of the tree with a borrowed .venv.
    # A progress bar is for who waits; on a page it is noise.
    os.environ |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
        "MEMFORMER_LITE_STATIC": "1",  # a live widget would need its kernel
    }
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    files = [source(page) for page in toc]
    run([file for file in files if file.suffix == ".ipynb"])
    command = Path(sys.executable).with_name("jupyter-book")
    built = subprocess.run([command, "build", ".", "-W", "-n", "--keep-going"], cwd=ROOT)
    if built.returncode:
        return "The site was not built: see the warnings and errors above."
    if missing := [page for page in toc if not (SITE / f"{page}.html").is_file()]:
        return "The build left out pages of _toc.yml: " + ", ".join(missing)
    index = REDIRECT.format(title=config["title"], page=f"{toc[0]}.html")
    (SITE / "index.html").write_text(index, encoding="utf-8")
    print("\nThe site is ready. Open _build/html/index.html in a browser, or serve it:")
    print("  python3 -m http.server --directory _build/html 8000   → http://localhost:8000")


if __name__ == "__main__":
    sys.exit(main())
