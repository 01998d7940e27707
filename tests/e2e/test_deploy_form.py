"""The Deploy form in JupyterLab, by hand: settings, and the keys of a deployment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat.v4 as v4

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.lab import LabNotebook

CELLS = {
    "load": "%load_ext warmcell\nfrom warmcell_widgets import DeployWidget",
    "pipeline": "%%pipeline --max-queue 7\ndef twice(x: int) -> int:\n    return 2 * x",
    "widget": "DeployWidget(twice)",
    "edit": "%%pipeline --max-queue 9\ndef twice(x: int) -> int:\n    return 20 * x",
}


def test_settings_and_keys_by_hand(
    start_server: Callable[..., JupyterServer], tmp_path: Path, page: Any
) -> None:
    """Set two settings and deploy: they hold, and stay through an edit of the cell. Make a key,
    call with it, revoke it: the call is refused."""
    path = tmp_path / "root" / "form.ipynb"
    path.parent.mkdir()
    cells = [v4.new_code_cell(text, id=name) for name, text in CELLS.items()]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(v4.writes(v4.new_notebook(cells=cells, metadata=kernel)))
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)
    view = lab.run_through("widget").locator(".wc-live")

    def info() -> dict[str, Any]:
        found: dict[str, Any] = server.get("warmcell/twice/info").json()
        return found

    def call(key: str) -> Response:
        headers = {"Authorization": f"Bearer {key}"}
        return server.post(
            "warmcell/twice/invoke", {"parameters": {"x": 4}}, headers=headers, authenticated=False
        )

    view.locator(".wc-settings summary").click()
    at_once = view.get_by_label("runs at once", exact=True)
    assert view.get_by_label("may wait in line").input_value() == "7"
    at_once.fill("none")
    view.get_by_label("title", exact=True).fill("Twice as <b>much</b>")
    view.get_by_role("button", name="Deploy", exact=True).click()
    refusal = view.locator('.wc-field:has([name="concurrency"])').get_by_role("alert")
    refusal.get_by_text("The setting 'concurrency' does not fit").wait_for()
    assert server.get("warmcell/twice/info").status == 404

    at_once.fill("2")
    view.get_by_role("button", name="Deploy", exact=True).click()
    view.get_by_text("twice serves snapshot 1.").wait_for()
    settings = {"app_title": "Twice as <b>much</b>", "concurrency": 2, "max_queue": 7}
    assert info()["settings"] == settings

    card = view.locator('[data-deployment="twice"]')
    card.get_by_text("API keys").click()
    card.get_by_label("Name of the new key").fill("shop")
    card.get_by_role("button", name="Create key").click()
    key = card.locator(".wc-key").inner_text()
    assert f"Bearer {key}" in card.locator(".wc-fresh .wc-text").last.inner_text()
    answer = call(key)
    assert answer.status == 200, answer.text
    assert answer.json()["outputs"] == {"output": 8}
    row = card.locator('[data-key="shop"]:is(tr)')
    assert "invoke" in row.inner_text()

    lab.run("edit")
    view.get_by_role("button", name="Deploy again").click()
    view.get_by_text("twice serves snapshot 2.").wait_for()
    assert info()["settings"] == {**settings, "max_queue": 9}
    assert call(key).json()["outputs"] == {"output": 80}, "keys survive a deploy"

    row.get_by_role("button", name="Revoke", exact=True).click()
    row.get_by_role("button", name="Revoke?").click()
    row.wait_for(state="detached")
    assert call(key).status == 401
    assert card.locator(".wc-key").count() == 0
