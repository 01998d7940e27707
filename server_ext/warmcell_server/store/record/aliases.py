"""Aliases of model versions: stages and free names, who moved which when, and back in one call.

A move can be bound to the revision that its caller saw (compare and set). Stages are aliases that
exclude each other: a version is in one of them at most.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from warmcell.errors import Conflict, InvalidName, NotFound
from warmcell.ids import now, rfc3339

from .modelmaking import touch
from .models import STAGES, VIRTUAL, version_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "READS"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
MOVES = 1000  # most that one read returns


def alias(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Where ``alias`` of ``model`` points: ``id`` and label of the ``version``, None for nowhere,
    and its ``revision``, 0 before its first move."""
    model, name = request["model"], request["alias"]
    rows = cursor.execute(
        "SELECT a.version, v.version FROM data.aliases a JOIN data.model_versions v "
        "ON v.id = a.version WHERE a.model = ? AND a.alias = ?",
        [model, name],
    ).fetchall()
    held, label = rows[0] if rows else (None, None)
    revision = _revision(cursor, model, name)
    return {"model": model, "alias": name, "id": held, "version": label, "revision": revision}


def alias_moves(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The moves of ``alias`` of ``model``, or of all its aliases, newest first."""
    where, values = "m.model = ?", [request["model"]]
    if request.get("alias"):
        where += " AND m.alias = ?"
        values.append(request["alias"])
    rows = cursor.execute(
        f"""
        SELECT m.alias, m.before, b.version, m.after, a.version, m.revision, m.time, m."user",
            m.reason
        FROM data.alias_moves m
        LEFT JOIN data.model_versions b ON b.id = m.before
        LEFT JOIN data.model_versions a ON a.id = m.after
        WHERE {where} ORDER BY m.time DESC, m.revision DESC LIMIT {MOVES}
        """,
        values,
    ).fetchall()
    return [
        {
            "alias": row[0],
            "before": {"id": row[1], "version": row[2]} if row[1] else None,
            "after": {"id": row[3], "version": row[4]} if row[3] else None,
            "revision": row[5],
            "time": rfc3339(row[6]),
            "user": row[7],
            "reason": row[8],
        }
        for row in rows
    ]


def move_alias(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Point ``alias`` of ``model`` to ``version`` (an id), or to nothing for None.

    With ``revision`` it must be at that one. Raises :class:`Conflict` where it is not,
    :class:`NotFound` for a version that is not of this model.
    """
    model, name, target = request["model"], request["alias"], request.get("version")
    _check_name(connection, model, name)
    if target is not None:
        _of_model(connection, model, target)
    if not _behind(connection, request):
        _move(connection, request, name, target)
    return alias(connection, {"model": model, "alias": name})


def set_stage(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Bring ``version`` (an id) of ``model`` to ``stage``. A stage that another version is in is a
    :class:`Conflict`; with ``force`` that one is archived. ``archived`` and ``none`` take it out of
    its stage. ``revision`` as for :func:`move_alias`."""
    model, stage, target = request["model"], request["stage"], request["version"]
    row = _of_model(connection, model, target)
    if stage == "latest":
        raise Conflict(
            f"'latest' is the newest version of model '{model}', whichever that is.",
            hint="Set 'staging', 'production', 'archived' or 'none'.",
        )
    if stage not in STAGES and stage not in VIRTUAL:
        raise InvalidName(
            f"'{stage}' is no stage.",
            hint="Stages: staging, production, archived, none. For a name of your own, use "
            "set_alias().",
        )
    if stage in STAGES:
        held = alias(connection, {"model": model, "alias": stage})
        if not _behind(connection, request | {"alias": stage}) and held["id"] != target:
            if held["id"] is not None and not request.get("force"):
                raise Conflict(
                    f"Version '{held['version']}' of model '{model}' is in '{stage}'.",
                    hint="Pass force=True to archive it.",
                )
            if held["id"] is not None:
                _archive(connection, held["id"], True)
            _move(connection, request, stage, target)
    for other in row["aliases"]:
        if other in STAGES and other != stage:
            _move(connection, request, other, None)
    _archive(connection, target, stage == "archived")
    found = version_row(connection, target)
    assert found is not None
    return found


def move_back(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Undo the last move of ``alias`` of ``model``: point it to where it pointed before. A second
    time this is the move that it undoes. ``revision`` as for :func:`move_alias`, and needed where
    the request may be repeated.

    Raises :class:`Conflict` where it was never anywhere else, or that version is gone.
    """
    model, name = request["model"], request["alias"]
    if _behind(connection, request):
        return alias(connection, {"model": model, "alias": name})
    rows = connection.execute(
        "SELECT before FROM data.alias_moves WHERE model = ? AND alias = ? "
        "ORDER BY revision DESC LIMIT 1",
        [model, name],
    ).fetchall()
    if not rows or rows[0][0] is None:
        raise Conflict(f"'{name}' of model '{model}' was nowhere else before.")
    before = version_row(connection, rows[0][0])
    if before is None:
        raise Conflict(f"The version that '{name}' of model '{model}' was at before is deleted.")
    gone = alias(connection, {"model": model, "alias": name})["id"]
    _move(connection, request, name, before["id"])
    if name in STAGES:
        for other in before["aliases"]:
            if other in STAGES and other != name:
                _move(connection, request, other, None)
        _archive(connection, before["id"], False)
        if gone is not None:
            _archive(connection, gone, True)
    return alias(connection, {"model": model, "alias": name})


# -- inside ------------------------------------------------------------------------------------


def _move(
    connection: DuckDBPyConnection, request: dict[str, Any], name: str, target: str | None
) -> None:
    """Move an alias and note that; nothing where it is there already."""
    model, user = request["model"], request.get("user")
    before = alias(connection, {"model": model, "alias": name})
    if before["id"] == target:
        return
    time, revision = now(), before["revision"] + 1
    if target is None:
        connection.execute("DELETE FROM data.aliases WHERE model = ? AND alias = ?", [model, name])
    else:
        connection.execute(
            "INSERT OR REPLACE INTO data.aliases VALUES (?, ?, ?, ?, ?, ?)",
            [model, name, target, revision, time, user],
        )
    connection.execute(
        "INSERT INTO data.alias_moves VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [model, name, before["id"], target, revision, time, user, request.get("reason")],
    )
    touch(connection, model, time)


def _behind(connection: DuckDBPyConnection, request: dict[str, Any]) -> bool:
    """Whether this very move was made already: the request was repeated. Raises :class:`Conflict`
    where the alias is at another revision than the one that the caller saw."""
    model, name, expected = request["model"], request["alias"], request.get("revision")
    if expected is None:
        return False
    held = alias(connection, {"model": model, "alias": name})
    if held["revision"] == expected:
        return False
    wanted = request.get("version", held["id"])
    if held["revision"] == expected + 1 and held["id"] == wanted:
        rows = connection.execute(
            'SELECT "user", reason FROM data.alias_moves WHERE model = ? AND alias = ? '
            "AND revision = ?",
            [model, name, held["revision"]],
        ).fetchall()
        if rows == [(request.get("user"), request.get("reason"))]:
            return True
    raise Conflict(
        f"'{name}' of model '{model}' was moved meanwhile: it is at "
        f"{held['version'] or 'nothing'}, revision {held['revision']}, and not {expected}.",
        hint="Look at it, and ask again.",
    )


def _revision(cursor: DuckDBPyConnection, model: str, name: str) -> int:
    rows = cursor.execute(
        "SELECT coalesce(max(revision), 0) FROM data.alias_moves WHERE model = ? AND alias = ?",
        [model, name],
    ).fetchall()
    return int(rows[0][0])


def _of_model(connection: DuckDBPyConnection, model: str, version: str) -> dict[str, Any]:
    row = version_row(connection, version)
    if row is None or row["model"] != model:
        raise NotFound(f"Model '{model}' has no version with the id '{version}'.")
    return row


def _archive(connection: DuckDBPyConnection, version: str, archived: bool) -> None:
    rows = connection.execute(
        "SELECT about FROM data.model_versions WHERE id = ?", [version]
    ).fetchall()
    about = json.loads(rows[0][0] or "{}")
    if bool(about.get("archived")) == archived:
        return
    about["archived"] = True
    if not archived:
        del about["archived"]
    connection.execute(
        "UPDATE data.model_versions SET about = ?, updated_at = ? WHERE id = ?",
        [json.dumps(about), now(), version],
    )


def _check_name(connection: DuckDBPyConnection, model: str, name: str) -> None:
    """Raise :class:`InvalidName` for an alias that could be taken for something else."""
    if name in VIRTUAL or not NAME.fullmatch(name):
        raise InvalidName(
            f"'{name}' cannot be an alias.",
            hint="Use letters, digits, '_', '.' and '-', the first a letter; not 'latest', "
            "'none' or 'archived'.",
        )
    if connection.execute(
        "SELECT 1 FROM data.model_versions WHERE model = ? AND version = ?", [model, name]
    ).fetchall():
        raise InvalidName(f"'{name}' is the name of a version of model '{model}'.")


READS = {"alias": alias, "alias_moves": alias_moves}
CHANGES = {"move_alias": move_alias, "set_stage": set_stage, "move_back": move_back}
