"""Finding artifact versions: by id, by name with a version, a number or a tag, and in lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound, QueryError

from .answers import asked, dicts
from .keepers import keepers
from .tags import tag_condition, tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DELETED", "READS", "find_version", "list_artifacts", "list_versions"]

DELETED = "deleted"
"""The status of a version of which only its number is left, so that no other gets the same."""

MAX_LIMIT = 1000
_JSON = ("value", "files", "facts", "about")
_COLUMNS = (
    "id, artifact, number, version, run_id, step, name, pipeline, kind, type, role, size, digest, "
    'value, files, facts, about, status, created_at, "user"'
)


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which version: ``name`` is an id, or an artifact's name; then ``version`` is a label, a
    number or "latest", and ``tag`` one that it has."""

    name: str
    version: str | None = None
    tag: str | None = None


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


def find_version(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return one version with its ``tags``, its ``metadata`` and what keeps it (``kept_by``).

    Without a version the newest one that is stored is meant. Raises :class:`NotFound`, and
    :class:`Conflict` where all there is of it is on its way or lost.
    """
    wanted = asked(request, Wanted)
    found = _by_id(cursor, wanted) or _by_name(cursor, wanted)
    metadata = _metadata(cursor, found["id"])
    found["metadata"] = {key: value for key, value, _ in metadata}
    found["metadata_types"] = {key: type_ for key, _, type_ in metadata}
    found["kept_by"] = keepers(cursor, [found["id"]]).get(found["id"], [])
    return found


def list_versions(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one page of versions, newest first; see :class:`Filters`."""
    wanted = asked(request, Filters)
    _check_limit(wanted.limit)
    where, values = _conditions(wanted)
    if wanted.before is not None:
        rows = cursor.execute(
            "SELECT created_at FROM data.artifact_versions WHERE id = ?", [wanted.before]
        ).fetchall()
        if not rows:
            raise NotFound(f"There is no artifact version {wanted.before!r} to continue from.")
        where.append("(v.created_at, v.id) < (?, ?)")
        values += [rows[0][0], wanted.before]
    # First which, of two narrow columns; then all of those few.
    rows = cursor.execute(
        f"SELECT v.id FROM data.artifact_versions v WHERE {' AND '.join(where)} "
        "ORDER BY v.created_at DESC, v.id DESC LIMIT ?",
        [*values, wanted.limit],
    ).fetchall()
    return _versions(cursor, [identifier for (identifier,) in rows])


def list_artifacts(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one page of artifacts, the one with the newest version first: ``artifact``, number of
    ``versions``, ``size`` of all in bytes, ``tags`` of its own, and of the newest ``id``,
    ``version``, ``number``, ``kind``, ``type``, ``pipeline`` and ``created_at``."""
    wanted = asked(request, ArtifactFilters)
    _check_limit(wanted.limit)
    where, values = ["status <> ?"], [DELETED]
    if wanted.text is not None:
        where.append("contains(lower(artifact), lower(?))")
        values.append(wanted.text)
    if wanted.pipeline is not None:
        where.append("pipeline = ?")
        values.append(wanted.pipeline)
    if wanted.tag is not None:
        where.append(
            "artifact IN (SELECT subject FROM data.tagged WHERE kind = 'artifact' AND tag = ? "
            "UNION ALL SELECT w.artifact FROM data.artifact_versions w JOIN data.tagged t "
            "ON t.kind = 'artifact_version' AND t.subject = w.id AND t.tag = ?)"
        )
        values += [wanted.tag, wanted.tag]
    newest = ("id", "version", "number", "kind", "type", "pipeline", "created_at")
    picked = ", ".join(f"max_by({name}, number) AS {name}" for name in newest)
    found = dicts(
        cursor,
        f"SELECT artifact, count(*) AS versions, sum(size)::BIGINT AS size, {picked} "
        f"FROM data.artifact_versions WHERE {' AND '.join(where)} GROUP BY artifact "
        "ORDER BY created_at DESC, artifact LIMIT ? OFFSET ?",
        [*values, wanted.limit, max(0, wanted.offset)],
    )
    tags = tags_of(cursor, "artifact", [entry["artifact"] for entry in found])
    return [entry | {"tags": tags.get(entry["artifact"], [])} for entry in found]


def _versions(cursor: DuckDBPyConnection, ids: list[str]) -> list[dict[str, Any]]:
    """All that is said of versions, in the order of their ids."""
    if not ids:
        return []
    # The bounds let DuckDB leave out whatever is older or newer than the page.
    found = dicts(
        cursor,
        f"SELECT {_COLUMNS} FROM data.artifact_versions "
        "WHERE id BETWEEN ? AND ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [min(ids), max(ids), ids],
        _JSON,
    )
    tags = tags_of(cursor, "artifact_version", ids)
    for entry in found:
        entry["tags"] = tags.get(entry["id"], [])
        for name, empty in (("files", list), ("facts", dict), ("about", dict)):
            if entry[name] is None:  # a reader need not ask for None
                entry[name] = empty()
    place = {identifier: number for number, identifier in enumerate(ids)}
    return sorted(found, key=lambda entry: place[entry["id"]])


def _by_id(cursor: DuckDBPyConnection, wanted: Wanted) -> dict[str, Any] | None:
    found = _versions(cursor, [wanted.name])
    if not found:
        return None
    if found[0]["status"] == DELETED:
        raise NotFound(f"Artifact version {wanted.name!r} was deleted.")
    return found[0]


def _by_name(cursor: DuckDBPyConnection, wanted: Wanted) -> dict[str, Any]:
    where, values = ["v.artifact = ?", "v.status <> ?"], [wanted.name, DELETED]
    latest = wanted.version in (None, "latest")
    if wanted.tag is not None:
        _tagged(where, values, wanted.tag)
    # A label counts before a number, and of two versions with one label the newer one.
    order = "v.status = 'stored' DESC, v.number DESC"
    if not latest:
        where.append("(v.version = ? OR v.number::VARCHAR = ?)")
        values += [str(wanted.version)] * 2
        order = "v.version = ? DESC, v.number DESC"
    rows = cursor.execute(
        f"SELECT v.id FROM data.artifact_versions v WHERE {' AND '.join(where)} "
        f"ORDER BY {order} LIMIT 1",
        values if latest else [*values, str(wanted.version)],
    ).fetchall()
    found = _versions(cursor, [identifier for (identifier,) in rows])
    if not found:
        raise _missing(cursor, wanted)
    if latest and found[0]["status"] != "stored":
        raise Conflict(
            f"No version of artifact {wanted.name!r} is stored: the newest one is "
            f"{found[0]['status']}.",
            hint="Ask again once it is stored, or run its step again.",
        )
    return found[0]


def _missing(cursor: DuckDBPyConnection, wanted: Wanted) -> NotFound:
    """The error for a version that there is not: it names what there is."""
    rows = cursor.execute(
        "SELECT version FROM data.artifact_versions WHERE artifact = ? AND status <> ? "
        "ORDER BY number DESC LIMIT 5",
        [wanted.name, DELETED],
    ).fetchall()
    if not rows:
        # ids and names are told apart by nothing else than that one of them is known
        close = cursor.execute(
            "SELECT artifact FROM data.artifact_versions WHERE status <> ? "
            "AND contains(lower(artifact), lower(?)) GROUP BY artifact ORDER BY artifact LIMIT 3",
            [DELETED, wanted.name.rpartition("::")[2]],
        ).fetchall()
        names = ", ".join(f"'{name}'" for (name,) in close)
        return NotFound(
            f"There is no artifact, and no artifact version, {wanted.name!r}.",
            hint=f"There is {names}."
            if names
            else "`warmcell artifacts list` shows what there is.",
        )
    which = "" if wanted.version in (None, "latest") else f" {wanted.version!r}"
    tagged = "" if wanted.tag is None else f" tagged {wanted.tag!r}"
    known = ", ".join(str(version) for (version,) in rows)
    return NotFound(
        f"Artifact {wanted.name!r} has no version{which}{tagged}.",
        hint=f"Its newest versions: {known}.",
    )


def _conditions(wanted: Filters) -> tuple[list[str], list[Any]]:
    where, values = [], []
    for column in (
        "artifact",
        "version",
        "run_id",
        "step",
        "pipeline",
        "kind",
        "role",
        "digest",
        "user",
    ):
        value = getattr(wanted, column)
        if value is not None:
            where.append(f'v."{column}" = ?')
            values.append(value)
    if wanted.like is not None:
        where.append("v.artifact GLOB ?")
        values.append(wanted.like)
    if wanted.type is not None:  # with its module or without
        where.append("(v.type = ? OR ends_with(v.type, ?))")
        values += [wanted.type, f".{wanted.type}"]
    where.append("v.status <> ?" if wanted.status is None else "v.status = ?")
    values.append(wanted.status or DELETED)
    if wanted.tag is not None:
        _tagged(where, values, wanted.tag)
    for name, sign in (("since", ">="), ("until", "<")):
        time = getattr(wanted, name)
        if time is not None:
            where.append(f"v.created_at {sign} ?")
            values.append(_microseconds(time, name))
    if wanted.text is not None:
        where.append(
            "contains(lower(concat_ws(' ', v.artifact, v.version, v.type, v.step, v.pipeline, "
            "v.value, v.facts)), lower(?))"
        )
        values.append(wanted.text)
    if wanted.latest:
        where.append(
            "(v.artifact, v.number) IN (SELECT artifact, max(number) FROM data.artifact_versions "
            "WHERE status <> 'deleted' GROUP BY artifact)"
        )
    return where, values


def _metadata(cursor: DuckDBPyConnection, version: str) -> list[tuple[str, Any, str]]:
    found = dicts(
        cursor,
        "SELECT key, value, type FROM data.metadata WHERE kind = 'artifact_version' AND subject = ? "
        "ORDER BY key",
        [version],
        ("value",),
    )
    return [(entry["key"], entry["value"], entry["type"]) for entry in found]


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


READS = {
    "find_version": find_version,
    "list_artifacts": list_artifacts,
    "list_versions": list_versions,
}
