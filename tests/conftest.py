"""Fixtures that every test folder may use. Everything here is real: no part of ours is replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browsers import ARGUMENTS, chromium, required
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

# Tests run one step again and again and look at what it does; those of caching ask for it.
os.environ.setdefault("WARMCELL_ENABLE_CACHE", "0")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., JupyterServer]]:
    """Start servers with options of the test's own (see :class:`JupyterServer`); all end with it.

    Servers of one test share the root folder unless the test passes another one.
    """
    servers: list[JupyterServer] = []

    def start(root: Path | None = None, **options: Any) -> JupyterServer:
        state = tmp_path / f"state{len(servers)}"
        state.mkdir()
        server = JupyterServer(root or tmp_path / "root", state, **options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()
        print(server.tail())  # pytest shows it when the test failed


@pytest.fixture(scope="module")
def jupyter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """One running server for the tests of a module, as a plain installation starts it."""
    folder = tmp_path_factory.mktemp("jupyter")
    server = JupyterServer(folder / "root", folder)
    try:
        yield server.start()
    finally:
        server.stop()
        print(server.tail())  # pytest shows it when the last test of the module failed


@pytest.fixture(scope="module")
def kernel(jupyter_server: JupyterServer) -> Kernel:
    """One kernel of :func:`jupyter_server`, with Warmcell loaded."""
    made = jupyter_server.kernel()
    made.run("%load_ext warmcell")
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium. Per module, because Playwright's event loop must not outlive it.

    Skips where there is no browser, unless WARMCELL_REQUIRE_BROWSER is set, as in CI.
    """
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        except Error as error:
            if required():
                raise
            pytest.skip(f"no browser: {error.message.splitlines()[0]}")
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A fresh page of the browser, in a context of its own. Its waits end after 30 s.

    What it showed last stays as ``page.png`` in the test's folder.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    opened = context.new_page()
    yield opened
    if not opened.is_closed():
        opened.screenshot(path=tmp_path / "page.png")
        print("the page at the end:", tmp_path / "page.png")  # shown when the test failed
    context.close()


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a notebook of the repository into a folder of its own and return its path."""

    def copy(name: str) -> Path:
        folder = tmp_path / "root"
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy(ROOT / "notebooks" / name, folder / name))

    return copy
