"""The Deploy form: settings that are set by hand, what a deployment shows, and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.widgets.mounting import Mounted
from tests.widgets.samples import DEPLOYMENT, EVIL
from warmcell_server.limits import Limits
from warmcell_widgets.assets import script
from warmcell_widgets.render import deployment_html, deployment_text
from warmcell_widgets.settings import FIELDS

PIPELINE = """
from warmcell import pipeline
from warmcell_widgets.settings import Misfit, given, own, planned

@pipeline(settings={settings!r})
def halves(x: float) -> float:
    return x / {by}
"""


@pytest.fixture
def views(page: Any, jupyter_server: JupyterServer) -> Iterator[Mounted]:
    """A page for views; a script error in it fails the test."""
    mounted = Mounted(page, jupyter_server)
    yield mounted
    assert mounted.errors == []


def form(views: Mounted, **state: Any) -> Any:
    """The Deploy form, with its settings opened."""
    view = views.mount("deploy.js", **{"_pipeline": "halves", "_name": "halves", **state})
    view.locator(".wc-settings summary").click()
    views.page.wait_for_function("views.at(-1).model.sent.length > 0")  # it asks what is planned
    return view


def sent(views: Mounted, kind: str) -> list[dict[str, Any]]:
    return [message for message in views.sent() if message["kind"] == kind]


def asked(views: Mounted, method: str, path: str) -> dict[str, Any]:
    """The last request of the view through the kernel with this method and path."""
    found = "views.at(-1).model.sent.findLast((m) => m.method === '{}' && m.path === '{}')"
    handle = views.page.wait_for_function(found.format(method, path))
    message: dict[str, Any] = handle.json_value()
    return message


def reply(views: Mounted, message: dict[str, Any], body: Any, status: int = 200) -> None:
    views.receive({"kind": "warmcell-reply", "id": message["id"], "status": status, "body": body})


def card(views: Mounted, **fields: Any) -> Any:
    """The view of one deployment where nothing goes by HTTP."""
    view = views.mount("deploy.js", over_http=False, _pipeline="churn", _name="churn")
    message = asked(views, "GET", "api/v1/changes?since=-1&wait=0")
    reply(views, message, {"version": 1})
    message = asked(views, "GET", "api/v1/deployments")
    reply(views, message, {"deployments": [{**DEPLOYMENT, **fields}]})
    return view.locator('[data-deployment="churn"]')


# -- settings --------------------------------------------------------------------------------


def test_the_form_knows_every_setting_and_its_default(views: Mounted) -> None:
    """Python and the form name the same settings; what fields show in grey is the default."""
    loading = """async (text) => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      return (await import(url)).FIELDS.filter((field) => field.name)
        .map(({ name, usual }) => [name, usual]);
    }"""
    usual = dict(views.page.evaluate(loading, script("settings.js")))
    assert sorted(usual) == sorted(FIELDS)
    limits = Limits()
    for name in ("concurrency", "max_queue", "timeout", "pool_size", "record"):
        value = getattr(limits, name)
        assert usual[name] == (f"{value:g}" if isinstance(value, float) else str(value))


def test_rules_for_artifacts_and_the_stage_that_is_followed(views: Mounted) -> None:
    """A rule for all outputs is a choice; rules by name are shown, and stay unless another one is
    chosen."""
    rules = {"model": "all", "*": 0.1}
    view = form(views, _settings={"artifacts": rules, "follow": "production"})
    kept = view.get_by_label("outputs kept as artifacts")
    assert kept.input_value() == "model=all *=0.1"
    assert view.get_by_label("follow a stage").input_value() == "production"
    kept.select_option("errors")
    view.get_by_label("follow a stage").fill("")
    view.get_by_text("2 changed").wait_for()
    view.get_by_role("button", name="Deploy", exact=True).click()
    (asked,) = sent(views, "warmcell-deploy")
    assert asked["settings"] == {"artifacts": "errors", "follow": None}
    kept.select_option("model=all *=0.1")
    view.get_by_text("1 changed").wait_for()


def test_only_what_was_changed_is_sent(views: Mounted) -> None:
    """Fields begin with the pipeline's own settings; an emptied one is sent as null."""
    own = {"concurrency": 4, "timeout": 2.5, "record": 0.25, "cors": {"allow_origins": ["*"]},
           "keep_alive": True}  # fmt: skip
    view = form(views, _settings=own)
    assert view.get_by_label("runs at once", exact=True).input_value() == "4"
    assert view.get_by_label("recorded in the history").input_value() == "0.25"
    assert view.get_by_label("pages of other origins").input_value() == "*"
    assert view.get_by_label("runs at once in the pool").is_disabled()
    assert view.get_by_label("kept after the last call").input_value() == "always"
    view.get_by_label("kept after the last call").fill("90")
    view.get_by_label("isolated").select_option("true")
    view.get_by_label("replicas").fill("2")
    assert view.get_by_label("isolated").is_disabled()
    view.get_by_label("runs at once", exact=True).fill("")
    view.get_by_label("timeout, seconds").fill("1.5")
    view.get_by_label("pool shared").fill("gpu")
    view.get_by_label("runs at once in the pool").fill("two")
    view.get_by_label("pages of other origins").fill("https://a.example,http://b.example:81")
    view.get_by_text("8 changed").wait_for()
    assert view.get_by_text("Anybody who reaches").is_hidden()
    view.get_by_label("access").select_option("public")
    view.get_by_text("Anybody who reaches").wait_for()
    view.locator(".wc-primary").click()
    (message,) = sent(views, "warmcell-deploy")
    assert message["settings"] == {
        "concurrency": None,
        "timeout": 1.5,
        "pool": "gpu",
        "pool_size": "two",
        "isolated": True,
        "replicas": 2,
        "keep_alive": 90,
        "auth": "public",
        "cors": ["https://a.example", "http://b.example:81"],
    }


def test_what_the_kernel_says_stands_beside_its_field(views: Mounted) -> None:
    """Sentences of a refusal are text beside the fields, until these are edited."""
    view = form(views)
    view.get_by_label("runs at once", exact=True).fill("0")
    view.locator(".wc-primary").click()
    (message,) = sent(views, "warmcell-deploy")
    problem = {
        "title": "Misfit",
        "detail": "Nothing was deployed.",
        "fields": {"concurrency": EVIL},
    }
    views.receive({"kind": "warmcell-deployed", "id": message["id"], "problem": problem})
    beside = view.locator('.wc-field:has([name="concurrency"])').get_by_role("alert")
    beside.get_by_text(EVIL).wait_for()
    view.get_by_label("runs at once", exact=True).fill("1")
    assert beside.inner_text() == ""
    view.locator(".wc-primary").click()
    message = sent(views, "warmcell-deploy")[-1]
    made = {"name": "halves", "snapshot": 1, "url": "", "notes": []}
    views.receive({"kind": "warmcell-deployed", "id": message["id"], "deployment": made,
                   "settings": {"concurrency": 1, "max_queue": 3}})  # fmt: skip
    view.get_by_text("halves serves snapshot 1.").wait_for()
    assert view.get_by_label("may wait in line").input_value() == "3"
    assert view.get_by_text("changed, for the next deploy").count() == 0


def test_the_plan_of_the_kernel_fills_what_was_not_edited(views: Mounted) -> None:
    """The form asks what a click would set; the answer leaves edited fields alone."""
    view = form(views)
    assert sent(views, "warmcell-settings") == [{"kind": "warmcell-settings", "name": "halves"}]
    view.get_by_label("runs at once", exact=True).fill("3")
    plan = {"concurrency": 8, "app_title": EVIL, "auth": "public"}
    views.receive({"kind": "warmcell-settings", "name": "another", "settings": {"max_queue": 1}})
    views.receive({"kind": "warmcell-settings", "name": "halves", "settings": plan})
    assert view.get_by_label("runs at once", exact=True).input_value() == "3"
    assert view.get_by_label("title", exact=True).input_value() == EVIL
    assert view.get_by_label("access").input_value() == "public"
    assert view.get_by_label("may wait in line").input_value() == ""


def test_what_was_set_by_hand_stays_and_the_rest_is_the_cells(kernel: Kernel) -> None:
    """A click keeps what the pipeline did not say, and takes from the cell what it says now."""
    before = {"concurrency": 4, "max_queue": 5}
    kernel.run(PIPELINE.format(settings=before, by=2))
    kernel.run(
        "assert own(halves) == planned(halves, 'kept') == {'concurrency': 4, 'max_queue': 5}\n"
        "halves.deploy('kept', settings=given(halves, 'kept', {'concurrency': 2, 'timeout': 9}))"
    )
    kernel.run(PIPELINE.format(settings={"max_queue": 6, "concurrency": 8}, by=3))
    kernel.run(
        "kept = {'concurrency': 2, 'timeout': 9.0}\n"
        "assert planned(halves, 'kept') == {'max_queue': 6, **kept}, planned(halves, 'kept')\n"
        "assert given(halves, 'kept', {}) == kept\n"
        "assert given(halves, 'kept', {'concurrency': None}) == {'timeout': 9.0}\n"
        "assert given(halves, 'fresh', {}) == {}\n"
        "made = halves.deploy('kept', settings=given(halves, 'kept', {'concurrency': None}))\n"
        "assert planned(halves, 'kept') == {'max_queue': 6, 'concurrency': 8, 'timeout': 9.0}\n"
        "assert made.to_json()['settings'] == planned(halves, 'kept')\n"
        "@pipeline\ndef other(x: float) -> float:\n    return x\n"
        "assert planned(other, 'kept') == {}, 'settings of another pipeline'"
    )


def test_what_has_no_field_stays_too(kernel: Kernel) -> None:
    """Settings that only code gives survive a click, those that are code among them, and so does
    what was to be copied; what the cell says now still wins over what it said before."""
    kernel.run(PIPELINE.format(settings={"hang_timeout": 9, "standby": True}, by=2))
    kernel.run(
        "table = [1, 2, 3]\n"
        "def around(request, call_next): return call_next(request)\n"
        "halves.deploy('coded', memory_limit='2 GB', expires_in=3600.0, keep_alive=True,\n"
        "    custom_middlewares=[around], capture=['table'])"
    )
    kernel.run(PIPELINE.format(settings={"hang_timeout": 7}, by=3))
    kernel.run(
        "from warmcell_widgets.deploy import DeployWidget\n"
        "assert planned(halves, 'coded') == {'keep_alive': True}, planned(halves, 'coded')\n"
        "for _ in range(2):\n"
        "    made = DeployWidget(halves, 'coded')._deploy('coded', {'idempotent': True}, None)\n"
        "found = made.to_json()\n"
        "assert found['settings'] == {'hang_timeout': 7.0, 'memory_limit': 2_000_000_000,\n"
        "    'expires_in': 3600.0, 'keep_alive': True, 'idempotent': True}, found['settings']\n"
        "assert made.refresh().held and 'table' in [one['name'] for one in made.held], made.held\n"
        "from warmcell.link import kernel\n"
        "[layer] = kernel().binding('coded').around.layers\n"
        "assert planned(halves, 'coded') == {'keep_alive': True, 'idempotent': True}"
    )


def test_origins_keep_what_else_cors_says(kernel: Kernel) -> None:
    """The form changes the origins only."""
    cors = {"allow_origins": ["https://a.example"], "allow_credentials": True}
    kernel.run(PIPELINE.format(settings={"cors": cors}, by=2))
    kernel.run(
        "found = given(halves, 'new', {'cors': ['https://b.example']})['cors']\n"
        "assert found['allow_credentials'] is True\n"
        "assert found['allow_origins'] == ['https://b.example']"
    )


def test_each_value_that_does_not_fit_is_said(kernel: Kernel) -> None:
    """All wrong fields at once, each with the sentence of the settings themselves."""
    kernel.run(PIPELINE.format(settings={}, by=2))
    kernel.run(
        "changes = {'concurrency': 'x', 'cors': ['nowhere'], 'startup_hook': 'f', 'timeout': 3}\n"
        "try:\n"
        "    given(halves, 'new', changes)\n"
        "except Misfit as error:\n"
        "    fields = error.fields\n"
        "assert sorted(fields) == ['concurrency', 'cors', 'startup_hook'], fields\n"
        "assert \"'concurrency' does not fit\" in fields['concurrency']\n"
        "assert 'an origin is a scheme' in fields['cors']\n"
        "assert 'no field' in fields['startup_hook']"
    )


# -- a deployment ----------------------------------------------------------------------------


def test_a_deployment_shows_its_condition_and_its_pages(views: Mounted) -> None:
    """Calls under way, who may call, what starves it, and where its pages are."""
    shown = card(
        views, in_flight=2, queued=3, starved=f"A cell {EVIL}", settings={"auth": "public"}
    )
    for text in ("7 calls, 2 running, 3 queued", f"A cell {EVIL}", "open to anybody"):
        shown.get_by_text(text).wait_for()
    links = [link.get_attribute("href") for link in shown.locator(".wc-links a").all()]
    assert links == [DEPLOYMENT["url"] + page for page in ("", "docs", "metrics")]


def test_links_lead_to_the_address_of_the_page(views: Mounted, kernel: Kernel) -> None:
    """Where the page comes from the host, its links do not leave that address."""
    kernel.run(PIPELINE.format(settings={}, by=2))
    kernel.run("halves.deploy('linked')")
    view = form(views, _name="linked")
    links = view.locator('[data-deployment="linked"] .wc-links a')
    links.first.wait_for()
    assert links.nth(1).get_attribute("href") == "/warmcell/linked/docs"
    with views.page.context.expect_page() as opened:
        links.first.click()
    opened.value.get_by_text("linked").first.wait_for()


def test_static_html_says_the_same() -> None:
    """A saved notebook has the links, what starved the deployment, and that it is public."""
    item = {**DEPLOYMENT, "starved": f"A cell {EVIL}", "settings": {"auth": "public"}}
    html = deployment_html(item)
    assert f'href="{DEPLOYMENT["url"]}docs"' in html
    assert "A cell &lt;img" in html
    assert "Open to anybody" in html
    assert "Open to anybody" in deployment_text(item)
    assert "<a " not in deployment_html({**DEPLOYMENT, "url": "javascript:alert(1)"})
    assert "Open to" not in deployment_html(DEPLOYMENT)


# -- keys ------------------------------------------------------------------------------------

KEY: dict[str, Any] = {
    "id": "k1",
    "name": "shop",
    "deployment": "churn",
    "scopes": ["invoke"],
    "created_at": "2026-11-21T02:56:08Z",
    "expires_at": None,
    "expired": False,
    "created_by": "ada",
    "last_used_at": None,
}


def test_keys_through_the_kernel(views: Mounted) -> None:
    """Where HTTP does not reach, keys are listed, made, shown once and revoked over the comm."""
    shown = card(views)
    path = "api/v1/deployments/churn/keys"
    shown.get_by_text("API keys").click()
    reply(views, asked(views, "GET", path), {"keys": []})
    shown.get_by_text("none yet").wait_for()
    create = shown.get_by_role("button", name="Create key")
    assert create.is_disabled()
    shown.get_by_label("Name of the new key").fill("shop")
    shown.get_by_label("invoke: call it").uncheck()
    assert create.is_disabled(), "a key needs a scope"
    shown.get_by_label("read: see all its runs").check()
    shown.get_by_label("How long").select_option("1 day")
    create.click()
    message = asked(views, "POST", path)
    assert message["body"] == {"name": "shop", "scopes": ["read"], "expires_in": 86400}
    reply(views, message, {"detail": "The disk is full.", "hint": EVIL}, 400)
    shown.get_by_text(f"The disk is full. {EVIL}").wait_for()

    create.click()
    views.page.wait_for_function("views.at(-1).model.sent.filter((m) => m.method === 'POST')[1]")
    reply(views, asked(views, "POST", path), {**KEY, "scopes": ["read"], "key": "wck_secret"}, 201)
    assert shown.locator(".wc-key").inner_text() == "wck_secret"
    line = shown.locator(".wc-fresh .wc-text").last.inner_text()
    assert line == f"curl '{DEPLOYMENT['url']}runs' -H \"Authorization: Bearer wck_secret\""
    old = {**KEY, "id": "k0", "name": "old", "expired": True, "expires_at": KEY["created_at"]}
    reply(views, asked(views, "GET", path), {"keys": [KEY, old]})
    rows = shown.locator("tr[data-key]")
    rows.first.wait_for()
    assert [row.get_attribute("data-key") for row in rows.all()] == ["shop", "old"]
    assert "expired" in rows.last.inner_text()
    shown.get_by_role("button", name="Done").click()
    assert shown.get_by_text("wck_secret").count() == 0

    rows.first.get_by_role("button").click()
    assert [m for m in views.sent() if m.get("method") == "DELETE"] == [], "asked once more"
    rows.first.get_by_role("button", name="Revoke?").click()
    reply(views, asked(views, "DELETE", f"{path}/shop"), {"state": "revoked"})
