"""Headers that guard answers, and which pages of other origins may read them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.server.test_access import login_cookie
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell.errors import UsageError
from warmcell_server.responseheaders import allowed_origin, preflight, secure
from warmcell_server.settings import Cors, SecureHeaders, settings_of

SHOP = "https://shop.example"
BODY = {"parameters": {"a": 1}}
CELLS = """\
%load_ext warmcell
from warmcell import pipeline, step

@step
def double(a: int) -> int:
    return 2 * a

@pipeline
def twice(a: int) -> int:
    return double(a)

plain = twice.deploy("plain")
shop = twice.deploy("shop", settings={"cors": {"allow_origins": ["https://shop.example"]}})
world = twice.deploy("world", settings={"auth": "public", "cors": {"allow_origins": ["*"]}})
login = twice.deploy("login", settings={
    "cors": {"allow_origins": ["https://shop.example"], "allow_credentials": True,
             "allow_methods": ["GET", "POST"], "allow_headers": ["content-type", "x-xsrftoken"]},
})
guarded = twice.deploy("guarded", settings={"secure_headers": {
    "server": True, "hsts": True, "xfo": "DENY", "content": False, "csp": "default-src 'self'",
    "referrer": "no-referrer", "cache": "private, max-age=60", "permissions": False,
}})
"""


@pytest.fixture(scope="module")
def server(jupyter_server: JupyterServer) -> JupyterServer:
    """A server with the deployments of CELLS."""
    author: Kernel = jupyter_server.kernel("headers.ipynb")
    author.run(CELLS)
    return jupyter_server


def cors(answer: Response) -> dict[str, str]:
    """What an answer says to pages of other origins."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


def all_of(server: JupyterServer, path: str, name: str, **headers: str) -> list[str]:
    """All lines of one header, for an answer to a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {"Authorization": f"token {server.token}", **headers}
    connection.request("GET", f"/warmcell/{path}", headers=sent)
    answer = connection.getresponse()
    lines = answer.headers.get_all(name) or []
    connection.close()
    return lines


def ask_first(
    server: JupyterServer, path: str, method: str, origin: str, headers: str | None = None
) -> Response:
    """A browser's preflight."""
    sent = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        sent["Access-Control-Request-Headers"] = headers
    return server.request("OPTIONS", f"warmcell/{path}", headers=sent, authenticated=False)


# -- headers that guard ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "plain/health",
        "plain/",
        "plain/docs",
        "plain/nothing",
        "metrics",
        "api/v1/status",
        "nothing",
    ],
)
def test_every_answer_is_guarded(server: JupyterServer, path: str) -> None:
    """Answers of all kinds, errors and refusals too, have the headers of the default."""
    for authenticated in (True, False):
        answer = server.get(f"warmcell/{path}", authenticated=authenticated)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers


def test_a_deployment_sets_its_own(server: JupyterServer) -> None:
    """True is our default, a text is sent as it is, False omits; on errors too."""
    answers = [
        server.get("warmcell/guarded/health"),
        server.get("warmcell/guarded/nothing"),
        server.get("warmcell/guarded/info", authenticated=False),
        server.invoke("guarded", {"a": "no"}),
    ]
    assert [answer.status for answer in answers] == [200, 404, 401, 422]
    for answer in answers:
        assert answer.headers["server"] == "Warmcell"
        assert answer.headers["strict-transport-security"] == "max-age=63072000"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert not {"x-content-type-options", "permissions-policy"} & answer.headers.keys()
    other = server.get("warmcell/plain/health")
    assert other.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_page_keeps_its_own_policy(server: JupyterServer) -> None:
    """What guards a page of ours is not taken away by a policy for answers."""
    for page in ("guarded/", "guarded/docs"):
        policy = server.get(f"warmcell/{page}").headers["content-security-policy"]
        assert "default-src 'none'" in policy


# -- pages of other origins ------------------------------------------------------------------


def test_nothing_is_allowed_unless_set(server: JupyterServer) -> None:
    """Neither a preflight nor a call without a login allows a foreign page anything."""
    asked = ask_first(server, "plain/invoke", "POST", SHOP, "authorization")
    assert asked.status == 204
    assert "allow-origin" not in cors(asked)
    made = server.post("warmcell/api/v1/deployments/plain/keys", {"name": "cors"})
    for headers in ({"X-API-Key": made.json()["key"]}, {"X-API-Key": "wrong"}, {}):
        answer = server.post(
            "warmcell/plain/invoke", BODY, headers={"Origin": SHOP, **headers}, authenticated=False
        )
        assert answer.status in (200, 401)
        assert cors(answer) == {}


def test_a_named_origin_may_call(server: JupyterServer) -> None:
    """A preflight names what the page wants to send, and the answer may be read, errors too."""
    asked = ask_first(server, "shop/invoke", "POST", SHOP, "authorization,idempotency-key")
    assert asked.status == 204
    assert cors(asked)["allow-origin"] == SHOP
    assert cors(asked)["allow-methods"] == "POST, OPTIONS"
    assert cors(asked)["allow-headers"] == "authorization,idempotency-key"
    assert int(cors(asked)["max-age"]) > 0
    for path, status in (
        ("shop/health", 200),
        ("shop/nothing", 404),
        ("shop/runs/none/events", 404),
        ("shop/docs", 200),
    ):
        answer = server.get(f"warmcell/{path}", headers={"Origin": SHOP})
        assert answer.status == status
        assert cors(answer)["allow-origin"] == SHOP
        assert "Retry-After" in cors(answer)["expose-headers"]
        assert "allow-credentials" not in cors(answer)
    stranger = server.get("warmcell/shop/info", headers={"Origin": SHOP}, authenticated=False)
    assert stranger.status == 401
    assert cors(stranger)["allow-origin"] == SHOP


@pytest.mark.parametrize(
    "origin",
    ["https://elsewhere.example", "http://shop.example", "https://shop.example:8443", "null"],
)
def test_another_origin_may_not(server: JupyterServer, origin: str) -> None:
    """Not even with a token, once the deployment says who may."""
    asked = ask_first(server, "shop/invoke", "POST", origin, "authorization")
    assert asked.status == 204
    assert "allow-origin" not in cors(asked)
    assert cors(server.get("warmcell/shop/health", headers={"Origin": origin})) == {}


def test_caches_are_told_that_it_depends_on_the_origin(server: JupyterServer) -> None:
    """Whoever asks, and beside what else the answer depends on."""
    assert all_of(server, "shop/health", "Vary") == ["Origin"]
    assert all_of(server, "shop/health", "Vary", Origin=SHOP) == ["Origin"]
    assert all_of(server, "shop/nothing", "Vary", Origin="https://elsewhere.example") == ["Origin"]
    assert all_of(server, "plain/health", "Vary") == []
    submitted = server.post("warmcell/shop/submit", BODY).json()
    path = f"shop/runs/{submitted['run_id']}"
    server.get(f"warmcell/{path}", headers={"Prefer": "wait=30"})
    assert set(all_of(server, f"{path}/outputs/output", "Vary")) == {"Accept", "Origin"}


def test_the_control_plane_is_not_a_deployments(server: JupyterServer) -> None:
    """CORS of a deployment opens nothing beside it."""
    for path in ("api/v1/deployments/world", "metrics", "plain/health"):
        asked = ask_first(server, path, "GET", SHOP, "authorization")
        assert "allow-origin" not in cors(asked)


def test_any_origin_is_told_so(server: JupyterServer) -> None:
    """With "*" a public deployment is called by any page, and never with a login."""
    for origin in (SHOP, "null"):
        answer = server.post(
            "warmcell/world/invoke", BODY, headers={"Origin": origin}, authenticated=False
        )
        assert answer.status == 200
        assert cors(answer)["allow-origin"] == "*"
        assert "allow-credentials" not in cors(answer)
    with_cookie = server.post(
        "warmcell/world/invoke",
        BODY,
        headers={"Origin": SHOP, "Cookie": f"{login_cookie(server)}; _xsrf=a", "X-XSRFToken": "a"},
        authenticated=False,
    )
    assert with_cookie.status == 403


def test_a_login_is_lent_to_named_origins_only(server: JupyterServer) -> None:
    """``allow_credentials`` lets a named origin use the cookie, with the XSRF header as ever."""
    cookie = {"Cookie": f"{login_cookie(server)}; _xsrf=a"}

    def call(name: str, origin: str, **headers: str) -> Response:
        return server.post(
            f"warmcell/{name}/invoke",
            BODY,
            headers={"Origin": origin, **cookie, **headers},
            authenticated=False,
        )

    answer = call("login", SHOP, **{"X-XSRFToken": "a"})
    assert answer.status == 200
    assert cors(answer)["allow-origin"] == SHOP
    assert cors(answer)["allow-credentials"] == "true"
    assert call("login", SHOP).status == 403
    assert call("login", "https://elsewhere.example", **{"X-XSRFToken": "a"}).status == 403
    assert call("shop", SHOP, **{"X-XSRFToken": "a"}).status == 403
    asked = ask_first(server, "login/invoke", "POST", SHOP, "content-type,x-other")
    assert cors(asked)["allow-credentials"] == "true"
    assert cors(asked)["allow-headers"] == "content-type, x-xsrftoken"
    unlisted = ask_first(server, "login/runs/none", "DELETE", SHOP)
    assert "allow-origin" not in cors(unlisted)
    assert "allow-credentials" not in cors(unlisted)


# -- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cors": {"allow_origins": ["*"], "allow_credentials": True}}, "named one by one"),
        ({"cors": {"allow_origins": ["null"], "allow_credentials": True}}, "named one by one"),
        ({"cors": {"allow_origins": ["shop.example"]}}, "'shop.example' is no origin"),
        ({"cors": {"allow_origins": ["https://shop.example/"]}}, "is no origin"),
        ({"cors": {"allow_origins": ["https://Shop.example"]}}, "lower case"),
        ({"cors": {"allow_origins": ["https://*.example"]}}, "is no origin"),
        ({"cors": {"allow_headers": ["a b"]}}, "'a b' is no name"),
        ({"cors": {"allow_methods": ["GET\r\n"]}}, "is no name"),
        ({"secure_headers": {"xfo": "DENY\r\nSet-Cookie: a=b"}}, "'xfo'"),
        ({"secure_headers": {"csp": ""}}, "'csp'"),
        ({"auth": "open"}, "auth"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match="does not fit") as caught:
        settings_of(json.loads(json.dumps(settings)))
    assert told in str(caught.value)


def test_origins_of_all_kinds_are_origins() -> None:
    origins = (
        "*",
        "null",
        "http://localhost:3000",
        "https://[::1]:8443",
        "capacitor://localhost",
        "https://a-b.example",
    )
    assert settings_of({"cors": {"allow_origins": origins}}).cors.allow_origins == origins


def test_what_is_asked_for_is_not_just_repeated() -> None:
    """Names that are none do not get into the answer of a preflight."""
    allowed = preflight(Cors(("*",)), ["POST"], "x-a, x-b")
    assert allowed["Access-Control-Allow-Headers"] == "x-a, x-b"
    for asked in (None, "", "x a", "x-a\tx-b,,", "x-a,\x00"):
        assert "Access-Control-Allow-Headers" not in preflight(Cors(("*",)), ["POST"], asked)


def test_a_method_that_is_not_allowed_is_not() -> None:
    named = Cors((SHOP,), allow_methods=("GET",))
    assert allowed_origin(named, SHOP, "GET") == SHOP
    assert allowed_origin(named, SHOP, "POST") is None
    assert allowed_origin(Cors((SHOP,), allow_methods=("*",)), SHOP, "PATCH") == SHOP
    assert allowed_origin(Cors(), SHOP, "GET") is None
    assert allowed_origin(named, None, "GET") is None


def test_the_default_changes_nothing() -> None:
    assert secure(SecureHeaders()) == ()
    assert secure(SecureHeaders(csp=False, hsts="max-age=1")) == (
        ("Strict-Transport-Security", "max-age=1"),
        ("Content-Security-Policy", None),
    )
