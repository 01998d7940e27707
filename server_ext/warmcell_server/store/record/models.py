"""Models and their versions, found by name, number, label, stage or alias."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound
from warmcell.ids import rfc3339

from .tags import tag_condition, tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "READS",
    "STAGES",
    "VIRTUAL",
    "find_version",
    "get_model",
    "get_model_version",
    "labelled",
    "no_model",
    "version_row",
]

STAGES = ("staging", "production")  # that one version of a model can hold
VIRTUAL = ("latest", "none", "archived")  # stages that nobody holds alone
PAGE = 1000  # most that one read returns

_VERSION = """
SELECT v.id, v.model, v.number, v.version, v.about, v.run_id, v.created_at, v.updated_at, v."user"
FROM data.model_versions v
"""


def get_model(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return model ``name`` with its aliases, or raise :class:`NotFound`."""
    found = _models(cursor, "WHERE m.name = ?", [request["name"]])
    if not found:
        raise no_model(cursor, request["name"])
    return found[0]


def list_models(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """List models by name; with ``tag``, one or several with commas, those that all fit."""
    where, values = tag_condition("model", "m.name", _tags(request))
    return _models(cursor, f"WHERE {where}", values)


def get_model_version(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return one version by ``id``, or of ``model`` by ``version``: a number, label, stage or
    alias; the latest by default. With its metadata. Raises :class:`NotFound`."""
    if request.get("id"):
        row = version_row(cursor, request["id"])
        if row is None:
            raise NotFound(f"There is no model version with the id '{request['id']}'.")
    else:
        row = find_version(cursor, request["model"], request.get("version"))
    rows = cursor.execute(
        "SELECT key, value, type FROM data.metadata "
        "WHERE kind = 'model_version' AND subject = ? AND value IS NOT NULL ORDER BY key",
        [row["id"]],
    ).fetchall()
    row["run_metadata"] = {key: json.loads(value) for key, value, _ in rows}
    row["metadata_types"] = {key: type_ for key, _, type_ in rows}
    return row


def list_model_versions(
    cursor: DuckDBPyConnection, request: dict[str, Any]
) -> list[dict[str, Any]]:
    """List the versions of ``model``, newest first; with ``stage``, ``tag`` or ``run_id`` only
    those, and with ``before`` (a number) those that are older. Raises :class:`NotFound`."""
    model = get_model(cursor, {"name": request["model"]})["name"]
    where, values = ["v.model = ?"], [model]
    if request.get("stage") == "latest":
        where.append("v.number = (SELECT max(number) FROM data.model_versions WHERE model = ?)")
        values.append(model)
    elif request.get("stage") == "archived":
        where.append("json_exists(v.about, '$.archived')")
    elif request.get("stage"):
        where.append("v.id IN (SELECT version FROM data.aliases WHERE model = ? AND alias = ?)")
        values += [model, request["stage"]]
    if request.get("tag"):
        condition, tags = tag_condition("model_version", "v.id", _tags(request))
        where.append(condition)
        values += tags
    if request.get("run_id"):
        where.append("v.run_id = ?")
        values.append(request["run_id"])
    if request.get("before") is not None:
        where.append("v.number < ?")
        values.append(request["before"])
    limit = min(int(request.get("limit") or 100), PAGE)
    return _versions(
        cursor, f"WHERE {' AND '.join(where)} ORDER BY v.number DESC LIMIT {limit}", values
    )


def _tags(request: dict[str, Any]) -> list[str]:
    return [part.strip() for part in (request.get("tag") or "").split(",") if part.strip()]


def find_version(
    cursor: DuckDBPyConnection, model: str, version: str | int | None
) -> dict[str, Any]:
    """The version of a model that ``version`` names; the latest one for None. Raises
    :class:`NotFound`."""
    where, values = "v.model = ?", [model]
    named = str(version) if version is not None else "latest"
    if named == "latest":
        where += " ORDER BY v.number DESC LIMIT 1"
    else:
        where += (
            " AND (v.version = ? OR v.number = TRY_CAST(? AS INTEGER) OR v.id IN "
            "(SELECT version FROM data.aliases WHERE model = ? AND alias = ?)) LIMIT 1"
        )
        values += [named, named, model, named]
    found = _versions(cursor, f"WHERE {where}", values)
    if found:
        return found[0]
    known = get_model(cursor, {"name": model})
    if named in STAGES or named in known["aliases"]:
        raise NotFound(
            f"No version of model '{model}' is in '{named}'.",
            hint=f"Move one there: Client().get_model_version('{model}').set_stage('{named}')."
            if named in STAGES
            else None,
        )
    if not known["versions"]:
        raise NotFound(
            f"Model '{model}' has no version yet.", hint="Run a pipeline that has it as `model`."
        )
    newest = [one["version"] for one in list_model_versions(cursor, {"model": model, "limit": 5})]
    raise NotFound(
        f"Model '{model}' has no version '{named}'.",
        hint=f"The newest are {', '.join(newest)}; aliases: {', '.join(known['aliases']) or '-'}.",
    )


def version_row(cursor: DuckDBPyConnection, version_id: str) -> dict[str, Any] | None:
    """The version with that id, if there is one."""
    found = _versions(cursor, "WHERE v.id = ?", [version_id])
    return found[0] if found else None


def _models(cursor: DuckDBPyConnection, where: str, values: list[Any]) -> list[dict[str, Any]]:
    rows = cursor.execute(
        'SELECT m.name, m.about, m.created_at, m.updated_at, m."user" '
        f"FROM data.models m {where} ORDER BY m.name LIMIT {PAGE}",
        values,
    ).fetchall()
    names = [row[0] for row in rows]
    # Each a question of its own: together, as subqueries per model, they take ten times as long.
    counts = {
        model: (count, latest)
        for model, count, latest in cursor.execute(
            "SELECT model, count(*), arg_max(version, number) FROM data.model_versions "
            "WHERE model IN (SELECT unnest(?::VARCHAR[])) GROUP BY model",
            [names],
        ).fetchall()
    }
    aliases: dict[str, dict[str, str]] = {}
    for model, alias, version in cursor.execute(
        "SELECT a.model, a.alias, v.version FROM data.aliases a JOIN data.model_versions v "
        "ON v.id = a.version WHERE a.model IN (SELECT unnest(?::VARCHAR[])) ORDER BY a.alias",
        [names],
    ).fetchall():
        aliases.setdefault(model, {})[alias] = version
    tags = tags_of(cursor, "model", names)
    return [
        {
            **_about(about),
            "name": name,
            "created_at": rfc3339(created),
            "updated_at": rfc3339(updated),
            "user": user,
            "versions": counts.get(name, (0, None))[0],
            "latest": counts.get(name, (0, None))[1],
            "aliases": aliases.get(name, {}),
            "tags": tags.get(name, []),
        }
        for name, about, created, updated, user in rows
    ]


def _versions(cursor: DuckDBPyConnection, rest: str, values: list[Any]) -> list[dict[str, Any]]:
    found = []
    rows = cursor.execute(f"{_VERSION} {rest}", values).fetchall()
    ids = [row[0] for row in rows]
    aliases: dict[str, list[str]] = {}
    for version, alias in cursor.execute(
        "SELECT version, alias FROM data.aliases WHERE version IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY alias",
        [ids],
    ).fetchall():
        aliases.setdefault(version, []).append(alias)
    tags = tags_of(cursor, "model_version", ids)
    for id_, model, number, version, about, run_id, created, updated, user in rows:
        said = _about(about)
        archived = said.pop("archived", None)
        held = [alias for alias in aliases.get(id_, []) if alias in STAGES]
        found.append(
            {
                **said,
                "id": id_,
                "model": model,
                "number": number,
                "version": version,
                "stage": held[0] if held else ("archived" if archived else None),
                "aliases": aliases.get(id_, []),
                "tags": tags.get(id_, []),
                "run_id": run_id,
                "created_at": rfc3339(created),
                "updated_at": rfc3339(updated),
                "user": user,
            }
        )
    return found


def _about(text: str | None) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(text) if text else {}
    return {name: value for name, value in about.items() if not name.startswith("_")}


def labelled(cursor: DuckDBPyConnection, model: str, label: str) -> dict[str, Any] | None:
    """The version of a model with that label, if there is one."""
    found = _versions(cursor, "WHERE v.model = ? AND v.version = ?", [model, label])
    return found[0] if found else None


def no_model(cursor: DuckDBPyConnection, name: str) -> NotFound:
    """The error for a model that there is not."""
    rows = cursor.execute("SELECT name FROM data.models ORDER BY updated_at DESC LIMIT 10")
    known = ", ".join(row[0] for row in rows.fetchall()) or "none"
    return NotFound(f"There is no model '{name}'.", hint=f"Models: {known}.")


READS = {
    "model": get_model,
    "models": list_models,
    "model_version": get_model_version,
    "model_versions": list_model_versions,
}
