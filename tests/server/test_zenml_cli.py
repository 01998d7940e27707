"""What ZenML's pages do in a shell, by the same words: only the command's name is another."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from warmcell.cli import main
from warmcell.client import Client
from warmcell.ids import new_id, now

Shell = Callable[..., str]


@pytest.fixture
def shell(
    jupyter_server: JupyterServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """Run a line that ends with ``code``, and return what it printed."""
    monkeypatch.setenv("WARMCELL_URL", jupyter_server.url)
    monkeypatch.setenv("WARMCELL_TOKEN", jupyter_server.token)
    monkeypatch.delenv("WARMCELL_KEY", raising=False)

    def run(line: str, code: int = 0) -> str:
        assert main(shlex.split(line)) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


@pytest.fixture(scope="module")
def client(jupyter_server: JupyterServer) -> Client:
    return Client(jupyter_server.url, jupyter_server.token)


def save(client: Client, artifact: str, version: str | None = None, **more: Any) -> str:
    """Store a number as the next version of an artifact; return its id."""
    record = {
        "id": new_id(), "artifact": artifact, "kind": "json", "type": "int", "status": "stored",
        "created_at": now(), "value": 1, "version": version, **more,
    }  # fmt: skip
    return str(client._call("POST", "api/v1/artifact-versions", record)["id"])


def test_artifacts_and_versions_are_tagged(client: Client, shell: Shell) -> None:
    """With the word in singular or plural, and the version behind its name or as an option."""
    save(client, "iris_dataset", "raw_2022")
    save(client, "iris_dataset", "raw_2023")
    save(client, "other")
    tags = shell("artifacts update iris_dataset -t sklearn -t flowers")
    assert "Artifact 'iris_dataset' has the tags: flowers, sklearn." in tags
    assert "has the tags: sklearn" in shell("artifact update iris_dataset -r flowers")
    assert "iris_dataset" in shell("artifact list --tag sklearn")
    assert "other" not in shell("artifact list -t sklearn")
    shell("artifacts versions update iris_dataset raw_2022 -t raw")
    shell("artifact version update iris_dataset -v raw_2023 -t raw -t new")
    shell("artifact version update iris_dataset -t newest -r new")
    found = {v: client.get_artifact_version("iris_dataset", v).tags for v in ("raw_2022", "2")}
    assert found == {"raw_2022": ["raw"], "2": ["newest", "raw"]}
    listed = shell("artifact version list")
    for name in ("raw_2022", "raw_2023", "other"):
        assert name in listed
    for line in ("artifact versions list iris_dataset", "artifact version list --name iris_dataset",
                 "artifact version list -t raw"):  # fmt: skip
        assert {one["version"] for one in json.loads(shell(f"{line} --json"))} == {
            "raw_2022", "raw_2023",
        }  # fmt: skip
    assert "raw_2022" in shell("artifact version describe iris_dataset -v raw_2022")
    assert "Give --tag or --remove-tag" in shell("artifact update iris_dataset", 2)
    assert "nothing" in shell("artifact version update nothing -t x", 3).lower()


def test_models_are_registered_and_changed(client: Client, shell: Shell) -> None:
    """The name as a word or an option."""
    shell(
        'model register customer_service_agent --license="MIT" '
        '--description="Multi-agent customer service system"'
    )
    shell("model register --name second -a shops -u 'to sell' -e fair --trade-offs none -t shop")
    second = client.get_model("second")
    assert (second.audience, second.use_cases, second.ethics) == ("shops", "to sell", "fair")
    assert (second.trade_offs, second.tags) == ("none", ["shop"])
    assert client.get_model("customer_service_agent").license == "MIT"
    shell('model update second --tag "classification" -r shop -l BSD')
    second = client.get_model("second")
    assert (second.tags, second.license, second.audience) == (["classification"], "BSD", "shops")
    assert "second" in shell("model list --tag classification")
    assert "Which model is meant" in shell("model register", 2)
    assert "Nothing is to be changed" in shell("model update second", 2)
    shell("model delete second --yes")
    assert "second" not in shell("model list")


def test_versions_of_models_are_staged_and_tagged(client: Client, shell: Shell) -> None:
    """Where another one is in production, only with --force; the newest one where none is named."""
    client.create_model("iris")
    for label in ("one", "two"):
        client.create_model_version("iris", label)
    said = shell("model version update iris one -s production")
    assert "Version 'one' of 'iris' is changed. It is in: production." in said
    assert "force" in shell("model version update iris two --stage=production", 1)
    shell("model version update iris 2 --stage production --force")
    assert client.get_model_version("iris", "one").stage == "archived"
    shell('model version update iris 2 --tag "experiment3" -d "The second"')
    two = client.get_model_version("iris", "two")
    assert (two.tags, two.description, two.stage) == (["experiment3"], "The second", "production")
    shell("model version update iris --stage=staging")
    assert client.get_model_version("iris", "staging").name == "two"
    for line in ("iris", "--model-name iris", "-n iris --tag experiment3", "iris --stage staging"):
        assert "two" in shell(f"model version list {line}")
    assert "one" not in shell("model version list iris -t experiment3")
    assert "Nothing is to be changed" in shell("model version update iris two", 2)
    assert "Version 'one' is deleted" in shell("model version delete iris one")
    three = client.create_model_version("iris", "three")
    shell(f"model version delete {three.id} -y")
    assert [one.name for one in client.list_model_versions("iris")] == ["two"]


def test_what_belongs_to_a_version_is_listed(client: Client, shell: Shell) -> None:
    """By what it is for; of the newest version, or of one."""
    client.create_model("demo")
    version = client.create_model_version("demo", "first")
    for name, role in (("table", "data"), ("weights", "model"), ("service", "deployment")):
        version.link("artifact_version", save(client, f"demo_{name}"), role)
    gone = new_id()
    version.link("run", gone)
    version.link("step", f"{gone}/train")
    client.create_model_version("demo", "second")
    words = {
        "data_artifacts": {"demo_table"}, "model_artifacts": {"demo_weights"},
        "deployment_artifacts": {"demo_service"}, "endpoint_artifacts": {"demo_service"},
        "artifacts": {"demo_table", "demo_weights", "demo_service"},
    }  # fmt: skip
    for word, names in words.items():
        lines = [f"model version {word} demo first"]
        if word != "endpoint_artifacts":
            lines += [f"model {word} demo -v first", f"model {word} demo -v 1"]
        for line in lines:
            assert {one["artifact"] for one in json.loads(shell(f"{line} --json"))} == names
            assert all(name in shell(line) for name in names)
        assert "has none" in shell(f"model version {word} demo")
    assert json.loads(shell("model runs demo -v first --json")) == [gone]
    assert gone in shell("model version runs demo 1")
    links = json.loads(shell("model version links demo first --json"))
    kinds = sorted(one["kind"] for one in links)
    assert kinds == ["artifact_version"] * 3 + ["run", "step"]
    assert "has none" in shell("model runs demo")


def test_tags_are_registered(client: Client, shell: Shell) -> None:
    shell("tag register -n tidy -c blue")
    assert client.get_tag("tidy").color == "blue"
    assert "tidy" in shell("tag list")
    shell("tag update tidy --color red")
    shell("tag delete tidy")
    assert "tidy" not in shell("tags list")
