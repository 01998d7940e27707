"""Models and their versions: made, described and deleted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmcell.errors import Conflict, InvalidName, NotFound
from warmcell.ids import now

from .models import (
    STAGES,
    VIRTUAL,
    get_model,
    get_model_version,
    labelled,
    no_model,
    version_row,
)
from .tags import attach

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "touch"]


def put_model(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Make model ``name``, or with ``update`` change what ``about`` says of it. One that is there
    is left as it is; with ``new`` it is a :class:`Conflict`, unless this request made it."""
    name, about = request["name"], request.get("about") or {}
    rows = connection.execute(
        "SELECT about, created_at FROM data.models WHERE name = ?", [name]
    ).fetchall()
    time = request.get("time") or now()
    if not rows:
        if request.get("update"):
            raise no_model(connection, name)
        connection.execute(
            "INSERT INTO data.models VALUES (?, ?, ?, ?, ?)",
            [name, json.dumps(about), time, time, request.get("user")],
        )
    elif request.get("update"):
        merged = json.loads(rows[0][0] or "{}") | about
        connection.execute(
            "UPDATE data.models SET about = ?, updated_at = ? WHERE name = ?",
            [json.dumps(merged), time, name],
        )
    elif request.get("new") and rows[0][1] != time:
        raise Conflict(
            f"There is a model '{name}' already.", hint="Use it, or choose another name."
        )
    attach(connection, "model", name, request.get("tags") or (), request.get("user"))
    return get_model(connection, {"name": name})


def make_model_version(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Make a version of ``model``, and the model where there is none. ``version`` is its label, its
    number by default. ``created`` of the answer is false for a label that is there already; with
    ``new`` that is a :class:`Conflict`."""
    model, label, user = request["model"], request.get("version"), request.get("user")
    known = version_row(connection, request["id"])
    if known is not None:
        return known | {"created": True}  # this request was repeated
    _check_run(connection, request.get("run_id"))
    put_model(
        connection,
        {"name": model, "about": request.get("model_about"), "user": user,
         "tags": _not_exclusive(connection, request.get("model_tags") or ()),
         "time": request.get("time")},
    )  # fmt: skip
    if label is not None:
        found = labelled(connection, model, label)
        if found and request.get("new"):
            raise Conflict(f"Model '{model}' has a version '{label}' already.")
        if found:
            return found | {"created": False}
        if not label.isdecimal():
            check_label(connection, model, label)
    rows = connection.execute(
        "SELECT greatest((SELECT coalesce(max(number), 0) FROM data.model_versions WHERE model = ?)"
        ", coalesce(CAST(m.about->>'$._last' AS INTEGER), 0)) + 1 FROM data.models m "
        "WHERE m.name = ?",
        [model, model],
    ).fetchall()
    number, time = rows[0][0], request.get("time") or now()
    if label is not None and label.isdecimal():
        number = _number(model, label, number)
    connection.execute(
        "INSERT INTO data.model_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            request["id"], model, number, label or str(number),
            json.dumps(request.get("about") or {}), request.get("run_id"), time, time, user,
        ],
    )  # fmt: skip
    touch(connection, model, time)
    attach(connection, "model_version", request["id"], request.get("tags") or (), user)
    made = version_row(connection, request["id"])
    assert made is not None
    return made | {"created": True}


def _number(model: str, label: str, following: int) -> int:
    """The number of a version whose label is a number: that one, so that both mean the same."""
    if label != str(int(label)) or not following <= int(label) < 2**31:
        raise InvalidName(
            f"'{label}' cannot be the name of a version of model '{model}' any more.",
            hint=f"A name that is a number is the version's number, and the next is {following}.",
        )
    return int(label)


def update_model_version(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Change what ``about`` says of the version ``id``, and add tags to it."""
    rows = connection.execute(
        "SELECT about FROM data.model_versions WHERE id = ?", [request["id"]]
    ).fetchall()
    if not rows:
        raise NotFound(f"There is no model version with the id '{request['id']}'.")
    about = rows[0][0]
    merged = json.loads(about or "{}") | (request.get("about") or {})
    connection.execute(
        "UPDATE data.model_versions SET about = ?, updated_at = ? WHERE id = ?",
        [json.dumps(merged), now(), request["id"]],
    )
    tags = request.get("tags") or ()
    attach(connection, "model_version", request["id"], tags, request.get("user"))
    return get_model_version(connection, {"id": request["id"]})


def delete_model_version(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Delete version ``id``. One that an alias points to is a :class:`Conflict`."""
    row = version_row(connection, request["id"])
    if row is None:
        return {"deleted": False}  # repeated; whether there was one, the caller looked
    if row["aliases"]:
        raise Conflict(
            f"Version '{row['version']}' of model '{row['model']}' is in use: "
            f"{', '.join(row['aliases'])} points to it.",
            hint="Move that to another version, or archive this one first.",
        )
    what = f"Version '{row['version']}' of model '{row['model']}'"
    _check_served(connection, "l.version = ?", row["id"], what)
    _forget(connection, "id = ?", row["id"])
    connection.execute(
        "UPDATE data.models SET about = json_merge_patch(coalesce(about, '{}'), "
        "json_object('_last', greatest(?, coalesce(CAST(about->>'$._last' AS INTEGER), 0)))) "
        "WHERE name = ?",
        [row["number"], row["model"]],
    )
    return {"deleted": True}


def delete_model(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Delete model ``name`` with its versions. While one is in production it is a
    :class:`Conflict`, unless ``force``. What they point to stays."""
    name = request["name"]
    held = connection.execute(
        "SELECT v.version FROM data.aliases a JOIN data.model_versions v ON v.id = a.version "
        "WHERE a.model = ? AND a.alias = 'production'",
        [name],
    ).fetchall()
    if held and not request.get("force"):
        raise Conflict(
            f"Version '{held[0][0]}' of model '{name}' is in production.",
            hint="Archive it first, or delete with force=True.",
        )
    served = "l.version IN (SELECT id FROM data.model_versions WHERE model = ?)"
    _check_served(connection, served, name, f"Model '{name}'")
    _forget(connection, "model = ?", name)
    connection.execute("DELETE FROM data.aliases WHERE model = ?", [name])
    for table in ("tagged", "curated"):
        connection.execute(f"DELETE FROM data.{table} WHERE kind = 'model' AND subject = ?", [name])
    connection.execute("DELETE FROM data.models WHERE name = ?", [name])
    return {"deleted": True}


def _check_served(connection: DuckDBPyConnection, where: str, value: str, what: str) -> None:
    """Raise :class:`Conflict` while a deployment that is not removed serves it."""
    rows = connection.execute(
        "SELECT d.name FROM data.model_links l JOIN data.deployments d ON d.name = l.subject "
        f"WHERE l.kind = 'deployment' AND d.state <> 'removed' AND {where} LIMIT 1",
        [value],
    ).fetchall()
    if rows:
        raise Conflict(
            f"{what} is what deployment '{rows[0][0]}' serves.",
            hint="Promote another version, or delete the deployment first.",
        )


def check_label(connection: DuckDBPyConnection, model: str, label: str) -> None:
    """Raise :class:`InvalidName` for a label that would mean something else, too."""
    if label in STAGES or label in VIRTUAL or label.isdecimal() or not label.strip():
        raise InvalidName(
            f"'{label}' cannot be the name of a version.",
            hint="Stages and plain numbers name versions already; write for example '1.0.5'.",
        )
    if connection.execute(
        "SELECT 1 FROM data.aliases WHERE model = ? AND alias = ?", [model, label]
    ).fetchall():
        raise InvalidName(f"'{label}' is an alias of model '{model}' already.")


def _check_run(connection: DuckDBPyConnection, run_id: str | None) -> None:
    """Raise :class:`Conflict` for a call of a deployment: those never make a version."""
    rows = connection.execute(
        "SELECT deployment FROM data.runs WHERE run_id = ? AND deployment IS NOT NULL", [run_id]
    ).fetchall()
    if rows:
        raise Conflict(
            f"Run {run_id} is a call of '{rows[0][0]}': a served call makes no model version.",
            hint="Make it in a run of your own: training is one, answering a call is none.",
        )


def touch(connection: DuckDBPyConnection, model: str, time: int) -> None:
    """Note that a model was changed."""
    connection.execute("UPDATE data.models SET updated_at = ? WHERE name = ?", [time, model])


def _not_exclusive(connection: DuckDBPyConnection, tags: Sequence[str]) -> list[str]:
    """Those that a model can have: it excludes no other one, and its version gets the rest."""
    rows = connection.execute(
        "SELECT name FROM data.tags WHERE exclusive AND name IN (SELECT unnest(?::VARCHAR[]))",
        [list(tags)],
    ).fetchall()
    exclusive = {name for (name,) in rows}
    return [tag for tag in tags if tag not in exclusive]


def _forget(connection: DuckDBPyConnection, where: str, value: str) -> None:
    """Delete versions and everything that is said about them."""
    chosen = f"(SELECT id FROM data.model_versions WHERE {where})"
    for table, condition in (
        ("model_links", "version"),
        ("tagged", "kind = 'model_version' AND subject"),
        ("metadata", "kind = 'model_version' AND subject"),
    ):
        connection.execute(f"DELETE FROM data.{table} WHERE {condition} IN {chosen}", [value])
    connection.execute(f"DELETE FROM data.model_versions WHERE {where}", [value])


CHANGES = {
    "put_model": put_model,
    "make_model_version": make_model_version,
    "update_model_version": update_model_version,
    "delete_model_version": delete_model_version,
    "delete_model": delete_model,
}
