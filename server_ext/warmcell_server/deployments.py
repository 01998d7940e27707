"""Deployments: names, the snapshots they serve, and the workers that hold those snapshots."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import msgspec

from warmcell import wire
from warmcell.errors import (
    InvalidName,
    NameTaken,
    NotFound,
    Unavailable,
)
from warmcell.ids import now
from warmcell.records import DeploymentRecord, SnapshotRecord
from warmcell_server.deployment import Deployment
from warmcell_server.limits import limits_of
from warmcell_server.restoration import STABLE_SECONDS
from warmcell_server.settings import settings_of
from warmcell_server.store.tables import check_owner
from warmcell_server.traffic import Traffic
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.store import Store

__all__ = ["RESERVED", "Deployments", "check_name", "micros"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED = frozenset({"api", "static", "mcp", "docs", "metrics"})
KEPT_WARM = 3

log = logging.getLogger("warmcell.deployments")


class Deployments:
    """All deployments of this host. Belongs to the host's event loop."""

    def __init__(self, store: Store, host_id: str) -> None:
        self._store = store
        self._host_id = host_id
        self._by_name: dict[str, Deployment] = {}
        self._elsewhere: dict[str, str] = {}
        self._removed: set[str] = set()
        self._changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Deployment]:
        return iter(self._by_name.values())

    def find(self, name: str) -> Deployment | None:
        """Return the deployment ``name`` if this host knows it."""
        return self._by_name.get(name)

    def get(self, name: str) -> Deployment:
        """Return the deployment ``name``.

        Raises:
            NotFound: there is none.
            Unavailable: another host on this store serves it; the message names that host.
        """
        found = self._by_name.get(name)
        if found is not None:
            return found
        if holder := self._elsewhere.get(name):
            raise Unavailable(
                f"Deployment '{name}' is served by another host of this store: {holder}.",
                retry_after=5,
                hint="Call it there, or deploy it here once that host has ended.",
            )
        known = ", ".join(sorted(self._by_name)) or "none"
        raise NotFound(f"There is no deployment '{name}'.", hint=f"Deployments here: {known}.")

    def load(
        self, rows: list[dict[str, Any]], snapshots: dict[str, dict[str, Any]]
    ) -> list[Deployment]:
        """Take up what the store knows of names that no worker of this host serves: they answer
        503, and say who serves them or how to deploy them again. Returns those that are no longer
        this host's."""
        self._elsewhere = {}
        before = dict(self._by_name)
        for row in rows:
            name = row["name"]
            if name in self._by_name and self._by_name[name].ready:
                continue
            if row["state"] == "removed":
                self._by_name.pop(name, None)
                continue
            if row["host_id"] != self._host_id and row.get("alive"):
                self._elsewhere[name] = (
                    f"{row.get('holder_label')} {row.get('holder_url') or ''}".strip()
                )
                self._by_name.pop(name, None)
                continue
            if name in self._by_name:
                continue
            snapshot = snapshots.get(f"{row['pipeline']}@{row['snapshot']}", {})
            settings = row.get("settings") or {}
            self._by_name[name] = Deployment(
                name=name,
                pipeline=row["pipeline"],
                snapshot=row["snapshot"],
                digest=snapshot.get("digest", ""),
                input_schema=_raw(snapshot.get("input_schema") or {}),
                output_schema=_raw(snapshot.get("output_schema") or {}),
                created_at=micros(row["created_at"]),
                updated_at=micros(row["updated_at"]),
                limits=limits_of(settings),
                settings=settings,
                served=settings_of(settings),
                steps=[part["name"] for part in _parts(snapshot) if part.get("kind") == "step"],
                notes=snapshot.get("notes") or [],
                held=_raw(snapshot.get("held") or []),
                endpoints=_endpoints(row.get("endpoints")),
                site=settings.get("site"),
                has_secrets=_has_secrets(_raw(snapshot.get("input_schema") or {})),
                notebook=row.get("notebook"),
                user=row.get("user"),
                stored=snapshot.get("stored", "pending"),
                note=snapshot.get("note"),
                reason="No kernel holds it since its server ended. Deploy it again from its "
                "notebook.",
                resting=row["state"] == "resting",
                traffic=_traffic(name, row),
            )
        return [gone for name, gone in before.items() if name not in self._by_name]

    def changing(self, name: str) -> asyncio.Lock:
        """The lock of a name, held by who changes what it serves."""
        lock = self._changing.get(name)
        if lock is None:
            lock = self._changing[name] = asyncio.Lock()
        return lock

    def check(self, body: wire.Deploy, worker: Worker) -> None:
        """Refuse a deploy that cannot work, before anything is changed."""
        check_name(body.name)
        limits_of(body.settings)
        settings_of(body.settings)
        current = self._by_name.get(body.name)
        binding = current.binding if current is not None else None
        holder = binding.worker if binding is not None else None
        same = holder is not None and holder.is_kernel_of(worker)
        if binding is not None and binding.dedicated and not body.again:
            # What a notebook lost is its own as soon as it says so.
            same = same or (current is not None and current.notebook == body.notebook)
        if holder is not None and not same and not body.overtake:
            raise NameTaken(
                f"Deployment '{body.name}' is served from {holder.label()}.",
                holder=holder.label(),
                hint="Choose another name, or take it over with deploy(..., overtake=True).",
            )
        if current is not None and not body.overtake:
            check_owner(body.name, current.notebook, body.notebook)

    def snapshot_record(self, body: wire.Deploy, user: str | None) -> SnapshotRecord:
        """What the store keeps of a snapshot when it is first deployed."""
        return SnapshotRecord(
            pipeline=body.pipeline,
            number=0,
            digest=body.digest,
            created_at=now(),
            input_schema=body.input_schema,
            output_schema=body.output_schema,
            source=body.source,
            notes=body.notes,
            held=body.held,
            settings=_raw(body.settings),
            notebook=body.notebook,
            user=user,
            stored=body.stored,
            note=body.note,
        )

    def draft(self, body: wire.Deploy, number: int, user: str | None) -> DeploymentRecord:
        """The record that claims the name, before anything is switched."""
        current = self._by_name.get(body.name)
        moment = now()
        return DeploymentRecord(
            name=body.name,
            pipeline=body.pipeline,
            snapshot=number,
            state="serving",
            created_at=current.created_at if current is not None else moment,
            updated_at=moment,
            host_id=self._host_id,
            settings=_raw(body.settings),
            notebook=body.notebook,
            user=user,
        )

    def serve(self, binding: Binding, record: DeploymentRecord) -> Deployment:
        """Point the name at a binding that was deployed. Calls in flight end where they began."""
        body = binding.body
        self._elsewhere.pop(body.name, None)
        self._removed.discard(body.name)
        deployment = self._by_name.get(body.name)
        if deployment is None:
            deployment = self._by_name[body.name] = Deployment(
                name=body.name,
                pipeline=body.pipeline,
                snapshot=record.snapshot,
                digest=body.digest,
                input_schema=body.input_schema,
                output_schema=body.output_schema,
                created_at=record.created_at,
                updated_at=record.updated_at,
            )
        deployment.user = record.user
        if not (body.again and deployment.snapshot == binding.snapshot):
            deployment.traffic = None
        deployment.failures = deployment.replica_failures = 0
        self.adopt(deployment, binding)
        deployment.updated_at = now()
        return deployment

    def adopt(self, deployment: Deployment, binding: Binding) -> None:
        """Serve a deployment from a binding that is new to it."""
        self._serve(deployment, binding)
        replaced = [old for old in deployment.warm if old.holds == binding.holds]
        deployment.warm = [old for old in deployment.warm if old not in replaced] + [binding]
        for old in replaced:
            self.retire(old)
        self.trim(deployment)

    def attach(self, deployment: Deployment, binding: Binding) -> None:
        """Hold one more binding for a deployment: a replica, or another snapshot. What replaces
        another one is as old as that for a rollback."""
        same = [n for n, one in enumerate(deployment.warm, 1) if one.holds == binding.holds]
        deployment.warm.insert(same[-1] if same else len(deployment.warm), binding)

    def replace(self, deployment: Deployment, old: Binding, new: Binding) -> bool:
        """Hold ``new`` in the place of ``old``, whose calls in flight end first; false where that
        is not held any more."""
        if not any(one is old for one in deployment.warm):
            return False
        deployment.warm = [new if one is old else one for one in deployment.warm]
        if deployment.binding is old:
            deployment.binding = new
        self.retire(old)
        return True

    def detach(self, deployment: Deployment, binding: Binding) -> None:
        """Hold a binding no longer; its calls in flight end first. Where it was the one that leads,
        another of its snapshot does so from now on."""
        deployment.warm = [one for one in deployment.warm if one is not binding]
        self.retire(binding)
        if deployment.binding is binding:
            deployment.binding = next(iter(deployment.holders()), None)

    def trim(self, deployment: Deployment) -> None:
        """Hold no more of what is not served than the last few snapshots, so that a rollback is
        immediate; of those in kernels of their own only the last, in one kernel."""
        served = {(deployment.pipeline, n) for n in (deployment.snapshot, *deployment.shared)}
        earlier = [one for one in reversed(deployment.warm) if one.holds not in served]
        kept = list(dict.fromkeys(one.holds for one in earlier))[: KEPT_WARM - 1]
        seen: set[tuple[str, int]] = set()
        for one in earlier:
            last = one.holds == kept[0] and one.holds not in seen
            seen.add(one.holds)
            if one.holds not in kept or (one.dedicated and not last):
                self.detach(deployment, one)

    def _serve(self, deployment: Deployment, binding: Binding) -> None:
        body = binding.body
        deployment.pipeline = body.pipeline
        deployment.snapshot = binding.snapshot
        deployment.digest = body.digest
        deployment.input_schema = body.input_schema
        deployment.has_secrets = binding.has_secrets
        deployment.output_schema = body.output_schema
        deployment.steps = body.steps
        deployment.notes = body.notes
        deployment.held = body.held
        deployment.limits = limits_of(body.settings)
        deployment.settings = body.settings
        deployment.served = settings_of(body.settings)
        deployment.endpoints = body.endpoints
        deployment.site = body.site
        deployment.notebook = body.notebook
        deployment.stored = body.stored
        deployment.note = body.note
        deployment.reason = ""
        deployment.resting = False
        deployment.binding = binding
        deployment.restoration = None
        deployment.served_again.set()

    def earlier(self, deployment: Deployment, to: int | None) -> Binding | None:
        """What a rollback serves, if that is warm: snapshot ``to``, by default the one that was
        deployed before the served one."""
        if to is not None:
            return next(iter(deployment.holders(to)), None)
        before = [one.holds for one in deployment.warm]
        served = deployment.pipeline, deployment.snapshot
        end = before.index(served) if served in before else None
        newcomers = {(deployment.pipeline, number) for number in deployment.shared}
        found = [b for b in deployment.warm[:end] if b.alive and b.holds not in newcomers]
        return found[-1] if found else None

    def roll(self, deployment: Deployment, binding: Binding) -> None:
        """Serve a deployment from a binding that it holds already. Calls in flight end where they
        began."""
        deployment.traffic = None
        self._serve(deployment, binding)
        deployment.updated_at = now()
        self.trim(deployment)

    def holds_name(self, deployment: Deployment) -> bool:
        """Whether a deployment is not removed yet: calls and tasks may outlive it."""
        return self._by_name.get(deployment.name) is deployment

    def remove(self, name: str) -> Deployment:
        """Forget the name: calls to it answer 404 from here on. To be followed by
        :meth:`release` once nothing waits for it."""
        deployment = self.get(name)
        del self._by_name[name]
        self._removed.add(name)
        return deployment

    def was_removed(self, name: str) -> bool:
        """Whether a name was removed here and not deployed since."""
        return name in self._removed

    def release(self, deployment: Deployment) -> None:
        """Let go of what a removed deployment holds, as soon as its calls in flight have ended."""
        deployment.binding = deployment.restoration = None  # and of the way back to it
        deployment.resting = False
        deployment.served_again.set()
        spare, deployment.spare = deployment.spare, None
        for binding in (*deployment.warm, *([spare] if spare is not None else [])):
            self.retire(binding)
        deployment.warm = []

    def retire(self, binding: Binding) -> None:
        """Have the worker drop a binding as soon as none of its calls is in flight."""
        binding.retired = True
        if binding.in_flight == 0:
            binding.worker.send(wire.Drop(binding.key))

    def stored(self, pipeline: str, number: int, stored: str) -> None:
        """The stored form of a snapshot was written, or could not be."""
        for deployment in self._by_name.values():
            if (deployment.pipeline, deployment.snapshot) == (pipeline, number):
                deployment.stored = stored
            for binding in deployment.warm:
                if (binding.body.pipeline, binding.snapshot) == (pipeline, number):
                    binding.body.stored = stored

    def released(self, binding: Binding) -> None:
        """A call of ``binding`` ended."""
        binding.in_flight -= 1
        binding.used_at = time.monotonic()
        if binding.retired and binding.in_flight == 0:
            binding.worker.send(wire.Drop(binding.key))

    def detached(
        self, worker: Worker, reason: str
    ) -> tuple[list[Deployment], list[tuple[Deployment, Binding]]]:
        """A worker is gone: return the deployments that nothing serves any more, and what others
        lost of it."""
        orphans, lost = [], []
        for deployment in self._by_name.values():
            gone = [one for one in deployment.warm if one.worker is worker]
            if not gone:
                continue
            deployment.warm = [one for one in deployment.warm if one.worker is not worker]
            binding = deployment.binding
            if binding is not None and binding.worker is worker:
                deployment.binding = next(iter(deployment.holders()), None)
                if deployment.binding is None:
                    soon = time.monotonic() - binding.since < STABLE_SECONDS
                    again = binding.dedicated and soon
                    deployment.failures = deployment.failures + 1 if again else 0
                    deployment.reason = f"{reason}. Deploy it again from its notebook."
                    orphans.append(deployment)
                    continue
            lost += [(deployment, one) for one in gone]
        return orphans, lost


def check_name(name: str) -> None:
    """Raise :class:`InvalidName` unless ``name`` can be a deployment's."""
    if name in RESERVED:
        raise InvalidName(
            f"'{name}' is reserved.", hint=f"Reserved names: {', '.join(sorted(RESERVED))}."
        )
    if not NAME.fullmatch(name):
        raise InvalidName(
            f"'{name}' is no deployment name.",
            hint="Use 1 to 63 of a-z, 0-9, '_' and '-', the first a letter or a digit.",
        )


def _traffic(name: str, row: dict[str, Any]) -> Traffic | None:
    if not row.get("traffic"):
        return None
    try:
        return Traffic.load(name, row["snapshot"], row["traffic"])
    except msgspec.ValidationError as error:  # it is worth no host that does not start
        log.error(
            "The traffic of '%s' cannot be read, and its snapshot serves alone: %s", name, error
        )
        return None


def _endpoints(row: object) -> list[wire.EndpointSpec]:
    return msgspec.json.decode(msgspec.json.encode(row or []), type=list[wire.EndpointSpec])


def _has_secrets(input_schema: msgspec.Raw) -> bool:
    return b'"writeOnly"' in bytes(input_schema)  # pydantic's mark


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _parts(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    source = snapshot.get("source") or "[]"
    parts: list[dict[str, Any]] = msgspec.json.decode(source) if isinstance(source, str) else source
    return parts


def micros(value: object) -> int:
    """Read a time of the store, RFC 3339 or microseconds, as microseconds."""
    if isinstance(value, int):
        return value
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return int(moment.timestamp() * 1_000_000)
