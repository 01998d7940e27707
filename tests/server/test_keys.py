"""API keys: made once, kept as digests, void when they should be; and what their holders see."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell.errors import InvalidName, NameTaken, NotFound, Unauthenticated, UsageError
from warmcell_server.keys.keyring import Keys

FORM = re.compile(r"wck_[0-9A-Za-z]{41}")


def make(keys: Keys, name: str = "shop", *scopes: str, **options: Any) -> str:
    """The text of a new key for the deployment "add"."""
    return asyncio.run(keys.create("add", name, scopes or ("invoke",), **options))[1]


# -- what is kept ----------------------------------------------------------------------------


def test_a_key_is_kept_as_its_digest(tmp_path: Path) -> None:
    """The file has everything of a key but the key, and only its owner can read it."""
    text = make(Keys(tmp_path), "shop", "read", "invoke", user="ada")
    assert FORM.fullmatch(text)
    path = tmp_path / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = path.read_text()
    (key,) = json.loads(kept).values()
    assert (key["name"], key["deployment"], key["created_by"]) == ("shop", "add", "ada")
    assert key["scopes"] == ["invoke", "read"]
    assert key["id"] == text[4:12]
    assert text[12:] not in kept


def test_it_is_found_by_all_of_it(tmp_path: Path) -> None:
    """Its text finds it, also in another host of the store; any other text does not."""
    keys, other = Keys(tmp_path), Keys(tmp_path)
    text = make(keys)
    assert keys.find(text).user == other.find(text).user == "key:shop"
    wrong = [
        text[:-1],
        text + "a",
        text[:-1] + ("a" if text[-1] != "a" else "b"),
        text[:5] + ("a" if text[5] != "a" else "b") + text[6:],
        text + "\n",
        "wck_" + "ä" * 41,
        "wck_",
        "",
    ]
    for almost in wrong:
        with pytest.raises(Unauthenticated, match="not valid"):
            keys.find(almost)


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    """Each has an id and a secret of its own, whatever their names."""
    keys = Keys(tmp_path)
    texts = {make(keys, f"key{number}") for number in range(50)}
    assert len({text[4:12] for text in texts}) == len({text[12:] for text in texts}) == 50


def test_a_revoked_key_is_void_at_once_in_every_host(tmp_path: Path) -> None:
    """Revoking takes back one key of one deployment, and nothing else."""
    keys, other = Keys(tmp_path), Keys(tmp_path)
    gone, stays = make(keys), make(keys, "lab")
    elsewhere = asyncio.run(keys.create("sub", "shop"))[1]
    assert other.find(gone).name == "shop"
    asyncio.run(keys.revoke("add", "shop"))
    for each in (keys, other):
        with pytest.raises(Unauthenticated):
            each.find(gone)
        assert [each.find(text).deployment for text in (stays, elsewhere)] == ["add", "sub"]
    with pytest.raises(NotFound, match="no key 'shop'") as caught:
        asyncio.run(keys.revoke("add", "shop"))
    assert "lab" in str(caught.value)


def test_an_expired_key_says_so_and_makes_room_for_another(tmp_path: Path) -> None:
    """It is told from one that never was; a name is taken until its key has expired."""
    keys = Keys(tmp_path)
    text = make(keys, expires_in=1e-6)
    with pytest.raises(Unauthenticated, match="'shop' expired at"):
        keys.find(text)
    (key,) = keys.of("add")
    assert key.describe()["expired"] is True
    make(keys, expires_in=3600)
    with pytest.raises(NameTaken, match="has a key 'shop'"):
        make(keys)
    assert [key.describe()["expired"] for key in keys.of("add")] == [False]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "_page", "ä", "a\n", "a" * 64])
def test_a_name_has_a_form(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="no name of a key"):
        make(Keys(tmp_path), name)


def test_scopes_and_times_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """The error says what there is."""
    keys = Keys(tmp_path)
    with pytest.raises(UsageError, match=r"no scope 'admin'\. Scopes: invoke, read"):
        make(keys, "shop", "invoke", "admin")
    with pytest.raises(UsageError, match="needs a scope"):
        asyncio.run(keys.create("add", "shop", []))
    for seconds in (0, -1, float("nan"), float("inf"), 1e300):
        with pytest.raises(UsageError, match="cannot expire in"):
            make(keys, expires_in=seconds)
    assert keys.of("add") == []


def test_when_it_was_used_last_is_kept(tmp_path: Path) -> None:
    """Known at once in its host, and written at the end of it; a revoked key stays revoked."""

    async def use() -> None:
        keys = Keys(tmp_path)
        keys.start()
        used, revoked = [(await keys.create("add", name))[1] for name in ("used", "revoked")]
        await keys.create("add", "idle")
        keys.find(used)
        keys.find(revoked)
        await keys.revoke("add", "revoked")
        assert {key.name: key.last_used_at is not None for key in keys.of("add")} == {
            "used": True,
            "idle": False,
        }
        await keys.close()
        await keys.close()

    asyncio.run(use())
    later = {key.name: key.last_used_at for key in Keys(tmp_path).of("add")}
    assert later["idle"] is None
    assert later["used"] is not None
    assert sorted(later) == ["idle", "used"]


# -- keys of pages ---------------------------------------------------------------------------


def test_a_key_of_a_page_is_kept_nowhere(tmp_path: Path) -> None:
    """Each has the scope "invoke" and a user of its own; only the host that made it knows it."""
    keys = Keys(tmp_path)
    first, second = (keys.temporary("add", 60) for _ in range(2))
    found = keys.find(first)
    assert (found.deployment, found.scopes) == ("add", ["invoke"])
    assert found.user.startswith("page:")
    assert found.user != keys.find(second).user
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unauthenticated):
        Keys(tmp_path).find(first)


def test_a_key_of_a_page_cannot_be_altered(tmp_path: Path) -> None:
    """Neither its deployment nor its time, nor can its signature go."""
    keys = Keys(tmp_path)
    text = keys.temporary("add", 60)
    _, payload, signature = text.split(".")
    claim = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claim[1] = "sub"
    forged = base64.urlsafe_b64encode(json.dumps(claim).encode()).rstrip(b"=").decode()
    for wrong in (
        f"wck_tmp.{forged}.{signature}",
        f"wck_tmp.{payload}.",
        f"wck_tmp.{payload}",
        f"wck_tmp.{payload}.{signature}.",
        f"wck_tmp.ä.{signature}",
        "wck_tmp..",
        "wck_tmp.",
    ):
        with pytest.raises(Unauthenticated):
            keys.find(wrong)
    with pytest.raises(Unauthenticated, match="expired"):
        keys.find(keys.temporary("add", 0))


def test_a_key_of_a_page_opens_no_more_than_who_loaded_it(tmp_path: Path) -> None:
    """Whoever loads the page with a key loses both at once, and cannot renew one with the other."""
    keys = Keys(tmp_path)
    shop = keys.find(make(keys, expires_in=3600))
    text = keys.temporary("add", 10 * 3600, by=shop)
    page = keys.find(text)
    assert page.expires_at == shop.expires_at
    reloaded = keys.find(keys.temporary("add", 10 * 3600, by=page))
    assert (reloaded.expires_at, reloaded.parent) == (page.expires_at, shop.id)
    brief = keys.find(keys.temporary("add", 60))
    assert keys.find(keys.temporary("add", 3600, by=brief)).expires_at == brief.expires_at
    asyncio.run(keys.revoke("add", "shop"))
    for each in (text, keys.temporary("add", 60, by=page)):
        with pytest.raises(Unauthenticated, match="expired"):
            keys.find(each)
    everybodys = keys.find(keys.temporary("add", 60, anybody=True))
    assert everybodys.anybody
    assert keys.find(keys.temporary("add", 60, by=everybodys)).anybody


def test_with_its_deployment_all_its_keys_go(tmp_path: Path) -> None:
    """The kept ones and those of its pages; those of others stay."""
    keys = Keys(tmp_path)
    gone = [make(keys), make(keys, "lab"), keys.temporary("add", 60)]
    stays = [asyncio.run(keys.create("sub", "shop"))[1], keys.temporary("sub", 60)]
    revoked = asyncio.run(keys.revoke_all("add"))
    assert sorted(key.name for key in revoked) == ["lab", "shop"]
    for text in gone:
        with pytest.raises(Unauthenticated):
            keys.find(text)
    assert {keys.find(text).deployment for text in stays} == {"sub"}
    assert keys.find(keys.temporary("add", 60)).deployment == "add"


# -- over HTTP -------------------------------------------------------------------------------

CELLS = """\
%load_ext warmcell
import threading
from warmcell import pipeline, step

gate = threading.Event()

@step
def say(text: str) -> str:
    print("inside", text)
    if text == "wait":
        gate.wait(60)
    if text == "fail":
        raise ValueError("no")
    return text

@pipeline
def talk(text: str) -> str:
    return say(text)

talking = talk.deploy("talk")
"""


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer) -> Iterator[Kernel]:
    """The kernel that serves "talk"."""
    made = jupyter_server.kernel("keys.ipynb")
    made.run(CELLS)
    yield made
    made.run("gate.set()")


class Holder:
    """Somebody with a key and nothing else."""

    def __init__(self, server: JupyterServer, key: str) -> None:
        self.server = server
        self.key = key

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        return self.server.request(
            method,
            f"warmcell/{path}",
            json_body=body,
            headers={"Authorization": f"Bearer {self.key}", **headers},
            authenticated=False,
        )

    def call(self, text: str, **headers: str) -> Response:
        return self.ask("POST", "talk/invoke", {"parameters": {"text": text}}, **headers)

    def run_of(self, text: str) -> str:
        """The id of a run that it made."""
        answer = self.call(text).json()
        found: str = answer.get("run_id") or answer["metadata"]["run_id"]
        return found


Make = Callable[..., Holder]


@pytest.fixture
def holder(jupyter_server: JupyterServer, author: Kernel) -> Iterator[Make]:
    """Make keys of "talk" over HTTP; they are revoked with the test."""
    names = []

    def make(name: str, *scopes: str) -> Holder:
        body = {"name": name, **({"scopes": scopes} if scopes else {})}
        made = jupyter_server.post("warmcell/api/v1/deployments/talk/keys", body)
        assert made.status == 201, made.text
        names.append(name)
        return Holder(jupyter_server, made.json()["key"])

    yield make
    for name in names:
        jupyter_server.delete(f"warmcell/api/v1/deployments/talk/keys/{name}")


def test_a_key_is_shown_once(jupyter_server: JupyterServer, holder: Make) -> None:
    """The answer that makes it has it; lists have everything else, and when it was used."""
    shop = holder("shop")
    assert FORM.fullmatch(shop.key)
    assert shop.call("hello").status == 200
    listed = jupyter_server.get("warmcell/api/v1/deployments/talk/keys")
    assert shop.key[12:] not in listed.text
    assert "digest" not in listed.text
    (key,) = listed.json()["keys"]
    assert key["id"] == shop.key[4:12]
    assert (key["name"], key["deployment"], key["scopes"]) == ("shop", "talk", ["invoke"])
    assert key["created_by"] == "token"
    assert key["last_used_at"] >= key["created_at"]
    assert (key["expires_at"], key["expired"]) == (None, False)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 422, "name"),
        ({"name": "a b"}, 422, "no name of a key"),
        ({"name": "shop", "scopes": ["write"]}, 422, "Scopes: invoke, read"),
        ({"name": "shop", "scopes": []}, 422, "needs a scope"),
        ({"name": "shop", "expires_in": -1}, 422, "cannot expire"),
        ({"name": "shop", "expires": 1}, 422, "expires"),
        ({"name": 1}, 422, "name"),
    ],
)
def test_a_wrong_wish_is_told(
    jupyter_server: JupyterServer, author: Kernel, body: Any, status: int, told: str
) -> None:
    answer = jupyter_server.post("warmcell/api/v1/deployments/talk/keys", body)
    assert answer.status == status
    assert told in answer.json()["detail"] + answer.json().get("hint", "")


def test_a_name_is_taken_once(jupyter_server: JupyterServer, holder: Make) -> None:
    holder("shop")
    answer = jupyter_server.post("warmcell/api/v1/deployments/talk/keys", {"name": "shop"})
    assert answer.status == 409
    assert "revoke" in answer.json()["hint"]


def test_what_is_done_with_keys_is_audited(jupyter_server: JupyterServer, holder: Make) -> None:
    """Who made and who revoked which key, when; the key itself stands nowhere in the store."""
    key = holder("audited", "read").key
    jupyter_server.delete("warmcell/api/v1/deployments/talk/keys/audited")
    query = (
        "SELECT event, subject, deployment, \"user\", detail->>'$.id' FROM audit "
        "WHERE subject = 'audited' ORDER BY time"
    )
    table = jupyter_server.post("warmcell/api/v1/sql", {"query": query}).json()
    same = ["audited", "talk", "token", key[4:12]]
    assert table["rows"] == [["key.created", *same], ["key.revoked", *same]]
    home = jupyter_server.root / ".warmcell"
    for path in home.rglob("*"):
        if path.is_file() and path.suffix != ".duckdb":  # which nobody else may open
            assert key[12:].encode() not in path.read_bytes(), path


def test_a_run_names_its_key(holder: Make) -> None:
    """The user of a run is the name of the key; the holder may read it, but not what was inside."""
    shop = holder("shop")
    run = shop.ask("GET", f"talk/runs/{shop.run_of('hello')}").json()
    assert (run["status"], run["outputs"]) == ("succeeded", {"output": "hello"})
    assert run["parameters"] == {"text": "hello"}
    assert not {"logs", "artifacts", "notebook", "user"} & run.keys()
    assert [step["step"] for step in run["steps"]] == ["say"]
    assert not {"inputs", "upstream"} & run["steps"][0].keys()


def test_a_failure_is_told_without_its_traceback(holder: Make) -> None:
    """A caller learns what failed; whoever may read learns where in the code."""
    shop, staff = holder("shop"), holder("staff", "read")
    run_id = shop.run_of("fail")
    told = shop.ask("GET", f"talk/runs/{run_id}").json()
    assert (told["error"]["type"], told["error"]["message"]) == ("ValueError", "no")
    assert "raceback" not in json.dumps(told)
    full = staff.ask("GET", f"talk/runs/{run_id}").json()
    assert "raceback" in json.dumps(full)
    assert full["user"] == "key:shop"
    assert "inside fail" in json.dumps(full["logs"])


def test_a_key_to_invoke_sees_its_own_runs_only(
    jupyter_server: JupyterServer, holder: Make
) -> None:
    """Those of other keys and of Jupyter's users are not there for it, in no form."""
    shop, lab = holder("shop"), holder("lab")
    staff = holder("staff", "read")
    own = shop.run_of("mine")
    answer = jupyter_server.invoke("talk", {"text": "theirs"}).json()
    theirs = [lab.run_of("theirs"), answer["metadata"]["run_id"]]
    for form in ("", "/events", "/outputs/output"):
        assert shop.ask("GET", f"talk/runs/{own}{form}").status == 200, form
        for run_id in theirs:
            assert shop.ask("GET", f"talk/runs/{run_id}{form}").status == 404, form
            assert staff.ask("GET", f"talk/runs/{run_id}{form}").status == 200, form
    assert shop.ask("GET", "talk/runs").status == 403
    assert {run["run_id"] for run in staff.ask("GET", "talk/runs").json()["runs"]} >= {own, *theirs}
    assert staff.call("hello").status == 403


def test_logs_are_not_for_callers(holder: Make) -> None:
    """A holder of a key to invoke follows its run without what the steps print."""
    shop, staff = holder("shop"), holder("staff", "read")
    run_id = shop.run_of("hello")
    events = shop.ask("GET", f"talk/runs/{run_id}/events").text
    assert "event: done" in events
    assert "inside hello" not in events
    assert "inside hello" in staff.ask("GET", f"talk/runs/{run_id}/events").text


def test_a_run_is_cancelled_by_whom_it_belongs_to(
    jupyter_server: JupyterServer, author: Kernel, holder: Make
) -> None:
    """A queued or running one too; others do not even see it, and a key to read may not."""
    shop, lab, staff = holder("shop"), holder("lab"), holder("staff", "read")
    submitted = shop.ask("POST", "talk/submit", {"parameters": {"text": "wait"}})
    assert submitted.status == 202, submitted.text
    path = f"talk/runs/{submitted.json()['run_id']}"
    assert shop.ask("GET", path).json()["status"] in ("queued", "running")
    assert staff.ask("GET", path).json()["user"] == "key:shop"
    assert lab.ask("GET", path).status == 404
    assert lab.ask("DELETE", path).status == 404
    assert staff.ask("DELETE", path).status == 403
    assert shop.ask("DELETE", path).status == 202
    author.run("gate.set()")
    ended = shop.ask("GET", path, Prefer="wait=30").json()
    assert ended["status"] in ("cancelled", "succeeded")
    assert lab.ask("DELETE", path).status == 404
    assert shop.ask("DELETE", path).status == 409
    author.run("gate.clear()")


def test_a_key_goes_into_a_header_only(jupyter_server: JupyterServer, holder: Make) -> None:
    """In the query it is refused, and the answer says why."""
    shop = holder("shop")
    for query in (f"token={shop.key}", f"key={shop.key}", f"api_key={shop.key}"):
        answer = jupyter_server.get(f"warmcell/talk/health?{query}", authenticated=False)
        assert answer.status == 401
        assert "in the query" in answer.json()["detail"]
        assert "X-API-Key" in answer.json()["hint"]


def test_a_refusal_says_what_is_missing(jupyter_server: JupyterServer, holder: Make) -> None:
    """A scope, another deployment, or that no key opens this."""
    reader = holder("reader", "read")
    refused = reader.call("hello").json()
    assert "lacks the scope 'invoke'" in refused["detail"]
    assert "create_key" in refused["hint"]
    assert "another deployment" in reader.ask("GET", "other/health").json()["detail"]
    assert "of its deployment" in reader.ask("GET", "api/v1/runs").json()["detail"]


def test_a_key_outlives_a_new_version_and_not_its_deployment(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """Deploying again keeps the keys; removing the deployment revokes them, for whoever takes its
    name later."""
    author.run('brief = talk.deploy("brief")')
    made = jupyter_server.post("warmcell/api/v1/deployments/brief/keys", {"name": "shop"})
    holder = Holder(jupyter_server, made.json()["key"])
    body = {"parameters": {"text": "hello"}}
    author.run('brief = talk.deploy("brief", settings={"app_title": "Two"})')
    assert holder.ask("POST", "brief/invoke", body).status == 200
    author.run("brief.undeploy()")
    assert holder.ask("POST", "brief/invoke", body).status == 401
    author.run('brief = talk.deploy("brief")')
    assert holder.ask("POST", "brief/invoke", body).status == 401
    assert jupyter_server.get("warmcell/api/v1/deployments/brief/keys").json() == {"keys": []}
    query = (
        "SELECT event FROM audit WHERE deployment = 'brief' AND event LIKE 'key.%' ORDER BY time"
    )
    rows = jupyter_server.post("warmcell/api/v1/sql", {"query": query}).json()["rows"]
    assert rows == [["key.created"], ["key.revoked"]]
    author.run("brief.undeploy()")


def test_a_key_outlives_its_server(start_server: Callable[..., JupyterServer]) -> None:
    """After a restart, even after ``kill -9``, it opens the deployment again."""
    server = start_server()
    server.kernel().run(CELLS)
    made = server.post("warmcell/api/v1/deployments/talk/keys", {"name": "shop"})
    holder = Holder(server, made.json()["key"])
    assert holder.call("hello").status == 200
    path = "warmcell/api/v1/deployments/talk"
    wait_until(lambda: server.get(path).json()["stored"] == "stored")
    server.kill()
    server.start()
    assert holder.ask("GET", "talk/livez").status == 200
    assert holder.call("hello").status == 200
    assert Holder(server, "wck_wrong").call("hello").status == 401


def test_everybody_sees_what_everybody_made(jupyter_server: JupyterServer, author: Kernel) -> None:
    """Of a public deployment: the runs of nobody in particular, by their ids, without logs."""
    author.run('public = talk.deploy("public", settings={"auth": "public"})')

    def ask(method: str, path: str, body: Any = None) -> Response:
        path = f"warmcell/public/{path}"
        return jupyter_server.request(method, path, json_body=body, authenticated=False)

    made = ask("POST", "invoke", {"parameters": {"text": "hello"}})
    assert made.status == 200
    run_id = made.json()["metadata"]["run_id"]
    run = ask("GET", f"runs/{run_id}").json()
    assert run["status"] == "succeeded"
    assert not {"logs", "artifacts", "notebook", "user", "deliveries"} & run.keys()
    assert jupyter_server.get(f"warmcell/public/runs/{run_id}").json()["user"] == "public"
    assert ask("DELETE", f"runs/{run_id}").status == 401
    assert ask("GET", "runs").status == 401
    of_staff = jupyter_server.invoke("public", {"text": "staff"}).json()["metadata"]["run_id"]
    assert ask("GET", f"runs/{of_staff}").status == 404
    author.run("public.undeploy()")
    assert ask("GET", "health").status == 401
