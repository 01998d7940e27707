"""Lists of artifact versions and of artifacts, in pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import NotFound, QueryError

from .answers import asked, dicts
from .finding import DELETED, tag_texts, versions_of
from .newest import VERSIONS, Wish, newest
from .tags import tag_test, tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS", "list_artifacts", "list_versions"]

MAX_LIMIT = 1000
_EQUAL = (
    "artifact", "version", "run_id", "step", "pipeline", "kind", "role", "digest", "user",
)  # fmt: skip


class Filters(msgspec.Struct, forbid_unknown_fields=True):
    """Which versions. ``before`` is the id of the last one of the page before; ``like`` is a
    pattern of the artifact's name, as ``churn*``; ``tag`` may be several, joined by commas, of
    which all must be there, each a name or as ``contains:…``; ``latest`` leaves the newest one of
    each artifact; ``since`` and ``until`` are RFC 3339."""

    limit: int = 50
    before: str | None = None
    artifact: str | None = None
    like: str | None = None
    version: str | None = None
    run_id: str | None = None
    step: str | None = None
    pipeline: str | None = None
    kind: str | None = None
    type: str | None = None
    role: str | None = None
    status: str | None = None
    digest: str | None = None
    user: str | None = None
    tag: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None
    latest: bool = False


class ArtifactFilters(msgspec.Struct, forbid_unknown_fields=True):
    """Which artifacts: ``text`` is in their name, ``tag`` is on them or on one of their
    versions."""

    limit: int = 50
    offset: int = 0
    text: str | None = None
    pipeline: str | None = None
    tag: str | None = None


def list_versions(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one page of versions, newest first; see :class:`Filters`."""
    wanted = asked(request, Filters)
    _check_limit(wanted.limit)
    return versions_of(cursor, newest(cursor, VERSIONS, _wish(cursor, wanted), wanted.limit))


def list_artifacts(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one page of artifacts, the one with the newest version first: ``artifact``, number of
    ``versions``, ``size`` of all in bytes, ``tags`` of its own, and of the newest ``id``,
    ``version``, ``number``, ``kind``, ``type``, ``pipeline`` and ``created_at``."""
    wanted = asked(request, ArtifactFilters)
    _check_limit(wanted.limit)
    cursor.execute("BEGIN TRANSACTION READ ONLY")  # a row keeps its rowid in it
    try:
        groups = _groups(cursor, wanted)
        found = _newest_of(cursor, groups)
    finally:
        cursor.execute("COMMIT")
    tags = tags_of(cursor, "artifact", [entry["artifact"] for entry in found])
    return [entry | {"tags": tags.get(entry["artifact"], [])} for entry in found]


def _groups(
    cursor: DuckDBPyConnection, wanted: ArtifactFilters
) -> list[tuple[str, int, int | None, int]]:
    """Of each artifact of a page its name, how many versions, their bytes, row of the newest."""
    where, values = "status <> ?", [DELETED]
    if wanted.pipeline is not None:
        where, values = f"{where} AND pipeline = ?", [*values, wanted.pipeline]
    # The rest is about names, of which there are few once versions are counted.
    picked: list[str] = ["true"]
    given: list[str] = []
    if wanted.text is not None:
        picked.append("contains(lower(artifact), lower(?))")
        given.append(wanted.text)
    for text in tag_texts(wanted.tag):
        test, name, lacks = tag_test(text)
        # The scope of a version is its artifact.
        picked.append(
            f"artifact {'NOT ' if lacks else ''}IN (SELECT coalesce(CASE kind WHEN 'artifact' "
            "THEN subject ELSE scope END, '') FROM data.tagged "
            f"WHERE kind IN ('artifact', 'artifact_version') AND {test})"
        )
        given.append(name)
    return cursor.execute(
        "SELECT artifact, versions, size, newest FROM (SELECT artifact, count(*) AS versions, "
        "sum(size)::BIGINT AS size, max_by(rowid, number) AS newest, max(created_at) AS latest "
        f"FROM data.artifact_versions WHERE {where} GROUP BY artifact) "
        f"WHERE {' AND '.join(picked)} ORDER BY latest DESC, artifact LIMIT ? OFFSET ?",
        [*values, *given, wanted.limit, max(0, wanted.offset)],
    ).fetchall()


def _newest_of(
    cursor: DuckDBPyConnection, groups: list[tuple[str, int, int | None, int]]
) -> list[dict[str, Any]]:
    if not groups:
        return []
    rows = ", ".join(str(int(row)) for *_, row in groups)
    found = {
        entry["artifact"]: entry
        for entry in dicts(
            cursor,
            "SELECT artifact, id, version, number, kind, type, pipeline, created_at "
            f"FROM data.artifact_versions WHERE rowid IN ({rows})",
            [],
        )
    }
    return [
        {"artifact": artifact, "versions": versions, "size": size, **found[artifact]}
        for artifact, versions, size, _ in groups
    ]


def _wish(cursor: DuckDBPyConnection, wanted: Filters) -> Wish:
    where, values = _conditions(wanted)
    before = None
    if wanted.before is not None:
        rows = cursor.execute(
            "SELECT created_at FROM data.artifact_versions WHERE id = ?", [wanted.before]
        ).fetchall()
        if not rows:
            raise NotFound(f"There is no artifact version {wanted.before!r} to continue from.")
        before = (rows[0][0], wanted.before)
    return Wish(where, values, tags=tag_texts(wanted.tag), before=before)


def _conditions(wanted: Filters) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for column in _EQUAL:
        value = getattr(wanted, column)
        if value is not None:
            where.append(f'"{column}" = ?')
            values.append(value)
    if wanted.like is not None:
        where.append("artifact GLOB ?")
        values.append(wanted.like)
    if wanted.type is not None:  # with its module or without
        where.append("(type = ? OR ends_with(type, ?))")
        values += [wanted.type, f".{wanted.type}"]
    where.append("status <> ?" if wanted.status is None else "status = ?")
    values.append(wanted.status or DELETED)
    for name, sign in (("since", ">="), ("until", "<")):
        time = getattr(wanted, name)
        if time is not None:
            where.append(f"created_at {sign} ?")
            values.append(_microseconds(time, name))
    if wanted.text is not None:
        where.append(
            "contains(lower(concat_ws(' ', artifact, version, type, step, pipeline, "
            "value, facts)), lower(?))"
        )
        values.append(wanted.text)
    if wanted.latest:
        where.append(
            "rowid IN (SELECT max_by(rowid, number) FROM data.artifact_versions "
            "WHERE status <> 'deleted' GROUP BY artifact)"
        )
    return where, values


def _check_limit(limit: int) -> None:
    if not 0 < limit <= MAX_LIMIT:
        raise QueryError(f"limit is {limit}, and must be 1 to {MAX_LIMIT}.")


def _microseconds(time: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise QueryError(
            f"{name} is {time!r}, which is no time.", hint="For example: 2026-11-21T09:30:00Z"
        ) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


READS = {"list_artifacts": list_artifacts, "list_versions": list_versions}
