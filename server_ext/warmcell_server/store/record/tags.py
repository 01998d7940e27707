"""Tags: what they are, on what they are, and how lists are filtered by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from warmcell.errors import Conflict, NotFound, UsageError
from warmcell.ids import now, rfc3339
from warmcell.records import TagRecord

from .subjects import KINDS, resolve, scopes

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "READS", "attach", "put_tags", "tag_condition", "tag_test", "tags_of"]

_SHARED = frozenset({"pipeline", "artifact", "model"})  # kinds in which nothing is exclusive
_OPERATORS = ("equals", "contains", "startswith", "endswith", "notequals")
_TAG = 'name, color, exclusive, "cascade", created_at, "user"'
_GIVEN = ("color", "exclusive", "cascade")


# -- records of runs -------------------------------------------------------------------------


def put_tags(connection: DuckDBPyConnection, records: Iterable[TagRecord]) -> None:
    """Store what runs said of tags, in its order. A run cannot be told that a tag is something else
    than it took it for: what was known counts, and the run's logs say so."""
    last: dict[tuple[str, str, str], TagRecord] = {}
    for record in records:
        key = record.tag, record.kind, record.subject
        last.pop(key, None)  # to the end: the last of several that exclude each other counts
        last[key] = record
    added = [record for record in last.values() if not record.remove]
    known = _define(connection, added)
    for record in added:
        told = _mismatch(record, known[record.tag])
        if told and record.run_id is not None:
            connection.execute(
                "INSERT INTO data.logs VALUES (?, ?, 'log', ?, NULL, 'WARNING')",
                [record.run_id, record.time, f"{told}\n"],
            )
    gone = [key for key, record in last.items() if record.remove]
    if gone:
        _detach(connection, gone)
    for kind in dict.fromkeys(record.kind for record in added):
        _attach(connection, kind, [record for record in added if record.kind == kind], known)


def _define(
    connection: DuckDBPyConnection, records: Sequence[TagRecord]
) -> dict[str, dict[str, Any]]:
    """Define the tags that are new; return what is known of each."""
    names = list(dict.fromkeys(record.tag for record in records))
    known = _tags(connection, names)
    for record in records:
        if record.tag not in known:
            made: dict[str, Any] = {
                "name": record.tag, "color": record.color, "exclusive": bool(record.exclusive),
                "cascade": bool(record.cascade), "created_at": record.time, "user": record.user,
            }  # fmt: skip
            connection.execute(
                f"INSERT INTO data.tags ({_TAG}) VALUES (?, ?, ?, ?, ?, ?)", list(made.values())
            )
            known[record.tag] = made
    return known


def _tags(
    connection: DuckDBPyConnection, names: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    where = "" if names is None else "WHERE name IN (SELECT unnest(?::VARCHAR[]))"
    rows = connection.execute(
        f"SELECT {_TAG} FROM data.tags {where} ORDER BY name",
        [] if names is None else [list(names)],
    ).fetchall()
    columns = ("name", *_GIVEN, "created_at", "user")
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def _attach(
    connection: DuckDBPyConnection,
    kind: str,
    records: Sequence[TagRecord],
    known: Mapping[str, Mapping[str, Any]],
) -> None:
    found = scopes(connection, kind, [record.subject for record in records])
    rows: dict[tuple[str, str], list[Any]] = {}
    for record in records:
        scope = found.get(record.subject)
        alone = known[record.tag]["exclusive"] and scope is not None
        if alone:
            connection.execute(
                "DELETE FROM data.tagged WHERE tag = ? AND kind = ? AND scope = ? AND subject <> ?",
                [record.tag, kind, scope, record.subject],
            )
        key = (record.tag, scope if alone and scope is not None else f"/{record.subject}")
        rows[key] = [record.tag, kind, record.subject, scope, record.time, record.user]
    with connection.appender("data.tagged", action="upsert") as appender:
        appender.append_rows(list(rows.values()))


def _detach(connection: DuckDBPyConnection, keys: Sequence[tuple[str, str, str]]) -> None:
    connection.execute(
        "DELETE FROM data.tagged WHERE (tag, kind, subject) IN "
        "(SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]))",
        [list(column) for column in zip(*keys, strict=True)],
    )


def _mismatch(record: TagRecord, known: Mapping[str, Any]) -> str | None:
    if record.exclusive is None or record.exclusive == known["exclusive"]:
        return None
    kind = "exclusive" if known["exclusive"] else "not exclusive"
    return (
        f"Tag '{record.tag}' is {kind}, and stays so. Change it with "
        f"Client().update_tag('{record.tag}', exclusive={record.exclusive})."
    )


def attach(
    connection: DuckDBPyConnection,
    kind: str,
    key: str,
    tags: Iterable[str | Mapping[str, Any]],
    user: str | None = None,
) -> None:
    """Put tags, names or ``{"name", "color", "exclusive"}``, on a subject that is known to exist.

    Raises :class:`Conflict` where a tag is exclusive or not, other than said, and
    :class:`UsageError` for an exclusive one on what excludes nothing.
    """
    time = now()
    given: list[Mapping[str, Any]] = [
        {"name": tag} if isinstance(tag, str) else tag for tag in tags
    ]
    records = [
        TagRecord(tag["name"], kind, key, time, tag.get("color"), tag.get("exclusive"), user=user)
        for tag in given
    ]
    known = _define(connection, records)
    for record in records:
        if told := _mismatch(record, known[record.tag]):
            raise Conflict(told)
        if known[record.tag]["exclusive"] and kind in (*_SHARED, "step"):
            raise UsageError(
                f"Tag {record.tag!r} is exclusive, and nothing of the kind {kind} excludes "
                "another.",
                hint="Exclusive tags go on runs, snapshots, deployments and versions.",
            )
    _attach(connection, kind, records, known)


# -- changes ---------------------------------------------------------------------------------


def _add(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Put ``tags`` (``{"name", "color", "exclusive"}``) on the subject that ``on`` names."""
    subject = resolve(connection, request["on"])
    attach(connection, subject.kind, subject.key, request["tags"], request.get("user"))
    return _of_subject(connection, *subject[:2])


def _remove(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Take ``tags`` (names) from the subject that ``on`` names; those that it does not have do not
    matter."""
    subject = resolve(connection, request["on"])
    keys = [(name, subject.kind, subject.key) for name in request["tags"]]
    if keys:
        _detach(connection, keys)
    return _of_subject(connection, *subject[:2])


def _create(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Define a tag. The same definition again changes nothing; another one is a Conflict."""
    name = request["name"]
    wanted: dict[str, Any] = {
        "color": request.get("color"),
        "exclusive": bool(request.get("exclusive")),
    }
    found = _tags(connection, [name]).get(name)
    if found is None:
        _define(
            connection,
            [
                TagRecord(
                    name,
                    "",
                    "",
                    now(),
                    wanted["color"],
                    wanted["exclusive"],
                    user=request.get("user"),
                )
            ],
        )
    elif any(found[member] != value for member, value in wanted.items()):
        raise Conflict(
            f"There is a tag {name!r} already, with another color or exclusiveness.",
            hint=f"Change it with Client().update_tag({name!r}, ...).",
        )
    return _get(connection, {"name": name})


def _update(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Change ``color`` or ``exclusive`` of a tag, or give it a ``new_name``."""
    name = request["name"]
    found = _known(connection, name)
    exclusive = request.get("exclusive")
    if exclusive and not found["exclusive"]:
        _check_alone(connection, name)
    new = request.get("new_name") or name
    if new != name:
        if _tags(connection, [new]):
            raise Conflict(f"There is a tag {new!r} already.")
        connection.execute("UPDATE data.tagged SET tag = ? WHERE tag = ?", [new, name])
    connection.execute(
        "UPDATE data.tags SET name = ?, color = ?, exclusive = ? WHERE name = ?",
        [
            new,
            request["color"] if request.get("color") is not None else found["color"],
            found["exclusive"] if exclusive is None else exclusive,
            name,
        ],
    )
    return _get(connection, {"name": new})


def _check_alone(connection: DuckDBPyConnection, name: str) -> None:
    """Raise :class:`Conflict` unless each scope has one holder of the tag at most."""
    rows = connection.execute(
        "SELECT kind, scope, count(*) FROM data.tagged WHERE tag = ? "
        "GROUP BY kind, scope HAVING count(*) > 1 OR scope IS NULL LIMIT 1",
        [name],
    ).fetchall()
    if rows:
        kind, scope, count = rows[0]
        where = f"in {scope!r}" if scope is not None else "where nothing excludes another"
        raise Conflict(
            f"Tag {name!r} cannot become exclusive: {count} of the kind {kind} have it {where}.",
            hint="Remove it from all but one, then update it.",
        )


def _delete(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Delete a tag, from everything that has it too."""
    name = request["name"]
    _known(connection, name)
    count = connection.execute("DELETE FROM data.tagged WHERE tag = ?", [name]).fetchall()[0][0]
    connection.execute("DELETE FROM data.tags WHERE name = ?", [name])
    return {"name": name, "removed_from": count}


def _known(connection: DuckDBPyConnection, name: str) -> dict[str, Any]:
    found = _tags(connection, [name]).get(name)
    if found is None:
        raise NotFound(f"There is no tag {name!r}.")
    return found


# -- reads -----------------------------------------------------------------------------------


def _list(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """All tags by name, each with ``uses``: how many of each kind have it."""
    uses: dict[str, dict[str, int]] = {}
    for tag, kind, count in cursor.execute(
        "SELECT tag, kind, count(*) FROM data.tagged GROUP BY tag, kind ORDER BY kind"
    ).fetchall():
        uses.setdefault(tag, {})[kind] = count
    return [
        {**tag, "created_at": rfc3339(tag["created_at"]), "uses": uses.get(name, {})}
        for name, tag in _tags(cursor).items()
    ]


def _get(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """One tag with its ``uses``."""
    name = request["name"]
    tag = _known(cursor, name)
    rows = cursor.execute(
        "SELECT kind, count(*) FROM data.tagged WHERE tag = ? GROUP BY kind ORDER BY kind", [name]
    ).fetchall()
    return {**tag, "created_at": rfc3339(tag["created_at"]), "uses": dict(rows)}


def _tagged(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """What has a tag, newest first: ``kind``, ``subject``, ``scope``, ``created_at``."""
    kind = request.get("kind")
    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no kind {kind!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
    rows = cursor.execute(
        "SELECT kind, subject, scope, created_at FROM data.tagged "
        "WHERE tag = ? AND (?::VARCHAR IS NULL OR kind = ?) "
        "ORDER BY created_at DESC, subject DESC LIMIT ?",
        [request["tag"], kind, kind, request.get("limit", 1000)],
    ).fetchall()
    return [
        {"kind": row[0], "subject": row[1], "scope": row[2], "created_at": rfc3339(row[3])}
        for row in rows
    ]


def _of(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """The tags of the subject that ``on`` names."""
    return _of_subject(cursor, *resolve(cursor, request["on"])[:2])


def _of_subject(cursor: DuckDBPyConnection, kind: str, key: str) -> dict[str, Any]:
    return {"kind": kind, "subject": key, "tags": tags_of(cursor, kind, [key]).get(key, [])}


def tags_of(cursor: DuckDBPyConnection, kind: str, keys: Sequence[str]) -> dict[str, list[str]]:
    """The tags of several subjects of one kind, by key; who has none is not in it."""
    if not keys:
        return {}
    # The bounds let DuckDB leave out whatever is older or newer than a page of runs.
    rows = cursor.execute(
        "SELECT subject, tag FROM data.tagged WHERE kind = ? AND subject BETWEEN ? AND ?"
        + (" AND subject IN (SELECT unnest(?::VARCHAR[]))" if len(keys) > 1 else ""),
        [kind, min(keys), max(keys), *([list(keys)] if len(keys) > 1 else [])],
    ).fetchall()
    found: dict[str, list[str]] = {}
    for subject, tag in sorted(rows):
        found.setdefault(subject, []).append(tag)
    return found


def tag_condition(kind: str, key: str, wanted: Sequence[str]) -> tuple[str, list[Any]]:
    """SQL, and its values, for: the subject that the expression ``key`` names has, for each of
    ``wanted``, a tag like that: a name, or ``contains:``, ``startswith:``, ``endswith:``,
    ``equals:`` and a text; with ``notequals:`` it has no such tag."""
    conditions: list[str] = []
    values: list[Any] = []
    for text in wanted:
        test, rest, lacks = tag_test(text)
        no = "NOT " if lacks else ""
        conditions.append(
            f"{key} {no}IN (SELECT subject FROM data.tagged WHERE kind = ? AND {test})"
        )
        values += [kind, rest]
    return " AND ".join(conditions) or "true", values


def tag_test(text: str) -> tuple[str, str, bool]:
    """What one text of :func:`tag_condition` means: SQL about the column ``tag``, its value, and
    whether it is that no such tag is there."""
    operator, colon, rest = text.partition(":")
    if not (colon and operator in _OPERATORS):
        operator, rest = "equals", text
    test = {
        "contains": "contains(tag, ?)",
        "startswith": "starts_with(tag, ?)",
        "endswith": "ends_with(tag, ?)",
    }.get(operator, "tag = ?")
    return test, rest, operator == "notequals"


READS = {"list_tags": _list, "get_tag": _get, "tagged": _tagged, "tags_of": _of}
CHANGES = {
    "add_tags": _add,
    "remove_tags": _remove,
    "create_tag": _create,
    "update_tag": _update,
    "delete_tag": _delete,
}
