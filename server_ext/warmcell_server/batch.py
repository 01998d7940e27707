"""Runs that workers start themselves, in a cell: recorded here, and lost with their worker."""

from __future__ import annotations

import logging

import msgspec

from warmcell import wire
from warmcell.errors import StoreError
from warmcell.ids import now
from warmcell.records import TERMINAL, DetailEntry, ErrorInfo, RunEntry, RunRecord
from warmcell_server.events import Events
from warmcell_server.results import from_record, terminal_event
from warmcell_server.store import Store
from warmcell_server.store.spooled import SpooledRun
from warmcell_server.workers import Worker

__all__ = ["BatchRuns"]

log = logging.getLogger("warmcell.batch")

_decode = msgspec.json.Decoder(SpooledRun).decode


class BatchRuns:
    """The batch runs in flight. Belongs to the host's event loop."""

    def __init__(self, store: Store, host_id: str, hub: Events) -> None:
        self._store = store
        self._hub = hub
        self._host_id = host_id
        self._running: dict[str, tuple[Worker, RunRecord]] = {}

    def progress(self, worker: Worker, message: wire.Progress) -> None:
        """Record a state or new parts of a run; acknowledge once the spool has them."""
        status, problem = 200, b""
        try:
            self._record(worker, message)
        except StoreError as failure:
            status = 503
            problem = msgspec.json.encode({"detail": str(failure)})
        if message.ack is not None:
            worker.send(wire.Reply(message.ack, status, problem))

    def _record(self, worker: Worker, message: wire.Progress) -> None:
        detail = message.detail
        if message.run is None:
            if detail is not None:
                ended = message.run_id not in self._running
                self._store.append(DetailEntry(message.run_id, msgspec.Raw(detail)), soon=ended)
            return
        run = _decode(message.run)
        run.host_id = self._host_id
        run.kernel_id = worker.kernel_id
        run.notebook = run.notebook or worker.notebook
        if run.status in TERMINAL:
            self._running.pop(run.run_id, None)
        else:
            self._running[run.run_id] = (worker, run)
        try:
            parts = None if detail is None else msgspec.Raw(detail)
            # The next run of the notebook asks what it can take of this one.
            self._store.append(RunEntry(run, parts), soon=run.status in TERMINAL)
        finally:
            self._end_events(run)

    def _end_events(self, run: RunRecord) -> None:
        if run.status in TERMINAL and self._hub.knows(run.run_id):
            self._hub.end(run.run_id, *terminal_event(from_record(run)))

    def watch(self, run_id: str) -> bool:
        """Have the events of a run sent here; false when it is not in flight here."""
        found = self._running.get(run_id)
        if found is None:
            return False
        worker, run = found
        self._hub.open(run_id, run.deployment, run.user)
        self._hub.state(run_id, run.status)
        worker.send(wire.Watch(run_id))
        return True

    def cancel(self, run_id: str) -> bool:
        """Ask a run to stop; false when it is not in flight here."""
        found = self._running.get(run_id)
        if found is None:
            return False
        found[0].send(wire.Cancel(run_id))
        return True

    def lost(self, worker: Worker, error: ErrorInfo) -> None:
        """A worker is gone, and its runs with it."""
        for run_id, (owner, run) in list(self._running.items()):
            if owner is not worker:
                continue
            del self._running[run_id]
            run.status, run.error, run.finished_at = "lost", error, now()
            try:
                self._store.append(RunEntry(run))
            except StoreError as failure:
                log.error("The loss of run %s could not be recorded: %s", run_id, failure)
            self._end_events(run)
