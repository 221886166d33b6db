"""The browser of the tests: Chromium, in tabs that reach what a test serves and nothing else."""

from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tools import browser
from tools.build_site import ROOT

CHECKS = (ROOT / "tests" / "site_checks.js").read_text(encoding="utf-8")
# Every other host is unknown to the browser; a tab that asks for one is told in its troubles.
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@contextmanager
def launched():
    """Chromium; a run starts it once a worker, in the fixture `chromium`."""
    path = browser.find()
    assert path, browser.ADVICE
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*browser.FLAGS, ALONE])
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Browser, *bases: str, says=None, answers=True, checks=True, **options):
    """A tab with a profile of its own, for pages below the addresses `bases`.

    `tab.asked` lists what it asked for, `tab.troubles` what went wrong: requests elsewhere, errors
    of scripts, and what the console says (`says` are the kinds that count, by default all). With
    `answers`, also requests that failed. With `checks`, scripts of a page may call `siteChecks`.
    """
    context = chromium.new_context(**options)
    tab = context.new_page()
    tab.asked, tab.troubles = [], []

    def asks(request):
        tab.asked.append(request.url)
        if not request.url.startswith(("data:", "blob:", *bases)):
            tab.troubles.append(f"asks another host: {request.url}")

    def spoken(message):
        if says is None or message.type in says:
            tab.troubles.append(f"console: {message.text}")

    def answered(response):
        if response.status >= 400:
            tab.troubles.append(f"{response.status}: {response.url}")

    def failed(request):
        if request.failure != "net::ERR_ABORTED":  # the tab went on before the answer came
            tab.troubles.append(f"failed: {request.url}: {request.failure}")

    tab.on("request", asks)
    tab.on("console", spoken)
    tab.on("pageerror", lambda error: tab.troubles.append(f"script: {error}"))
    if answers:
        tab.on("response", answered)
        tab.on("requestfailed", failed)
    if checks:
        tab.add_init_script(CHECKS)
    try:
        yield tab
    finally:
        context.close()
