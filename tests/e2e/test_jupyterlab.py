"""The quickstart in JupyterLab, in a real browser: what a person sees and clicks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.jupyter import JupyterServer
from tests.support.lab import LabNotebook

SAMPLE = {"radius": 11.84, "texture": 18.7, "concavity": 0.1218, "symmetry": 0.2301}


def test_quickstart_by_hand(
    start_server: Callable[..., JupyterServer], notebook: Callable[[str], Path], page: Any
) -> None:
    """Run the cells, click Deploy, call the URL, and see the call in the history without running
    a cell again; then edit and redeploy, and the answer changes only then."""
    path = notebook("quickstart.ipynb")
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)

    widget = lab.run_through("deploy-widget")
    widget.get_by_role("button", name="Deploy", exact=True).click()
    widget.get_by_text("serving").first.wait_for()
    assert f"{server.url}warmcell/screening/invoke" in widget.inner_text()
    first = server.invoke("screening", {"sample": SAMPLE})
    assert first.status == 200, first.text
    assert first.json()["outputs"]["output"]["malignant"] is False

    history = lab.run("history")
    shown = history.locator("[data-run]")
    history.locator(f'[data-run="{first.json()["metadata"]["run_id"]}"]').wait_for()
    count, prompt = shown.count(), lab.prompt("history")
    assert count == 2

    second = server.invoke("screening", {"sample": {**SAMPLE, "radius": 20.0}})
    row = history.locator(f'[data-run="{second.json()["metadata"]["run_id"]}"]')
    row.wait_for()
    assert shown.count() == count + 1
    assert shown.first.get_attribute("data-run") == second.json()["metadata"]["run_id"]
    assert "succeeded" in row.inner_text()
    assert lab.prompt("history") == prompt, "no cell was run again"
    row.click()
    for step in ("features", "score", "verdict"):
        history.locator(".wc-steps tr", has_text=step).first.wait_for()

    lab.run("deploy-code")
    if shutil.which("curl"):
        assert '"malignant":false' in lab.run("curl").inner_text()
    assert "'malignant': False" in lab.run("client").inner_text()
    assert "succeeded" in lab.run("sql").inner_text()

    lab.run("edit")
    unchanged = server.invoke("screening", {"sample": SAMPLE}).json()
    assert unchanged["outputs"] == first.json()["outputs"]
    assert unchanged["metadata"]["snapshot"] == 1
    lab.run("redeploy")
    changed = server.invoke("screening", {"sample": SAMPLE}).json()
    assert changed["outputs"]["output"]["malignant"] is True
    assert changed["metadata"]["snapshot"] == 2


def test_history_lives_while_a_cell_runs(
    start_server: Callable[..., JupyterServer], tmp_path: Path, page: Any
) -> None:
    """While a cell spins, a new call appears in the history: it does not go through the kernel."""
    import nbformat.v4 as v4

    cells = {
        "load": "%load_ext warmcell\nfrom warmcell_widgets import history",
        "pipeline": "%%pipeline\ndef twice(x: int) -> int:\n    return 2 * x",
        "deploy": "deployed = twice.deploy('twice')",
        "history": "history(pipeline='twice')",
        "spin": "while True:\n    sum(range(1000))",
    }
    made = v4.new_notebook(
        cells=[v4.new_code_cell(text, id=name) for name, text in cells.items()],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    path = tmp_path / "root" / "busy.ipynb"
    path.parent.mkdir()
    path.write_text(v4.writes(made))
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)
    history = lab.run_through("history")
    lab.start("spin")
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="busy"]').wait_for()
    run_id = server.invoke("twice", {"x": 21}).json()["metadata"]["run_id"]
    history.locator(f'[data-run="{run_id}"]').wait_for()
    assert page.locator('.jp-Notebook-ExecutionIndicator[data-status="busy"]').count() == 1
