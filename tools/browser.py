"""Find the browser that tests and report of the site use, or install Debian's `chromium`."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [  # no sandbox: root may run it; and no request of the browser's own
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
]
APT = ["apt-get", "-o", "Acquire::Retries=3"]
ADVICE = (
    "No Chromium found. Install the package `chromium` (on Debian: apt-get install chromium) or "
    "Google Chrome, or set CHROMIUM to the path of its program."
)


def find():
    """The path of the browser, or None. CHROMIUM decides if it is set."""
    named = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


def install():
    """Install Debian's package where that is possible without asking anybody."""
    if os.environ.get("CHROMIUM") or os.geteuid() or not shutil.which("apt-get"):
        return
    print("No Chromium found: installing the package `chromium` …", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", "chromium"]):
        subprocess.run([*APT, *command], env=env, check=False)


def main():
    if not find():
        install()
    if not (path := find()):
        return ADVICE
    print(f"Browser for the tests of the site: {path}")


if __name__ == "__main__":
    sys.exit(main())
