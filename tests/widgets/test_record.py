"""Artifacts, models, tags, logs and the store in the history: seen, found, compared and changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.widgets.mounting import Mounted

CELLS = """
import base64, logging
from typing import Annotated
from warmcell import (
    ArtifactConfig, Client, Model, Tag, add_tags, log_metadata, pipeline, save_artifact, step,
)
import numpy as np
import pandas as pd

@step
def gather(rows: int) -> Annotated[pd.DataFrame, "people"]:
    print("gathering", rows, "<b>people</b>")
    return pd.DataFrame({"age": range(rows), "<i>name</i>": ["ada"] * rows})

@step
def train(people: pd.DataFrame, rate: float) -> Annotated[dict, "weights"]:
    logging.getLogger("trainer").warning("rate is %s", rate)
    log_metadata({"accuracy": 1 - rate, "nested": {"<b>f1</b>": rate / 2}})
    log_metadata({"rows": len(people)}, infer_artifact=True)
    add_tags(["fresh"], infer_artifact=True)
    return {"rate": rate, "text": "<img src=x onerror=alert(1)>"}

churn = Model("churn", description="Who <b>leaves</b>")

@pipeline(model=churn, tags=[Tag("nightly", color="teal")])
def training(rows: int = 3, rate: float = 0.25):
    return train(gather(rows), rate)

runs = [training(3, 0.25), training(4, 0.5)]
"""
DRAWN = """
import os
from warmcell.enums import ArtifactType, VisualizationType
from warmcell.materializers.base_materializer import BaseMaterializer

class Poll:
    votes = 3

class PollMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Poll,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def load(self, data_type):
        return Poll()

    def save(self, poll):
        with open(os.path.join(self.uri, "votes.txt"), "w") as file:
            file.write(str(poll.votes))

    def save_visualizations(self, poll):
        path = os.path.join(self.uri, "poll.html")
        with open(path, "w") as file:
            file.write("<b>three votes</b><img src='/stolen' onerror='document.body.dataset.ran=1'>"
                       "<script>document.body.dataset.ran = 1; fetch('/stolen')</script>")
        return {path: VisualizationType.HTML}

save_artifact(Poll(), "drawn", materializer=PollMaterializer)
"""
PIXELS = """
try:
    import matplotlib
    matplotlib.use("agg")
    from matplotlib.figure import Figure
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 4, 2])
    save_artifact(figure, "curve")
    drawn = True
except ImportError:
    drawn = False
"""


@pytest.fixture(scope="module")
def recorded(kernel: Kernel, jupyter_server: JupyterServer) -> list[str]:
    """The ids of two runs that kept artifacts, were tagged and made versions of a model."""
    kernel.run(CELLS)
    found: list[str] = kernel.value("[run.id for run in runs]")
    return found


@pytest.fixture
def views(page: Any, recorded: list[str], jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


def opened(views: Mounted, tab: str, **state: Any) -> Any:
    """The history, showing that tab."""
    view = views.mount("history.js", **{"_filters": {}, "_limit": 50, "_view": "runs", **state})
    view.get_by_role("tab", name=tab).click()
    return view


def test_a_run_tells_its_tags_metadata_and_artifacts(views: Mounted, recorded: list[str]) -> None:
    """With a tag that is put on and taken away again by hand, and the way to an artifact."""
    view = opened(views, "Runs")
    view.locator(f'[data-run="{recorded[0]}"]').click()
    detail = view.locator(".wc-detail")
    detail.get_by_text("train.accuracy").wait_for()
    text = detail.inner_text()
    for part in ("0.75", '"<b>f1</b>": 0.125', "weights, version 1", "train.weights", "nightly"):
        assert part in text, part
    detail.get_by_label("Add a tag").fill("looked at")
    detail.get_by_label("Add a tag").press("Enter")
    detail.get_by_title("Take the tag looked at away").click()
    detail.get_by_title("Take the tag looked at away").wait_for(state="detached")
    detail.get_by_role("button", name="people, version 1").click()
    view.get_by_text("content hash").wait_for()
    view.get_by_role("button", name="‹ Back").click()
    view.locator(f'[data-run="{recorded[0]}"]').wait_for()


def test_an_artifact_is_found_looked_at_kept_and_deleted(views: Mounted, kernel: Kernel) -> None:
    """Filters at the host; content as text, with the line that loads it; what has the tag keep is
    not deleted before that is taken off."""
    kernel.run("kept = save_artifact({'<u>x</u>': 1}, 'by <i>hand</i>')")
    view = opened(views, "Artifacts")
    view.get_by_label("Filter by text").fill("by <i>hand")
    row = view.locator("[data-version]")
    row.filter(has_text="by <i>hand</i>").wait_for()
    row.nth(1).wait_for(state="detached")
    row.click()
    detail = view.locator(".wc-version")
    detail.get_by_text('{"<u>x</u>": 1}').wait_for()
    detail.get_by_text('get_artifact_version("by <i>hand</i>", "1").load()').wait_for()
    assert detail.locator("u, i").count() == 0
    detail.get_by_role("button", name="Keep", exact=True).click()
    detail.get_by_text("used by").wait_for()
    detail.get_by_role("button", name="Delete", exact=True).click()
    detail.get_by_role("button", name="Delete for good?").click()
    detail.get_by_role("alert").filter(has_text="keep").wait_for()
    detail.get_by_role("button", name="Let go").click()
    detail.get_by_role("button", name="Keep", exact=True).wait_for()
    detail.get_by_role("button", name="Delete", exact=True).click()
    detail.get_by_role("button", name="Delete for good?").click()
    row.wait_for(state="detached")
    view.get_by_text("No artifacts here").wait_for()


def test_a_frame_shows_its_columns_and_who_took_it(views: Mounted, recorded: list[str]) -> None:
    """Names of columns are text too; a click leads to the run that made it."""
    view = opened(views, "Artifacts")
    view.get_by_label("newest of each only").check()
    view.locator("[data-version]").filter(has_text="people").click()
    detail = view.locator(".wc-version")
    detail.locator("th").get_by_text("<i>name</i>", exact=True).wait_for()
    assert detail.locator("table").first.locator("tbody tr").all_inner_texts() == [
        f"{age}\tada" for age in range(4)
    ]
    detail.get_by_role("button", name=re.compile("^gather of training, run")).click()
    view.locator(".wc-page .wc-steps").wait_for()
    assert recorded[1] in view.locator(".wc-page").inner_text()


def test_lineage_is_drawn_and_gone_along(views: Mounted, recorded: list[str]) -> None:
    """From an artifact back to what it came from and on to the model that has it, with what its
    maker was given."""
    view = opened(views, "Artifacts")
    view.get_by_label("newest of each only").check()
    view.locator("[data-version]").filter(has_text="weights").click()
    detail = view.locator(".wc-version")
    graph = detail.locator(".wc-lineage svg")
    graph.locator("g.wc-root").wait_for()
    kinds = {node.get_attribute("data-node").split(":")[0] for node in graph.locator("g").all()}
    assert {"artifact_version", "step", "model_version"} <= kinds
    boxes = {
        node.get_attribute("data-node"): node.bounding_box()["x"]
        for node in graph.locator("g").all()
    }
    root = graph.locator("g.wc-root").get_attribute("data-node")
    people = graph.locator("g", has_text="people")
    assert boxes[people.get_attribute("data-node")] < boxes[root]
    detail.get_by_text("how it was made").click()
    making = detail.locator(".wc-making")
    making.get_by_role("button", name="people, version 2").wait_for()
    assert "rate\n0.5" in making.inner_text()
    people.click()
    view.locator(".wc-page").get_by_text("<i>name</i>", exact=True).first.wait_for()


def test_a_figure_is_drawn(views: Mounted, kernel: Kernel) -> None:
    """The picture that was kept beside the object."""
    kernel.run(PIXELS)
    if not kernel.value("drawn"):
        pytest.skip("no matplotlib")
    view = opened(views, "Artifacts")
    view.locator("[data-version]").filter(has_text="curve").click()
    view.locator("img.wc-picture").wait_for()
    views.page.wait_for_function("document.querySelector('img.wc-picture').naturalWidth > 100")


def test_a_page_that_a_class_draws_is_seen_and_does_nothing(views: Mounted, kernel: Kernel) -> None:
    """HTML of a visualization is in a frame of its own: no script of it runs, nothing is loaded."""
    kernel.run(DRAWN)
    answered: list[str] = []
    views.page.on("response", lambda response: answered.append(response.url))
    view = opened(views, "Artifacts")
    row = view.locator("[data-version]").filter(has_text="drawn")
    row.wait_for()
    blocked = {"predicate": lambda message: "Content Security Policy" in message.text}
    with views.page.expect_console_message(**blocked) as refusal:
        row.click()
    assert "/stolen" in refusal.value.text
    shown = view.frame_locator("iframe.wc-framed")
    shown.get_by_text("three votes").wait_for()
    assert shown.locator("body").get_attribute("data-ran") is None
    assert not any("stolen" in url for url in answered)


def test_runs_are_compared(views: Mounted, recorded: list[str]) -> None:
    """Two picked runs side by side: first what differs, by how much, then all of it."""
    view = opened(views, "Runs")
    for run in recorded:
        view.get_by_label(f"Pick run {run} to compare").check()
    view.get_by_role("button", name="Compare").click()
    accuracy = view.locator('[data-key="metadata.train.accuracy"]')
    accuracy.wait_for()
    assert accuracy.locator("td").all_inner_texts() == ["train.accuracy", "0.75", "0.5 -33.3 %"]
    same = view.locator('[data-key="status"]')
    assert not same.is_visible()
    view.get_by_label("only what differs").uncheck()
    same.wait_for()


def test_a_model_is_promoted_and_brought_back(views: Mounted, kernel: Kernel) -> None:
    """A version goes to production with a reason; another one only when that is said aloud; the
    way back is one click; all of it is told with who and why."""
    view = opened(views, "Models")
    model = view.locator('[data-model="churn"]')

    def promote(version: str, why: str) -> Any:
        model.click()
        view.locator(".wc-model").get_by_role("button", name=version, exact=True).click()
        page = view.locator(".wc-page")
        page.get_by_label("Stage").select_option("production")
        page.get_by_label("Why").fill(why)
        page.get_by_role("button", name="Set", exact=True).click()
        return page

    promote("1", "<b>better</b>").locator(".wc-stage", has_text="production").wait_for()
    view.get_by_role("tab", name="Models").click()
    model.locator(".wc-stage", has_text="production 1").wait_for()
    model.click()
    page = promote("2", "newer")
    page.get_by_text("is in 'production'").wait_for()
    page.get_by_label("archive the one that is there").check()
    page.get_by_role("button", name="Set", exact=True).click()
    page.locator(".wc-stage", has_text="production").wait_for()
    assert kernel.value("Client().get_model_version('churn', 'production').version") == "2"
    page.get_by_role("button", name="churn", exact=True).click()
    moves = view.locator(".wc-page .wc-model")
    moves.get_by_text("1 → 2").wait_for()
    moves.get_by_text("<b>better</b>").wait_for()
    moves.get_by_role("button", name="Back", exact=True).click()
    moves.get_by_role("button", name="Back to 1?").click()
    moves.get_by_text("2 → 1").wait_for()
    assert kernel.value("Client().get_model_version('churn', 'production').version") == "1"


def test_tags_tell_what_has_them(views: Mounted, recorded: list[str]) -> None:
    """How many of which kind, and the way there."""
    view = opened(views, "Tags")
    row = view.locator('[data-tag="nightly"]')
    row.get_by_text("2 runs").wait_for()
    assert row.locator(".wc-tag").get_attribute("data-color") == "teal"
    row.click()
    view.get_by_role("button", name=recorded[0][-8:]).click()
    view.locator(".wc-page .wc-steps").wait_for()


def test_logs_are_searched(views: Mounted, recorded: list[str]) -> None:
    """By text, by expression and by level; a line leads to its run; a wrong expression is said."""
    view = opened(views, "Logs")
    lines = view.locator("[data-log]")
    text = view.get_by_label("Filter by text")
    text.fill("GATHERING")
    view.get_by_text("2 lines").wait_for()
    assert "gathering 4 <b>people</b>" in lines.first.inner_text()
    text.fill("")
    view.get_by_label("Filter by level").select_option("WARNING")
    lines.filter(has_text="rate is 0.25").wait_for()
    view.get_by_label("regular expression").check()
    text.fill("rate is 0\\.[1-3]")
    view.get_by_text("1 line").wait_for()
    lines.first.get_by_role("button").click()
    view.locator(".wc-page .wc-steps").wait_for()
    view.get_by_role("button", name="‹ Back").click()
    text.fill("(")
    view.get_by_text("is no regular expression").wait_for()


def test_the_store_says_what_pruning_would_delete(views: Mounted, kernel: Kernel) -> None:
    """First what would go, and nothing goes; then, on a second click, just that."""
    kernel.run("save_artifact(1, 'spare'); save_artifact(2, 'spare'); save_artifact(3, 'spare')")
    view = opened(views, "Store")
    form = view.locator(".wc-part", has=view.page.get_by_label("named, as model*"))
    form.get_by_label("named, as model*").fill("spare")
    form.get_by_label("beyond the newest, of each").fill("one")
    form.get_by_role("button", name="What would go?").click()
    form.get_by_text("“one” is no number").wait_for()
    form.get_by_label("beyond the newest, of each").fill("1")
    form.get_by_role("button", name="What would go?").click()
    form.get_by_text("2 versions, 2 bytes would go.").wait_for()
    count = "len(Client().list_artifact_versions(artifact='spare'))"
    assert kernel.value(count) == 3
    form.get_by_role("button", name="Delete them").click()
    form.get_by_role("button", name="Delete for good?").click()
    form.get_by_text("2 versions, 2 bytes went.").wait_for()
    assert kernel.value(count) == 1


def test_of_one_pipeline_only_what_is_of_it(views: Mounted) -> None:
    """Fixed filters hold in every tab, and leave out what they cannot hold in."""
    view = views.mount("history.js", _filters={"pipeline": "other"}, _limit=50, _view="artifacts")
    view.get_by_text("No artifacts here").wait_for()
    assert view.get_by_role("tab").all_inner_texts() == ["Runs of other", "Artifacts", "Logs"]
    view.get_by_role("tab", name="Logs").click()
    view.get_by_text("Nothing was written that fits").wait_for()
