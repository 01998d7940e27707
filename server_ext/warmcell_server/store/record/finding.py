"""Finding an artifact version: by id, or by name with a version, a number or a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound

from .answers import asked, dicts
from .keepers import keepers
from .tags import tag_condition, tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DELETED", "READS", "find_version", "tag_texts", "versions_of"]

DELETED = "deleted"
"""The status of a version of which only its number is left, so that no other gets the same."""

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


def versions_of(cursor: DuckDBPyConnection, ids: list[str]) -> list[dict[str, Any]]:
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
    found = versions_of(cursor, [wanted.name])
    if not found:
        return None
    if found[0]["status"] == DELETED:
        raise NotFound(f"Artifact version {wanted.name!r} was deleted.")
    return found[0]


def _by_name(cursor: DuckDBPyConnection, wanted: Wanted) -> dict[str, Any]:
    latest = wanted.version in (None, "latest")
    found = versions_of(cursor, _latest(cursor, wanted) if latest else _labelled(cursor, wanted))
    if not found:
        raise _missing(cursor, wanted)
    if latest and found[0]["status"] != "stored":
        status = found[0]["status"]
        raise Conflict(
            f"No version of artifact {wanted.name!r} is stored: the newest one is {status}.",
            hint="Ask again once it is stored."
            if status == "pending"
            else "Its value was not kept. Run what makes it again, once that is put right."
            if status.startswith("refused")
            else "Run what makes it again.",
        )
    return found[0]


def _latest(cursor: DuckDBPyConnection, wanted: Wanted) -> list[str]:
    """The newest version that is stored, else the newest of all."""
    return _first(cursor, wanted, "status = ?", ["stored"]) or _first(cursor, wanted, "true", [])


def _labelled(cursor: DuckDBPyConnection, wanted: Wanted) -> list[str]:
    """The version with a label, else with a number; of two with one label the newer one."""
    label = str(wanted.version)
    found = _first(cursor, wanted, "version = ?", [label])
    if not found and label.isdecimal() and len(label) < 10 and str(int(label)) == label:
        found = _first(cursor, wanted, "number = ?", [int(label)])
    return found


def _first(
    cursor: DuckDBPyConnection, wanted: Wanted, condition: str, values: list[Any]
) -> list[str]:
    """The id of the newest version of an artifact for which the condition holds."""
    where = ["artifact = ?", "status <> ?", condition]
    values = [wanted.name, DELETED, *values]
    if texts := tag_texts(wanted.tag):
        tagged, more = tag_condition("artifact_version", "id", texts)
        where.append(tagged)
        values += more
    rows = cursor.execute(
        f"SELECT id FROM data.artifact_versions WHERE {' AND '.join(where)} "
        "ORDER BY number DESC LIMIT 1",
        values,
    ).fetchall()
    return [identifier for (identifier,) in rows]


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


def tag_texts(tag: str | None) -> list[str]:
    """The texts of a filter by tags, which has commas between them."""
    return [text for part in (tag or "").split(",") if (text := part.strip())]


def _metadata(cursor: DuckDBPyConnection, version: str) -> list[tuple[str, Any, str]]:
    found = dicts(
        cursor,
        "SELECT key, value, type FROM data.metadata "
        "WHERE kind = 'artifact_version' AND subject = ? ORDER BY key",
        [version],
        ("value",),
    )
    return [(entry["key"], entry["value"], entry["type"]) for entry in found]


READS = {"find_version": find_version}
