"""What tags and metadata are about: a run, a step of it, an artifact version, a model, …

A request names it as people do, by name, label or the beginning of an id; here it becomes a kind
and a key. Of a snapshot that is ``pipeline/number``, of a step ``run_id/step``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["KINDS", "Subject", "resolve", "scopes"]

KINDS = (
    "pipeline", "run", "step", "snapshot", "deployment", "artifact", "artifact_version", "model",
    "model_version",
)  # fmt: skip


class Subject(NamedTuple):
    """``scope`` is that in which an exclusive tag has one holder; None where there is none."""

    kind: str
    key: str
    scope: str | None = None


def resolve(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    """Find what ``{"kind": ..., ...}`` names: ``run`` (id, name or beginning of an id), with
    ``step`` a step of it; ``pipeline``, with ``number`` a snapshot of it; ``deployment``;
    ``artifact`` or ``model``, of a version with ``version`` or alone by ``id``.

    Raises :class:`NotFound`, :class:`Conflict` for several, :class:`UsageError` for a kind that
    there is not or a name that is missing.
    """
    kind = named.get("kind")
    if kind not in _FINDERS:
        raise UsageError(f"There is no kind {kind!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
    return _FINDERS[str(kind)](cursor, named)


def scopes(cursor: DuckDBPyConnection, kind: str, keys: list[str]) -> dict[str, str]:
    """The scopes of those subjects of ``kind`` that are known and have one, by key."""
    query = _SCOPES.get(kind)
    if query is None:
        return {}
    return dict(cursor.execute(query, [keys]).fetchall())


_SCOPES = {
    "run": "SELECT run_id, pipeline FROM data.runs WHERE run_id IN (SELECT unnest(?::VARCHAR[]))",
    "deployment": "SELECT name, pipeline FROM data.deployments "
    "WHERE name IN (SELECT unnest(?::VARCHAR[]))",
    "artifact_version": "SELECT id, artifact FROM data.artifact_versions "
    "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
    "model_version": "SELECT id, model FROM data.model_versions "
    "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
    "snapshot": "SELECT pipeline || '/' || number, pipeline FROM data.snapshots "
    "WHERE pipeline || '/' || number IN (SELECT unnest(?::VARCHAR[]))",
}


def _text(named: Mapping[str, Any], member: str) -> str:
    value = named.get(member)
    if value is None or value == "":
        raise UsageError(
            f"Which {named['kind'].replace('_', ' ')} is meant?", hint=f"Name it in {member!r}."
        )
    return str(value)


def _one(
    cursor: DuckDBPyConnection, query: str, values: list[Any], what: str, hint: str | None = None
) -> tuple[Any, ...]:
    rows = cursor.execute(query, values).fetchall()
    if not rows:
        raise NotFound(f"There is no {what}.", hint=hint)
    return tuple(rows[0])


def _pipeline(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    name = _text(named, "pipeline")
    _one(
        cursor,
        "SELECT 1 WHERE EXISTS (FROM data.runs WHERE pipeline = ?) "
        "OR EXISTS (FROM data.snapshots WHERE pipeline = ?)",
        [name, name],
        f"pipeline {name!r}",
        "A pipeline is known once it ran or was deployed.",
    )
    return Subject("pipeline", name)


def _run(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    wanted = _text(named, "run")
    # The newest of a name: one that is given to each run of a pipeline means the last one.
    for condition, value in (
        ("run_id = ?", wanted),
        ("run_name = ? ORDER BY created_at DESC", wanted),
        ("starts_with(run_id, ?)", wanted),
    ):
        rows = cursor.execute(
            f"SELECT run_id, pipeline FROM data.runs WHERE {condition} LIMIT 2", [value]
        ).fetchall()
        if len(rows) > 1 and condition.startswith("starts"):
            raise Conflict(
                f"Several runs have ids that begin with {wanted!r}.", hint="Give more of the id."
            )
        if rows:
            return Subject("run", *rows[0])
    raise NotFound(f"There is no run {wanted!r}.", hint="Give its id, its name or the id's start.")


def _step(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    if named.get("id") is not None:
        run, slash, step = str(named["id"]).partition("/")
        if not slash:
            raise UsageError(
                f"{run!r} is not the id of a step run.", hint="It is the run's id, a slash, a name."
            )
    else:
        run, step = _text(named, "run"), _text(named, "step")
    found = _run(cursor, {"kind": "run", "run": run}).key
    rows = cursor.execute("SELECT step FROM data.steps WHERE run_id = ?", [found]).fetchall()
    names = [name for (name,) in rows]
    if step not in names:
        raise NotFound(
            f"Run {found!r} has no step {step!r}.", hint=f"It has {', '.join(names) or 'none'}."
        )
    return Subject("step", f"{found}/{step}")


def _snapshot(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    name, number = _text(named, "pipeline"), _text(named, "number")
    if not number.isdecimal() or len(number) > 9:
        raise UsageError(f"{number!r} is not the number of a snapshot.")
    _one(
        cursor,
        "SELECT 1 FROM data.snapshots WHERE pipeline = ? AND number = ?",
        [name, int(number)],
        f"snapshot {int(number)} of pipeline {name!r}",
    )
    return Subject("snapshot", f"{name}/{int(number)}", name)


def _deployment(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    name = _text(named, "deployment")
    row = _one(
        cursor,
        "SELECT pipeline FROM data.deployments WHERE name = ? AND state <> 'removed'",
        [name],
        f"deployment {name!r}",
    )
    return Subject("deployment", name, row[0])


def _artifact(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    name = _text(named, "artifact")
    _one(
        cursor,
        "SELECT 1 FROM data.artifact_versions WHERE artifact = ? AND status <> 'deleted' LIMIT 1",
        [name],
        f"artifact {name!r}",
    )
    return Subject("artifact", name)


def _model(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    name = _text(named, "model")
    _one(cursor, "SELECT 1 FROM data.models WHERE name = ?", [name], f"model {name!r}")
    return Subject("model", name)


def _artifact_version(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    there = "(FROM data.artifact_versions WHERE status <> 'deleted')"
    return _version(cursor, named, "artifact_version", "artifact", there)


def _model_version(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    if named.get("id") is None and named.get("version") is not None:
        rows = cursor.execute(
            "SELECT version FROM data.aliases WHERE model = ? AND alias = ?",
            [_text(named, "model"), str(named["version"])],
        ).fetchall()
        if rows:
            return Subject("model_version", rows[0][0], _text(named, "model"))
    return _version(cursor, named, "model_version", "model", "data.model_versions")


def _version(
    cursor: DuckDBPyConnection, named: Mapping[str, Any], kind: str, owner: str, table: str
) -> Subject:
    """A version by its id, by label or number, or the newest."""
    if named.get("id") is not None:
        key = str(named["id"])
        row = _one(
            cursor,
            f"SELECT id, {owner} FROM {table} WHERE id = ?",
            [key],
            f"{kind.replace('_', ' ')} with the id {key!r}",
        )
        return Subject(kind, *row)
    name, version = _text(named, owner), named.get("version")
    if version is None or version == "latest":
        row = _one(
            cursor,
            f"SELECT id, {owner} FROM {table} WHERE {owner} = ? ORDER BY number DESC LIMIT 1",
            [name],
            f"version of {owner} {name!r}",
        )
    else:
        row = _one(
            cursor,
            f"SELECT id, {owner} FROM {table} WHERE {owner} = ? "
            "AND (version = ? OR number = try_cast(? AS INTEGER)) "
            "ORDER BY version = ? DESC, number DESC LIMIT 1",
            [name, str(version), str(version), str(version)],
            f"version {version!r} of {owner} {name!r}",
        )
    return Subject(kind, *row)


_FINDERS: dict[str, Callable[[DuckDBPyConnection, Mapping[str, Any]], Subject]] = {
    "pipeline": _pipeline,
    "run": _run,
    "step": _step,
    "snapshot": _snapshot,
    "deployment": _deployment,
    "artifact": _artifact,
    "artifact_version": _artifact_version,
    "model": _model,
    "model_version": _model_version,
}
