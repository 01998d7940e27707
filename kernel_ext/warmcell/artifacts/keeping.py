"""Keeper: keeps the outputs of one run as artifact versions, without holding it up.

A value is written on a thread of its own. Before the run goes on, which could change it, a stand-in
is made (:meth:`Serializer.freeze`), or else its bytes are, in memory up to :data:`HOLD`. A version
is ``pending`` until every byte of it is in the folder of blobs, so that a crash leaves no half
artifact.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from warmcell.artifacts import origins
from warmcell.artifacts.artifact_config import ArtifactConfig
from warmcell.artifacts.materialized import Materialized
from warmcell.artifacts.naming import artifact_name, configs_of, version_label
from warmcell.artifacts.registry import serializer_for
from warmcell.artifacts.serializer import Serializer
from warmcell.artifacts.storing import Stored, prepare, store
from warmcell.errors import UsageError, WarmcellError
from warmcell.ids import new_id, now
from warmcell.records import ArtifactRecord, VersionRecord
from warmcell.redaction import MASK
from warmcell.schemas.jsonform import qualified

if TYPE_CHECKING:
    from warmcell.graph import Node
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["Keeper", "fields_of"]

THREADS = 2
_MASKED = "refused: it holds what is to be masked"
HOLD = 64 << 20  # bytes of a value that wait in memory for the thread
WAITING = 8  # values that wait for a thread; with more the run writes its own

log = logging.getLogger("warmcell.artifacts")


class _Held(NamedTuple):
    """What is kept only if the run fails."""

    record: ArtifactRecord
    version: VersionRecord
    write: Callable[[], Stored]


class Keeper:
    """Keeps the outputs of ``run`` in ``folder``. ``late`` is given the versions that were written
    after the end of the run was told. Any thread may call."""

    def __init__(
        self,
        run: Execution,
        folder: Path,
        late: Callable[[list[VersionRecord]], object] | None = None,
    ) -> None:
        self.records: list[VersionRecord] = []  # only grows; the last one of an id counts
        self._run = run
        self._folder = folder
        self._late = late
        self._ended = False
        self._taken = 0
        self._held: list[_Held] = []
        self._jobs: dict[str, Future[None]] = {}
        self._lock = threading.Condition()
        self._written: dict[str, VersionRecord] = {}  # those that are not pending, by id

    def written(self, version: str, seconds: float = 0.0) -> VersionRecord | None:
        """What is known of a version that is written, or refused; None if it is not yet, after so
        many seconds."""
        with self._lock:
            self._lock.wait_for(lambda: version in self._written, seconds)
            return self._written.get(version)

    def keep(self, node: Node, number: int, record: ArtifactRecord, value: Any) -> None:
        """Keep output ``number`` of a step that succeeded, which ``record`` describes. Never raises
        for a value: what cannot be kept is refused, and the version says why."""
        run, step = self._run, node.step
        policy = run.policy
        verdict = "always" if policy is None else policy.of(record.name, run.run_id)
        if verdict == "never":
            return
        config = configs_of(step)[number]
        how = _how(run, step, number)
        version = self._version(config, node, record, value)
        if verdict == "if it fails":
            write = self._writing(value, how) if version.status == "pending" else None
            if write is not None:
                with self._lock:
                    self._held.append(_Held(record, version, write))
            return
        record.version = version.id
        origins.remember(value, version.id)
        self._note(config, node, record.name)
        if version.status != "pending":
            self._add(version)
        elif record.value is not None:  # small: it takes less than handing it on would
            self._write(version, functools.partial(store, value, self._folder, **how))
        else:
            self._submit(version, self._writing(value, how))

    def take_in(self, name: str, value: Any, **how: Any) -> str:
        """Keep a value that came from outside as a version of the artifact ``name``; its id. How it
        is written, :func:`~warmcell.artifacts.storing.store` says."""
        version = VersionRecord(
            new_id(), name, serializer_for(value).kind, qualified(type(value)), "pending", now(),
            pipeline=self._run.pipeline.name,
        )  # fmt: skip
        if self._run.redaction.holds(name, value):
            self._add(msgspec.structs.replace(version, status=_MASKED))
        else:
            self._submit(version, self._writing(value, how))
        return version.id

    def settle(self, *, failed: bool) -> None:
        """The run has ended: keep or forget what only a failed one keeps."""
        with self._lock:
            held, self._held = self._held, []
        for one in held if failed else ():
            one.record.version = one.version.id
            self._submit(one.version, one.write)

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, ``seconds`` at most; say whether it is."""
        with self._lock:
            jobs = list(self._jobs.values())
        return not wait(jobs, seconds).not_done

    @property
    def folder(self) -> Path:
        """The folder of blobs that it writes into."""
        return self._folder

    def close(self) -> list[VersionRecord]:
        """What was not taken yet. What is written from now on goes to ``late``."""
        with self._lock:
            self._ended = True
            return self._take()

    def take(self) -> list[VersionRecord]:
        """What is new since the last call."""
        with self._lock:
            return self._take()

    # -- inside ------------------------------------------------------------------------------

    def _take(self) -> list[VersionRecord]:
        taken, self._taken = self._taken, len(self.records)
        return self.records[taken:]

    def _version(
        self, config: ArtifactConfig, node: Node, record: ArtifactRecord, value: Any
    ) -> VersionRecord:
        run, time = self._run, now()
        status, label = "pending", None
        try:
            name = artifact_name(config, run, node.step, node.name, record.name, time)
            label = version_label(config, run, node.step, time)
        except UsageError as error:
            name, status = f"{run.pipeline.name}::{node.name}::{record.name}", _refusal(error)
        if self._secret(record, value):
            status = _MASKED
        role = None if config.artifact_type is None else str(config.artifact_type)
        return VersionRecord(
            new_id(), name, record.kind, qualified(type(value)), status, time, label, run.run_id,
            node.name, record.name, run.pipeline.name, role,
        )  # fmt: skip

    def _secret(self, record: ArtifactRecord, value: Any) -> bool:
        if self._run.redaction.holds(record.name, value):
            return True
        # Masked where it is described: then it would have to be masked where it is kept.
        return MASK.encode() in bytes(record.value or b"") or MASK in (record.preview or "")

    def _note(self, config: ArtifactConfig, node: Node, output: str) -> None:
        tags = (*(config.tags or ()), *node.step.options.tags)
        if tags or config.run_metadata:
            notes = self._run.notes_of(node.name, output)
            from warmcell.tags import as_tags

            for tag in as_tags(tags):
                notes.tags.setdefault(tag.name, tag)
            notes.metadata = {**(config.run_metadata or {}), **notes.metadata}

    def _writing(self, value: Any, how: Mapping[str, Any]) -> Callable[[], Stored]:
        """What writes ``value`` as it is now, however it changes."""
        try:
            frozen = (how.get("serializer") or serializer_for(value)).freeze(value)
        except Exception as error:  # of the value's own code
            log.debug("%s has no stand-in: %s", type(value), error)
            frozen = None
        if frozen is not None:
            return functools.partial(store, frozen, self._folder, **how)
        try:
            return prepare(value, self._folder, **how, hold=HOLD)
        except Exception as error:
            return functools.partial(_raise, error)

    def _submit(self, version: VersionRecord, write: Callable[[], Stored]) -> None:
        with self._lock:
            self._jobs = {id: job for id, job in self._jobs.items() if not job.done()}
            busy = len(self._jobs) >= WAITING
        if busy:
            self._write(version, write)
            return
        self._add(version)
        job = _threads(os.getpid()).submit(self._write, version, write)
        with self._lock:
            self._jobs[version.id] = job

    def _write(self, version: VersionRecord, write: Callable[[], Stored]) -> None:
        try:
            stored = write()
        except Exception as error:  # the value's own code, or the disk
            known = isinstance(error, WarmcellError)
            level = logging.INFO if known else logging.WARNING
            log.log(level, "An output of step `%s` is not kept: %s", version.step, error)
            self._add(msgspec.structs.replace(version, status=_refusal(error)))
            return
        done = msgspec.structs.replace(version, status="stored", **fields_of(stored))
        done.role = version.role or stored.role
        self._add(done)

    def _add(self, version: VersionRecord) -> None:
        with self._lock:
            self.records.append(version)
            if version.status != "pending":
                self._written[version.id] = version
                self._lock.notify_all()
            late = self._take() if self._ended else []
        if late and self._late is not None:
            try:
                self._late(late)
            except WarmcellError as error:
                log.warning("Artifacts of run %s are not recorded: %s", self._run.run_id, error)


def fields_of(stored: Stored) -> dict[str, Any]:
    """The fields of a :class:`VersionRecord` that say what is stored."""
    names = ("kind", "type", "digest", "size", "value", "files", "facts", "about")
    return {name: getattr(stored, name) for name in names}


def _how(run: Execution, step: Step, number: int) -> dict[str, Any]:
    """How output ``number`` of a step is written, where it or its pipeline says so."""
    options, whole = step.options, run.pipeline.options
    how: dict[str, Any] = {}
    if (given := options.output_materializers) is not None:
        if isinstance(given, Mapping):
            given = given.get(step.outputs[number].name)
        if given is not None:
            how["serializer"] = given if isinstance(given, Serializer) else Materialized.of(given)
    for name, said in (
        ("facts", (options.enable_artifact_metadata, whole.enable_artifact_metadata)),
        ("visualize", (options.enable_artifact_visualization, whole.enable_artifact_visualization)),
    ):
        if next((one for one in said if one is not None), True) is False:
            how[name] = False
    return how


def _raise(error: Exception) -> Stored:
    raise error


def _refusal(error: Exception) -> str:
    message = (
        error.message if isinstance(error, WarmcellError) else f"{type(error).__name__}: {error}"
    )
    return f"refused: {message[:500]}"


@functools.lru_cache(1)
def _threads(pid: int) -> ThreadPoolExecutor:
    """The threads that write, of this process; a forked child has none of its parent's."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="warmcell-artifacts")
