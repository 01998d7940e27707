"""A deployment's own front end: what is copied, how it is served, and what it may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

INDEX = """<!doctype html>
<html lang="en">
<head>
<link rel="stylesheet" href="/assets/app.css">
<script type="module" src="./assets/app.js"></script>
</head><body><a href="/elsewhere">x</a></body></html>
"""
FILES = {
    "index.html": INDEX,
    "about/us.html": "<p>us</p>",
    "assets/app.js": "export const name = 'first'",
    "assets/app.css": "p { color: red }",
    "assets/größe 1.txt": "groß",
    ".env": "SECRET=1",
    ".git/config": "SECRET=1",
}
CELLS = """\
%load_ext warmcell
from warmcell import DeploymentSettings, pipeline, step

@step
def twice(x: int) -> int: return 2 * x

@pipeline
def double(x: int) -> int: return twice(x)

deployed = double.deploy("front", dashboard_files_path="web")
double.deploy("open", dashboard_files_path="web", auth="public")
double.deploy("trusted", dashboard_files_path="web", trusted=True)
double.deploy("plain")
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    """A server and the kernel that serves CELLS."""
    folder = tmp_path_factory.mktemp("dashboard")
    server = JupyterServer(folder / "root", folder, base_url="/user/ada/")
    write(server.root / "web", FILES)
    try:
        author = server.start().kernel("author.ipynb")
        author.run(CELLS)
        yield server, author
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(served: tuple[JupyterServer, Kernel]) -> JupyterServer:
    return served[0]


@pytest.fixture(scope="module")
def author(served: tuple[JupyterServer, Kernel]) -> Kernel:
    return served[1]


def found(page: Response, pattern: str) -> str:
    match = re.search(pattern, page.text)
    assert match is not None, page.text
    return match[1]


def base_of(page: Response) -> str:
    """The address of the files, relative to the server's."""
    return found(page, r'<base href="/user/ada/([^"]+)"')


def key_of(page: Response) -> str:
    return found(page, r'<meta name="warmcell-key" content="([^"]+)"')


def test_the_page_is_sandboxed_and_gets_what_it_needs(server: JupyterServer) -> None:
    """An origin of its own, a key, an address for its files, and none of the caches."""
    page = server.get("warmcell/front/")
    assert page.headers["content-security-policy"] == "sandbox allow-scripts allow-forms"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert '<head><base href="/user/ada/warmcell/front/_site/' in page.text
    assert 'href="assets/app.css"' in page.text, "known files are found below the deployment"
    assert 'href="/elsewhere"' in page.text
    assert "window.warmcell" in page.text
    assert key_of(page).startswith("wck_")
    assert server.get("warmcell/front/", authenticated=False).status == 401
    login = server.get("warmcell/front/", authenticated=False, headers={"Accept": "text/html"})
    assert (login.status, "/login" in login.headers["location"]) == (302, True)
    assert "playground" not in page.text.lower()
    assert "playground" in server.get("warmcell/plain/").text.lower()


def test_its_files_need_only_their_address(server: JupyterServer) -> None:
    """A sandboxed page sends no credentials for its scripts: the address is the secret."""
    base = base_of(server.get("warmcell/front/"))
    script = server.get(f"{base}assets/app.js", authenticated=False, headers={"Origin": "null"})
    assert script.text == FILES["assets/app.js"]
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["access-control-allow-origin"] == "*"
    assert script.headers["x-content-type-options"] == "nosniff"
    again = server.get(
        f"{base}assets/app.js",
        authenticated=False,
        headers={"If-None-Match": script.headers["etag"]},
    )
    assert (again.status, again.body) == (304, b"")
    named = server.get(f"{base}assets/gr%C3%B6%C3%9Fe%201.txt", authenticated=False)
    assert named.text == "groß"
    link = server.get(f"{base}about/us.html", authenticated=False)
    assert (link.status, link.headers["location"]) == (
        302,
        "/user/ada/warmcell/front/about/us.html",
    )
    forged = base[:-4] + "AAA/"
    other = base.replace("/front/", "/open/")
    for address in (forged, other, "warmcell/front/_site/x/", "warmcell/front/_site/"):
        answer = server.get(f"{address}assets/app.js", authenticated=False)
        assert (answer.status, "app" in answer.text and answer.status == 200) == (404, False)
    for path in ("../index.html", "%2e%2e/.env", ".env", ".git/config", "no.js"):
        assert server.get(base + path, authenticated=False).status in (404, 401)


def test_its_key_calls_its_deployment_and_nothing_else(server: JupyterServer) -> None:
    """The page's requests come from the origin "null", with the key."""
    key = key_of(server.get("warmcell/front/"))
    headers = {"Origin": "null", "Authorization": f"Bearer {key}"}
    asked = server.request(
        "OPTIONS",
        "warmcell/front/invoke",
        authenticated=False,
        headers={
            "Origin": "null",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert asked.headers["access-control-allow-origin"] == "null"
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    call = server.post(
        "warmcell/front/invoke", {"parameters": {"x": 4}}, headers=headers, authenticated=False
    )
    assert call.json()["outputs"] == {"output": 8}
    assert call.headers["access-control-allow-origin"] == "null"
    assert "access-control-allow-credentials" not in call.headers
    for method, path in [
        ("GET", "warmcell/front/runs"),
        ("POST", "warmcell/plain/invoke"),
        ("GET", "warmcell/api/v1/deployments"),
        ("GET", "api/kernels"),
    ]:
        answer = server.request(method, path, headers=headers, authenticated=False)
        assert answer.status in (401, 403, 404), (path, answer.status)


def test_addresses_of_the_page_itself(server: JupyterServer) -> None:
    """What the front end makes sense of gives its page to browsers; programs get 404."""
    page = server.get("warmcell/front/customers/5", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status, "window.warmcell" in page.text) == (200, True)
    assert server.get("warmcell/front/customers/5").status == 404
    assert server.get("warmcell/front/no.js", headers={"Accept": "text/html"}).status == 404
    about = server.get("warmcell/front/about/us.html")
    assert base_of(about).endswith("/about/")
    assert about.text.endswith("<p>us</p>")
    assert server.get("warmcell/front/assets/app.css").text == FILES["assets/app.css"]
    assert server.get("warmcell/front/.env").status == 404
    assert server.post("warmcell/front/", {}).status == 405


def test_public_and_trusted_front_ends(server: JupyterServer) -> None:
    """A public deployment's page is public; a trusted one is a page of the server itself."""
    page = server.get("warmcell/open/", authenticated=False)
    assert page.headers["content-security-policy"].startswith("sandbox")
    trusted = server.get("warmcell/trusted/")
    assert "sandbox" not in trusted.headers["content-security-policy"]
    assert base_of(trusted) == "warmcell/trusted/"
    assert server.get("warmcell/trusted/assets/app.js").status == 200
    assert server.get("warmcell/trusted/assets/app.js", authenticated=False).status == 401


def test_what_was_deployed_does_not_change(server: JupyterServer, author: Kernel) -> None:
    """Edits and deletions reach nobody until the next deploy, which is a snapshot of its own; an
    open page keeps its files, and a rollback brings back the page before."""
    before = base_of(server.get("warmcell/front/"))
    write(server.root / "web", {"assets/app.js": "export const name = 'second'"})
    assert "first" in server.get(f"{before}assets/app.js", authenticated=False).text
    author.run("again = double.deploy('front', dashboard_files_path='web')")
    assert author.run("again.snapshot > deployed.snapshot").text == "True"
    after = base_of(server.get("warmcell/front/"))
    assert "second" in server.get(f"{after}assets/app.js", authenticated=False).text
    assert "first" in server.get(f"{before}assets/app.js", authenticated=False).text
    author.run("again.rollback()")
    assert "first" in server.get("warmcell/front/assets/app.js").text
    assert author.run("deployed.notes").text.count("Hidden files of the front end") == 1


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "names 'nowhere', which is no folder here"),
        ("web/assets", "has no index.html"),
        ("leads", "leads out of its folder"),
    ],
)
def test_folders_that_cannot_be_served(
    server: JupyterServer, author: Kernel, folder: str, message: str
) -> None:
    """A wrong folder is an error of the deploy, and what was served stays."""
    write(server.root / "leads", {"index.html": "x"})
    if not (server.root / "leads/passwd").is_symlink():
        (server.root / "leads/passwd").symlink_to("/etc/hostname")
    cell = author.run(f"double.deploy('front', dashboard_files_path={folder!r})", check=False)
    assert message in cell.evalue
    assert server.get("warmcell/front/").status == 200
