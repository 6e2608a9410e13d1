"""JupyterLab and Chromium, once for all browser tests: notebooks are opened, run and used as a user would.

Without Chromium the tests are skipped, with the reason; with ``ORCHKIT_BROWSER=required`` they fail instead.
Screenshots go to ``ORCHKIT_SCREENSHOTS``, where that is set.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
_START_S = 120
_LOCAL = re.compile(r"^(https?://(127\.0\.0\.1|localhost)[:/]|wss?://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:)")
# What JupyterLab itself says without network or at closing; none of it is ours.
_NOT_OURS = re.compile(
    r"favicon|Failed to load resource.*(404|ERR_)|schema|service.?worker|WebSocket is closed", re.IGNORECASE
)


def _chromium() -> str | None:
    found = [os.environ.get("ORCHKIT_CHROMIUM"), *(shutil.which(name) for name in _CHROMIUM)]
    return next((path for path in found if path), None)


@dataclass
class Lab:
    """A running JupyterLab and a browser.

    Attributes
    ----------
    address
        Of the server, with its token.
    folder
        Where its notebooks are.
    outside
        Requests that left the machine.
    complaints
        Errors in the consoles of pages.
    """

    address: str
    token: str
    folder: Path
    browser: Any
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def page(self, *, dark: bool = False) -> Any:
        context = self.browser.new_context(
            viewport={"width": 1280, "height": 1000},
            color_scheme="dark" if dark else "light",
            reduced_motion="no-preference",
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: _LOCAL.match(request.url) or self.outside.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not _NOT_OURS.search(message.text):
            self.complaints.append(message.text)

    def notebook(self, name: str, *cells: str, outputs: Mapping[int, list[Any]] | None = None) -> str:
        """Write a notebook, and return its path in the server."""
        import nbformat  # noqa: PLC0415 -- for those tests

        made = [nbformat.v4.new_code_cell(source) for source in cells]
        for number, given in (outputs or {}).items():
            made[number]["outputs"] = [nbformat.from_dict(output) for output in given]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), self.folder / f"{name}.ipynb")
        return f"{name}.ipynb"

    def open(self, path: str, *, run: bool = True, dark: bool = False) -> Any:
        """Open a notebook in JupyterLab; ``run`` runs all its cells and waits until they are done."""
        page = self.page(dark=dark)
        page.goto(f"{self.address}/lab/workspaces/w{time.monotonic_ns()}/tree/{path}?token={self.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.command(page, "apputils:change-theme", {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"})
        if run:
            # What is run before the kernel is there is lost.
            page.wait_for_function(
                "() => { const s = window.jupyterapp.shell.currentWidget?.sessionContext;"
                " return s?.isReady && s.session?.kernel?.status === 'idle'; }"
            )
            page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
            page.wait_for_function(
                "() => { const p = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
                ".map(n => n.textContent); return p.length && p.every(t => /\\[\\d+\\]/.test(t)); }",
                timeout=180_000,
            )
        return page

    def shut_down(self) -> None:
        """End all kernels, and wait until they are gone."""
        for kernel in self._ask("GET", "/api/sessions"):
            self._ask("DELETE", f"/api/sessions/{kernel['id']}")
        while self._ask("GET", "/api/kernels"):
            time.sleep(0.05)  # between two looks at the server

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            self.address + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"null")

    def rerun(self, page: Any, number: int) -> None:
        """Run a cell of an open notebook again, and wait until it is done."""
        prompt = page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-prompt")
        before = prompt.inner_text()
        page.evaluate(
            "(n) => { const notebook = window.jupyterapp.shell.currentWidget.content;"
            " notebook.activeCellIndex = n; notebook.deselectAll();"
            " window.jupyterapp.commands.execute('notebook:run-cell'); }",
            number,
        )
        page.wait_for_function(
            "([n, before]) => { const t = document.querySelectorAll('.jp-CodeCell')[n]"
            ".querySelector('.jp-InputArea-prompt').innerText; return t !== before && /\\d/.test(t); }",
            arg=[number, before],
        )

    @staticmethod
    def command(page: Any, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        page.evaluate(
            "async ([name, given]) => { await window.jupyterapp.commands.execute(name, given); return null; }",
            [name, dict(arguments or {})],
        )

    @staticmethod
    def screenshot(node: Any, name: str) -> None:
        """Write what a node looks like, where pictures are asked for."""
        if folder := os.environ.get("ORCHKIT_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            node.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is."""
    program = _chromium()
    if program is None:
        reason = "There is no Chromium here: install it, or name it in ORCHKIT_CHROMIUM."
        if os.environ.get("ORCHKIT_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


# Playwright has a loop of its own in the thread that tests run in: it ends with the module, for the tests of others.
@pytest.fixture(scope="module")
def lab(server: tuple[str, str, Path], chromium: str) -> Iterator[Lab]:
    """JupyterLab in a browser."""
    address, token, folder = server
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield Lab(address, token, folder, browser)
        finally:
            browser.close()


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:  # noqa: ARG001 -- none without a browser
    """JupyterLab's server: its address, token and folder."""
    folder = tmp_path_factory.mktemp("lab")
    home = tmp_path_factory.mktemp("home")
    token = "t" * 24
    no_news = home / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    no_news.parent.mkdir(parents=True)
    no_news.write_text('{"fetchNews": "false"}')
    no_build = home / "config/labconfig/page_config.json"  # JupyterLab asks Node for it whenever a page is opened
    no_build.parent.mkdir(parents=True)
    no_build.write_text('{"buildAvailable": false, "buildCheck": false}')
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--expose-app-in-browser"),
        *("--LabApp.extension_manager=readonly", "--LabApp.news_url="),
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        *(f"--LabApp.workspaces_dir={home / 'workspaces'}", f"--LabApp.user_settings_dir={home / 'settings'}"),
    ]
    with (home / "lab.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            yield _address(process, home / "runtime", home / "lab.log"), token, folder
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server says where it listens, and answers."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        for found in runtime.glob("jpserver-*.json"):
            try:
                url = json.loads(found.read_text())["url"].rstrip("/")
                with urllib.request.urlopen(f"{url}/api", timeout=5):
                    return str(url)
            except (OSError, ValueError, KeyError):
                pass
        time.sleep(0.1)  # between two looks at the server
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def quiet(lab: Lab) -> Iterator[Callable[[], None]]:
    """Fail where a request left the machine, or a page complained, during the test."""
    lab.outside.clear()
    lab.complaints.clear()
    yield lambda: None
    assert lab.outside == []
    assert lab.complaints == []


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    """The theme of the page; the dark one only where pictures are asked for."""
    if request.param == "dark" and not os.environ.get("ORCHKIT_SCREENSHOTS"):
        pytest.skip("the dark theme is for looking at: ORCHKIT_SCREENSHOTS names a folder for pictures")
    return str(request.param)
