"""Tables in a user's SQL that are made of what is stored: ``artifact('features')``, the rows of an
artifact that is a frame, and ``calls('churn')``, a deployment's calls with a typed column for each
parameter and output.

They are put into the parse of a query that is checked already, so that nothing else of it changes.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from warmcell.blobs import opened
from warmcell.errors import ArtifactError, Conflict, NotFound, QueryError
from warmcell.history.columns import Declared, declared, merged, named

from .guard import OURS
from .record.finding import find_version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["expanded"]

_PIECE = 1 << 20
_SNAPSHOTS = 50  # of which the columns are told
_TYPES = {"boolean": "BOOLEAN", "integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR"}
_TIMES = {"date-time": "TIMESTAMP", "date": "DATE"}


def expanded(cursor: DuckDBPyConnection, query: str, blobs: Path) -> str:
    """Return ``query``, which is checked, with these tables in it.

    Raises :class:`QueryError` for an artifact or deployment that there is not, or that is no table.
    """
    if not any(name in query.lower() for name in OURS):
        return query
    text = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()[0][0]
    tree = msgspec.json.decode(text)
    found = list(_ours(tree))
    if not found:
        return query
    for node in found:
        name, values = _arguments(node)
        source = _artifact(cursor, blobs, values) if name == "artifact" else _calls(cursor, values)
        _replace(cursor, node, source, str(values["name"]).rpartition("::")[2])
    try:
        made = cursor.execute(
            "SELECT json_deserialize_sql(?::JSON)", [msgspec.json.encode(tree).decode()]
        ).fetchall()
    except duckdb.Error as error:
        raise QueryError(
            f"This query cannot be joined with artifact() or calls(): {error}",
            hint="Put them in a subquery or a WITH.",
        ) from error
    return str(made[0][0])


def _ours(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for part in node:
            yield from _ours(part)
    elif isinstance(node, dict):
        function = node.get("function")
        if (
            node.get("type") == "TABLE_FUNCTION"
            and isinstance(function, dict)
            and str(function.get("function_name")).lower() in OURS
        ):
            yield node
            return
        for part in node.values():
            yield from _ours(part)


def _arguments(node: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What is called and with what, by name; all are constants."""
    function = node["function"]
    name = str(function["function_name"]).lower()
    known = ("name", "version", "tag") if name == "artifact" else ("name",)
    example = "artifact('features', version := 3)" if name == "artifact" else "calls('churn')"
    values: dict[str, Any] = {}
    for place, argument in enumerate(function.get("arguments") or ()):
        expression = argument.get("expression") or {}
        literal = expression.get("literal") or {}
        given = argument.get("name") or (known[place] if place < len(known) else "")
        if given not in known or given in values or literal.get("kind") not in _LITERALS:
            raise QueryError(f"{name}() does not take this.", hint=f"For example: {example}")
        values[given] = str(literal.get("text"))
    if "name" not in values:
        raise QueryError(f"Which one? {name}() takes a name.", hint=f"For example: {example}")
    return name, values


_LITERALS = frozenset({"STRING", "INTEGER"})


def _artifact(cursor: DuckDBPyConnection, blobs: Path, values: Mapping[str, Any]) -> str:
    try:
        version = find_version(cursor, dict(values))
    except (NotFound, Conflict) as error:
        raise QueryError(str(error)) from error
    name = f"Version {version['version']} of artifact '{version['artifact']}'"
    if version["status"] != "stored":
        raise QueryError(f"{name} cannot be read: it is {version['status']}.")
    files = [one for one in version["files"] if str(one["name"]).endswith(".parquet")]
    if len(files) != 1 or len(version["files"]) != 1:
        raise QueryError(
            f"{name} is no table: it is of the kind {version['kind']}.",
            hint="Frames of pandas, polars and Arrow are.",
        )
    blob = str(files[0]["blob"])
    try:
        with opened(blobs, blob) as file:
            status = os.fstat(file.fileno())
        if not _intact(blobs, blob, status.st_mtime_ns, status.st_size):
            raise ArtifactError("its bytes are not those that were stored")
    except (OSError, ArtifactError) as error:
        raise QueryError(f"{name} cannot be read: {error}.") from error
    return f"SELECT * FROM read_parquet({_text(blobs / blob)})"


@functools.lru_cache(maxsize=256)
def _intact(blobs: Path, blob: str, _changed: int, _size: int) -> bool:
    """Whether a blob has the content that its name says."""
    digest = hashlib.sha256()
    with opened(blobs, blob) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()[:32] == blob


def _calls(cursor: DuckDBPyConnection, values: Mapping[str, Any]) -> str:
    name = values["name"]
    rows = cursor.execute(
        "SELECT input_schema, output_schema FROM data.snapshots WHERE pipeline IN "
        "(SELECT pipeline FROM data.deployments WHERE name = ?) ORDER BY number DESC LIMIT ?",
        [name, _SNAPSHOTS],
    ).fetchall()
    if not rows:
        raise QueryError(f"There is no deployment {name!r}.")
    inputs, outputs = (
        declared(merged(msgspec.json.decode(text or "{}") for text in column))
        for column in zip(*rows, strict=True)
    )
    names = named([one.path for one in inputs], [one.path for one in outputs])
    columns = [
        f"{_expression(source, one)} AS {_quoted(called)}"
        for source, places, said in zip(
            ("parameters", "outputs"), (inputs, outputs), names, strict=True
        )
        for one, called in zip(places, said, strict=True)
    ]
    fixed = 'run_id, created_at, status, duration, snapshot, "user", error_type, error'
    return (
        f"SELECT * FROM (SELECT {', '.join([fixed, *columns])} FROM main.calls "
        f"WHERE deployment = {_text(name)} AND origin IS NULL)"
    )


def _expression(source: str, one: Declared) -> str:
    path = "$" + "".join(f'."{part}"' for part in one.path)
    kind = _TIMES.get(one.format or "") if one.kind == "string" else None
    kind = kind or _TYPES.get(one.kind or "")
    if kind is None or any('"' in part for part in one.path):
        return f"{source} -> {_text(path)}"
    return f"try_cast({source} ->> {_text(path)} AS {kind})"


def _replace(cursor: DuckDBPyConnection, node: dict[str, Any], source: str, alias: str) -> None:
    """Make a node that which reads from ``source``, under the name that it has, else ``alias``."""
    text = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [source]).fetchall()[0][0]
    made: dict[str, Any] = msgspec.json.decode(text)["statements"][0]["node"]["from_table"]
    kept = {name: node[name] for name in ("alias", "column_name_alias", "sample") if name in node}
    node.clear()
    node.update(made | kept)
    node["alias"] = node.get("alias") or alias


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
