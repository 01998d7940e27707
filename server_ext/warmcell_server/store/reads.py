"""Reading runs, snapshots and deployments as plain dictionaries with RFC 3339 times.

Each function takes a cursor of its own, which belongs to the calling thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound, QueryError
from warmcell.ids import rfc3339

from .jsontext import decode
from .operations import ListRuns
from .record.curated import curated_of
from .record.metadata import metadata_of_run
from .record.newest import RUNS, Wish, bounded, newest
from .record.tags import tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "get_run",
    "get_snapshot",
    "idempotency_keys",
    "list_deployments",
    "list_runs",
    "list_snapshots",
]

MAX_LIMIT = 10_000

_RUN = (
    "run_id, run_name, pipeline, deployment, snapshot, trigger, status, created_at, started_at, "
    'finished_at, parameters, outputs, error, notebook, "user", '
    "traceparent, origin"
)
_SNAPSHOT = (
    "pipeline, number, digest, created_at, input_schema, output_schema, source, notes, held, "
    'environment, settings, notebook, "user", stored, manifest, note'
)
_TIME_NAMES = "created_at updated_at started_at finished_at time last_run_at next_at"
_TIMES = frozenset(_TIME_NAMES.split())
_JSON_NAMES = (
    "parameters outputs error upstream inputs value input_schema output_schema notes held "
    "environment settings manifest traffic endpoints"
)
_JSON = frozenset(_JSON_NAMES.split())


def list_runs(cursor: DuckDBPyConnection, wanted: ListRuns) -> list[dict[str, Any]]:
    """Return one page of runs. Raises :class:`QueryError` for a filter that makes no sense."""
    if not 0 < wanted.limit <= MAX_LIMIT or wanted.offset < 0:
        raise QueryError(f"limit must be 1 to {MAX_LIMIT}, and offset not negative.")
    ids = newest(cursor, RUNS, _wish(cursor, wanted), wanted.limit + wanted.offset)
    ids = ids[wanted.offset :]
    if not ids:
        return []
    condition, values = bounded("run_id", ids)
    found = _dicts(
        cursor,
        f"SELECT {_RUN} FROM data.runs WHERE {condition} ORDER BY created_at DESC, run_id DESC",
        values,
    )
    tags = tags_of(cursor, "run", ids)
    return [_with_duration(run) | {"tags": tags.get(run["run_id"], [])} for run in found]


def get_run(cursor: DuckDBPyConnection, run_id: str) -> dict[str, Any]:
    """Return one run with its ``steps``, ``artifacts``, ``logs``, ``tags``, ``metadata`` and
    ``visualizations`` that are shown with it, or raise :class:`NotFound`."""
    found = _dicts(cursor, f"SELECT {_RUN} FROM data.runs WHERE run_id = ?", [run_id])
    if not found:
        raise NotFound(f"There is no run {run_id!r}.")
    run = _with_duration(found[0])
    run["steps"] = [
        _with_duration(step)
        for step in _dicts(
            cursor,
            "SELECT step, step_index AS index, status, started_at, finished_at, attempts, "
            "upstream, inputs, error, cached, uncached FROM data.steps WHERE run_id = ?",
            [run_id],
            ("index", "started_at"),
        )
    ]
    run["tags"] = tags_of(cursor, "run", [run_id]).get(run_id, [])
    run["metadata"] = metadata_of_run(cursor, run_id)
    run["visualizations"] = curated_of(cursor, "run", run_id)
    run["artifacts"] = _artifacts(cursor, run_id)
    run["logs"] = _dicts(
        cursor,
        "SELECT time, stream, text, step, level FROM data.logs WHERE run_id = ?",
        [run_id],
        ("time",),
    )
    run["deliveries"] = _dicts(
        cursor,
        "SELECT delivery_id, url, status, created_at, updated_at, attempts, next_at, response, "
        "error AS reason FROM data.deliveries WHERE run_id = ?",
        [run_id],
        ("created_at",),
    )
    return run


def _artifacts(cursor: DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """What the steps of a run gave, with what is known of the versions that are kept of it."""
    found = _dicts(
        cursor,
        "SELECT step, name, kind, type, size, digest, preview, value, version AS version_id "
        "FROM data.artifacts WHERE run_id = ?",
        [run_id],
    )
    kept = [one["version_id"] for one in found if one["version_id"] is not None]
    versions: dict[str, dict[str, Any]] = {}
    if kept:  # not by a join, which would look through all versions
        condition, values = bounded("id", kept)
        for version in _dicts(
            cursor,
            "SELECT id, artifact, number, version, status, size, value "
            f"FROM data.artifact_versions WHERE {condition}",
            values,
        ):
            versions[version["id"]] = version
    for one in found:
        version = versions.get(one["version_id"], {})
        for name in ("size", "value"):
            if one[name] is None:
                one[name] = version.get(name)
        for name in ("artifact", "number", "version", "status"):
            one[name] = version.get(name)
    return found


def list_snapshots(cursor: DuckDBPyConnection, pipeline: str | None) -> list[dict[str, Any]]:
    """Return the snapshots of one pipeline or of all, newest first."""
    where, values = ("WHERE pipeline = ?", [pipeline]) if pipeline is not None else ("", [])
    return _dicts(
        cursor,
        f"SELECT {_SNAPSHOT} FROM data.snapshots {where} "
        "ORDER BY created_at DESC, pipeline, number DESC",
        values,
    )


def get_snapshot(cursor: DuckDBPyConnection, pipeline: str, number: int) -> dict[str, Any]:
    """Return one snapshot, or raise :class:`NotFound`."""
    found = _dicts(
        cursor,
        f"SELECT {_SNAPSHOT} FROM data.snapshots WHERE pipeline = ? AND number = ?",
        [pipeline, number],
    )
    if not found:
        raise NotFound(f"Pipeline {pipeline!r} has no snapshot {number}.")
    return found[0]


def list_deployments(cursor: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return all deployments by name, the removed ones too, each with ``host_id``,
    ``holder_label``, ``holder_url``, ``total_runs`` and ``last_run_at``."""
    return _dicts(
        cursor,
        "SELECT name, d.pipeline, d.snapshot, state, d.created_at, updated_at, d.host_id, "
        'settings, traffic, endpoints, d.notebook, d."user", holder_label, holder_url, '
        "coalesce(r.total, 0) AS total_runs, r.last AS last_run_at "
        "FROM data.deployments d LEFT JOIN (SELECT deployment, count(*) AS total, "
        "max(created_at) AS last FROM data.runs GROUP BY deployment) r "
        "ON r.deployment = d.name ORDER BY name",
        [],
    )


def idempotency_keys(
    cursor: DuckDBPyConnection, since: int, deployment: str | None = None
) -> list[tuple[str, str, str, int]]:
    """Return digest, fingerprint, run id and time of the runs that keys made since then, of one
    deployment or of all."""
    return cursor.execute(
        "SELECT idempotency_key, coalesce(fingerprint, ''), run_id, created_at FROM data.runs "
        "WHERE created_at >= ? AND idempotency_key IS NOT NULL "
        "AND (?::VARCHAR IS NULL OR deployment = ?) ORDER BY created_at",
        [since, deployment, deployment],
    ).fetchall()


def _wish(cursor: DuckDBPyConnection, wanted: ListRuns) -> Wish:
    where: list[str] = []
    values: list[Any] = []
    for column in ("pipeline", "deployment", "snapshot"):
        value = getattr(wanted, column)
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    either = {
        column: [part.strip() for part in value.split(",")]
        for column in ("status", "trigger")
        if (value := getattr(wanted, column)) is not None
    }
    if wanted.since is not None:
        where.append("created_at >= ?")
        values.append(_microseconds(wanted.since, "since"))
    if wanted.until is not None:
        where.append("created_at < ?")
        values.append(_microseconds(wanted.until, "until"))
    if wanted.text:
        fields = "run_id, run_name, pipeline, deployment, parameters, outputs, error"
        where.append(f"contains(lower(concat_ws(' ', {fields})), lower(?))")
        values.append(wanted.text)
    before: tuple[int, str] | None = None
    if wanted.before is not None:
        rows = cursor.execute(
            "SELECT created_at FROM data.runs WHERE run_id = ?", [wanted.before]
        ).fetchall()
        if not rows:
            raise NotFound(f"There is no run {wanted.before!r} to continue from.")
        before = (rows[0][0], wanted.before)
    tags = wanted.tag.split(",") if wanted.tag else []
    return Wish(where, values, either, tags, before)


def _microseconds(time: int | str, name: str) -> int:
    if isinstance(time, int):
        return time
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise QueryError(
            f"{name} is {time!r}, which is no time.", hint="For example: 2026-11-21T09:30:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


def _dicts(
    cursor: DuckDBPyConnection, query: str, values: Iterable[Any], by: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows in the order in which they came in, or ``by`` these columns, None last. For the few
    rows of one run that is faster than an ORDER BY, which takes as long as finding them."""
    rows = cursor.execute(query, list(values)).fetchall()
    names = [column[0] for column in cursor.description or ()]
    for name in reversed(by):
        place = names.index(name)
        rows.sort(key=lambda row: (row[place] is None, row[place] or 0))
    return [
        {name: _plain(name, value) for name, value in zip(names, row, strict=True)} for row in rows
    ]


def _plain(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return rfc3339(value)
    if name in _JSON:
        return decode(value)
    return value


def _with_duration(part: dict[str, Any]) -> dict[str, Any]:
    """Add ``duration`` in seconds, None while it is not known."""
    start, end = part["started_at"] or part.get("created_at"), part["finished_at"]
    part["duration"] = None
    if start is not None and end is not None:
        seconds = datetime.fromisoformat(end) - datetime.fromisoformat(start)
        part["duration"] = seconds.total_seconds()
    return part
