"""Metadata: what was logged about runs, steps, artifact versions and model versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import UsageError
from warmcell.ids import now, rfc3339

from ..jsontext import decode
from .subjects import Subject, resolve

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "READS", "metadata_of", "metadata_of_run"]

_ABOUT = ("run", "step", "artifact_version", "model_version")
_MOST = 20  # subjects that are compared
_encode = msgspec.json.Encoder().encode


def _log(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Keep ``metadata`` (``{key: {"value", "type"}}``) about each subject that ``on`` (a list)
    names: all of them, or none where one is not found. A later value of a key replaces the one
    before; the other keys stay."""
    subjects = [_subject(connection, named) for named in request["on"]]
    time = now()
    rows = [
        [
            subject.kind, subject.key, key, _encode(entry["value"]).decode(), entry["type"], time,
            *_run_of(subject),
        ]
        for subject in dict.fromkeys(subjects)
        for key, entry in request["metadata"].items()
    ]  # fmt: skip
    if rows:
        with connection.appender("data.metadata", action="upsert") as appender:
            appender.append_rows(rows)
    return {"subjects": [{"kind": found.kind, "subject": found.key} for found in subjects]}


def _run_of(subject: Subject) -> tuple[str | None, str | None]:
    if subject.kind not in ("run", "step"):
        return None, None
    run, _, step = subject.key.partition("/")
    return run, step or None


def _subject(cursor: DuckDBPyConnection, named: Mapping[str, Any]) -> Subject:
    if named.get("kind") not in _ABOUT:
        raise UsageError(
            f"There is no metadata about the kind {named.get('kind')!r}.",
            hint=f"Kinds: {', '.join(_ABOUT)}.",
        )
    return resolve(cursor, named)


def _of(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """All metadata of the subject that ``on`` names."""
    subject = _subject(cursor, request["on"])
    return {
        "kind": subject.kind,
        "subject": subject.key,
        "metadata": metadata_of(cursor, subject.kind, [subject.key]).get(subject.key, {}),
    }


def metadata_of(
    cursor: DuckDBPyConnection, kind: str, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The metadata of several subjects of one kind: by subject and key, each with ``value``,
    ``type`` and ``time``. Who has none is not in it."""
    if not keys:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for subject, key, *entry in cursor.execute(
        "SELECT subject, key, value, type, time FROM data.metadata WHERE kind = ? "
        "AND subject BETWEEN ? AND ? AND subject IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY subject, time, rowid",
        [kind, min(keys), max(keys), list(keys)],
    ).fetchall():
        found.setdefault(subject, {})[key] = _entry(*entry)
    return found


def metadata_of_run(cursor: DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """What was logged about a run and its steps: ``step`` (None: the run), ``key``, ``value``,
    ``type``, ``time``."""
    rows = cursor.execute(
        "SELECT step, key, value, type, time FROM data.metadata WHERE subject >= ? AND subject < ?",
        # A step's subject is the run's id, a slash and its name; "0" follows the slash.
        [run_id, f"{run_id}0"],
    ).fetchall()
    rows.sort(key=itemgetter(4))  # those of one moment stay as they came
    return [{"step": step, "key": key, **_entry(*rest)} for step, key, *rest in rows]


def _entry(value: str | None, type_: str, time: int) -> dict[str, Any]:
    return {
        "value": None if value is None else decode(value),
        "type": type_,
        "time": rfc3339(time),
    }


def _compare(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """The metadata of several subjects side by side. ``rows`` has one line per value, nested ones
    by their path with dots: ``key``, ``values`` in the order of ``on`` (None: nothing logged) and
    ``same``. Of a run its steps count too, as ``step.key``."""
    named: list[Mapping[str, Any]] = request["on"]
    if not 2 <= len(named) <= _MOST:
        raise UsageError(f"2 to {_MOST} are compared at once, not {len(named)}.")
    subjects = [_subject(cursor, one) for one in named]
    if len({subject.kind for subject in subjects}) > 1:
        raise UsageError("Only metadata of one kind can be compared.")
    columns = [dict(_leaves(_plain(cursor, subject))) for subject in subjects]
    rows = []
    for key in sorted({key for column in columns for key in column}):
        values = [column.get(key) for column in columns]
        same = all(key in column and column[key] == values[0] for column in columns)
        rows.append({"key": key, "values": values, "same": same})
    return {
        "kind": subjects[0].kind,
        "subjects": [subject.key for subject in subjects],
        "rows": rows,
    }


def _plain(cursor: DuckDBPyConnection, subject: Subject) -> dict[str, Any]:
    if subject.kind == "run":
        return {
            f"{one['step']}.{one['key']}" if one["step"] else one["key"]: one["value"]
            for one in metadata_of_run(cursor, subject.key)
        }
    found = metadata_of(cursor, subject.kind, [subject.key]).get(subject.key, {})
    return {key: entry["value"] for key, entry in found.items()}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


READS = {"metadata_of": _of, "compare_metadata": _compare}
CHANGES = {"log_metadata": _log}
