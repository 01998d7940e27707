"""Curated visualizations: views of artifact versions that are shown with something.

One has an id, and a row for each thing that it is shown with: a model, deployment, pipeline, run,
snapshot or the project, which is the store itself. A version that is shown with more than runs is
kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound, UsageError
from warmcell.ids import now, rfc3339

from .subjects import resolve

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "PROJECT", "READS", "SHOWN_WITH", "curated_of"]

PROJECT = "default"
"""The key of the project: a store has one."""

SHOWN_WITH = ("model", "deployment", "pipeline", "run", "snapshot", "project")
"""The kinds of what a visualization is shown with."""

_MOST = 1000  # that are listed
_COLUMNS = "id, version, number, kind, subject, name, place, layout, created_at"
# What has no place comes last, in the order in which it was made.
_ORDER = "ORDER BY place NULLS LAST, created_at, id"


def _create(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Show visualization ``number`` of artifact version ``version`` with ``resources`` (``{"kind",
    "id"}``), as ``name``, at ``place``, with ``layout``. ``id`` is of who asks: asking twice makes
    one.

    Raises :class:`NotFound` for a version or a resource that is not there, :class:`UsageError` for
    a visualization that the version does not have.
    """
    version = resolve(connection, {"kind": "artifact_version", "id": request["version"]}).key
    _check_number(connection, version, request["number"])
    found = [_resource(connection, one) for one in request["resources"]]
    rows = [
        [
            request["id"], version, request["number"], kind, subject, request.get("name"),
            request.get("place"), request["layout"], now(), request.get("user"),
        ]
        for kind, subject in dict.fromkeys(found)
    ]  # fmt: skip
    connection.executemany(
        f'INSERT OR IGNORE INTO data.curated ({_COLUMNS}, "user") '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return _get(connection, {"id": request["id"]})


def _check_number(connection: DuckDBPyConnection, version: str, number: int) -> None:
    [(artifact, label, about)] = connection.execute(
        "SELECT artifact, version, about FROM data.artifact_versions WHERE id = ?", [version]
    ).fetchall()
    given = (json.loads(about) if about else {}).get("visualizations") or [None]
    if not 0 <= number < len(given):
        only = "visualization, number 0" if len(given) == 1 else "visualizations"
        raise UsageError(
            f"Version {label} of artifact '{artifact}' has no visualization {number}.",
            hint=f"It has {len(given)} {only}.",
        )


def _resource(connection: DuckDBPyConnection, named: dict[str, Any]) -> tuple[str, str]:
    """The kind and key of what ``{"kind", "id"}`` names."""
    kind, name = named["kind"], str(named["id"])
    if kind not in SHOWN_WITH:
        raise UsageError(
            f"Nothing is shown with a {kind!r}.", hint=f"Kinds: {', '.join(SHOWN_WITH)}."
        )
    if kind == "project":
        if name != PROJECT:
            raise NotFound(f"There is no project {name!r}.", hint=f"A store is one: {PROJECT!r}.")
        return kind, PROJECT
    if kind == "snapshot":
        pipeline, _, number = name.rpartition("/")
        return resolve(connection, {"kind": kind, "pipeline": pipeline, "number": number})[:2]
    return resolve(connection, {"kind": kind, kind: name})[:2]


def _update(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Change ``name``, ``place`` or ``layout`` of visualization ``id``. Raises
    :class:`NotFound`."""
    _get(connection, request)
    for column in ("name", "place", "layout"):
        if request.get(column) is not None:
            connection.execute(
                f"UPDATE data.curated SET {column} = ? WHERE id = ?",
                [request[column], request["id"]],
            )
    return _get(connection, request)


def _delete(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Show visualization ``id`` nowhere any more. Raises :class:`NotFound`."""
    found = _get(connection, request)
    connection.execute("DELETE FROM data.curated WHERE id = ?", [request["id"]])
    return found


def _get(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """One, with its ``resources``. Raises :class:`NotFound`."""
    found = _described(cursor, "WHERE id = ?", [request["id"]])
    if not found:
        raise NotFound(f"There is no curated visualization with the id '{request['id']}'.")
    return found[0]


def _list(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that are shown with ``{"kind", "id"}``, else all, in the order in which they are
    shown. Raises :class:`NotFound` for a thing that is not there."""
    if request.get("kind") is None:
        return _described(cursor, "", [])
    return curated_of(cursor, *_resource(cursor, request))


def _of(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """:func:`curated_of` what ``kind`` and ``subject`` name, which need not be there."""
    return curated_of(cursor, request["kind"], request["subject"])


def curated_of(cursor: DuckDBPyConnection, kind: str, subject: str) -> list[dict[str, Any]]:
    """Those that are shown with the subject of that kind and key, in the order in which they are
    shown."""
    shown = cursor.execute(
        "SELECT id FROM data.curated WHERE kind = ? AND subject = ?", [kind, subject]
    ).fetchall()
    if not shown:
        return []
    return _described(
        cursor, "WHERE id IN (SELECT unnest(?::VARCHAR[]))", [[id_ for (id_,) in shown]]
    )


def _described(cursor: DuckDBPyConnection, where: str, values: list[Any]) -> list[dict[str, Any]]:
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM data.curated {where} {_ORDER}, kind, subject LIMIT {_MOST}", values
    ).fetchall()
    wanted = [[row[1] for row in rows]]
    artifacts = {
        id_: (artifact, label)
        for id_, artifact, label in cursor.execute(
            "SELECT id, artifact, version FROM data.artifact_versions "
            "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
            wanted,
        ).fetchall()
    } if rows else {}  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for id_, version, number, kind, subject, name, place, layout, created in rows:
        artifact, label = artifacts.get(version, (None, None))
        one = found.setdefault(
            id_,
            {
                "id": id_,
                "artifact_version_id": version,
                "visualization_index": number,
                "artifact": artifact,
                "version": label,
                "display_name": name,
                "display_order": place,
                "layout_size": layout,
                "created_at": rfc3339(created),
                "resources": [],
            },
        )
        one["resources"].append({"kind": kind, "id": subject})
    return list(found.values())


READS = {"get_curated": _get, "list_curated": _list, "curated_of": _of}
CHANGES = {
    "create_curated": _create,
    "update_curated": _update,
    "delete_curated": _delete,
}
