"""What the Deploy view says of the kernels that a deployment is served from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.widgets.mounting import Mounted
from tests.widgets.samples import DEPLOYMENT
from tests.widgets.test_deploy_settings import card
from warmcell_widgets.render import deployment_text

REPLICA: dict[str, Any] = {
    "snapshot": 3,
    "served_by": "dedicated",
    "kernel_id": "k-1",
    "pid": 4711,
    "in_flight": 1,
    "runs": 12,
    "rss": 130_000_000,
    "start_seconds": 1.5,
    "age_seconds": 70.0,
    "worn": None,
}


@pytest.fixture
def views(page: Any, jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


def test_kernels_of_its_own(views: Mounted) -> None:
    """How many of those wanted serve, what they take, and which one is about to be replaced."""
    worn = {**REPLICA, "pid": 4712, "worn": "It has executed 12 runs.", "rss": None}
    shown = card(
        views, replicas=[REPLICA, worn], replicas_wanted=3, replica_reason="<b>No</b> memory."
    )
    summary = shown.locator(".wc-replicas summary")
    assert "2 of 3 kernels" in summary.inner_text()
    assert shown.get_by_text("<b>No</b> memory.").is_visible()
    summary.click()
    rows = shown.locator(".wc-replicas tbody tr")
    assert rows.count() == 2
    assert "4711" in rows.nth(0).inner_text()
    assert "is replaced" in rows.nth(1).inner_text()


def test_the_notebooks_kernel_is_none_of_them(views: Mounted) -> None:
    """Nothing is listed where the notebook serves."""
    shown = card(views, replicas=[{**REPLICA, "served_by": "notebook"}], replicas_wanted=0)
    assert shown.locator(".wc-replicas").is_hidden()


def test_static_views_say_how_many() -> None:
    """A saved notebook and plain text say what the view does."""
    item = {**DEPLOYMENT, "served_by": "dedicated", "replicas": [REPLICA], "replicas_wanted": 1}
    assert "Served from a dedicated kernel." in deployment_text(item)
    some = deployment_text({**item, "replicas_wanted": 3, "replica_reason": "No memory."})
    assert "Served from 1 of 3 dedicated kernels" in some
    assert "No memory." in some
    whole = deployment_text({**item, "replicas": [REPLICA] * 3, "replicas_wanted": 3})
    assert "Served from 3 dedicated kernels." in whole
