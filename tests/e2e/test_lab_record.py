"""The record in JupyterLab, by hand: what a person sees and clicks in the history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.lab import LabNotebook


def test_the_record_by_hand(
    start_server: Callable[..., JupyterServer],
    notebook: Callable[[str], Path],
    page: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Run the notebook; look at an artifact and go along its lineage; compare two runs; bring the
    model back by a click, and the deployment that follows it answers from the one before."""
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "keys"))
    monkeypatch.setenv("WARMCELL_ENABLE_CACHE", "1")
    path = notebook("record.ipynb")
    server = start_server(application="jupyterlab")
    lab = LabNotebook(page, server, path)
    view = lab.run_through("history").locator(".wc-live")

    row = view.locator("[data-version]", has_text="customers")
    row.click()
    detail = view.locator(".wc-version")
    detail.get_by_text("orders", exact=True).first.wait_for()
    detail.get_by_label("Add a tag").fill("mine")
    detail.get_by_label("Add a tag").press("Enter")
    row.locator(".wc-tag", has_text="mine").wait_for()
    page.screenshot(path=tmp_path / "artifact.png")
    detail.locator(".wc-lineage g.wc-way", has_text="train").first.click()
    view.locator(".wc-page .wc-steps").get_by_text("train").first.wait_for()

    view.get_by_role("tab", name="Runs").click()
    view.get_by_label("Filter by tag").fill("nightly")
    runs = view.locator("[data-run]")
    view.get_by_text("2 runs").wait_for()
    for index in (1, 0):
        runs.nth(index).get_by_role("checkbox").check()
    view.get_by_role("button", name="Compare").click()
    strength = view.locator('[data-key="parameters.strength"]')
    assert "0.001" in strength.inner_text()
    page.screenshot(path=tmp_path / "compared.png")

    assert answered(server) == "2"
    view.get_by_role("tab", name="Models").click()
    view.locator('[data-model="churn"]').click()
    model = view.locator(".wc-model")
    model.get_by_text("the first one that works").wait_for()
    model.get_by_role("button", name="Back", exact=True).click()
    model.get_by_role("button", name="Back to 1?").click()
    model.get_by_text("2 → 1").wait_for()
    page.screenshot(path=tmp_path / "model.png")
    page.wait_for_function(
        "async ([url]) => (await (await fetch(url)).json()).follows.version === '1'",
        arg=[f"{server.url}warmcell/api/v1/deployments/churn"],
    )
    assert answered(server) == "1"


def answered(server: JupyterServer) -> str:
    """The version of the model that answers a call."""
    outputs = server.invoke("churn", {"age": 44}).json()["outputs"]
    return str(outputs["output"]["version"])
