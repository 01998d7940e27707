"""The calls of a deployment as a frame: a line per call, a column per input and output."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound, UsageError
from warmcell.history.columns import merged, named, unpacked

if TYPE_CHECKING:
    import pandas

    from warmcell.client import Client

__all__ = ["ATTRIBUTE", "LIMIT", "calls", "frame_of", "moment", "quoted", "schemas_of"]

LIMIT = 10_000
ATTRIBUTE = "warmcell"
"""Where ``frame.attrs`` says which columns are inputs and outputs, and where they come from."""

_PAGE = 2_000  # calls that are fetched at once
_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "timed_out", "lost")


def calls(
    client: Client,
    deployment: str,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    limit: int | None = LIMIT,
    status: str | Sequence[str] | None = None,
    where: str | None = None,
    unpack: bool = True,
) -> pandas.DataFrame:
    """See :meth:`warmcell.deployment.Deployment.calls`."""
    if limit is not None and (isinstance(limit, bool) or not limit > 0):
        raise UsageError(f"limit={limit!r} is no number of calls.", hint="None takes all.")
    conditions = [f"deployment = {quoted(deployment)}", "origin IS NULL"]
    if since is not None:
        conditions.append(f"created_at >= TIMESTAMP {quoted(moment(since, 'since'))}")
    if until is not None:
        conditions.append(f"created_at < TIMESTAMP {quoted(moment(until, 'until'))}")
    if status is not None:
        conditions.append(f"status IN ({', '.join(map(quoted, _statuses(status)))})")
    if where is not None:
        conditions.append(f"({where}\n)")
    rows = list(_rows(client, " AND ".join(conditions), limit))
    inputs, outputs = schemas_of(client, rows, deployment)
    return frame_of(deployment, rows, inputs, outputs, unpack=unpack)


def quoted(text: object) -> str:
    """``text`` as SQL has it."""
    return "'" + str(text).replace("'", "''") + "'"


def moment(given: datetime | str, name: str) -> str:
    """A time as the store has it: UTC, without an offset. A naive one is UTC."""
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name}={given!r} is no time.", hint=f'For example: {name}="2026-11-21T09:30:00Z"'
        ) from None
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return found.isoformat(sep=" ")


def _statuses(given: str | Sequence[str]) -> list[str]:
    wanted = [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)
    for one in wanted:
        if one not in _STATUSES:
            raise UsageError(
                f"No call has the status {one!r}.", hint=f"There are {', '.join(_STATUSES)}."
            )
    return wanted


def _rows(client: Client, conditions: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """The calls, newest first, page by page: an answer holds so many rows and bytes at most."""
    left, after = limit, ""
    while left is None or left > 0:
        wanted = _PAGE if left is None else min(_PAGE, left)
        # JSON as text: to the last digit of a number.
        table = client.sql(
            "SELECT run_id, pipeline, snapshot, created_at, status, duration, "
            'parameters::VARCHAR AS parameters, outputs::VARCHAR AS outputs, "user", '
            f"error_type, error FROM runs WHERE {conditions} {after}"
            f"ORDER BY created_at DESC, run_id DESC LIMIT {wanted}",
            limit=wanted,
        )
        for row in table.rows:
            yield dict(zip(table.columns, row, strict=True))
        if not table.rows or (len(table.rows) < wanted and not table.truncated):
            return
        if left is not None:
            left -= len(table.rows)
        last = dict(zip(table.columns, table.rows[-1], strict=True))
        time, run_id = quoted(moment(last["created_at"], "created_at")), quoted(last["run_id"])
        after = f"AND (created_at, run_id) < (TIMESTAMP {time}, {run_id}) "


def schemas_of(
    client: Client, rows: Sequence[Mapping[str, Any]], deployment: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the snapshots that were called take, and what they give: the newest says the types,
    older ones what it does not have any more."""
    called = sorted(
        {(row["pipeline"], row["snapshot"]) for row in rows if row["snapshot"] is not None},
        key=lambda one: -one[1],
    )
    if not called and deployment is not None:  # no call yet: the columns are those of the next ones
        try:
            deployed = client.get_deployment(deployment)
            called = [(deployed.pipeline, deployed.snapshot)]
        except NotFound:
            return {}, {}
    found = []
    for pipeline, number in called:
        with contextlib.suppress(NotFound):
            found.append(client.get_snapshot(pipeline, number))
    return (
        merged(one.get("input_schema") for one in found),
        merged(one.get("output_schema") for one in found),
    )


def frame_of(
    deployment: str,
    rows: Sequence[Mapping[str, Any]],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    *,
    unpack: bool,
) -> pandas.DataFrame:
    import pandas

    def column(name: str, dtype: Any) -> Any:
        return pandas.array([row[name] for row in rows], dtype=dtype)

    made: dict[str, Any] = {
        "created_at": pandas.to_datetime(
            [row["created_at"] for row in rows], utc=True, format="ISO8601"
        ),
        "status": column("status", "string"),
        "duration": pandas.array([row["duration"] for row in rows], dtype="Float64").to_numpy(
            "float64", na_value=float("nan")
        ),
        "snapshot": column("snapshot", "Int64"),
        "user": column("user", "string"),
        "error_type": column("error_type", "string"),
        "error": column("error", "string"),
    }
    given = list(unpacked(inputs, [_json(row["parameters"]) for row in rows], unpack=unpack))
    got = list(unpacked(outputs, [_json(row["outputs"]) for row in rows], unpack=unpack))
    names = named([one.path for one in given], [one.path for one in got])
    places = {}
    for place, columns, called in zip(("inputs", "outputs"), (given, got), names, strict=True):
        made |= {name: one.values for name, one in zip(called, columns, strict=True)}
        places[place] = {name: list(one.path) for name, one in zip(called, columns, strict=True)}
    index = pandas.Index(column("run_id", "string"), name="run_id")
    frame = pandas.DataFrame({name: _series(values, index) for name, values in made.items()})
    frame.index = index
    frame.attrs[ATTRIBUTE] = {"deployment": deployment, **places}
    return frame


def _series(values: Any, index: Any) -> Any:
    import pandas

    if isinstance(values, list):
        return pandas.Series(values, index=index, dtype="object")
    if isinstance(values, pandas.Series):
        values = values.array
    return pandas.Series(values, index=index)


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
