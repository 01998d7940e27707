"""The live views in a real browser, against a real server whose kernel serves a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.widgets.mounting import Mounted
from tests.widgets.samples import DEPLOYMENT
from warmcell_widgets.assets import STATIC, script
from warmcell_widgets.deployments import curl_line

CELLS = """
from warmcell import pipeline, step

@step
def halve(x: float) -> float:
    print("halving", x)
    return x / 2

@step
def check(half: float) -> float:
    if half > 100:
        raise ValueError("too much: <b>bold</b>")
    return half

@pipeline
def halves(x: float) -> float:
    return check(halve(x))

served = halves.deploy("halves")
"""


@pytest.fixture(scope="module")
def serving(kernel: Kernel, jupyter_server: JupyterServer) -> JupyterServer:
    """The server, with the deployment ``halves``."""
    kernel.run(CELLS)
    return jupyter_server


@pytest.fixture
def views(page: Any, serving: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, serving)
    yield mounted
    assert mounted.errors == []


def test_a_button_runs_it_again(views: Mounted) -> None:
    """A run that has ended is run once more; the new one appears on top and says what it
    repeats."""
    run = call(views.server, 6)
    view = history(views)
    view.locator(f'[data-run="{run}"]').click()
    view.get_by_role("button", name="Run again").click()
    top = view.locator("[data-run]").first
    top.filter(has_text="rerun of halves").wait_for()
    view.locator(f'[data-run="{run}"]').click()
    top.click()
    view.get_by_text(f"it repeats run {run}").wait_for()


def test_the_history_says_how_large_the_store_is(views: Mounted) -> None:
    """And, on its mark, what came in the last week."""
    call(views.server, 8)
    mark = history(views).locator(".wc-store")
    mark.filter(has_text=re.compile(r"store: [\d.]+ (bytes|kB|MB)")).wait_for()
    assert re.search(r"\d+ runs; \d+ of them, .* in the last week", mark.get_attribute("title"))


def call(server: JupyterServer, x: float) -> str:
    """Call the deployment and return the id of the run."""
    answer = server.invoke("halves", {"x": x}).json()
    return str(answer.get("run_id") or answer["metadata"]["run_id"])


def history(views: Mounted, **state: Any) -> Any:
    return views.mount("history.js", **{"_filters": {}, "_limit": 50, **state})


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_modules_join_into_one(path: Any) -> None:
    """A module that anywidget loads has no relative import left and one default export at most."""
    text = script(path.name)
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert len(re.findall(r"^export default", text, re.MULTILINE)) <= 1


def test_views_never_write_markup() -> None:
    """No module turns text into markup or code, and none loads anything from elsewhere."""
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                          "eval(", "new Function", "https://", "//cdn"):  # fmt: skip
            assert forbidden not in text, (path.name, forbidden)


def test_history_follows_new_runs(views: Mounted) -> None:
    """A run that is made after the view was opened appears on top, by itself."""
    first = call(views.server, 2)
    view = history(views)
    view.locator(f'[data-run="{first}"]').wait_for()
    second = call(views.server, 4)
    row = view.locator(f'[data-run="{second}"]')
    row.wait_for()
    assert view.locator("[data-run]").first.get_attribute("data-run") == second
    assert "succeeded" in row.inner_text()
    assert "x: 4" in row.inner_text()
    assert views.sent() == [], "over HTTP nothing goes through the kernel"


def test_a_second_view_of_a_page_is_filled_at_once(views: Mounted) -> None:
    """Views of one page share one long poll; one that joins late does not wait for a change."""
    run = call(views.server, 2)
    for _ in range(2):
        history(views).locator(f'[data-run="{run}"]').wait_for()


def test_a_click_opens_a_run(views: Mounted) -> None:
    """A failed run shows its error, steps, inputs and log; markup in them stays text."""
    run = call(views.server, 1000)
    view = history(views)
    row = view.locator(f'[data-run="{run}"]')
    row.click()
    detail = view.locator(".wc-detail")
    detail.locator(".wc-steps").wait_for()
    text = detail.inner_text()
    for part in ("ValueError in step check", "<b>bold</b>", "halving 1000", "halve", run, "500",
                 f"%replay {run}"):  # fmt: skip
        assert part in text
    assert detail.locator("b", has_text=re.compile("^bold$")).count() == 0
    bars = detail.locator(".wc-bar")
    assert bars.count() == 2
    assert bars.nth(1).bounding_box()["x"] > bars.nth(0).bounding_box()["x"]
    row.press("Enter")
    assert view.locator(".wc-detail").count() == 0


def test_history_filters(views: Mounted) -> None:
    """Status and names filter at the host, text among what is shown; fixed ones have no field."""
    good, bad = call(views.server, 6), call(views.server, 1000)
    view = history(views, _filters={"pipeline": "halves"})
    view.locator(f'[data-run="{good}"]').wait_for()
    assert view.get_by_label("Filter by pipeline").count() == 0
    view.get_by_label("Filter by status").select_option("failed")
    view.locator(f'[data-run="{good}"]').wait_for(state="detached")
    view.locator(f'[data-run="{bad}"]').wait_for()
    view.get_by_label("Filter by status").select_option("")
    view.locator(f'[data-run="{good}"]').wait_for()
    view.get_by_placeholder("filter by text").fill("too much")
    view.locator(f'[data-run="{good}"]').wait_for(state="hidden")
    assert view.locator(f'[data-run="{bad}"]').is_visible()


def test_history_pages(views: Mounted) -> None:
    """A page has the given length, and the button loads older runs below it."""
    runs = [call(views.server, x) for x in range(5)][::-1]
    view = history(views, _limit=3)
    view.locator(f'[data-run="{runs[2]}"]').wait_for()
    assert view.locator("[data-run]").count() == 3
    view.get_by_role("button", name="Load older runs").click()
    view.locator(f'[data-run="{runs[4]}"]').wait_for()
    shown = [row.get_attribute("data-run") for row in view.locator("[data-run]").all()]
    assert shown[:5] == runs


def test_a_refused_request_is_shown(views: Mounted) -> None:
    """What the host refuses is said in the view, in the host's words."""
    view = history(views, _filters={"nonsense": "1"})
    view.get_by_text("Unknown filter 'nonsense'").wait_for()


def test_a_view_can_speak_through_the_kernel(views: Mounted) -> None:
    """Where the page is not the host's, requests go over the comm and errors come back."""
    view = history(views, over_http=False)
    views.page.wait_for_function("views.at(-1).model.sent.length > 0")
    asked = views.sent()[0]
    assert asked["kind"] == "warmcell-request"
    assert asked["path"] == "api/v1/changes?since=-1&wait=0"
    views.receive(
        {"kind": "warmcell-reply", "id": asked["id"], "status": 200, "body": {"version": 3}}
    )
    views.page.wait_for_function(
        "views.at(-1).model.sent.some((m) => m.path.startsWith('api/v1/runs'))"
    )
    asked = next(m for m in views.sent() if m["path"].startswith("api/v1/runs"))
    views.receive({"kind": "warmcell-reply", "id": asked["id"], "status": 400,
                   "body": {"detail": "The disk is full.", "hint": "Free some."}})  # fmt: skip
    view.get_by_text("The disk is full. Free some.").wait_for()


def test_run_view_shows_a_run(views: Mounted) -> None:
    """One run as a view; an unknown id is said."""
    run = call(views.server, 8)
    view = views.mount("run.js", _run_id=run)
    view.locator(".wc-steps").wait_for()
    assert "halving 8" in view.inner_text()
    views.mount("run.js", _run_id="no-such-run").locator(".wc-error").wait_for()


def test_a_run_in_flight_is_followed_by_its_events(views: Mounted, kernel: Kernel) -> None:
    """Progress, log and what a step yields appear while the step still runs; at the end the view
    shows the record. Several views of one run share a page."""
    gate = views.server.root / "gate"
    kernel.run(
        "import pathlib, time\n"
        "from warmcell import report_progress\n"
        "@step\n"
        "def tell(gate: str):\n"
        "    print('telling')\n"
        "    report_progress(1, 2, '<i>half</i>')\n"
        "    yield 'one '\n"
        "    yield 'two'\n"
        "    while not pathlib.Path(gate).exists():\n"
        "        time.sleep(0.01)\n"
        "    yield 'three'\n"
        "@pipeline\n"
        "def tale(gate: str) -> list:\n"
        "    return tell(gate)\n"
        "tale.deploy('tale')"
    )
    body = {"parameters": {"gate": str(gate)}, "async": True}
    run = views.server.post("warmcell/tale/invoke", body).json()["run_id"]
    for _ in range(5):
        views.mount("run.js", _run_id=run)
    view = views.page.locator(".warmcell.wc-live").first
    view.get_by_text("tell yields").wait_for()
    view.get_by_text("one two").wait_for()
    view.get_by_text("1 of 2 <i>half</i>").wait_for()
    assert "telling" in view.inner_text()
    assert "running" in view.inner_text()
    gate.touch()
    view.get_by_text("outputs").wait_for()
    assert "succeeded" in view.inner_text()
    assert "yields" not in view.inner_text()
    views.page.locator(".warmcell.wc-live").last.get_by_text("outputs").wait_for()


def deploy(views: Mounted) -> Any:
    url = views.status["url"]
    return views.mount("deploy.js", _pipeline="halves", _name="halves", _url=url)


def test_names_are_checked_as_typed(views: Mounted) -> None:
    """A name that the host would refuse disables the button and says why."""
    view = deploy(views)
    field = view.get_by_label("Name of the deployment")
    button = view.locator(".wc-primary")
    for name, reason in {
        "": "needs a name",
        "api": "reserved",
        "Halves": "begins with",
        "-x": "begins with",
        "a b": "has only",
        "x" * 64: "at most 63",
    }.items():
        field.fill(name)
        view.locator(".wc-hint", has_text=reason).wait_for()
        assert button.is_disabled()
    field.fill("other-name_2")
    assert button.is_enabled()
    assert view.locator(".wc-hint").inner_text().endswith("POST /warmcell/other-name_2/invoke")


def test_deploy_waits_and_tells(views: Mounted) -> None:
    """A click asks the kernel once; until it answers the view says that a cell is running."""
    view = deploy(views)
    view.get_by_label("Name of the deployment").fill("fresh")
    view.locator(".wc-primary").click()
    view.get_by_text("Waiting for the running cell").wait_for()
    assert view.locator(".wc-primary").is_disabled()
    (asked,) = [message for message in views.sent() if message["kind"] == "warmcell-deploy"]
    assert asked["name"] == "fresh"
    views.receive({"kind": "warmcell-deploying", "id": asked["id"]})
    problem = {"title": "DeployError", "detail": "on_init raised: no key", "hint": "Set KEY."}
    views.receive({"kind": "warmcell-deployed", "id": asked["id"], "problem": problem})
    view.get_by_text("on_init raised: no key Set KEY.").wait_for()
    assert view.locator(".wc-primary").is_enabled()


def test_deployments_are_listed_rolled_back_and_undeployed(views: Mounted, kernel: Kernel) -> None:
    """The view lists what serves the pipeline; rollback and undeploy work while a cell runs."""
    kernel.run("halves.deploy('spare')")
    kernel.run(CELLS.replace("x / 2", "x / 4").replace('served = halves.deploy("halves")', ""))
    kernel.run("halves.deploy('spare')")
    view = deploy(views)
    card = view.locator('[data-deployment="spare"]')
    card.get_by_text("snapshot 2", exact=True).wait_for()
    assert "/warmcell/spare/invoke" in card.locator("pre").inner_text()
    kernel.run("import threading; gate = threading.Event()")
    busy = kernel.start("gate.wait(60)")
    busy.started.wait(10)
    card.get_by_label("Roll back to a snapshot").select_option("1")
    card.get_by_text("snapshot 1", exact=True).wait_for()
    card.get_by_role("button", name="Undeploy").click()
    card.get_by_role("button", name="Undeploy?").click()
    card.wait_for(state="detached")
    assert views.server.invoke("spare", {"x": 1}).status == 404
    assert busy.status == "running"
    kernel.interrupt()
    busy.wait(check=False)


def test_curl_lines_are_equal(views: Mounted) -> None:
    """The browser writes the same command as Python, but for the spacing of JSON."""
    text = script("curl.js")
    made = views.page.evaluate(
        """async ([text, deployment]) => {
          const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
          return (await import(url)).curlLine(deployment);
        }""",
        [text, DEPLOYMENT],
    )
    bare = re.compile(r"(?<=[:,]) |\.0\b")
    assert bare.sub("", made) == bare.sub("", curl_line(DEPLOYMENT))
