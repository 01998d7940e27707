"""Who gets in: every route, for every kind of credentials, on three kinds of server."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import Any

import pytest
from tornado import web

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell_server.handlers import routes

XSRF = {"X-XSRFToken": "abc"}
NONE = "00000000-0000-7000-8000-000000000000"

# What each route answers to who may: (method, path, status).
ROUTES = [
    ("POST", "add/invoke", 200),
    ("POST", "nothing/invoke", 404),
    ("GET", "add/runs", 200),
    ("HEAD", "add/runs", 200),
    ("GET", f"add/runs/{NONE}", 404),
    ("HEAD", f"add/runs/{NONE}", 404),
    ("DELETE", f"add/runs/{NONE}", 404),
    ("GET", "add/health", 200),
    ("HEAD", "add/health", 200),
    ("GET", "add/livez", 200),
    ("GET", "add/readyz", 200),
    ("GET", "add/info", 200),
    ("GET", "add/metrics", 200),
    ("GET", "add/openapi.json", 200),
    ("GET", "add/", 200),
    ("HEAD", "add/", 200),
    ("GET", "nothing/health", 404),
    ("GET", "nothing/", 404),
    ("GET", "add/nothing", 404),
    ("PUT", "add/invoke", 405),
    ("GET", "metrics", 200),
    ("HEAD", "metrics", 200),
    ("GET", "api/v1/status", 200),
    ("HEAD", "api/v1/status", 200),
    ("GET", "api/v1/deployments", 200),
    ("GET", "api/v1/deployments/add", 200),
    ("POST", "api/v1/deployments", 409),
    ("DELETE", "api/v1/deployments/nothing", 404),
    ("POST", "api/v1/deployments/nothing/rollback", 404),
    ("GET", "api/v1/snapshots", 200),
    ("PATCH", "api/v1/snapshots/add/1", 409),
    ("PUT", "api/v1/snapshots/add/1", 405),
    ("GET", "api/v1/runs", 200),
    ("GET", f"api/v1/runs/{NONE}", 404),
    ("DELETE", f"api/v1/runs/{NONE}", 404),
    ("POST", "api/v1/sql", 200),
    ("GET", "api/v1/changes?since=-1", 200),
    ("GET", "api/v1/nothing", 404),
    ("GET", "mcp", 404),
    ("GET", "static/nothing.js", 404),
    ("GET", "docs", 404),
    ("GET", "_nothing/health", 404),
    ("HEAD", "nothing", 404),
    ("POST", "nothing", 404),
    ("PUT", "nothing", 404),
    ("PATCH", "nothing", 404),
    ("DELETE", "nothing", 404),
]
BODIES: dict[str, Any] = {
    "add/invoke": {"parameters": {"a": 1, "b": 2}},
    "nothing/invoke": {"parameters": {}},
    "api/v1/sql": {"query": "SELECT 1"},
    "api/v1/deployments/nothing/rollback": {},
}
READ, WRITE, EXECUTE = "read", "write", "execute"


def action(method: str, path: str) -> str:
    """What an authorizer is asked for."""
    if path.endswith("/invoke"):
        return EXECUTE
    return READ if method in ("GET", "HEAD") or path == "api/v1/sql" else WRITE


@dataclass
class Door:
    """A server, and what its kinds of credentials are."""

    server: JupyterServer
    credentials: dict[str, dict[str, str]]

    def knock(self, method: str, path: str, headers: dict[str, str]) -> Response:
        return self.server.request(
            method,
            f"warmcell/{path}",
            json_body=BODIES.get(path) if method in ("POST", "PATCH", "PUT") else None,
            headers=headers,
            authenticated=False,
        )


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
    return Door(
        server,
        {
            "none": {},
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


def provided(server: JupyterServer) -> Door:
    """The credentials of a server with a provider and an authorizer of its own."""
    ada = {"X-Test-User": "ada", "Cookie": "_xsrf=abc", **XSRF}
    return Door(
        server,
        {
            "none": {},
            "token": {"Authorization": f"token {server.token}"},
            "ada": ada,
            "ada-without-xsrf": {"X-Test-User": "ada"},
            "reader": {**ada, "X-Test-User": "reader"},
            "caller": {**ada, "X-Test-User": "caller"},
            "nobody": {**ada, "X-Test-User": "nobody"},
            "foreign-host": {**ada, "Host": "elsewhere.example"},
        },
    )


@pytest.fixture(scope="module")
def doors(served: dict[str, tuple[JupyterServer, Kernel]]) -> dict[str, Door]:
    """The servers' doors."""
    return {
        "plain": plain(served["plain"][0]),
        "based": plain(served["based"][0]),
        "provider": provided(served["provider"][0]),
    }


def expected(who: str, method: str, path: str, status: int) -> int:
    """The status of a route for one kind of credentials."""
    reads = method in ("GET", "HEAD")
    grants = {"reader": {READ}, "caller": {READ, EXECUTE}, "nobody": set[str]()}
    if who in ("none", "wrong", "empty", "accented", "key"):
        return 401
    if who in ("foreign-host", "cookie-from-elsewhere"):
        return 403
    if who in ("cookie", "cookie-wrong-xsrf", "ada-without-xsrf"):
        return status if reads else 403
    if who in grants and action(method, path) not in grants[who]:
        return 403
    return status


@pytest.mark.parametrize("kind", ["plain", "based", "provider"])
def test_every_route_lets_in_whom_it_should(doors: dict[str, Door], kind: str) -> None:
    """Each route answers each kind of credentials with its own status, or with 401 or 403."""
    door = doors[kind]
    wrong = []
    for who, headers in door.credentials.items():
        for method, path, status in ROUTES:
            want = expected(who, method, path, status)
            if kind == "provider" and who == "token":
                want = 401  # this server's provider knows no token, whatever Jupyter's would do
            answer = door.knock(method, path, headers)
            if answer.status != want:
                wrong.append(f"{who}: {method} {path}: {answer.status}, not {want}: {answer.text}")
            elif answer.status >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (who, path)
                assert method == "HEAD" or answer.json()["status"] == answer.status
    assert not wrong, "\n".join(wrong)


def test_the_routes_are_all_of_them() -> None:
    """The table above has every handler with every method that it has."""
    missing = []
    for pattern, handler in routes("/"):
        for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            if getattr(handler, verb.lower()) is web.RequestHandler._unimplemented_method:
                continue
            tried = [
                path for method, path, _ in ROUTES
                if method == verb and re.fullmatch(pattern, f"/warmcell/{path.partition('?')[0]}")
            ]  # fmt: skip
            if not tried:
                missing.append(f"{verb} {pattern}")
    assert not missing


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
