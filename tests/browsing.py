"""The site, served from this machine, and a browser tab that can reach nothing else."""

from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tools import browser
from tools.browser import FLAGS
from tools.build_site import ROOT, SITE
from tools.measure import QuietHandler, served

__all__ = ["CHECKS", "FLAGS", "QuietHandler", "served", "tab_for"]
CHECKS = (ROOT / "tests" / "site_checks.js").read_text(encoding="utf-8")


@contextmanager
def tab_for(address):
    """A tab that reaches the site only; `tab.troubles` lists what went wrong in it."""
    path = browser.find()
    assert path, browser.ADVICE
    with sync_playwright() as playwright:
        tab = playwright.chromium.launch(executable_path=path, args=FLAGS).new_page()
        tab.troubles = []

        def guard(route):
            if route.request.url.startswith((f"{address}/", f"{SITE.as_uri()}/")):
                route.continue_()
            else:
                tab.troubles.append(f"asks another host: {route.request.url}")
                route.abort()

        def spoken(message):
            if message.type in ("error", "warning"):
                tab.troubles.append(f"console: {message.text}")

        def answered(response):
            if response.status >= 400:
                tab.troubles.append(f"{response.status}: {response.url}")

        def failed(request):
            if request.failure != "net::ERR_ABORTED":  # the tab went on before the answer came
                tab.troubles.append(f"failed: {request.url}: {request.failure}")

        tab.context.route("**/*", guard)
        tab.on("console", spoken)
        tab.on("response", answered)
        tab.on("pageerror", lambda error: tab.troubles.append(f"script: {error}"))
        tab.on("requestfailed", failed)
        tab.add_init_script(CHECKS)
        yield tab
