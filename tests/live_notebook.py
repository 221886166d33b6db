"""A notebook with a running kernel in a browser tab, in JupyterLab or the classic front end."""

import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from browsing import opened
from jupyter_client import BlockingKernelClient
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 240  # for what takes seconds on an idle machine


@dataclass(frozen=True)
class FrontEnd:
    """How a front end is started, and where it shows what a reader does there."""

    command: tuple[str, ...]
    page: str  # the notebook's address below the server's
    connected: str  # what is there once the kernel is connected
    run_all: tuple[str, str]  # a menu and its entry
    cell: str
    chosen: str  # a cell that is chosen


LAB = FrontEnd(
    command=(
        *("-m", "jupyterlab", "--LabApp.extension_manager=readonly", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ),
    page="lab/tree/live.ipynb?reset&",
    connected="#jp-main-statusbar >> text='Python 3 (ipykernel) | Idle'",
    run_all=("role=menuitem[name='Run'i]", "role=menuitem[name='Run All Cells']"),
    cell=".jp-Notebook .jp-Cell",
    chosen=".jp-Notebook .jp-Cell.jp-mod-active",
)
CLASSIC = FrontEnd(
    command=("-m", "notebook"),
    page="notebooks/live.ipynb?",
    connected=".kernel_idle_icon",
    run_all=("#celllink", "#run_all_cells"),
    cell="#notebook-container > .cell",
    chosen="#notebook-container > .cell.selected",
)
SETTINGS = {  # of JupyterLab: every cell is drawn, and nobody is asked about news
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def until(found):
    """Wait for a value that is true, and return it."""
    end = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


class Live:
    """The tab, and the kernel behind it."""

    def __init__(self, front: FrontEnd, tab, kernel: BlockingKernelClient):
        self.front, self.tab, self.kernel = front, tab, kernel

    def asked(self, code: str):
        """What the kernel prints for this code, as JSON; the notebook does not see it."""
        printed = []

        def hear(message):
            content = message["content"]
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            printed.append(content.get("text", ""))

        self.kernel.execute_interactive(code, output_hook=hear, timeout=SECONDS)
        return json.loads("".join(printed))

    def widget(self, place: int):
        """The widget below the code cell of this number."""
        return self.tab.locator(self.front.cell).nth(place).locator(".mfl-widget")

    def chosen(self) -> list[int]:
        """The numbers of the chosen cells, and how many there are in all."""
        return self.tab.evaluate(
            """([cell, chosen]) => {
              const all = [...document.querySelectorAll(cell)];
              return [all.length, ...all.flatMap((one, i) => one.matches(chosen) ? [i] : [])];
            }""",
            [self.front.cell, self.front.chosen],
        )


@contextmanager
def running(chromium: Browser, front: FrontEnd, python: str | Path, folder: Path, cells: list[str]):
    """Run these cells as a reader does, through the menu; yield what is then on the screen.

    `tab.troubles` lists errors of scripts, and requests to other hosts.
    """
    (folder / "content").mkdir()
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = new_notebook(cells=[new_code_cell(code) for code in cells], metadata=metadata)
    nbformat.write(notebook, folder / "content" / "live.ipynb")
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    with ExitStack() as stack:
        address, token = stack.enter_context(serving(front, python, folder))
        size = {"width": 1280, "height": 1400}
        kinds = {"says": ("error",), "answers": False}
        tab = stack.enter_context(opened(chromium, address, viewport=size, checks=False, **kinds))
        tab.set_default_timeout(1000 * SECONDS)
        tab.goto(f"{address}{front.page}token={token}")
        tab.wait_for_selector(front.connected, state="attached")
        for entry in front.run_all:
            tab.locator(entry).click()
        connection = until(lambda: [*(folder / "runtime").glob("kernel-*.json")])
        kernel = BlockingKernelClient(connection_file=str(connection[0]))
        kernel.load_connection_file()
        kernel.start_channels()
        yield Live(front, tab, kernel)
        kernel.stop_channels()


@contextmanager
def serving(front: FrontEnd, python: str | Path, folder: Path):
    """Address and token of the front end's server, which keeps all its files in this folder."""
    environment = {k: v for k, v in os.environ.items() if k != "MEMFORMER_LITE_STATIC"} | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--ip=127.0.0.1", f"--port={port}", "--no-browser", "--allow-root"]
    log = folder / "server.log"
    with open(log, "w", encoding="utf-8") as out:
        server = subprocess.Popen(
            [python, *front.command, *options],
            cwd=folder / "content",
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        runtime = folder / "runtime"
        # The file is there a moment before what is in it.
        written = until(
            lambda: server.poll() or "".join(f.read_text() for f in runtime.glob("*server-*.json"))
        )
        assert server.poll() is None, log.read_text("utf-8")
        told = json.loads(written)
        yield told["url"], told["token"]
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it has lost a kernel that was about to start
            server.kill()
