"""The question in the Deploy view whether foreign code may run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.widgets.mounting import Mounted

CELLS = """
%load_ext warmcell
from warmcell import pipeline, step

@step
def plus(x: int) -> int:
    return x + 1

@pipeline
def carried(x: int) -> int:
    return plus(x)

_ = carried.deploy("carried")
"""


@pytest.fixture
def views(page: Any, jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


def test_a_person_is_asked_and_says_yes(views: Mounted, jupyter_server: JupyterServer) -> None:
    """A deployment whose snapshot another key signed is not restored; the view says who deployed
    it from where, one click asks again, the second has it served."""
    server = jupyter_server
    path = "warmcell/api/v1/deployments/carried"
    kernel = server.kernel("elsewhere.ipynb")
    kernel.run(CELLS)
    wait_until(lambda: server.get(path).json()["stored"] == "stored")
    view = views.mount("deploy.js", _pipeline="carried", _name="carried")
    shown = view.locator('[data-deployment="carried"]')
    shown.wait_for()
    question = shown.locator(".wc-trust")
    assert question.is_hidden()
    key = Path(server.environment["JUPYTER_DATA_DIR"]) / "warmcell" / "snapshot.key"
    key.write_bytes(os.urandom(32))
    kernel.kill()
    question.get_by_text("deployed by").wait_for()
    assert "from elsewhere.ipynb" in question.inner_text()
    question.get_by_role("button", name="Trust and restore").click()
    question.get_by_role("button", name="Run its code here?").click()
    shown.get_by_text("Served from a dedicated kernel").wait_for()
    question.wait_for(state="hidden")
    assert server.invoke("carried", {"x": 1}).json()["outputs"] == {"output": 2}
