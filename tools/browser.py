"""Find the browser and the fonts that tests and report of the site use, or install Debian's."""

import os
import shutil
import subprocess
import sys

SHELL = "chromium-headless-shell"  # Chromium without windows: a tab costs a quarter of the time
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [  # no sandbox: root may run it; and no request of the browser's own
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
]
FONTS = {  # in which tests set pages -> Debian's packages that may have it
    "DejaVu Sans": ("fonts-dejavu-core",),
    "Liberation Sans": ("fonts-liberation",),
    "Noto Sans": ("fonts-noto-core",),
    "Liberation Sans Narrow": ("fonts-liberation-sans-narrow", "fonts-liberation"),
}
APT = ["apt-get", "-o", "Acquire::Retries=3"]
ADVICE = (
    "No Chromium found. Install the package `chromium-headless-shell` or `chromium` (on Debian: "
    "apt-get install chromium) or Google Chrome, or set CHROMIUM to the path of its program."
)


def find():
    """The path of the browser, or None. CHROMIUM decides if it is set."""
    named = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


def missing_fonts():
    """The fonts of the tests that this machine lacks, as far as fontconfig can tell."""
    if not shutil.which("fc-list"):
        return [*FONTS]
    listed = subprocess.run(["fc-list", ":", "family"], capture_output=True, text=True).stdout
    families = {name for line in listed.splitlines() for name in line.split(",")}
    return [font for font in FONTS if font not in families]


def install(packages):
    """Install Debian's packages where that is possible without asking anybody."""
    if os.geteuid() or not shutil.which("apt-get"):
        return
    print(f"Installing {', '.join(packages)} …", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*APT, "update", "-q"], env=env, check=False)
    for package in packages:  # each by itself: Debian's versions do not have all of them
        command = [*APT, "install", "-qy", "--no-install-recommends", package]
        subprocess.run(command, env=env, check=False)


def wanted():
    """The packages of what is missing; a browser that CHROMIUM names is the user's affair."""
    tools = [] if shutil.which(SHELL) or os.environ.get("CHROMIUM") else [SHELL]
    tools += [] if shutil.which("fc-list") else ["fontconfig"]
    fonts = [package for font in missing_fonts() for package in FONTS[font]]
    return [*dict.fromkeys(tools + fonts)]


def main():
    if packages := wanted():
        install(packages)
    if not find() and not os.environ.get("CHROMIUM"):
        install(["chromium"])
    if not (path := find()):
        return ADVICE
    if missing := missing_fonts():
        print(
            f"Fonts that are missing: {', '.join(missing)}. Tests that set pages in them will "
            "fail. On Debian: apt-get install fontconfig fonts-dejavu-core fonts-liberation "
            "fonts-noto-core"
        )
    print(f"Browser for the tests of the site: {path}")


if __name__ == "__main__":
    sys.exit(main())
