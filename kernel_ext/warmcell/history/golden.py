"""Golden sets: calls and the answers that they should get, kept as a named set with versions.

A set is an artifact, ``golden::<name>``, of JSON: it outlives the runs that it was made of, and
goes along when the store is exported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound, UsageError, WarmcellError

if TYPE_CHECKING:
    import pandas

    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client

__all__ = [
    "PREFIX", "Golden", "delete_golden", "golden_of", "list_golden", "load_golden", "save_golden",
]  # fmt: skip

PREFIX = "golden::"
FORMAT = "warmcell golden set 1"

_KEEP = "keep"  # what has it is not deleted
_TAGS = ["golden", _KEEP]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


class Golden:
    """A version of a golden set. ``cases`` have ``run_id`` (of the run, or the name of the set and
    a number), ``created_at``, ``snapshot``, ``parameters`` and ``outputs`` (JSON as text, to the
    last digit), ``digests`` of outputs that are files, and ``seconds``."""

    def __init__(self, version: ArtifactVersion, value: Mapping[str, Any]) -> None:
        self.artifact = version
        self.name = version.artifact.removeprefix(PREFIX)
        self.version = version.version
        self.deployment: str | None = value.get("deployment")
        self.pipeline: str | None = value.get("pipeline")
        self.note: str | None = value.get("note")
        self.cases: list[dict[str, Any]] = list(value["cases"])

    def to_frame(self, *, unpack: bool = True) -> pandas.DataFrame:
        """The cases as :meth:`warmcell.deployment.Deployment.calls` shows calls."""
        from warmcell.client import Client
        from warmcell.history.calls import frame_of, schemas_of

        nothing = {"user": None, "error_type": None, "error": None, "status": "succeeded"}
        rows = [
            {**nothing, **case, "duration": case["seconds"], "pipeline": self.pipeline}
            for case in self.cases
        ]
        inputs, outputs = schemas_of(Client(), rows, self.deployment)
        return frame_of(self.deployment or self.name, rows, inputs, outputs, unpack=unpack)

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.cases)

    def __repr__(self) -> str:
        of = f" of {self.deployment}" if self.deployment else ""
        return f"<golden set {self.name}@{self.version}: {len(self)} calls{of}>"


def save_golden(
    name: str,
    runs: Sequence[str] | str | pandas.DataFrame | None = None,
    *,
    deployment: str | None = None,
    last: int = 200,
    since: datetime | str | None = None,
    where: str | None = None,
    sample: int | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    note: str | None = None,
) -> Golden:
    """Keep calls with their answers as the next version of the golden set ``name``.

    Args:
        runs: ids of runs; or a frame of :meth:`~warmcell.deployment.Deployment.calls`, of which
            the recorded calls of its lines are meant; or, with ``inputs`` and ``outputs``, a frame
            that has the values themselves.
        deployment: whose calls; needed without ``runs``.
        last, since, where, sample: which of its calls that succeeded, as
            :meth:`~warmcell.pipelines.Pipeline.backtest` takes them.
        inputs, outputs: columns of the frame that are parameters and expected outputs;
            ``customer.age`` is a field of ``customer``.
        note: what to remember of this version.

    A backtest and a gate take its name: ``pipeline.backtest(runs="night-shift")``, also
    ``"night-shift@2"``.

    Raises:
        NotFound: no such run or deployment, or no call that is as asked.
        UsageError: a call without an answer to expect, a column that there is not, or a name that
            is none.
    """
    from warmcell.artifacts.saving import save_artifact
    from warmcell.client import Client

    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a golden set.",
            hint="Letters, digits, spaces, dots, - and _, at most 100.",
        )
    client = Client()
    if inputs is not None or outputs is not None:
        cases = _of_values(name, runs, list(inputs or ()), list(outputs or ()))
        pipeline = None
    else:
        ids = _ids(client, runs, deployment, (last, since, where, sample))
        cases, pipeline, found = _of_runs(client, ids)
        deployment = deployment or found
    if not cases and deployment is not None:
        client.get_deployment(deployment)  # there may be no calls because there is no such one
    if not cases:
        raise NotFound(f"The golden set '{name}' would be empty: no call is as asked.")
    value = {
        "format": FORMAT, "deployment": deployment, "pipeline": pipeline, "note": note,
        "cases": cases,
    }  # fmt: skip
    saved = save_artifact(value, PREFIX + name, tags=_TAGS)
    return Golden(saved, value)


def load_golden(name: str, version: str | int | None = None) -> Golden:
    """Return the newest version of a golden set, or that one; ``"name@2"`` does as well. Raises
    :class:`~warmcell.errors.NotFound`."""
    from warmcell.client import Client

    if version is None and "@" in name:
        name, _, version = name.rpartition("@")
    return golden_of(Client().get_artifact_version(PREFIX + name, version))


def delete_golden(name: str, version: str | int | None = None) -> int:
    """Delete a golden set with all its versions, or one of them; ``"name@2"`` does as well. Return
    how many versions there were.

    Raises :class:`~warmcell.errors.NotFound`, and :class:`~warmcell.errors.Conflict` where
    something else keeps one: none is deleted then.
    """
    from warmcell.client import Client

    if version is None and "@" in name:
        name, _, version = name.rpartition("@")
    client = Client()
    if version is not None:
        found = [client.get_artifact_version(PREFIX + name, version)]
    else:
        found = list(client.list_artifact_versions(PREFIX + name, limit=1000))
        if not found:
            raise NotFound(
                f"There is no golden set '{name}'.",
                hint="list_golden() names those that there are.",
            )
    # A set keeps itself: each version has that tag.
    kept = [one for one in found if _KEEP in one.tags]
    for one in kept:
        client.detach_tags([_KEEP], artifact_version_id=one.id)
    try:
        if version is None:
            return client.delete_artifact(PREFIX + name)
        found[0].delete()
    except WarmcellError:
        for one in kept:
            client.attach_tags([_KEEP], artifact_version_id=one.id)
        raise
    return 1


def golden_of(version: ArtifactVersion) -> Golden:
    """The golden set that an artifact version has. Raises :class:`UsageError` for another one."""
    value = version.load() if version.kind == "json" else None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UsageError(f"Artifact '{version.artifact}' is no golden set.")
    return Golden(version, value)


def list_golden() -> list[dict[str, Any]]:
    """The golden sets, the newest first: ``name``, newest ``version``, number of ``versions`` and
    ``created_at``."""
    from warmcell.client import Client

    return [
        {
            "name": found["artifact"].removeprefix(PREFIX),
            **{key: found[key] for key in ("version", "versions", "created_at")},
        }
        for found in Client().list_artifacts(PREFIX, limit=1000)
        if found["artifact"].startswith(PREFIX)
    ]


def _ids(
    client: Client,
    runs: Sequence[str] | str | pandas.DataFrame | None,
    deployment: str | None,
    chosen: tuple[int, datetime | str | None, str | None, int | None],
) -> list[str]:
    from warmcell.backtests.history import Selection, ids_of

    if runs is None:
        if deployment is None:
            raise UsageError(
                "Which calls?",
                hint='Give their run ids, a frame of calls(), or deployment="churn".',
            )
        return ids_of(client, Selection(deployment, *chosen[:3], None, chosen[3]))
    if chosen[1] or chosen[2] or chosen[3]:
        raise UsageError("runs names the calls; since, where and sample choose among others.")
    if isinstance(runs, str):
        return [runs]
    frame: Any = runs
    if hasattr(frame, "columns"):
        if frame.index.name == "run_id":
            return [str(one) for one in frame.index]
        if "run_id" in frame.columns:
            return [str(one) for one in frame["run_id"]]
        raise UsageError(
            "This frame does not say which runs its lines are.",
            hint="Take one of deployment.calls(), or name its columns with inputs= and outputs=.",
        )
    return [str(one) for one in runs]


def _of_runs(
    client: Client, ids: Sequence[str]
) -> tuple[list[dict[str, Any]], str | None, str | None]:
    """The cases, the pipeline and the deployment that they are of, the last where there is one."""
    from warmcell.backtests.history import answer_of, rows_of

    cases = []
    pipelines: set[str] = set()
    deployments: set[str | None] = set()
    for row in rows_of(client, list(dict.fromkeys(ids))):
        why = None
        if row["status"] != "succeeded":
            why = f"it {row['status']}"
        elif row["parameters"] is None or row["outputs"] is None:
            why = "what went in or came out is not recorded"
        if why is not None:
            raise UsageError(
                f"Run {row['run_id']} has no answer to expect: {why}.",
                hint='Leave it out, for example with calls(status="succeeded").',
            )
        outputs, digests = answer_of(client, row)
        pipelines.add(row["pipeline"])
        deployments.add(row["deployment"])
        case = {name: row[name] for name in ("run_id", "created_at", "snapshot", "parameters")}
        text = json.dumps(outputs) if digests else row["outputs"]
        cases.append({**case, "outputs": text, "digests": digests, "seconds": row["seconds"]})
    if len(pipelines) > 1:
        raise UsageError(
            f"These are calls of several pipelines: {', '.join(sorted(pipelines))}.",
            hint="A golden set is of one.",
        )
    deployments.discard(None)
    one = next(iter(deployments)) if len(deployments) == 1 else None
    return cases, next(iter(pipelines), None), one


def _of_values(
    name: str, frame: Any, inputs: Sequence[str], outputs: Sequence[str]
) -> list[dict[str, Any]]:
    from warmcell.ids import now, rfc3339

    if not hasattr(frame, "columns"):
        raise UsageError("inputs and outputs are columns of a frame.", hint="Give one as runs=.")
    for column in (*inputs, *outputs):
        if column not in frame.columns:
            raise UsageError(
                f"The frame has no column {column!r}.",
                hint=f"It has {', '.join(map(str, frame.columns))}.",
            )
    if not outputs:
        raise UsageError("Which answers are expected?", hint='Name them: outputs=["probability"].')
    time = rfc3339(now())
    return [
        {
            "run_id": f"{name}#{number}", "created_at": time, "snapshot": None,
            "parameters": _packed(frame, number, inputs),
            "outputs": _packed(frame, number, outputs),
            "digests": {}, "seconds": None,
        }
        for number in range(len(frame))
    ]  # fmt: skip


def _packed(frame: Any, number: int, columns: Sequence[str]) -> str:
    """A line's values as JSON; a dot leads into an object. What is missing is left out of
    objects, and null by itself."""
    made: dict[str, Any] = {}
    for column in columns:
        value = _plain(frame[column].iloc[number], column)
        *path, last = column.split(".")
        inner = made
        if path and value is None:
            continue
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return json.dumps(made)


def _plain(value: Any, column: str) -> Any:
    """A cell as JSON has it."""
    import pandas

    if hasattr(value, "isoformat") and not pandas.isna(value):
        return value.isoformat()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, dict | list | tuple) and pandas.isna(value):
        return None
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"Column {column!r} holds a {type(value).__name__}, which JSON does not have."
        ) from None
    return value
