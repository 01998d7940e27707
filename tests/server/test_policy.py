"""What of served runs and cells is recorded, masked and found again: a real server and kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import Gate, ended, status, submit, wait_until
from tests.support.http import Response
from tests.support.jupyter import JupyterServer, clean_environment
from tests.support.kernels import Kernel

SECRET = "the-key-of-the-warehouse"
SETTING = f"__import__('warmcell.secrets').secrets.set_secret('warehouse', {SECRET!r})"
CELLS = """\
%load_ext warmcell
import pathlib, time
import pydantic
from typing import Annotated
from warmcell import get_secret, pipeline, step

@step
def log_in(account: dict, size: int) -> dict:
    print("logging in as", account, "with", get_secret("warehouse"))
    if size < 0:
        raise ValueError(f"{account['password']} is wrong, and so is {get_secret('warehouse')}")
    rows = [{"user": account["user"], "db_password": account["password"] + "!"}] * size
    return {"password": account["password"], "token": get_secret("warehouse"), "rows": rows}

@pipeline(settings={"redact": ["*password*"]})
def entering(account: dict, size: int = 1) -> dict:
    return log_in(account, size)

entering.deploy("entering")

class Checked(pydantic.BaseModel):
    password: str

    @pydantic.field_validator("password")
    @classmethod
    def strong(cls, value: str) -> str:
        if value.startswith("weak"):
            raise ValueError(f"{value} is too weak")
        return value

@step
def wait(gate: str, text: str) -> dict:
    pathlib.Path(gate + ".entered").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.005)
    return {"password": text[::-1], "header": text}

@pipeline
def waiting(gate: str, text: str) -> dict:
    return wait(gate, text)

@pipeline(settings={"redact": ["*password*"]})
def checking(gate: str, password: str, account: Checked | None = None) -> dict:
    return wait(gate, password)

waiting.deploy("waiting")
checking.deploy("checking")

@step
def measured(n: int) -> Annotated[list, "sizes"]:
    return [n] * 10_000

@step
def told(sizes: list) -> Annotated[str, "text"]:
    if sizes[0] < 0:
        raise ValueError("below zero")
    return f"{len(sizes)} of {sizes[0]}"

@pipeline
def measuring(n: int) -> str:
    return told(measured(n))

measuring.deploy("picky", artifacts={"text": "all", "*": "errors"})
measuring.deploy("plain")
"""
HIDDEN = ("hunter-2", SECRET)
ACCOUNT = {"user": "ada", "password": "hunter-2"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    folder = tmp_path_factory.mktemp("policy")
    server = JupyterServer(folder / "root", folder)
    try:
        kernel = server.start().kernel("author.ipynb")
        kernel.run(SETTING)  # in a cell of its own: that of a step is part of the snapshot
        kernel.run(CELLS)
        yield server, kernel
    finally:
        server.stop()


def recorded(server: JupyterServer, answer: Response) -> str:
    """All that the history has of the run of an answer, its files included, as text."""
    body = answer.json()
    run_id = (body.get("metadata") or body)["run_id"]
    run = server.get(f"warmcell/api/v1/runs/{run_id}").json()
    outputs = [
        server.get(f"warmcell/entering/runs/{run_id}/outputs/{artifact['name'].partition('/')[2]}")
        for artifact in run["artifacts"]
        if artifact["name"].startswith("outputs/")
    ]
    return json.dumps(run) + "".join(output.text for output in outputs)


@pytest.mark.parametrize("size", [1, 20_000])
def test_the_caller_gets_what_the_history_does_not(
    lab: tuple[JupyterServer, Kernel], size: int
) -> None:
    """Small outputs in the row and large ones in a file are masked; the answer is not."""
    server, _ = lab
    answer = server.invoke("entering", {"account": ACCOUNT, "size": size})
    given = answer.json()["outputs"]["output"]
    assert (given["password"], given["token"]) == ("hunter-2", SECRET)
    kept = recorded(server, answer)
    assert '"user": "ada"' in kept
    for value in HIDDEN:
        assert value not in kept


def test_a_failed_call_is_masked(lab: tuple[JupyterServer, Kernel]) -> None:
    """Error and traceback, for the caller and in the history."""
    server, _ = lab
    answer = server.invoke("entering", {"account": ACCOUNT, "size": -1})
    assert answer.status == 500
    text = answer.text + recorded(server, answer)
    assert "is wrong, and so is" in text
    for value in HIDDEN:
        assert value not in text


def test_nothing_hidden_is_in_the_files_of_the_store(lab: tuple[JupyterServer, Kernel]) -> None:
    """Neither in the spool, nor in the database, nor in a blob: also not while a run went on."""
    server, kernel = lab
    server.invoke("entering", {"account": ACCOUNT})
    cell = kernel.run(f"entering({ACCOUNT!r})")
    assert SECRET not in cell.stdout
    found = written(server)
    assert b"ada" in found
    for value in HIDDEN:
        assert value.encode() not in found


def written(server: JupyterServer) -> bytes:
    """All that is in the files of the store: spool, database, blobs and uploads."""
    store = Path(server.get("warmcell/api/v1/status").json()["home"])
    found = []
    for path in store.rglob("*"):
        try:
            found.append(path.read_bytes() if path.is_file() else b"")
        except FileNotFoundError:  # it was taken up meanwhile
            continue
    return b"".join(found)


PIN = "hunter-of-async"


@pytest.mark.parametrize(
    ("name", "parameters", "hidden"),
    [
        ("checking", {"password": PIN}, (PIN, PIN[::-1])),
        ("waiting", {"text": f"Bearer {SECRET}"}, (SECRET,)),
    ],
    ids=["key", "named"],
)
def test_the_history_of_a_detached_run_is_masked_from_its_beginning(
    lab: tuple[JupyterServer, Kernel], tmp_path: Path, name: str, parameters: dict[str, str],
    hidden: tuple[str, ...],
) -> None:  # fmt: skip
    """What it needs to run is kept in memory alone: while it waits and runs, once it ended, in its
    events, with an Idempotency-Key, and where it is cancelled before it ends."""
    server, kernel = lab
    kernel.run(f"{SETTING}; get_secret('warehouse')")
    gate = Gate(tmp_path)
    run_ids = []
    for key in ("first", "second"):
        answer = server.post(
            f"warmcell/{name}/invoke",
            {"parameters": gate.parameters(**parameters), "async": True},
            headers={"Idempotency-Key": f"{name}-{key}"},
        )
        assert answer.status == 202, answer.text
        run_ids.append(answer.json()["run_id"])

    def shown() -> str:
        paths = [f"warmcell/{name}/runs/{run_id}" for run_id in run_ids]
        paths += [f"warmcell/api/v1/runs/{run_id}" for run_id in run_ids]
        return "".join(server.get(path).text for path in paths)

    gate.entered()
    query = (
        f"SELECT count(*) FROM runs WHERE deployment = '{name}' AND status IN ('queued', 'running')"
    )
    stored = server.post("warmcell/api/v1/sql", {"query": query}).json()
    assert stored["rows"] == [[2]]
    for value in hidden:
        assert value not in shown()
        assert value.encode() not in written(server)
    assert server.delete(f"warmcell/{name}/runs/{run_ids[1]}").status < 300
    gate.open()
    for run_id in run_ids:
        ended(server, name, run_id)
    events = server.get(f"warmcell/{name}/runs/{run_ids[0]}/events").text
    assert "event: done" in events
    run = status(server, name, run_ids[0])
    assert "**redacted**" in json.dumps(run["parameters"])
    assert "**redacted**" in json.dumps(run["outputs"])
    for value in hidden:
        assert value not in shown() + events
        assert value.encode() not in written(server)


def test_a_refused_call_is_masked(lab: tuple[JupyterServer, Kernel], tmp_path: Path) -> None:
    """A validator's own words have what it was given; answer and history do not."""
    server, _ = lab
    given = Gate(tmp_path).parameters(password="x", account={"password": "weak-hunter"})
    answer = server.invoke("checking", given)
    assert answer.status == 422
    assert "**redacted** is too weak" in answer.text
    assert "weak-hunter" not in answer.text
    run_id = submit(server, "checking", given)
    assert ended(server, "checking", run_id)["status"] == "failed"
    assert b"weak-hunter" not in written(server)


@pytest.mark.parametrize(
    ("name", "n", "kept"),
    [("picky", 1, {"text"}), ("picky", -1, {"sizes"}), ("plain", 1, set()), ("plain", -1, set())],
)
def test_a_deployment_keeps_the_artifacts_that_its_policy_names(
    lab: tuple[JupyterServer, Kernel], name: str, n: int, kept: set[str]
) -> None:
    """One output of every call, the others of calls that fail; none where nothing is said."""
    server, _ = lab
    body = server.invoke(name, {"n": n}).json()
    run_id = (body.get("metadata") or body)["run_id"]
    query = (
        f"SELECT name, status FROM artifacts WHERE run_id = '{run_id}' AND version_id IS NOT NULL"
    )

    def found() -> list[list[str]]:
        answer = server.post("warmcell/api/v1/sql", {"query": query})
        assert answer.status == 200, answer.text
        rows: list[list[str]] = answer.json()["rows"]
        return rows

    wait_until(lambda: all(status == "stored" for _, status in found()))  # written in its own time
    assert {output for output, _ in found()} == kept


SLOW = """\
from warmcell.artifacts import Serializer, register

class Slow:
    def __init__(self, gate):
        self.gate = gate

class Slowly(Serializer):
    kind = "slow"

    def freeze(self, value):
        return value

    def save(self, value, out):
        while not pathlib.Path(value.gate).exists():
            time.sleep(0.005)
        out.write("x", b"x")

    def load(self, parts):
        return Slow("")

register(Slow, Slowly())

@step
def slow(gate: str) -> Annotated[object, "slow"]:
    return Slow(gate)

@step
def text(value: object) -> str:
    return "answered"

@pipeline
def slowly(gate: str) -> str:
    return text(slow(gate))

slowly.deploy("slowly", artifacts={"slow": "all"})
"""


def test_an_answer_does_not_wait_for_its_artifacts(
    lab: tuple[JupyterServer, Kernel], tmp_path: Path
) -> None:
    """The caller has the answer, and the history the run, while an artifact of it is written; the
    version is there afterwards."""
    server, kernel = lab
    kernel.run(SLOW)
    gate = tmp_path / "gate"
    answer = server.invoke("slowly", {"gate": str(gate)})
    assert answer.json()["outputs"] == {"output": "answered"}
    path = "warmcell/api/v1/artifact-versions?run_id=" + answer.json()["metadata"]["run_id"]

    def states() -> list[str]:
        return [one["status"] for one in server.get(path).json()["versions"]]

    assert states() == ["pending"]
    gate.touch()
    wait_until(lambda: states() == ["stored"])


def test_logs_are_found_wherever_they_came_from(lab: tuple[JupyterServer, Kernel]) -> None:
    """By HTTP, from a cell's run and a call's; by the client, the magic and the command line."""
    server, kernel = lab
    kernel.run(f"entering({ACCOUNT!r})")
    server.invoke("entering", {"account": ACCOUNT})
    path = "warmcell/api/v1/logs?text=LOGGING+in&pipeline=entering&step=log_in"
    found = server.get(path).json()["logs"]
    assert {log["deployment"] for log in found} == {None, "entering"}
    one = server.get(f"{path}&limit=1").json()
    assert one["logs"] == found[:1]
    assert one["next"]
    kernel.run("from warmcell import Client")
    texts = kernel.value(
        "[line.text for line in Client().search_logs('logging in', deployment='entering')]"
    )
    assert texts
    assert all("**redacted**" in text for text in texts)
    listed = kernel.run("%runs --logs logging in --pipeline entering").text
    assert "logging in as" in listed
    assert "No run wrote 'nowhere'" in kernel.run("%runs --logs nowhere").text

    words = ["logs", "--grep", "logging in .* with", "--regex", "--run", found[0]["run_id"]]
    options = ["--url", server.url, "--token", server.token]
    said = subprocess.run(
        [sys.executable, "-m", "warmcell", *words, *options],
        capture_output=True, text=True, timeout=60, env=clean_environment(server.root),
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert found[0]["text"].strip() in said.stdout


@pytest.mark.parametrize(
    "query", ["colour=red", "since=yesterday", "limit=many", "regex=1", "text=(&regex=true"]
)
def test_a_search_that_makes_no_sense_is_refused(
    lab: tuple[JupyterServer, Kernel], query: str
) -> None:
    """With 422, and what was wrong."""
    answer = lab[0].get(f"warmcell/api/v1/logs?{query}")
    assert answer.status == 422
    assert answer.json()["detail"]


def test_the_store_is_pruned_after_a_dry_run(lab: tuple[JupyterServer, Kernel]) -> None:
    """By the client and the command line; the last test of this module, since it takes the runs."""
    server, kernel = lab
    for _ in range(3):
        server.invoke("entering", {"account": ACCOUNT})
    kernel.run("from warmcell import Client")
    used = kernel.value("Client().store_usage()")
    assert used["runs"] == used["last_day"]["runs"] >= 3
    assert used["total"] >= used["database"] > 0
    told = kernel.value("Client().prune(max_runs=1, deployment='entering', dry_run=True)")
    assert told["runs"] >= 2
    assert kernel.value("Client().store_usage()")["runs"] == used["runs"]

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        options = ["--url", server.url, "--token", server.token]
        return subprocess.run(
            [sys.executable, "-m", "warmcell", "store", *words, *options],
            capture_output=True, text=True, timeout=60, env=clean_environment(server.root),
        )  # fmt: skip

    shown = said("usage").stdout
    assert f"{used['runs']:,} runs" in shown
    gone = said("prune", "--max-runs", "1", "--deployment", "entering", "--json")
    assert json.loads(gone.stdout)["runs"] == told["runs"]
    assert kernel.value("Client().store_usage()")["runs"] == used["runs"] - told["runs"]
    assert "max_bytes is 'plenty'" in said("prune", "--max-bytes", "plenty").stderr
    refused = server.post("warmcell/api/v1/store/prune", {"pipeline": "entering"})
    assert refused.status == 422
    assert server.post("warmcell/api/v1/store/prune", {"max_runs": -1}).status == 422
