"""Change control in the Deploy view: snapshots, what changed, what drifted, one click to freeze."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.widgets.mounting import Mounted
from tests.widgets.samples import DEPLOYMENT, EVIL
from warmcell_widgets.render import deployment_html, deployment_text

SETUP = """
import numpy as np
from warmcell import pipeline, step
weights = np.ones(20_000)
factor = 2
"""
STEP = "@step\ndef scale(x: float) -> float:\n    return x * factor * weights[0]"
PIPELINE = "@pipeline\ndef scaling(x: float) -> float:\n    return scale(x)"


@pytest.fixture
def views(page: Any, jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


@pytest.fixture
def author(kernel: Kernel) -> Kernel:
    """The kernel, with a pipeline in three cells."""
    for cell in (SETUP, STEP, PIPELINE):
        kernel.run(cell)
    return kernel


def card(views: Mounted, name: str) -> Any:
    """The view of one deployment of the pipeline."""
    view = views.mount("deploy.js", _pipeline="scaling", _name="other")
    return view.locator(f'[data-deployment="{name}"]')


def test_snapshots_and_what_changed(
    views: Mounted, author: Kernel, jupyter_server: JupyterServer
) -> None:
    """Snapshots with author and note, the lines that changed between two and since, and the way
    back."""
    author.run(f"first = scaling.deploy('changing', note={EVIL!r}).snapshot")
    author.run("factor = 3\nsecond = scaling.deploy('changing', note='three').snapshot")
    first, second = author.value("[first, second]")
    shown = card(views, "changing")
    shown.get_by_text("three").wait_for()
    shown.get_by_text("Snapshots", exact=True).click()
    served, before = (shown.locator(f'[data-snapshot="{n}"]') for n in (second, first))
    before.wait_for()
    assert EVIL in before.inner_text()
    assert "test.ipynb" in before.inner_text()
    before.get_by_role("button", name="Compare").click()
    shown.get_by_text(f"snapshot {first} → snapshot {second}").wait_for()
    assert "+factor = 3" in shown.locator('[data-cell="factor"]').inner_text()
    assert "factor changed" in shown.locator(".wc-diff").inner_text()
    author.run(STEP.replace("weights[0]", "weights[1]"))
    served.get_by_role("button", name="Compare with notebook").click()
    shown.locator('[data-cell="scale"]').wait_for()
    lines = shown.locator('[data-cell="scale"] .wc-plus').all_inner_texts()
    assert [line.strip() for line in lines] == ["+    return x * factor * weights[1]"]
    before.get_by_role("button", name="Roll back").click()
    shown.get_by_text(f"snapshot {first}", exact=True).first.wait_for()
    assert jupyter_server.invoke("changing", {"x": 1}).json()["outputs"] == {"output": 2.0}
    author.run("__import__('warmcell').Client().delete_deployment('changing')")


def test_frozen_or_drifted(views: Mounted, author: Kernel) -> None:
    """The badge says that nothing changed; after edits it counts and names what did, and one click
    asks the kernel to deploy again, with the settings as they are."""
    author.run("scaling.deploy('badge')")
    shown = card(views, "badge")
    badge = shown.locator(".wc-badge")
    badge.get_by_text("frozen, as the notebook says").wait_for()
    shown.get_by_text("What it holds").click()
    weights = shown.locator('[data-name="weights"]')
    weights.get_by_text("reference").wait_for()
    assert "160 kB" in weights.inner_text()
    assert shown.get_by_role("button", name="Refreeze").is_hidden()
    author.run("factor = 5; weights[3] = 7")
    shown.get_by_role("button", name="Check again").click()
    badge.get_by_text("2 drifted").wait_for()
    assert "changed in place" in weights.inner_text()
    assert "calls use the old one" in shown.locator('[data-name="factor"]').inner_text()
    shown.get_by_role("button", name="Refreeze").click()
    (message,) = [one for one in views.sent() if one["kind"] == "warmcell-deploy"]
    assert (message["name"], message["settings"], message["note"]) == ("badge", {}, "")
    author.run("scaling.deploy('badge')")
    badge.get_by_text("frozen, as the notebook says").wait_for()
    author.run("__import__('warmcell').Client().delete_deployment('badge')")


def test_a_note_is_sent_along(views: Mounted) -> None:
    """What is written in the note goes with the deploy, and the field is empty afterwards."""
    view = views.mount("deploy.js", _pipeline="none", _name="none")
    view.get_by_label("Note about the snapshot").fill("  for the demo ")
    view.locator(".wc-primary").click()
    (message,) = [one for one in views.sent() if one["kind"] == "warmcell-deploy"]
    assert message["note"] == "for the demo"
    told = {"name": "none", "snapshot": 1, "url": "", "notes": []}
    views.receive({"kind": "warmcell-deployed", "id": message["id"], "deployment": told})
    assert view.get_by_label("Note about the snapshot").input_value() == ""


def test_static_views_have_the_note() -> None:
    """As text, whatever it is."""
    item = {**DEPLOYMENT, "note": EVIL}
    assert "&lt;img src=x" in deployment_html(item)
    assert EVIL in deployment_text(item)
