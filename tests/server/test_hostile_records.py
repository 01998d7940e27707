"""What somebody may write who may write, to harm who reads: too much, odd names, SQL, addresses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.jupyter import JupyterServer
from warmcell.ids import new_id, now

API = "warmcell/api/v1/"
ODD = "'; DROP TABLE data.runs; --"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server(jupyter_server: JupyterServer) -> JupyterServer:
    return jupyter_server


def version(**more: Any) -> dict[str, Any]:
    made = {
        "id": new_id(), "artifact": "thing", "kind": "json", "type": "builtins.int",
        "status": "stored", "created_at": now(), "digest": "0" * 64, "size": 1, "value": 1,
    }  # fmt: skip
    return made | more


@pytest.mark.parametrize(
    "more",
    [
        {"artifact": "x" * 1001},
        {"artifact": "two\nlines"},
        {"artifact": "\x1b[31mred"},
        {"version": "x" * 1001},
        {"type": "x" * 1001},
        {"id": "../../status"},
        {"id": "x" * 100_000},
        {"tags": ["a,b"]},
        {"tags": ["x" * 256]},
        {"tags": [f"t{n}" for n in range(101)]},
        {"facts": {"schema": "x" * 5_000_000}},
        {"value": "x" * 20_000},
        {"files": [{"name": "a", "blob": "../owner.lock", "size": 0}]},
        {"files": [{"name": "a", "blob": "/etc/passwd", "size": 1}]},
    ],
)
def test_a_version_that_no_list_could_show_is_refused(
    server: JupyterServer, more: dict[str, Any]
) -> None:
    """422, or 409 for files that are not there; nothing of it is stored."""
    wrong = server.post(f"{API}artifact-versions", version(**more))
    assert wrong.status in (409, 422), wrong.text[:500]
    assert len(wrong.text) < 2000
    found = server.get(f"{API}artifact-versions?artifact=thing").json()["versions"]
    assert found == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"x" * 256: {"value": 1, "type": "int"}},
        {"": {"value": 1, "type": "int"}},
        {"a\0b": {"value": 1, "type": "int"}},
        {"large": {"value": "x" * 20_000, "type": "str"}},
        {"typed": {"value": 1, "type": "x" * 20_000}},
        {f"k{n}": {"value": n, "type": "int"} for n in range(1001)},
    ],
)
def test_metadata_has_bounds(server: JupyterServer, metadata: dict[str, Any]) -> None:
    """Keys and values have the bounds that they have in a step."""
    on = [{"kind": "run", "run": new_id()}]
    wrong = server.post(f"{API}metadata", {"metadata": metadata, "on": on})
    assert wrong.status == 422
    assert len(wrong.text) < 2000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tags", {"name": "x" * 256}),
        ("tags", {"name": "a,b"}),
        ("tags", {"name": "line\nbreak"}),
        ("tags", {"name": "fine", "color": MARKUP}),
        ("tagged", {"tags": [{"name": f"t{n}"} for n in range(101)],
                    "on": {"kind": "pipeline", "pipeline": "none"}}),
        ("models", {"name": "x" * 1001}),
        ("models", {"name": "\x1b[31mred"}),
        (f"models/{'x' * 256}/versions", {}),
        ("models/fine/versions", {"version": "two\nlines"}),
        ("models", {"name": "fine", "about": {"description": "x" * 2_000_000}}),
        ("models", {"name": "fine", "tags": ["a,b"]}),
        ("models", {"name": "fine", "tags": [f"t{n}" for n in range(101)]}),
    ],
)  # fmt: skip
def test_tags_and_models_have_bounds(server: JupyterServer, path: str, body: Any) -> None:
    """Names that no list could show, and too much of what goes with them, are refused."""
    wrong = server.post(f"{API}{path}", body)
    assert wrong.status == 422, wrong.text[:500]
    assert len(wrong.text) < 2000


LISTS = {
    "runs": ("status", "pipeline", "deployment", "tag", "text", "user", "trigger"),
    "artifacts": ("text", "tag", "pipeline"),
    "artifact-versions": (
        "artifact", "like", "version", "run_id", "step", "pipeline", "kind", "type", "role",
        "status", "digest", "user", "tag", "text", "before",
    ),
    "models": ("text", "tag"),
    "snapshots": ("pipeline", "tag"),
    "logs": ("text", "run_id", "pipeline", "deployment", "step", "stream", "level", "before"),
    "tagged": ("tag", "kind"),
    "metadata": ("kind", "run", "step", "id", "artifact", "model"),
    "artifact-versions/find": ("name", "version", "tag"),
}  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("value", [ODD, "' OR '1'='1", "%", "\\", "[", "*" * 50, "\0", "x" * 5000])
def test_a_filter_is_a_value(server: JupyterServer, path: str, value: str) -> None:
    """Whatever a filter says, it is compared: nothing of it is SQL, and nothing fails inside."""
    for name in LISTS[path]:
        answer = server.get(f"{API}{path}?{name}={quote(value)}")
        assert answer.status < 500, (name, answer.text[:500])
    assert server.get(f"{API}runs").status == 200


def test_a_regular_expression_takes_its_time_and_no_more(server: JupyterServer) -> None:
    """One that would take for ever elsewhere is linear here; one that is none is refused."""
    fine = server.get(f"{API}logs?regex=true&text={quote('(a+)+$')}")
    assert fine.status == 200
    assert server.get(f"{API}logs?regex=true&text={quote('(((')}").status == 422


def test_markup_in_names_is_text(server: JupyterServer) -> None:
    """An artifact and a tag may be called by markup; where tables are shown it is escaped."""
    from warmcell.client import Client

    saved = server.post(f"{API}artifact-versions", version(artifact=MARKUP, tags=[MARKUP]))
    assert saved.status == 201, saved.text
    client = Client(server.url, server.token)
    found = client.list_artifact_versions(MARKUP)
    assert [one.artifact for one in found] == [MARKUP]
    assert MARKUP not in found._repr_html_()
    assert "&lt;img" in found._repr_html_()
