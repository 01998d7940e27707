"""A split in the Deploy view: shares and how they go, live; promotion and abort in one click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.widgets.mounting import Mounted
from tests.widgets.samples import DEPLOYMENT, EVIL
from warmcell_widgets.render import deployment_html, deployment_text

CELLS = """
from warmcell import Client, pipeline, step
version = 1
@step
def tag(mood: str) -> int:
    if mood == "bad" and version == 2:
        raise ValueError(mood)
    return version
@pipeline
def tagging(mood: str = "good") -> int:
    return tag(mood)
"""


@pytest.fixture
def views(page: Any, jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


def test_a_release_is_watched_and_ended(
    views: Mounted, kernel: Kernel, jupyter_server: JupyterServer
) -> None:
    """Weights as a bar and in figures, errors as they come, why it was aborted, the differences of
    a shadow, and the one click that promotes."""
    kernel.run(CELLS)
    one = kernel.value("tagging.deploy('canary').snapshot")
    kernel.run("version = 2\nserved = tagging.deploy('canary', traffic=0)")
    two = kernel.value("tagging.snapshots()[0]['number']")
    card = views.mount("deploy.js", _pipeline="tagging", _name="other").locator(
        '[data-deployment="canary"]'
    )
    release = card.locator(".wc-release")
    release.get_by_text(f"Snapshot {one} answers every call.").wait_for()
    bounds = "{'error_rate': 0.5, 'min_runs': 4}"
    kernel.run(f"served.split({{{one}: 0.25, {two}: 0.75}}, by='mood', abort_if={bounds})")
    release.get_by_text("Calls are shared by mood. Aborts on more than 50 % errors").wait_for()
    bar = release.get_by_role("img", name=f"snapshot {one}: 25 %, snapshot {two}: 75 %")
    wide = [part.bounding_box()["width"] for part in bar.locator("span").all()]
    assert wide[1] > 2 * wide[0]
    where = {
        mood: jupyter_server.invoke("canary", {"mood": mood}).json()["metadata"]["snapshot"]
        for mood in map(str, range(8))
    }
    mine = sum(snapshot == two for snapshot in where.values())
    newcomer = release.locator(f'[data-share="{two}"]')
    newcomer.get_by_text(str(mine), exact=True).wait_for()
    newcomer.get_by_text("0 %", exact=True).wait_for()
    release.get_by_role("button", name="Abort").click()
    release.wait_for(state="hidden")
    assert jupyter_server.invoke("canary", {"mood": "0"}).json()["metadata"]["snapshot"] == one
    kernel.run(f"served.split({{{two}: 1.0}}, abort_if={bounds})")
    for _ in range(4):
        assert jupyter_server.invoke("canary", {"mood": "bad"}).status == 500
    release.get_by_text(f"Aborted: Snapshot {two} failed 4 of its newest 4 calls").wait_for()
    kernel.run(f"served.shadow({two})")
    jupyter_server.invoke("canary", {})
    release.get_by_text("1 of 1 different").wait_for()
    release.locator(f'[data-shadow="{two}"]').get_by_role("button", name="Promote").click()
    release.wait_for(state="hidden")
    wait_until(lambda: kernel.value("served.refresh().snapshot") == two)
    card.get_by_text(f"snapshot {two}", exact=True).first.wait_for()
    kernel.run("served.undeploy()")


def test_static_views_tell_of_a_split() -> None:
    """Shares and why one was aborted, as text, whatever it is."""
    traffic: dict[str, Any] = {
        "main": 3,
        "by": EVIL,
        "abort_if": None,
        "snapshots": [
            {"snapshot": 3, "weight": 0.9, "runs": 9, "errors": 0, "error_rate": 0.0, "p95": 0.1},
            {"snapshot": 4, "weight": 0.1, "runs": 1, "errors": 0, "error_rate": 0.0, "p95": 0.1},
        ],
        "shadows": [],
        "aborted": None,
    }
    item = {**DEPLOYMENT, "snapshot": 3, "traffic": traffic}
    assert "Calls are shared: snapshot 3 90%, snapshot 4 10%." in deployment_text(item)
    assert "snapshot 4 10%" in deployment_html(item)
    none = [{**traffic["snapshots"][0], "weight": 0.0}, {**traffic["snapshots"][1], "weight": 1.0}]
    moved = deployment_text({**item, "traffic": {**traffic, "snapshots": none}})
    assert "Calls are shared: snapshot 4 100%." in moved
    warm = [{**traffic["snapshots"][0], "weight": 1.0}, {**traffic["snapshots"][1], "weight": 0.0}]
    beside = deployment_text({**item, "traffic": {**traffic, "snapshots": warm}})
    assert "Warm, and answering nobody yet: snapshot 4." in beside
    gone = {**traffic, "snapshots": traffic["snapshots"][:1], "aborted": {"cause": EVIL}}
    assert f"Aborted: {EVIL}" in deployment_text({**item, "traffic": gone})
    assert "&lt;img src=x" in deployment_html({**item, "traffic": gone})
