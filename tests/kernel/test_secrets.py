"""Named secrets by the client, and in the environment of steps that name them."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kernel.executing import MemoryRecorder, run, value
from warmcell import Client, get_secret, output, pipeline, step
from warmcell.batch import run as run_batch
from warmcell.errors import Conflict, DefinitionError, NotFound, RunError, UsageError
from warmcell.ids import new_id
from warmcell.redaction import MASK
from warmcell.remote.transport import Http
from warmcell.runner import CancelToken, execute
from warmcell.runner.execution import Execution
from warmcell.secrets import secrets_file, set_secret

WAIT = 20.0
VALUES = {"USERNAME": "ada-of-db", "PASSWORD": "sesame-of-db"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "keys"))
    for name in ("USERNAME", "PASSWORD", "REGION", "API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    output.uninstall()
    yield
    output.uninstall()


@pytest.fixture
def client() -> Client:
    """It needs no server: what is asked here is in a file."""
    return Client.of(Http("http://127.0.0.1:9/"))


def test_the_client_keeps_secrets_of_several_values(client: Client) -> None:
    """Made, read, listed, changed, renamed and forgotten, by ZenML's names."""
    made = client.create_secret(name="db", values=VALUES)
    assert client.get_secret("db") == made
    assert client.get_secret("db").secret_values == VALUES
    assert [secret.name for secret in client.list_secrets()] == ["db"]
    assert "sesame" not in repr(made) + str(client.list_secrets())
    assert stat.S_IMODE(secrets_file().stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="already"):
        client.create_secret("db", {"PASSWORD": "another one"})
    changed = client.update_secret(
        "db", add_or_update_values={"port": "15432"}, remove_values=["USERNAME"], new_name="pg"
    )
    assert changed.secret_values == {"PASSWORD": "sesame-of-db", "port": "15432"}
    assert get_secret("pg", "port") == "15432"
    client.delete_secret("pg")
    for name in ("db", "pg"):
        with pytest.raises(NotFound, match="There is no secret"):
            client.get_secret(name)


def test_a_single_value_is_named_as_its_secret(client: Client) -> None:
    """One set from a shell is read by the client, and stays what it is when it is changed."""
    set_secret("API_TOKEN", "token-of-ada")
    assert client.get_secret("API_TOKEN").secret_values == {"API_TOKEN": "token-of-ada"}
    client.update_secret("API_TOKEN", add_or_update_values={"API_TOKEN": "token-of-bob"})
    assert get_secret("API_TOKEN") == "token-of-bob"


def test_a_secret_that_does_not_fit_is_refused_as_a_whole(client: Client) -> None:
    """A value that is too short or no text, none at all, or which of several is meant."""
    bad: Any = {"PASSWORD": 1234}
    for values in ({}, {"PASSWORD": "abc"}, bad, {"a b": "long enough"}):
        with pytest.raises(UsageError):
            client.create_secret("db", values)
    assert client.list_secrets() == []
    client.create_secret("db", VALUES)
    with pytest.raises(UsageError, match="several values"):
        get_secret("db")
    with pytest.raises(NotFound, match="no value 'PASS'"):
        get_secret("db", "PASS")
    with pytest.raises(UsageError, match="no values"):
        client.update_secret("db", remove_values=list(VALUES))
    with pytest.raises(NotFound):
        client.update_secret("db", remove_values=["port"])
    client.create_secret("other", VALUES)
    with pytest.raises(Conflict):
        client.update_secret("db", new_name="other")
    assert client.get_secret("db").secret_values == VALUES


@step(secrets=["db"], environment={"REGION": "eu", "USERNAME": "nobody"})
def connect() -> dict[str, str | None]:
    print("with", os.environ.get("PASSWORD"))
    return {name: os.environ.get(name) for name in ("USERNAME", "PASSWORD", "REGION")}


@step(secrets=["db"])
async def aconnect() -> str:
    await asyncio.sleep(0)
    return str(os.environ.get("PASSWORD"))


@step
def bare() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in ("PASSWORD", "REGION", "API_TOKEN")}


def test_a_step_has_its_secrets_in_the_environment(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs, over what is written there; afterwards it is as it was. The record of the run
    has none of it."""
    monkeypatch.setenv("REGION", "us")
    client.create_secret("db", VALUES)

    @pipeline
    def connecting() -> dict[str, str | None]:
        return connect()

    recorder = MemoryRecorder()
    ended = run_batch(connecting, {}, recorder=recorder)
    assert ended.outputs["output"] == {**VALUES, "REGION": "eu"}
    assert os.environ["REGION"] == "us"
    assert "PASSWORD" not in os.environ
    record = msgspec.json.encode([*recorder.details, *recorder.finished]).decode()
    assert "sesame-of-db" not in record
    assert f"with {MASK}" in record


def test_a_pipeline_gives_all_its_steps_secrets(client: Client) -> None:
    """A step's own win over them; async steps have them too, and those that fail leave none."""
    client.create_secret("db", VALUES)
    set_secret("API_TOKEN", "token-of-ada")

    @step(environment={"REGION": "asia"})
    def fail(before: object) -> int:
        raise ValueError(os.environ["REGION"])

    @pipeline(environment={"REGION": "eu"}, secrets=["API_TOKEN"])
    def both() -> Any:
        return bare(), aconnect()

    @pipeline(environment={"REGION": "eu"})
    def failing() -> int:
        return fail(bare())

    first, second = value(both)
    assert (first["REGION"], first["API_TOKEN"]) == ("eu", "token-of-ada")
    assert second == "sesame-of-db"
    assert str(run(failing).exception) == "asia"
    assert not {"PASSWORD", "REGION", "API_TOKEN"} & os.environ.keys()


def test_a_missing_secret_is_told_before_anything_runs() -> None:
    """By name, with what needs it and the way out."""
    ran = []

    @step
    def first() -> int:
        ran.append(1)
        return 1

    @step(secrets=["warehouse"])
    def second(x: int) -> int:
        return x

    @pipeline
    def needing() -> int:
        return second(first())

    with pytest.raises(NotFound, match="Step `second` needs the secret 'warehouse'") as told:
        needing()
    assert told.value.hint == "Set it: warmcell secrets set warehouse"
    assert ran == []
    outcome = run(needing)  # as a served call whose secret was deleted meanwhile
    assert isinstance(outcome.exception, NotFound)
    assert outcome.status == "failed"


@pytest.mark.parametrize(
    "options", [{"secrets": [""]}, {"secrets": [3]}, {"environment": {"A": 1}},
                {"environment": {"A=B": "x"}}, {"environment": ["A"]}],
)  # fmt: skip
def test_what_is_no_environment_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    """For steps and pipelines alike."""
    for make in (step, pipeline):
        with pytest.raises(DefinitionError, match=r"`secrets`|`environment`"):
            make(**options)(lambda: 1)


def test_steps_with_other_values_take_turns() -> None:
    """Two runs at once whose steps need different values of one variable: each sees its own. One
    that is cancelled while it waits ends; a step inside of a step is told at once."""
    inside, go = threading.Event(), threading.Event()

    @step(environment={"REGION": "eu"})
    def holding() -> tuple[str, str]:
        before = os.environ["REGION"]
        inside.set()
        assert go.wait(WAIT)
        return before, os.environ["REGION"]

    @step(environment={"REGION": "asia"})
    def other() -> str:
        return os.environ["REGION"]

    @pipeline
    def long() -> Any:
        return holding()

    @pipeline
    def short() -> str:
        return other()

    @step(environment={"REGION": "eu"})
    def outer() -> str:
        return str(short())

    @pipeline
    def nested() -> str:
        return outer()

    found: dict[str, Any] = {}
    threads = [threading.Thread(target=lambda: found.update(long=value(long)))]
    threads[0].start()
    assert inside.wait(WAIT)
    token = CancelToken()
    stopped = Execution(short, {}, run_id=new_id(), token=token)

    def stop() -> None:
        found["stopped"] = execute(short, {}, run_id=stopped.run_id, execution=stopped)

    threads.append(threading.Thread(target=stop))
    threads.append(threading.Thread(target=lambda: found.update(short=value(short))))
    for thread in threads[1:]:
        thread.start()
    token.cancel()
    threads[1].join(WAIT)
    assert found["stopped"].status == "cancelled"
    assert "short" not in found
    go.set()
    for thread in threads:
        thread.join(WAIT)
    assert found["long"] == ("eu", "eu")
    assert found["short"] == "asia"
    assert "REGION" not in os.environ
    with pytest.raises(RunError) as told:
        nested()
    assert "inside of another" in str(told.value)
    assert "REGION" not in os.environ
