"""DeploymentSettings: what they take, what they refuse, and where they can be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import DeploymentSettings, pipeline
from warmcell.config import (
    CORSConfig,
    DeploymentDefaultEndpoints,
    EndpointMethod,
    EndpointSpec,
    MiddlewareSpec,
    SecureHeadersConfig,
)
from warmcell.config.deployment_settings import for_host, merged, normalized
from warmcell.errors import UsageError
from warmcell.magics import WarmcellMagics
from warmcell_server.limits import limits_of
from warmcell_server.settings import settings_of


def show(id: int) -> int:
    return id


def warm(path: str, retries: int = 3) -> None: ...


def zenml_hook(app_runner: Any) -> None: ...


def around(request: Any, call_next: Any) -> Any:
    return call_next(request)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"concurency": 4}, "no setting 'concurency'. Did you mean 'concurrency'"),
    ({"concurrency": "4"}, "'concurrency' does not fit: input should be a valid integer"),
    ({"concurrency": 0}, "'concurrency' does not fit"),
    ({"concurrency": True}, "'concurrency' does not fit"),
    ({"timeout": 0}, "'timeout' does not fit"),
    ({"timeout": float("nan")}, "'timeout' does not fit"),
    ({"record": "some"}, '"all", "errors", "none" or a fraction'),
    ({"record": 1.5}, '"all", "errors", "none" or a fraction'),
    ({"replicas": 0}, "'replicas' does not fit"),
    ({"replicas": 1000}, "'replicas' does not fit: .*64"),
    ({"replicas": 2, "isolated": False}, "'replicas' is 2.*Leave one of them out"),
    ({"keep_alive": "1h"}, "'keep_alive' does not fit: seconds above 0 .* True for always"),
    ({"keep_alive": 0}, "'keep_alive' does not fit"),
    ({"auth": "pubic"}, "'jupyter' or 'public'"),
    ({"uvicorn_port": 8000}, "'uvicorn_port' of ZenML has no place.*ServerApp.port"),
    ({"thread_pool_size": 40}, "has no place.*concurrency"),
    ({"deployment_app_runner_flavor": "x"}, "has no place.*custom_endpoints"),
    ({"cors": {"allow_origin": ["*"]}}, "cors: .*Did you mean 'allow_origins'"),
    ({"cors": {"allow_origins": ["example.com"]}}, "a scheme, a host and a port"),
    ({"cors": {"allow_credentials": True}}, "name the origins"),
    ({"secure_headers": {"csp": "a\nb"}}, "one line of ASCII"),
    ({"secure_headers": {"scp": True}}, "Did you mean 'csp'"),
    ({"invoke_url_path": "/runs"}, "'/runs' and what is below"),
    ({"invoke_url_path": "/runs/now"}, "'/runs' and what is below"),
    ({"invoke_url_path": "/_site"}, "Warmcell's own"),
    ({"invoke_url_path": "/"}, "a path below the deployment's URL"),
    ({"invoke_url_path": "/a/../b"}, "letters, digits"),
    ({"invoke_url_path": "/a b"}, "letters, digits"),
    ({"health_url_path": "/readyz"}, "GET /readyz is taken twice"),
    ({"health_url_path": "/info"}, "GET /info is taken twice"),
    ({"invoke_url_path": "/x", "submit_url_path": "/x"}, "POST /x is taken twice"),
    ({"custom_endpoints": [{"pth": "/x"}]}, "has no 'pth'. Did you mean `path`"),
    ({"custom_endpoints": [show]}, "instance of Endpoint"),
    (
        {"custom_endpoints": [{"path": "/info", "handler": lambda: 1}]},
        "GET /info is taken twice: by Warmcell's own /info and by the endpoint",
    ),
    (
        {"custom_endpoints": [EndpointSpec("/x/{id}", "GET", show)] * 2},
        "taken twice: by the endpoint 'show' and by the endpoint 'show'",
    ),
    ({"custom_middlewares": [show]}, r"cannot be called as show\(request, call_next\)"),
    ({"startup_hook": zenml_hook}, "needs `app_runner`.*no app runner"),
    ({"startup_hook": warm, "startup_hook_kwargs": {"pth": 1}}, "'pth'.*Did you mean `path`"),
    ({"startup_hook": "os.path.nothing"}, "has no 'nothing'"),
    ({"startup_hook": 3}, "'startup_hook' does not fit"),
    ({"include_default_endpoints": ["invoked"]}, "no 'invoked'. Did you mean `invoke`"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_does_not_fit_is_named_with_the_way_out(given: dict[str, Any], message: str) -> None:
    """Every mistake is one sentence with the setting in it, wherever it is written."""
    ways: list[Callable[[], object]] = [
        lambda: DeploymentSettings(**given),
        lambda: normalized(given),
        lambda: normalized({"deployment": given}),
        lambda: pipeline(settings=given)(lambda: None),
        lambda: pipeline(settings={"deployment": given})(lambda: None),
    ]
    for way in ways:
        with pytest.raises(UsageError, match=f"(?s){message}"):
            way()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"startup_hook": warm}, "needs `path`.*startup_hook_kwargs"),
        ({"pool_size": 2}, "needs the name of a pool"),
    ],
)
def test_what_is_missing_is_told_when_all_is_known(given: dict[str, Any], message: str) -> None:
    """A setting that another place may still complete is judged at deploy."""
    normalized(given)
    with pytest.raises(UsageError, match=message):
        merged(given)


def test_settings_meet_the_host() -> None:
    """What the host reads is what was set, and nothing of it is code."""
    settings = DeploymentSettings(
        concurrency=4,
        timeout=5,
        record=0.5,
        pool="gpu",
        auth="public",
        app_title="Churn",
        cors=CORSConfig(allow_origins=["https://Shop.example/"]),
        secure_headers=SecureHeadersConfig(csp="off", xfo="DENY"),
        api_url_path="v1/",
        invoke_url_path="predict",
        custom_endpoints=[EndpointSpec(path="/x/{id}", method=EndpointMethod.GET, handler=show)],
        custom_middlewares=[around, MiddlewareSpec(middleware=around, order=-1)],
        startup_hook=warm,
        startup_hook_kwargs={"path": "x"},
    )
    found = for_host(merged(settings))
    limits, served = limits_of(found), settings_of(found)
    assert (limits.concurrency, limits.timeout, limits.record, limits.pool) == (4, 5, 0.5, "gpu")
    assert (served.auth, served.app_title) == ("public", "Churn")
    assert list(served.cors.allow_origins) == ["https://shop.example"]
    assert (served.secure_headers.csp, served.secure_headers.xfo) == (False, "DENY")
    assert (served.api_url_path, served.invoke_url_path) == ("/v1", "/predict")
    assert settings.paths()["invoke_url_path"] == "/v1/predict"
    assert not {"custom_endpoints", "custom_middlewares", "startup_hook"} & found.keys()


def test_later_settings_win_one_by_one() -> None:
    """Settings of a deploy change those of the pipeline that they name, and None is the default."""
    found = merged(
        {"concurrency": 4, "max_queue": 1, "pool": "a"}, {"concurrency": 2, "pool": None}
    )
    assert found.given() == {"concurrency": 2, "max_queue": 1, "pool": "a"}


def test_defaults_can_be_left_out() -> None:
    """ZenML's switches for what a deployment has by itself: names, a flag, or a bool."""
    flag = DeploymentDefaultEndpoints.INVOKE | DeploymentDefaultEndpoints.HEALTH
    for given in (flag, ["invoke", "health"], [DeploymentDefaultEndpoints.HEALTH, "invoke"]):
        found = for_host(merged({"include_default_endpoints": given}))
        assert found["include_default_endpoints"] == ["invoke", "health"]
    plain = for_host(merged({"include_default_middleware": False, "cors": CORSConfig()}))
    assert plain == {"secure_headers": dict.fromkeys(SecureHeadersConfig.model_fields, False)}


def test_other_groups_of_zenml_say_why_they_are_not_here() -> None:
    """Settings that ZenML has for other things than the deployment."""
    with pytest.raises(UsageError, match="No image is built"):
        normalized({"docker": {}})
    with pytest.raises(UsageError, match="not a list"):
        normalized([1])  # type: ignore[arg-type]


class TestMagics:
    @pytest.fixture
    def cell(self) -> Iterator[Notebook]:
        """A notebook with the magics."""
        with notebook() as cell:
            cell.shell.register_magics(WarmcellMagics)
            cell("from warmcell import pipeline\nbase = {'concurrency': 9, 'max_queue': 1}")
            cell("def warm(): ...\ndef around(request, call_next): return call_next(request)")
            yield cell

    def test_options_are_settings(self, cell: Notebook) -> None:
        """Options of %%pipeline win over the dict that --settings names."""
        cell(
            "%%pipeline --settings base --concurrency 4 --auth public --record 0.5 --trusted "
            "--app-title 'My churn' --cors https://a.example https://b.example "
            "--startup-hook warm --custom-middlewares around --keep-alive True "
            "--memory-limit '2 GB'\ndef p(): ..."
        )
        found = cell["p"].options.settings
        assert found["concurrency"] == 4
        assert (found["max_queue"], found["auth"], found["record"]) == (1, "public", 0.5)
        assert (found["app_title"], found["trusted"]) == ("My churn", True)
        assert found["cors"]["allow_origins"] == ["https://a.example", "https://b.example"]
        assert (found["keep_alive"], found["memory_limit"]) == (True, 2_000_000_000)
        assert found["startup_hook"] is cell["warm"]
        assert found["custom_middlewares"][0].middleware is cell["around"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("--concurency 4", "has no option --concurency. Did you mean --concurrency"),
            ("--concurrency 0", "'concurrency' does not fit"),
            ("--auth all", "'auth' does not fit"),
            ("--startup-hook wram", "Did you mean `warm`"),
        ],
    )
    def test_mistakes_are_named_at_definition(
        self, cell: Notebook, options: str, message: str
    ) -> None:
        """A cell with a wrong setting defines nothing."""
        error = cell.fails(f"%%pipeline {options}\ndef p(): ...")
        assert isinstance(error, UsageError)
        with pytest.raises(UsageError, match=message):
            raise error
        assert "p" not in cell
