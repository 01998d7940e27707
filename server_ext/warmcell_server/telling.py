"""Telling: who waits for a call hears of it, whether by its answer, its events or a callback."""

from __future__ import annotations

from warmcell import wire
from warmcell.errors import StoreError, Unavailable
from warmcell.ids import now
from warmcell.records import ErrorInfo, Status
from warmcell_server import tracing
from warmcell_server.calls import CallResult, Pending, Waiting
from warmcell_server.events import Events
from warmcell_server.results import error_event, terminal_event
from warmcell_server.webhooks.deliveries import Webhooks

__all__ = ["Telling"]


class Telling:
    """Tells of calls. Belongs to the host's event loop."""

    def __init__(self, hub: Events, webhooks: Webhooks) -> None:
        self._hub = hub
        self._webhooks = webhooks

    def expected(self, call: Waiting) -> None:
        """It is to be admitted. Raises :class:`StoreError` where its callback cannot be kept."""
        url = call.wanted.callback_url
        if url is not None:
            self._webhooks.expect(run_id=call.run_id, deployment=call.deployment.name, url=url)

    def opened(self, call: Waiting) -> None:
        """It was admitted: somebody may listen to it from now on."""
        if call.wanted.stream or call.wanted.detached:
            self._hub.open(call.run_id, call.deployment.name, call.user)

    def queued(self, call: Waiting, ahead: int) -> None:
        """A call waits, with ``ahead`` others before it."""
        if call.wanted.stream or call.wanted.detached:
            self._hub.state(call.run_id, "queued", queued_ahead=ahead)

    def begun(self, call: Waiting) -> None:
        """A worker has it."""
        if call.wanted.stream or call.wanted.detached:
            self._hub.state(call.run_id, "running")

    def ended(
        self,
        pending: Pending,
        answer: wire.Answer,
        seconds: float,
        queued: int,
        refused: StoreError | None,
    ) -> None:
        """A worker ended it after ``seconds``; it had waited for ``queued`` microseconds. What
        could not be recorded is ``refused``."""
        call, binding = pending.call, pending.binding
        pipeline = binding.body.pipeline
        result = CallResult(
            call.run_id,
            call.wanted.run_name,
            answer.status,
            answer.outputs,
            answer.parameters,
            answer.error,
            answer.errors,
            seconds,
            pending.deployment.name,
            pipeline,
            binding.snapshot,
            f"{pipeline}@{binding.snapshot}",
            queued,
            answer.steps,
            answer.body,
            answer.content_type,
            answer.http_status,
            answer.headers,
        )
        self._tell(call, result, refused)

    def unserved(self, call: Waiting, status: Status, error: ErrorInfo) -> None:
        """It ended before a worker had it."""
        deployment = call.deployment
        result = CallResult(
            call.run_id,
            call.wanted.run_name,
            status,
            None,
            None,
            error,
            None,
            0.0,
            deployment.name,
            deployment.pipeline,
            deployment.snapshot,
            deployment.snapshot_id,
            now() - call.created_at,
        )
        self._tell(call, result, None)

    def turned_away(self, call: Waiting, error: Unavailable) -> None:
        """There is no worker for it."""
        if call.wanted.callback_url is not None:
            self._call_back(call, call.wanted.callback_url, "lost")
        if not call.future.done():
            call.future.set_exception(error)
        self._hub.end(call.run_id, *error_event(error, call.run_id, "lost"))

    def _tell(self, call: Waiting, result: CallResult, refused: StoreError | None) -> None:
        if not call.future.done():
            if refused is not None and not call.wanted.detached:
                # A success says "recorded"; what could not be recorded is not acknowledged.
                call.future.set_exception(refused)
            else:
                call.future.set_result(result)
        if self._hub.knows(call.run_id):
            unkept = None if call.wanted.detached else refused
            self._hub.end(call.run_id, *terminal_event(result, unkept))
        url = call.wanted.callback_url
        if url is not None:
            self._call_back(call, url, "failed" if result.status == "invalid" else result.status)

    def _call_back(self, call: Waiting, url: str, status: str) -> None:
        self._webhooks.deliver(
            run_id=call.run_id,
            deployment=call.deployment.name,
            status=status,
            url=url,
            traceparent=call.wanted.traceparent or tracing.derive(call.run_id),
        )
