"""Views in JupyterLab: through the kernel where HTTP does not reach, and after the kernel's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4

from tests.support.jupyter import JupyterServer
from tests.support.lab import LabNotebook

CELLS = {
    "define": "%load_ext warmcell\nfrom warmcell import pipeline, step\n"
    "from warmcell_widgets import DeployWidget, history\n"
    "@step\ndef double(x: int) -> int:\n    return 2 * x\n"
    "@pipeline\ndef twice(x: int) -> int:\n    return double(x)",
    "run": "run = twice(x=21)",
    "deploy": "DeployWidget(twice)",
    "far": "view = history(pipeline='twice')\nview._host_id = 'another page'\nview",
}


def test_views_without_http_and_without_a_kernel(
    start_server: Callable[..., JupyterServer], tmp_path: Path, page: Any
) -> None:
    """A view that HTTP does not reach works over the comm; and a saved notebook that is opened
    without its kernel shows static tables instead of widgets, the deployment among them."""
    path = tmp_path / "root" / "views.ipynb"
    path.parent.mkdir()
    cells = [v4.new_code_cell(text, id=name) for name, text in CELLS.items()]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(v4.writes(v4.new_notebook(cells=cells, metadata=kernel)))
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)

    assert "42" in lab.run_through("run").inner_text(), "the live display keeps the outputs"
    deploy = lab.run("deploy")
    deploy.get_by_role("button", name="Deploy", exact=True).click()
    deploy.get_by_text("twice serves snapshot 1.").wait_for()
    far = lab.run("far")
    far.locator(".wc-live [data-run]").wait_for()
    called = server.invoke("twice", {"x": 1}).json()["metadata"]["run_id"]
    far.locator(f'.wc-live [data-run="{called}"]').wait_for()
    assert far.locator(".wc-static").is_hidden()

    # Not the mark of what is unsaved: a view that goes on changes the notebook again.
    with page.expect_response(
        lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
    ) as put:
        page.keyboard.press("Control+s")
    assert put.value.ok
    saved = {cell["id"]: cell["outputs"] for cell in nbformat.read(path, as_version=4).cells}
    texts = {name: "".join(str(o.get("data", "")) for o in saved[name]) for name in saved}
    assert f"{server.url}warmcell/twice/invoke" in texts["deploy"]
    assert "succeeded" in texts["far"]

    for session in server.get("api/sessions").json():
        server.delete(f"api/sessions/{session['id']}")
    again = page.context.new_page()
    page.close()
    lab = LabNotebook(again, server, path)
    for name in ("deploy", "far"):
        cell = lab.cell(name)
        cell.locator(".wc-static").wait_for()
        cell.get_by_text("model not found").wait_for(state="hidden")
        assert cell.locator(".wc-live").count() == 0
    assert "serving" in lab.cell("deploy").inner_text()
    assert "as of" in lab.cell("far").inner_text()
