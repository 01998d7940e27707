"""``warmcell tags`` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from warmcell.cli import main
from warmcell.client import Client

Run = Callable[..., Any]


@pytest.fixture
def tags(
    jupyter_server: JupyterServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command that ends with ``code``, and return what it printed."""
    monkeypatch.setenv("WARMCELL_URL", jupyter_server.url)
    monkeypatch.setenv("WARMCELL_TOKEN", jupyter_server.token)
    monkeypatch.delenv("WARMCELL_KEY", raising=False)

    def run(*words: str, code: int = 0) -> str:
        assert main(["tags", *words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_from_a_shell(jupyter_server: JupyterServer, tags: Run) -> None:
    """A tag is defined, put on a model and on a version, shown, renamed and deleted."""
    client = Client(jupyter_server.url, jupyter_server.token)
    client.create_model("shelved")
    version = client.create_model_version("shelved", "one")
    assert "'best' is defined" in tags("create", "best", "--exclusive", "--color", "blue")
    assert "best, new" in tags("add", "best", "new", "--model", "shelved@one")
    assert "new" in tags("add", "new", "--model", "shelved")
    assert client.get_model_version("shelved", "one").tags == ["best", "new"]
    shown = json.loads(tags("show", "new", "--json"))
    assert {(one["kind"], one["subject"]) for one in shown} == {
        ("model", "shelved"), ("model_version", version.id),
    }  # fmt: skip
    assert "1 model, 1 model version" in tags("list")
    assert "'better' is changed" in tags("update", "best", "--name", "better", "--no-exclusive")
    assert client.get_tag("better").exclusive is False
    assert "tags: none" in tags("remove", "new", "--model", "shelved")
    tags("delete", "better")
    assert client.get_model_version("shelved", "one").tags == ["new"]


def test_what_is_meant_has_to_be_said(tags: Run) -> None:
    """One thing, which there is."""
    assert "Name one thing: --pipeline" in tags("add", "x", code=2)
    assert "There is no run 'nothing'" in tags("add", "x", "--run", "nothing", code=3)
