"""JupyterLab's menu restarts a kernel, in a real browser: what was deployed answers on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat.v4 as v4

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.lab import LabNotebook

CELLS = {
    "load": "%load_ext warmcell\nimport os\nfrom warmcell_widgets import DeployWidget\nfactor = 3",
    "step": "%%step\ndef times(x: int) -> dict:\n    return {'y': factor * x, 'pid': os.getpid()}",
    "pipeline": "%%pipeline\ndef scaled(x: int) -> dict:\n    return times(x)",
    "widget": "DeployWidget(scaled)",
    "pid": "print('pid', os.getpid())",
    "edit": "factor = 4",
}


def test_the_kernel_is_restarted_from_the_menu(
    start_server: Callable[..., JupyterServer], tmp_path: Path, page: Any
) -> None:
    """Deploy by click, then Kernel > Restart: the URL answers from a dedicated kernel, the view
    says so. Running the cells again changes nothing; one click serves from the notebook again, but
    not once its cells say something else."""
    path = tmp_path / "root" / "restarted.ipynb"
    path.parent.mkdir()
    cells = [v4.new_code_cell(text, id=name) for name, text in CELLS.items()]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(v4.writes(v4.new_notebook(cells=cells, metadata=kernel)))
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)

    def call() -> dict[str, int]:
        answer = server.invoke("scaled", {"x": 7})
        assert answer.status == 200, answer.text
        found: dict[str, int] = answer.json()["outputs"]["output"]
        return found

    def described() -> dict[str, Any]:
        found: dict[str, Any] = server.get("warmcell/api/v1/deployments/scaled").json()
        return found

    view = lab.run_through("widget").locator(".wc-live")
    view.get_by_role("button", name="Deploy", exact=True).click()
    view.get_by_text("Served from this notebook’s kernel.").wait_for()
    before = call()
    wait_until(lambda: described()["stored"] == "stored")
    here = view.get_by_role("button", name="Serve from this notebook")
    assert here.count() == 0 or not here.is_visible()

    lab.restart()
    after = call()
    assert (after["y"], after["pid"] != before["pid"]) == (21, True)
    view.get_by_text("Served from a dedicated kernel. To serve it from this").wait_for()
    assert not here.is_visible(), "the kernel that made this view is gone"

    lab.run_through("widget")
    own = int(lab.run("pid").locator(".jp-OutputArea-output").inner_text().split()[-1])
    view.get_by_text("Served from a dedicated kernel, restored from the snapshot.").wait_for()
    assert call() == after

    lab.run("edit")
    here.click()
    view.get_by_text("now says something else than snapshot 1").wait_for()
    assert call() == after

    lab.run("load")
    here.click()
    view.get_by_text("Served from this notebook’s kernel.").wait_for()
    assert call() == {"y": 21, "pid": own}
    assert (described()["served_by"], described()["snapshot"]) == ("notebook", 1)
    assert not here.is_visible()
