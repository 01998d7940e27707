"""Who gets in below a deployment's URL where its settings put something: other paths for what there
is anyway, endpoints, a front end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_access import ANONYMOUS, login_cookie
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """\
%load_ext warmcell
from warmcell import Request, endpoint, pipeline, step

@step
def double(a: int) -> int:
    return 2 * a

@pipeline
def twice(a: int) -> int:
    return double(a)

@endpoint("GET", "/closed", pipeline=twice)
def closed(request: Request): return {"user": request.user}

@endpoint("GET", "/opened", pipeline=twice, auth_required=False)
def opened(request: Request): return {"user": request.user}

@endpoint("POST", "/opened", pipeline=twice, auth_required=False)
def posted(request: Request): return {"user": request.user}

paths = {"invoke_url_path": "/call", "info_url_path": "/about", "health_url_path": "/up",
         "dashboard_files_path": "web"}
twice.deploy("mine", settings=paths)
ours = twice.deploy("ours", settings={**paths, "auth": "public"})
"""

# What each answers to who may (method, path, status), the scope of a key for it, and whether it is
# for everybody: never, where the deployment is public, or always.
ROUTES: list[tuple[str, str, int, str | None, str]] = [
    ("POST", "call", 200, "invoke", "public"),
    ("GET", "about", 200, "read", "never"),
    ("HEAD", "about", 200, "read", "never"),
    ("GET", "up", 200, "any", "public"),
    ("GET", "closed", 200, "invoke", "never"),
    ("GET", "opened", 200, "invoke", "always"),
    ("POST", "opened", 200, "invoke", "always"),
    ("GET", "", 200, "invoke", "public"),
    ("GET", "app.js", 200, "invoke", "public"),
    ("GET", "nothing.js", 404, "invoke", "public"),
    ("POST", "nothing", 404, "any", "public"),
    ("DELETE", "closed", 405, "any", "public"),
]
BODIES: dict[str, Any] = {"call": {"parameters": {"a": 1}}}


@dataclass
class Door:
    """A server, the credentials of those who knock, and what keys among them open."""

    server: JupyterServer
    author: Kernel
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict)

    def knock(self, method: str, path: str, **headers: str) -> Response:
        body = BODIES.get(path.partition("/")[2]) if method == "POST" else None
        return self.server.request(
            method, f"warmcell/{path}", json_body=body, headers=headers, authenticated=False
        )

    def make(self, name: str, deployment: str, *scopes: str) -> str:
        path = f"warmcell/api/v1/deployments/{deployment}/keys"
        made: str = self.server.post(path, {"name": name, "scopes": scopes}).json()["key"]
        return made

    def page_key(self, deployment: str, **headers: str) -> str:
        page = self.knock("GET", f"{deployment}/", **headers)
        assert page.status == 200, page.text
        found = re.search(r'name="warmcell-key" content="([^"]+)"', page.text)
        assert found is not None
        return found[1]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder: Path = tmp_path_factory.mktemp("below")
    server = JupyterServer(folder / "root", folder, base_url="/user/ada/")
    (server.root / "web").mkdir()
    (server.root / "web" / "index.html").write_text('<head></head><script src="app.js"></script>')
    (server.root / "web" / "app.js").write_text("1")
    try:
        author = server.start().kernel()
        author.run(CELLS)
        found = Door(server, author)
        token = {"Authorization": f"token {server.token}"}
        cookie = login_cookie(server)
        found.credentials = {
            "none": {},
            "basic": {"Authorization": "Basic YTpi"},
            "wrong": {"Authorization": "Bearer wrong"},
            "wrong-key": {"X-API-Key": "wck_wrong"},
            "token": token,
            "cookie": {"Cookie": cookie},
            "cookie-xsrf": {"Cookie": f"{cookie}; _xsrf=a", "X-XSRFToken": "a"},
            "foreign-host": {**token, "Host": "elsewhere.example"},
        }
        for name, scopes in {
            "invoke": ["invoke"],
            "read": ["read"],
            "both": ["invoke", "read"],
        }.items():
            found.credentials[name] = {"X-API-Key": found.make(name, "mine", *scopes)}
            found.keys[name] = {"any", *scopes}
        found.credentials["page"] = {"X-API-Key": found.page_key("mine", **token)}
        found.keys["page"] = {"any", "invoke"}
        yield found
    finally:
        server.stop()
        print(server.tail())


def expected(
    door: Door, who: str, deployment: str, method: str, status: int, scope: str | None, to: str
) -> int:
    everybody = to == "always" or (to == "public" and deployment == "ours")
    if who == "foreign-host":
        return 403
    if who in ANONYMOUS:
        return status if everybody else 401
    if who in ("wrong", "wrong-key"):
        return 401
    if who == "cookie" and method not in ("GET", "HEAD"):
        return 403
    if who in door.keys:
        return status if deployment == "mine" and scope in door.keys[who] else 403
    return status


@pytest.mark.parametrize("deployment", ["mine", "ours"])
def test_what_settings_add_lets_in_whom_it_should(door: Door, deployment: str) -> None:
    """Like the same thing under its usual path; an endpoint as its author says."""
    wrong = []
    for who, headers in door.credentials.items():
        for method, path, status, scope, to in ROUTES:
            wanted = expected(door, who, deployment, method, status, scope, to)
            answer = door.knock(method, f"{deployment}/{path}", **headers)
            if answer.status != wanted:
                told = f"{answer.status}, not {wanted}: {answer.text}"
                wrong.append(f"{who}: {method} {deployment}/{path}: {told}")
    assert not wrong, "\n".join(wrong)


def test_an_endpoint_learns_who_calls(door: Door) -> None:
    """By name; a caller whom nobody knows is the public."""

    def user(path: str, **headers: str) -> str:
        found: str = door.knock("GET", path, **headers).json()["user"]
        return found

    assert user("mine/closed", **door.credentials["both"]) == "key:both"
    assert user("mine/closed", **door.credentials["page"]).startswith("page:")
    assert user("mine/opened") == "public"


def test_a_page_reads_what_its_key_opens(door: Door) -> None:
    """A sandboxed front end has the origin "null": it may ask first, and read also the error of a
    key that is none any more. Other pages without an origin learn nothing."""
    asked = door.server.request(
        "OPTIONS",
        "warmcell/mine/call",
        headers={
            "Origin": "null",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        authenticated=False,
    )
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == "null"
    assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    key = door.credentials["page"]["X-API-Key"]
    for given, status in ((key, 200), (key[:-2], 401)):
        answer = door.knock("POST", "mine/call", Origin="null", Authorization=f"Bearer {given}")
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "null"
        assert "access-control-allow-credentials" not in answer.headers
    for headers in (door.credentials["both"], {}):
        answer = door.knock("POST", "ours/call", Origin="null", **headers)
        assert "access-control-allow-origin" not in answer.headers
    control = door.server.request(
        "OPTIONS", "warmcell/api/v1/runs", headers={"Origin": "null"}, authenticated=False
    )
    assert "access-control-allow-origin" not in control.headers


def test_a_page_loses_its_key_with_the_reason_for_it(door: Door) -> None:
    """Who loaded it with a key that is revoked, or because the deployment was public, is out."""
    held = {"X-API-Key": door.make("brief", "mine", "invoke")}
    page = {"X-API-Key": door.page_key("mine", **held)}
    again = {"X-API-Key": door.page_key("mine", **page)}
    assert door.knock("POST", "mine/call", **again).status == 200
    door.server.delete("warmcell/api/v1/deployments/mine/keys/brief")
    for headers in (held, page, again):
        assert door.knock("POST", "mine/call", **headers).status == 401
    visitors = {"X-API-Key": door.page_key("ours")}
    assert door.knock("POST", "ours/call", **visitors).status == 200
    door.author.run('ours = twice.deploy("ours", settings={**paths, "auth": "jupyter"})')
    assert door.knock("POST", "ours/call", **visitors).status == 401
    assert door.knock("GET", "ours/", **visitors).status == 401
    door.author.run('ours = twice.deploy("ours", settings={**paths, "auth": "public"})')
    assert door.knock("POST", "ours/call", **visitors).status == 200
