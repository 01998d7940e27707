"""``warmcell models`` against a real server."""

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
def models(
    jupyter_server: JupyterServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command that ends with ``code``, and return what it printed."""
    monkeypatch.setenv("WARMCELL_URL", jupyter_server.url)
    monkeypatch.setenv("WARMCELL_TOKEN", jupyter_server.token)
    monkeypatch.delenv("WARMCELL_KEY", raising=False)

    def run(*words: str, code: int = 0) -> str:
        assert main(["models", *words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def test_from_a_shell(jupyter_server: JupyterServer, models: Run) -> None:
    """A model is registered, promoted, moved back and deleted from a shell."""
    assert "no models yet" in models("list")
    models("register", "agent", "--license", "MIT", "--tag", "llm")
    for label in ("one", "two"):
        made = jupyter_server.post(
            "warmcell/api/v1/models/agent/versions", {"version": label, "new": True}
        )
        assert made.status == 201, made.body
    assert "two" in models("list", "--tag", "llm")
    assert "is in: production" in models("stage", "agent", "one", "production")
    assert "Pass force=True" in models("stage", "agent", "2", "production", code=1)
    models("stage", "agent", "2", "production", "--force", "--reason", "better")
    found = json.loads(models("versions", "agent", "--stage", "production", "--json"))
    assert [one["version"] for one in found] == ["two"]
    assert "better" in models("history", "agent", "production")
    assert "at version 'one' again" in models("back", "agent", "production")
    models("delete", "agent", "two")
    assert "in production" in models("delete", "agent", code=1)
    models("delete", "agent", "--force")
    assert "There is no model 'agent'" in models("versions", "agent", code=3)


def test_versions_are_compared_from_a_shell(jupyter_server: JupyterServer, models: Run) -> None:
    """What was logged about them side by side, with a star where it differs."""
    client = Client(jupyter_server.url, jupyter_server.token)
    client.create_model("compared")
    for label, error in (("one", 0.5), ("two", 0.25)):
        made = client.create_model_version("compared", label)
        resource = {"kind": "model_version", "id": made.id}
        values = {"error": {"value": error, "type": "float"}, "n": {"value": 3, "type": "int"}}
        client._call("POST", "api/v1/metadata", {"metadata": values, "on": [resource]})
    lines = models("compare", "compared", "one", "two").splitlines()
    assert any(line.split() == ["*", "error", "0.5", "0.25"] for line in lines)
    assert any(line.split() == ["n", "3", "3"] for line in lines)
    found = client.compare_models("compared", "two", "latest")
    assert found.different == []
