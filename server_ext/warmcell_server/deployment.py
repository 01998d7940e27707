"""Deployment: a name, the snapshot it serves, and what runs and waits on it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Unavailable
from warmcell.ids import rfc3339
from warmcell.records import DeploymentRecord
from warmcell_server.calls import Pending, Waiting
from warmcell_server.health import silence, starvation
from warmcell_server.limits import Limits
from warmcell_server.measures import Measures
from warmcell_server.settings import Settings
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.restoration import Restoration
    from warmcell_server.traffic import Traffic

__all__ = ["Deployment"]

_WEIGHT = 0.1  # of the newest execution in the running mean


@dataclass(eq=False)
class Deployment:
    """A name and what it serves now. ``binding`` is None while no worker holds the snapshot."""

    name: str
    pipeline: str
    snapshot: int
    digest: str
    input_schema: msgspec.Raw
    output_schema: msgspec.Raw
    created_at: int
    updated_at: int
    limits: Limits = field(default_factory=Limits)
    settings: dict[str, Any] = field(default_factory=dict)
    served: Settings = field(default_factory=Settings)
    endpoints: list[wire.EndpointSpec] = field(default_factory=list)
    site: str | None = None
    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"[]"))
    notebook: str | None = None
    user: str | None = None
    stored: str = "pending"
    trusted: bool | None = None  # whether this user signed what is stored, where that was looked at
    note: str | None = None
    has_secrets: bool = False
    binding: Binding | None = None
    spare: Binding | None = None  # a standby, in a kernel of its own
    restoration: Restoration | None = None  # while it is on its way back
    served_again: asyncio.Event = field(default_factory=asyncio.Event)  # or given up
    resting: bool = False  # nothing holds it until the next call
    traffic: Traffic | None = None  # how calls are shared between snapshots, unless all to one
    replica_reason: str = ""  # why a kernel of its own is missing
    replica_failures: int = 0  # to start one, and of those that died soon after they began
    failures: int = 0  # dedicated kernels that died one after the other, soon after they began
    reason: str = ""
    unfollowed: str = ""  # why it does not serve the version of the model that it should
    warm: list[Binding] = field(default_factory=list)
    running: dict[int, Pending] = field(default_factory=dict)
    queue: deque[Waiting] = field(default_factory=deque)
    last_run_at: int | None = None
    measures: Measures = field(default_factory=Measures)
    mean_seconds: float = 0.0  # of recent executions

    @property
    def snapshot_id(self) -> str:
        return f"{self.pipeline}@{self.snapshot}"

    @property
    def ready(self) -> bool:
        return self.binding is not None

    @property
    def state(self) -> str:
        if self.binding is not None:
            return "serving"
        if self.restoring:
            return "restoring"
        return "resting" if self.resting else "detached"

    @property
    def restoring(self) -> bool:
        """Whether nothing serves it now, and something will soon."""
        return self.binding is None and self.restoration is not None

    def holders(self, snapshot: int | None = None) -> list[Binding]:
        """The bindings that can take calls of a snapshot, of the served one by default."""
        holds = self.pipeline, self.snapshot if snapshot is None else snapshot
        return [one for one in self.warm if one.alive and one.holds == holds]

    @property
    def shared(self) -> tuple[int, ...]:
        """The other snapshots that have a share of the traffic."""
        if self.traffic is None:
            return ()
        return tuple(n for n in self.traffic.snapshots if n != self.snapshot)

    def serves(self, pipeline: str, snapshot: int) -> bool:
        """Whether that is the snapshot which the name serves."""
        return (self.pipeline, self.snapshot) == (pipeline, snapshot)

    def route(self, snapshot: int | None) -> Binding | None:
        """What a call is sent to: the least loaded binding of that snapshot, or of the served one
        where none is named."""
        if snapshot is None and self.served.own_kernels < 2:
            return self.binding
        found = self.holders(snapshot)
        if len(found) < 2:
            return found[0] if found else (self.binding if snapshot is None else None)
        return min(found, key=lambda one: one.in_flight)

    @property
    def places(self) -> int:
        """How many calls may run at once: as many as its limits say, in each replica."""
        if self.served.own_kernels < 2:
            return self.limits.concurrency
        return self.limits.concurrency * max(1, len(self.holders()))

    @property
    def expires_at(self) -> int | None:
        """When it ends, in microseconds; None if it does not by itself."""
        seconds = self.served.expires_in
        return None if seconds is None else self.updated_at + int(seconds * 1_000_000)

    @property
    def served_by(self) -> str | None:
        """ "notebook", or "dedicated" for a kernel that the host started; None for nothing."""
        if self.binding is None:
            return None
        return "dedicated" if self.binding.dedicated else "notebook"

    @property
    def standby(self) -> str | None:
        """ "ready" or "starting", where a standby is wanted."""
        if not self.served.standby:
            return None
        return "ready" if self.spare is not None else "starting"

    @property
    def follows(self) -> dict[str, Any] | None:
        """The model version that it serves, and why not another one; None where it follows none."""
        model = self.binding.body.model if self.binding is not None else None
        if not self.served.follow or model is None:
            return None
        return {**model, "reason": self.unfollowed or None}

    @property
    def unavailable(self) -> Unavailable:
        """The error of who needs a worker while there is none."""
        seconds = self.restoration.retry_after if self.restoration is not None else 5.0
        what = "is being restored" if self.restoring else "has no worker now"
        return Unavailable(f"Deployment '{self.name}' {what}. {self.reason}", retry_after=seconds)

    @property
    def in_flight(self) -> int:
        return len(self.running)

    @property
    def queued(self) -> int:
        return len(self.queue)

    @property
    def total_runs(self) -> int:
        return self.measures.runs.total()

    @property
    def failed_runs(self) -> int:
        return self.total_runs - self.measures.runs["succeeded"]

    @property
    def silent(self) -> float | None:
        """Seconds since the worker was heard of."""
        return silence(self.binding) if self.binding is not None else None

    @property
    def starved(self) -> str:
        """What keeps calls from running although a worker holds the snapshot, in a sentence."""
        return starvation(self.binding) if self.binding is not None else ""

    @property
    def vitals(self) -> wire.Vitals | None:
        return self.binding.worker.vitals if self.binding is not None else None

    def eta(self, ahead: int, places: int) -> float:
        """Seconds until a call with ``ahead`` calls before it is expected to start, when ``places``
        may run at once."""
        return self.mean_seconds * (ahead + 1) / places

    def ended(
        self,
        status: str,
        finished_at: int,
        seconds: float,
        queued: float,
        steps: list[tuple[str, int]],
    ) -> None:
        """Count a call that ended, after ``queued`` seconds of waiting and ``seconds`` of
        execution; ``steps`` are names and microseconds."""
        if seconds and status != "invalid":  # else nothing ran, which says nothing of what will
            mean = self.mean_seconds
            self.mean_seconds = mean + _WEIGHT * (seconds - mean) if mean else seconds
        self.last_run_at = finished_at
        self.measures.ended(status, seconds, queued, steps)

    def record(self, host_id: str, state: str | None = None) -> DeploymentRecord:
        """The deployment as the store keeps it."""
        return DeploymentRecord(
            name=self.name,
            pipeline=self.pipeline,
            snapshot=self.snapshot,
            state=state or self.state,
            created_at=self.created_at,
            updated_at=self.updated_at,
            host_id=host_id,
            settings=msgspec.Raw(msgspec.json.encode(self.settings)),
            notebook=self.notebook,
            user=self.user,
            traffic=None if self.traffic is None else self.traffic.stored(),
            endpoints=msgspec.Raw(msgspec.json.encode(self.endpoints)) if self.endpoints else None,
        )

    def describe(self, url: str) -> dict[str, Any]:
        """The deployment as the control plane shows it."""
        vitals = self.vitals
        return {
            "name": self.name,
            "pipeline": self.pipeline,
            "snapshot": self.snapshot,
            "snapshot_id": self.snapshot_id,
            "state": self.state,
            "ready": self.ready,
            "reason": self.reason,
            "url": f"{url}{self.name}/",
            "invoke_url": f"{url}{self.name}/invoke",
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "in_flight": self.in_flight,
            "queued": self.queued,
            "total_runs": self.total_runs,
            "failed_runs": self.failed_runs,
            "last_run_at": rfc3339(self.last_run_at) if self.last_run_at else None,
            "steps": self.steps,
            "notes": self.notes,
            "held": self.held,
            "settings": self.settings,
            "warm": sorted({binding.snapshot for binding in self.warm}),
            "replicas": [binding.describe() for binding in self.holders()],
            "replicas_wanted": self.served.own_kernels,
            "replica_reason": self.replica_reason or None,
            "traffic": None if self.traffic is None else self.traffic.describe(),
            "worker": self.binding.worker.label() if self.binding else None,
            "served_by": self.served_by,
            "standby": self.standby,
            "follows": self.follows,
            "expires_at": rfc3339(self.expires_at) if self.expires_at is not None else None,
            "worker_pid": self.binding.worker.pid if self.binding else None,
            "lag": vitals.lag if vitals else None,
            "rss": vitals.rss if vitals else None,
            "stuck": vitals.stuck if vitals else 0,
            "starved": self.starved or None,
            "notebook": self.notebook,
            "user": self.user,
            "stored": self.stored,
            "trusted": self.trusted,
            "note": self.note,
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
        }
