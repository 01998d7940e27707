"""Who gets in: every route, for every kind of credentials, on three kinds of server."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado import web

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell_server import operations
from warmcell_server.handlers import routes

XSRF = {"X-XSRFToken": "abc"}
NONE = "00000000-0000-7000-8000-000000000000"

# What each route answers to who may (method, path, status), which scope a key needs for it (None:
# keys are refused), and whether everybody may where the deployment is public.
ROUTES: list[tuple[str, str, int, str | None, bool]] = [
    ("POST", "add/invoke", 200, "invoke", True),
    ("POST", "add/submit", 202, "invoke", True),
    ("POST", "nothing/invoke", 404, "invoke", True),
    ("GET", "add/runs", 200, "read", False),
    ("HEAD", "add/runs", 200, "read", False),
    ("GET", f"add/runs/{NONE}", 404, "any", True),
    ("HEAD", f"add/runs/{NONE}", 404, "any", True),
    ("DELETE", f"add/runs/{NONE}", 404, "invoke", False),
    ("GET", f"add/runs/{NONE}/events", 404, "any", True),
    ("GET", f"add/runs/{NONE}/outputs/total", 404, "any", True),
    ("HEAD", f"add/runs/{NONE}/outputs/total", 404, "any", True),
    ("GET", "add/health", 200, "any", True),
    ("HEAD", "add/health", 200, "any", True),
    ("GET", "add/livez", 200, "any", True),
    ("GET", "add/readyz", 200, "any", True),
    ("GET", "add/info", 200, "read", False),
    ("GET", "add/metrics", 200, "read", False),
    ("GET", "add/openapi.json", 200, "any", True),
    ("HEAD", "add/openapi.json", 200, "any", True),
    ("GET", "add/docs", 200, "any", True),
    ("HEAD", "add/docs", 200, "any", True),
    ("GET", "add/", 200, "any", True),
    ("HEAD", "add/", 200, "any", True),
    ("GET", "nothing/health", 404, "any", True),
    ("GET", "nothing/", 404, "any", True),
    ("GET", "add/nothing", 404, "any", True),
    ("POST", "add/nothing", 404, "any", True),
    ("PUT", "add/nothing", 404, "any", True),
    ("PATCH", "add/nothing", 404, "any", True),
    ("DELETE", "add/nothing", 404, "any", True),
    ("PUT", "add/invoke", 405, "invoke", True),
    ("GET", "metrics", 200, None, False),
    ("HEAD", "metrics", 200, None, False),
    ("GET", "api/v1/status", 200, None, False),
    ("HEAD", "api/v1/status", 200, None, False),
    ("GET", "api/v1/openapi.json", 200, None, False),
    ("GET", "api/v1/deployments", 200, None, False),
    ("GET", "api/v1/deployments/add", 200, None, False),
    ("POST", "api/v1/deployments", 409, None, False),
    ("DELETE", "api/v1/deployments/nothing", 404, None, False),
    ("POST", "api/v1/deployments/nothing/rollback", 404, None, False),
    ("POST", "api/v1/deployments/nothing/split", 404, None, False),
    ("POST", "api/v1/deployments/nothing/shadow", 404, None, False),
    ("POST", "api/v1/deployments/nothing/promote", 404, None, False),
    ("POST", "api/v1/deployments/nothing/abort", 404, None, False),
    ("GET", "api/v1/deployments/add/keys", 200, None, False),
    ("POST", "api/v1/deployments/nothing/keys", 404, None, False),
    ("DELETE", "api/v1/deployments/add/keys/nothing", 404, None, False),
    ("GET", "api/v1/deployments/add/webhook", 200, None, False),
    ("POST", "api/v1/deployments/nothing/webhook/rotate", 404, None, False),
    ("GET", "api/v1/pipelines", 200, None, False),
    ("GET", "api/v1/pipelines/nothing", 404, None, False),
    ("POST", "api/v1/pipelines/deploy", 422, None, False),
    ("POST", "api/v1/pipelines/run", 422, None, False),
    ("DELETE", "api/v1/kernels/own", 409, None, False),
    ("GET", "api/v1/snapshots", 200, None, False),
    ("GET", "api/v1/deployments/add/diff", 200, None, False),
    ("GET", "api/v1/deployments/add/drift", 200, None, False),
    ("GET", "api/v1/deployments/add/history", 200, None, False),
    ("GET", "api/v1/snapshots/add/1/diff/1", 200, None, False),
    ("GET", "api/v1/snapshots/add/1/diff/now", 200, None, False),
    ("GET", "api/v1/snapshots/add/1/notebook", 200, None, False),
    ("GET", "api/v1/snapshots/add/1", 200, None, False),
    ("PATCH", "api/v1/snapshots/add/1", 409, None, False),
    ("POST", "api/v1/snapshots/nothing/1/trust", 404, None, False),
    ("PUT", "api/v1/snapshots/add/1", 405, None, False),
    ("GET", "api/v1/runs", 200, None, False),
    ("GET", f"api/v1/runs/{NONE}", 404, None, False),
    ("GET", f"api/v1/runs/{NONE}/events", 404, None, False),
    ("DELETE", f"api/v1/runs/{NONE}", 404, None, False),
    ("POST", f"api/v1/runs/{NONE}/rerun", 404, None, False),
    ("GET", f"api/v1/runs/{NONE}/compare/{NONE}", 404, None, False),
    ("GET", "api/v1/models", 200, None, False),
    ("POST", "api/v1/models", 422, None, False),
    ("GET", "api/v1/models/nothing", 404, None, False),
    ("PATCH", "api/v1/models/nothing", 404, None, False),
    ("DELETE", "api/v1/models/nothing", 404, None, False),
    ("GET", "api/v1/models/nothing/versions", 404, None, False),
    ("POST", "api/v1/models/nothing/versions", 422, None, False),
    ("GET", "api/v1/models/nothing/versions/latest", 404, None, False),
    ("GET", "api/v1/models/nothing/aliases/production", 404, None, False),
    ("PUT", "api/v1/models/nothing/aliases/production", 404, None, False),
    ("POST", "api/v1/models/nothing/aliases/production/back", 404, None, False),
    ("GET", "api/v1/models/nothing/moves", 404, None, False),
    ("GET", "api/v1/model-versions/nothing", 404, None, False),
    ("PATCH", "api/v1/model-versions/nothing", 404, None, False),
    ("DELETE", "api/v1/model-versions/nothing", 404, None, False),
    ("POST", "api/v1/model-versions/nothing/stage", 404, None, False),
    ("GET", "api/v1/model-versions/nothing/artifacts", 404, None, False),
    ("GET", "api/v1/model-versions/nothing/links", 404, None, False),
    ("POST", "api/v1/model-versions/nothing/links", 404, None, False),
    ("GET", "api/v1/logs?limit=1", 200, None, False),
    ("GET", "api/v1/store", 200, None, False),
    ("POST", "api/v1/store/prune", 200, None, False),
    ("POST", "api/v1/store/export", 422, None, False),
    ("POST", "api/v1/store/import", 422, None, False),
    ("GET", "api/v1/artifacts", 200, None, False),
    ("DELETE", "api/v1/artifacts?name=nothing", 404, None, False),
    ("GET", "api/v1/artifact-versions/find?name=nothing", 404, None, False),
    ("GET", "api/v1/artifact-versions", 200, None, False),
    ("POST", "api/v1/artifact-versions", 422, None, False),
    ("POST", "api/v1/artifact-versions/prune", 422, None, False),
    ("GET", f"api/v1/artifact-versions/{NONE}", 404, None, False),
    ("DELETE", f"api/v1/artifact-versions/{NONE}", 404, None, False),
    ("POST", f"api/v1/artifact-versions/{NONE}/signatures", 404, None, False),
    ("GET", f"api/v1/artifact-versions/{NONE}/files/a", 404, None, False),
    ("HEAD", f"api/v1/artifact-versions/{NONE}/files/a", 404, None, False),
    ("GET", "api/v1/cache?steps=nothing", 200, None, False),
    ("POST", "api/v1/cache/clear", 200, None, False),
    ("GET", "api/v1/lineage?kind=artifact&artifact=nothing", 404, None, False),
    ("GET", f"api/v1/artifact-versions/{NONE}/origin", 404, None, False),
    ("GET", f"api/v1/runs/{NONE}/openlineage", 404, None, False),
    ("GET", "api/v1/tags", 200, None, False),
    ("POST", "api/v1/tags", 422, None, False),
    ("GET", "api/v1/tags/nothing", 404, None, False),
    ("PATCH", "api/v1/tags/nothing", 404, None, False),
    ("DELETE", "api/v1/tags/nothing", 404, None, False),
    ("GET", "api/v1/tagged?tag=nothing", 200, None, False),
    ("POST", "api/v1/tagged", 422, None, False),
    ("POST", "api/v1/tagged/remove", 422, None, False),
    ("GET", "api/v1/visualizations", 200, None, False),
    ("POST", "api/v1/visualizations", 422, None, False),
    ("GET", "api/v1/visualizations/nothing", 404, None, False),
    ("PATCH", "api/v1/visualizations/nothing", 404, None, False),
    ("DELETE", "api/v1/visualizations/nothing", 404, None, False),
    ("GET", f"api/v1/metadata?kind=run&run={NONE}", 404, None, False),
    ("POST", "api/v1/metadata", 422, None, False),
    ("GET", "api/v1/metadata/compare", 422, None, False),
    ("POST", "api/v1/sql", 200, None, False),
    ("GET", "api/v1/changes?since=-1", 200, None, False),
    ("GET", "api/v1/nothing", 404, None, False),
    ("GET", "mcp", 404, None, False),
    ("GET", "static/nothing.js", 404, "any", True),
    ("GET", "docs", 404, None, False),
    ("GET", "_nothing/health", 404, "any", True),
    ("HEAD", "nothing", 404, None, False),
    ("POST", "nothing", 404, None, False),
    ("PUT", "nothing", 404, None, False),
    ("PATCH", "nothing", 404, None, False),
    ("DELETE", "nothing", 404, None, False),
]
BODIES: dict[str, Any] = {
    "add/invoke": {"parameters": {"a": 1, "b": 2}},
    "add/submit": {"parameters": {"a": 1, "b": 2}},
    "open/invoke": {"parameters": {"a": 1, "b": 2}},
    "open/submit": {"parameters": {"a": 1, "b": 2}},
    "nothing/invoke": {"parameters": {}},
    "api/v1/sql": {"query": "SELECT 1"},
    "api/v1/tags": {},
    "api/v1/tagged": {},
    "api/v1/tagged/remove": {},
    "api/v1/metadata": {},
    "api/v1/visualizations": {},
    "api/v1/visualizations/nothing": {},
    "api/v1/store/prune": {"max_runs": 0, "dry_run": True},
    "api/v1/store/export": {"to": "relative"},
    "api/v1/store/import": {"from": "relative"},
    "api/v1/cache/clear": {"run": NONE},
    "api/v1/artifact-versions": {},
    "api/v1/artifact-versions/prune": {"nothing": 1},
    f"api/v1/artifact-versions/{NONE}/signatures": {"signature": "0" * 64},
    "api/v1/models": {},
    "api/v1/models/nothing/versions": {"version": "latest"},
    "api/v1/models/nothing/aliases/production": {"version": "nothing"},
    "api/v1/model-versions/nothing/stage": {"stage": "production"},
    "api/v1/model-versions/nothing/links": {"kind": "run", "subject": "nothing"},
    "api/v1/deployments/nothing/rollback": {},
    "api/v1/deployments/nothing/split": {"weights": {"1": 1.0}},
    "api/v1/deployments/nothing/shadow": {"snapshot": 1},
    "api/v1/deployments/nothing/promote": {},
    "api/v1/deployments/nothing/abort": {},
    "api/v1/pipelines/deploy": {},
    "api/v1/pipelines/run": {},
    "api/v1/deployments/nothing/keys": {"name": "shop"},
}
# Who say nothing of who they are, and who say what is not true.
ANONYMOUS = {"none", "basic", "stale-cookie", "key-as-basic"}
LIARS = {"wrong", "empty", "accented", "key", "key-expired", "key-revoked", "key-almost", "key-cut"}
STRANGERS = ANONYMOUS | LIARS
READ, WRITE, EXECUTE = "read", "write", "execute"


def action(method: str, path: str) -> str:
    """What an authorizer is asked for."""
    if path.endswith(("/invoke", "/submit")):
        return EXECUTE
    if path.endswith("/webhook"):  # whoever reads the secret can sign with it
        return WRITE
    return READ if method in ("GET", "HEAD") or path == "api/v1/sql" else WRITE


@dataclass
class Door:
    """A server, what its kinds of credentials are, and what the keys among them open."""

    server: JupyterServer
    credentials: dict[str, dict[str, str]]
    keys: dict[str, tuple[str, set[str]]] = field(default_factory=dict)

    def knock(self, method: str, path: str, headers: dict[str, str]) -> Response:
        return self.server.request(
            method,
            f"warmcell/{path}",
            json_body=BODIES.get(path) if method in ("POST", "PATCH", "PUT") else None,
            headers=headers,
            authenticated=False,
        )

    def add_keys(self, staff: dict[str, str]) -> None:
        """Make keys of all kinds for ``add`` and one for ``open``, by who may."""

        def make(name: str, deployment: str, *scopes: str, **more: Any) -> str:
            path = f"warmcell/api/v1/deployments/{deployment}/keys"
            body = {"name": name, "scopes": scopes, **more}
            made = self.server.post(path, body, headers=staff, authenticated=False)
            assert made.status == 201, made.text
            self.keys[name] = (deployment, {"any", *scopes})
            key: str = made.json()["key"]
            self.credentials[name] = {"Authorization": f"Bearer {key}"}
            return key

        both = make("key-both", "add", "invoke", "read")
        make("key-invoke", "add", "invoke")
        make("key-read", "add", "read")
        make("key-other", "open", "invoke", "read")
        make("key-expired", "add", "invoke", "read", expires_in=1e-6)
        make("key-revoked", "add", "invoke", "read")
        path = "warmcell/api/v1/deployments/add/keys/key-revoked"
        assert self.server.delete(path, headers=staff, authenticated=False).status == 200
        for name, headers in {
            "key-by-token": {"Authorization": f"token {both}"},
            "key-x-api-key": {"X-API-Key": both},
            "key-from-elsewhere": {"X-API-Key": both, "Origin": "http://elsewhere.example"},
            "key-over-token": {"X-API-Key": both, **staff},
        }.items():
            self.keys[name] = self.keys["key-both"]
            self.credentials[name] = headers
        self.credentials["key-almost"] = {
            "X-API-Key": both[:-1] + ("a" if both[-1] != "a" else "b")
        }
        self.credentials["key-cut"] = {"X-API-Key": both[:-1]}
        self.credentials["key-as-basic"] = {"Authorization": f"Basic {both}"}
        self.credentials["key-at-foreign-host"] = {"X-API-Key": both, "Host": "elsewhere.example"}


def login_cookie(server: JupyterServer) -> str:
    """The cookie of a browser that has logged in, by what Jupyter itself sets."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    token = {"Authorization": f"token {server.token}"}
    connection.request("GET", f"{server.base_url}api/status", headers=token)
    cookies = connection.getresponse().headers.get_all("Set-Cookie") or []
    connection.close()
    return next(c.partition(";")[0] for c in cookies if c.startswith("username-"))


def plain(server: JupyterServer) -> Door:
    """The credentials of a server as Jupyter comes."""
    cookie = {"Cookie": login_cookie(server)}
    xsrf = {"Cookie": f"{cookie['Cookie']}; _xsrf=abc", **XSRF}
    token = {"Authorization": f"token {server.token}"}
    door = Door(
        server,
        {
            "none": {},
            "basic": {"Authorization": "Basic YTpi"},
            "stale-cookie": {"Cookie": cookie["Cookie"] + "x"},
            "wrong": {"Authorization": "token wrong"},
            "empty": {"Authorization": "token "},
            "accented": {"Authorization": "token tést-token".encode().decode("latin-1")},
            "key": {"Authorization": "Bearer wck_unknown"},
            "token": token,
            "bearer": {"Authorization": f"Bearer {server.token}"},
            "token-and-cookie": {**token, **cookie},
            "token-from-elsewhere": {**token, "Origin": "http://elsewhere.example"},
            "cookie": cookie,
            "cookie-xsrf": xsrf,
            "cookie-wrong-xsrf": {**xsrf, "X-XSRFToken": "other"},
            "cookie-from-elsewhere": {**xsrf, "Origin": "http://elsewhere.example"},
            "foreign-host": {**token, "Host": "elsewhere.example"},
        },
    )
    door.add_keys(token)
    return door


def provided(server: JupyterServer) -> Door:
    """The credentials of a server with a provider and an authorizer of its own."""
    ada = {"X-Test-User": "ada", "Cookie": "_xsrf=abc", **XSRF}
    door = Door(
        server,
        {
            "none": {},
            "token": {"Authorization": f"token {server.token}"},
            "ada": ada,
            "ada-without-xsrf": {"X-Test-User": "ada"},
            "reader": {**ada, "X-Test-User": "reader"},
            "caller": {**ada, "X-Test-User": "caller"},
            "nobody": {**ada, "X-Test-User": "nobody"},
            "manager": {**ada, "X-Test-User": "manager"},
            "foreign-host": {**ada, "Host": "elsewhere.example"},
        },
    )
    door.add_keys(ada)
    return door


@pytest.fixture(scope="module")
def doors(served: dict[str, tuple[JupyterServer, Kernel]]) -> Iterator[dict[str, Door]]:
    """The servers' doors. Beside what the servers have, there is ``open``, for everybody."""
    for _, author in served.values():
        author.run('opened = add.deploy("open", settings={"auth": "public"})')
    yield {
        "plain": plain(served["plain"][0]),
        "based": plain(served["based"][0]),
        "provider": provided(served["provider"][0]),
    }
    for _, author in served.values():
        author.run("opened.undeploy()")


def opened(path: str) -> str:
    """The same route of the deployment that is public."""
    return re.sub(r"^add/", "open/", path)


def expected_of_key(door: Door, who: str, path: str, status: int, scope: str | None) -> int:
    """The status of a route for a key that is one."""
    deployment, scopes = door.keys[who]
    allowed = path.startswith(f"{deployment}/") and scope in scopes
    return status if allowed else 403


def expected(who: str, method: str, path: str, status: int) -> int:
    """The status of a route for one kind of credentials."""
    reads = method in ("GET", "HEAD")
    grants = {"reader": {READ}, "caller": {READ, EXECUTE}, "nobody": set[str]()}
    if who in STRANGERS:
        return 401
    if who in ("foreign-host", "cookie-from-elsewhere", "key-at-foreign-host"):
        return 403
    if who in ("cookie", "cookie-wrong-xsrf", "ada-without-xsrf"):
        return status if reads else 403
    kernels = path.startswith("api/v1/pipelines/") or path.endswith("/trust")
    if who == "manager" and (kernels or path in ("api/v1/store/export", "api/v1/store/import")):
        return 403  # that would start a kernel, or do with any folder what a kernel can
    if who in grants and action(method, path) not in grants[who]:
        return 403
    return status


def walk(door: Door, path_of: Callable[[str], str], want: Callable[..., int]) -> list[str]:
    """Knock at every route with all credentials; return what was answered otherwise."""
    wrong = []
    for who, headers in door.credentials.items():
        for method, route, status, scope, public in ROUTES:
            path = path_of(route)
            wanted = want(who, method, path, status, scope, public)
            answer = door.knock(method, path, headers)
            if answer.status != wanted:
                wrong.append(
                    f"{who}: {method} {path}: {answer.status}, not {wanted}: {answer.text}"
                )
            elif answer.status >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (who, path)
                assert method == "HEAD" or answer.json()["status"] == answer.status
    return wrong


@pytest.mark.parametrize("kind", ["plain", "based", "provider"])
def test_every_route_lets_in_whom_it_should(doors: dict[str, Door], kind: str) -> None:
    """Each route answers each kind of credentials with its own status, or with 401 or 403."""
    door = doors[kind]

    def want(who: str, method: str, path: str, status: int, scope: str | None, _: bool) -> int:
        if kind == "provider" and who == "token":
            return 401  # this server's provider knows no token, whatever Jupyter's would do
        if who in door.keys and who not in STRANGERS:
            return expected_of_key(door, who, path, status, scope)
        return expected(who, method, path, status)

    wrong = walk(door, lambda path: path, want)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["plain", "based", "provider"])
def test_everybody_may_call_what_is_public(doors: dict[str, Door], kind: str) -> None:
    """A public deployment answers everybody where it should, and else as any other does; who
    shows credentials that are not valid is told so."""
    door = doors[kind]

    def want(who: str, method: str, path: str, status: int, scope: str | None, public: bool) -> int:
        if kind == "provider" and who == "token":
            return 401
        if who in ANONYMOUS and public and path.startswith("open/"):
            return status
        if who in door.keys and who not in STRANGERS:
            return expected_of_key(door, who, path, status, scope)
        return expected(who, method, path, status)

    wrong = walk(door, opened, want)
    assert not wrong, "\n".join(wrong)


def test_the_routes_are_all_of_them() -> None:
    """The table above has every handler with every method that it has."""
    missing = []
    for pattern, handler in routes("/"):
        for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            if getattr(handler, verb.lower()) is web.RequestHandler._unimplemented_method:
                continue
            tried = [
                path for method, path, *_ in ROUTES
                if method == verb and re.fullmatch(pattern, f"/warmcell/{path.partition('?')[0]}")
            ]  # fmt: skip
            if not tried:
                missing.append(f"{verb} {pattern}")
    assert not missing


def test_the_operations_are_all_of_them() -> None:
    """The table has every operation of the control plane."""
    tried = {(method, path.partition("?")[0]) for method, path, *_ in ROUTES}
    missing = [
        f"{method} {pattern.pattern}"
        for method, pattern, _ in operations.ROUTES
        if not any(verb == method and pattern.fullmatch(path) for verb, path in tried)
    ]
    assert missing == []


def test_a_token_answer_sets_no_cookie(doors: dict[str, Door]) -> None:
    """A client with a token gets no login cookie, in the header and in the query alike."""
    door = doors["plain"]
    by_header = door.knock("GET", "api/v1/status", door.credentials["token"])
    by_query = door.knock("GET", f"api/v1/status?token={door.server.token}", {})
    assert (by_header.status, by_query.status) == (200, 200)
    assert "set-cookie" not in by_header.headers | by_query.headers


def test_a_run_names_its_user(doors: dict[str, Door]) -> None:
    """The record of a call says who made it, as the identity provider names them."""
    door = doors["provider"]
    called = door.knock("POST", "add/invoke", door.credentials["caller"]).json()
    path = f"add/runs/{called['metadata']['run_id']}"
    assert door.knock("GET", path, door.credentials["reader"]).json()["user"] == "caller"


def test_a_stranger_learns_the_way_in(doors: dict[str, Door]) -> None:
    """401 names the header to send and has WWW-Authenticate; 403 for a cookie names XSRF."""
    door = doors["plain"]
    stranger = door.knock("POST", "add/invoke", {})
    assert stranger.headers["www-authenticate"].startswith("Bearer")
    assert "Authorization: token" in stranger.json()["hint"]
    browser = door.knock("POST", "add/invoke", door.credentials["cookie"])
    assert "X-XSRFToken" in browser.json()["hint"]


def test_a_page_sends_people_to_the_login(doors: dict[str, Door]) -> None:
    """A browser without a login is led to Jupyter's login page and back, from pages only."""
    door = doors["based"]
    page = door.knock("GET", "add/", {"Accept": "text/html"})
    assert page.status == 302
    target = page.headers["location"]
    assert target.startswith("/user/ada-42/login?next=%2Fuser%2Fada-42%2Fwarmcell%2Fadd%2F")
    assert door.knock("GET", "add/info", {"Accept": "text/html"}).status == 401


def test_a_preflight_needs_no_credentials(doors: dict[str, Door]) -> None:
    """OPTIONS answers 204 with the methods, and allows no foreign origin on its own."""
    door = doors["plain"]
    answer = door.knock("OPTIONS", "add/invoke", {"Origin": "http://elsewhere.example"})
    assert answer.status == 204
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert "access-control-allow-origin" not in answer.headers
    foreign = door.knock("OPTIONS", "add/invoke", {"Host": "elsewhere.example"})
    assert foreign.status == 403


def test_a_foreign_page_may_read_what_a_token_opens(doors: dict[str, Door]) -> None:
    """With a token, CORS headers are set as Jupyter sets them, on errors too."""
    door = doors["plain"]
    headers = door.credentials["token-from-elsewhere"]
    for path, status in (("add/health", 200), ("nothing/health", 404)):
        answer = door.knock("GET", path, headers)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "http://elsewhere.example"
