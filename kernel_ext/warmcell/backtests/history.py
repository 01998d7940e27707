"""The calls of a deployment that a backtest replays: what went in, what came out, how long."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.errors import NotFound, UsageError
from warmcell.history.calls import moment, quoted
from warmcell.redaction import MASK as REDACTED

if TYPE_CHECKING:
    from warmcell.client import Client
    from warmcell.history.golden import Golden
    from warmcell.schemas import ParameterModel

__all__ = [
    "MOST",
    "Recorded",
    "Selection",
    "Skipped",
    "answer_of",
    "ids_of",
    "is_file",
    "rows_of",
    "select",
]

MOST = 10_000
"""Calls that one backtest replays at most."""

_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHUNK = 100  # runs that are fetched at once
_MASK = "**********"  # what pydantic shows of a secret
_DESCRIBED = frozenset({"$type", "$preview", "$content_type", "$size", "$filename"})
_FILE = frozenset({"content_type", "size", "href"})


class Skipped(NamedTuple):
    """A call that cannot be replayed, and why not."""

    run_id: str
    reason: str


@dataclass(slots=True)
class Recorded:
    """A call as the history has it. ``parameters`` are JSON. ``digests`` are of the outputs that
    are kept as files, by name. ``seconds`` is how long it was executed."""

    run_id: str
    created_at: str
    snapshot: int | None
    parameters: bytes
    outputs: dict[str, Any]
    seconds: float | None
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Selection:
    """Which calls of a deployment are meant: the newest ``last`` that succeeded, ``since`` a time,
    for which ``where`` (SQL over a line of the view ``runs``) holds, ``sample`` of them; or those
    with the ids ``runs``; or those of a golden set: its name, ``"name@2"``, or the set itself."""

    deployment: str
    last: int = 200
    since: datetime | str | None = None
    where: str | None = None
    runs: Sequence[str] | str | Golden | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        for name in ("last", "sample"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and 1 <= value <= MOST) and not (value is None and name == "sample"):
                raise UsageError(
                    f"{name}={value!r} is not a number of calls.",
                    hint=f"It is a whole number from 1 to {MOST}.",
                )
        if isinstance(self.runs, list | tuple) and len(self.runs) == 1:
            [self.runs] = self.runs  # the name of a golden set, from a line of options
        if isinstance(self.runs, str) and _RUN_ID.fullmatch(self.runs):
            self.runs = [self.runs]
        if self.runs is not None and (self.since or self.where or self.sample):
            raise UsageError("runs= names the calls; since, where and sample choose among others.")

    def query(self) -> str:
        """The SQL of their ids, newest first."""
        # What repeats another call (a shadow, a rerun) would count that twice.
        conditions = [
            f"deployment = {quoted(self.deployment)}",
            "status = 'succeeded'",
            "origin IS NULL",
        ]
        if self.since is not None:
            since = quoted(moment(self.since, "since"))
            conditions.append(f"created_at >= TIMESTAMP {since}")
        if self.where is not None:
            conditions.append(f"({self.where}\n)")
        return (
            f"SELECT run_id FROM runs WHERE {' AND '.join(conditions)} "
            f"ORDER BY created_at DESC, run_id DESC LIMIT {self.last}"
        )


def select(
    client: Client, wanted: Selection, parameters: ParameterModel
) -> tuple[list[Recorded], list[Skipped]]:
    """Fetch the calls, newest first, and name those that cannot be replayed.

    ``parameters`` are what the draft takes. Raises :class:`NotFound` for a run id that there is
    not, and :class:`~warmcell.errors.QueryError` for a condition that is no SQL.
    """
    calls: list[Recorded] = []
    skipped: list[Skipped] = []
    schemas = _Schemas(client)
    golden = _golden(wanted.runs)
    for row in rows_of(client, ids_of(client, wanted)) if golden is None else _cases(golden):
        try:
            calls.append(_recorded(client, row, schemas, parameters))
        except _NotReplayable as error:
            skipped.append(Skipped(row["run_id"], str(error)))
    return calls, skipped


def is_file(value: Any) -> bool:
    """Whether an output stands for a file that the history keeps."""
    return isinstance(value, dict) and value.keys() == _FILE


def ids_of(client: Client, wanted: Selection) -> list[str]:
    """The ids of the runs that are chosen, newest first, or as they are named."""
    named: Any = wanted.runs
    if named is not None:
        return list(dict.fromkeys(named))
    ids = [row[0] for row in client.sql(wanted.query(), limit=MOST).rows]
    if wanted.sample is not None and wanted.sample < len(ids):
        chosen = set(sorted(ids, key=_drawn)[: wanted.sample])
        ids = [one for one in ids if one in chosen]
    return ids


def _golden(runs: Sequence[str] | str | Golden | None) -> Golden | None:
    """The golden set that is meant, if one is."""
    from warmcell.history.golden import Golden, load_golden

    if isinstance(runs, Golden):
        return runs
    if not isinstance(runs, str):
        return None
    try:
        return load_golden(runs)
    except NotFound:
        raise NotFound(
            f"There is neither a run nor a golden set {runs!r}.",
            hint="save_golden() makes one; list_golden() names those that there are.",
        ) from None


def _cases(golden: Golden) -> Iterator[dict[str, Any]]:
    for case in golden:
        yield {"pipeline": golden.pipeline or "", "status": "succeeded", **case}


class _NotReplayable(Exception):
    """Why a call cannot be replayed."""


class _Schemas:
    """The parameters' schemas of the snapshots that were called."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, int], Mapping[str, Any]] = {}

    def of(self, pipeline: str, snapshot: int | None) -> Mapping[str, Any]:
        """The schema; empty where there is no such snapshot any more."""
        if snapshot is None:
            return {}
        key = (pipeline, snapshot)
        if key not in self._known:
            try:
                found = self._client.get_snapshot(pipeline, snapshot)["input_schema"]
            except NotFound:
                found = {}
            self._known[key] = found or {}
        return self._known[key]


def rows_of(client: Client, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What the history has of these runs, JSON as text. Raises :class:`NotFound`."""
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        # As text: what is replayed is what was recorded, to the last digit of a number.
        table = client.sql(
            "SELECT run_id, pipeline, deployment, snapshot, created_at, status, trigger, "
            "parameters::VARCHAR AS parameters, outputs::VARCHAR AS outputs, "
            "date_diff('microsecond', started_at, finished_at) / 1e6 AS seconds "
            f"FROM runs WHERE run_id IN ({', '.join(map(quoted, part))})",
            limit=_CHUNK,
        )
        found = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
        for one in part:
            if one not in found:
                raise NotFound(f"There is no run {one!r}.")
            yield found[one]


def _recorded(
    client: Client, row: Mapping[str, Any], schemas: _Schemas, model: ParameterModel
) -> Recorded:
    if row["status"] != "succeeded":
        raise _NotReplayable(f"it {row['status']}, so that there is no answer to compare with")
    if row["parameters"] is None:
        raise _NotReplayable("its parameters are not recorded")
    if row["outputs"] is None:
        raise _NotReplayable("its outputs are not recorded")
    schema = schemas.of(row["pipeline"], row["snapshot"])
    parameters = _parameters(row["parameters"], schema, model)
    outputs, digests = answer_of(client, row)
    return Recorded(
        row["run_id"],
        row["created_at"],
        row["snapshot"],
        parameters,
        outputs,
        row["seconds"],
        digests,
    )


def answer_of(client: Client, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The outputs of a row, and the digests of those that are files, by name."""
    outputs: dict[str, Any] = json.loads(row["outputs"])
    digests: dict[str, str] = dict(row.get("digests") or {})
    if not digests and any(map(is_file, outputs.values())):
        run = client.get_run(row["run_id"])
        outputs = run.outputs
        digests = {
            artifact["name"].removeprefix("outputs/"): artifact["digest"]
            for artifact in run.artifacts
            if artifact["kind"] == "output" and artifact["digest"]
        }
    return outputs, digests


def _parameters(text: str, schema: Mapping[str, Any], model: ParameterModel) -> bytes:
    """The parameters as the draft gets them. Those that it does not take any more and that had
    their default are left out: callers rarely send those."""
    values: dict[str, Any] = json.loads(text)
    secret = '"writeOnly"' in json.dumps([schema, model.json_schema()]) or not schema
    for name, value in values.items():
        if any(map(_described, value if isinstance(value, list) and value else [value])):
            file = "$content_type" in json.dumps(value)
            why = "came as a file" if file else "was too large to be recorded"
            raise _NotReplayable(f"`{name}` {why}: the history has a description of it only")
        if (secret and _masked(value)) or (REDACTED in text and REDACTED in str(value)):
            raise _NotReplayable(f"`{name}` is redacted in the history")
    defaults = schema.get("properties") or {}
    gone = [
        name
        for name, value in values.items()
        if not model.extra
        and name not in model.names
        and "default" in defaults.get(name, {})
        and defaults[name]["default"] == value
    ]
    if not gone:
        return text.encode()
    return json.dumps({name: value for name, value in values.items() if name not in gone}).encode()


def _described(value: Any) -> bool:
    return isinstance(value, dict) and "$type" in value and value.keys() <= _DESCRIBED


def _masked(value: Any) -> bool:
    if isinstance(value, str):
        return value == _MASK
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    return any(map(_masked, inner))


def _drawn(run_id: str) -> bytes:
    """By what a sample is drawn: at random as to the calls, and the same every time."""
    return hashlib.sha256(run_id.encode()).digest()
