"""One request to run a deployment: the runs that it makes, and how it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from warmcell.bodies.media import JSON
from warmcell.errors import Conflict, Forbidden, Unavailable, UsageError, WarmcellError
from warmcell.ids import now
from warmcell.records import TERMINAL
from warmcell_server import problems
from warmcell_server.access import PUBLIC
from warmcell_server.asked import NOTHING, Asked
from warmcell_server.authored import check_headers, shown_headers
from warmcell_server.calls import PLAIN, CallResult, Waiting, Wanted
from warmcell_server.envelope import Envelope, envelope
from warmcell_server.idempotency import digest, fingerprint
from warmcell_server.intime import STORE_SECONDS, in_time, read
from warmcell_server.largeoutputs import inline
from warmcell_server.payload import Payload
from warmcell_server.results import failure, from_run, success

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Invocation", "Reply"]

_encode = msgspec.json.Encoder().encode
_EMPTY = Payload(b"")


class Reply(msgspec.Struct):
    """A finished answer. ``result`` is there for a run that has ended."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    content_type: str = JSON
    result: CallResult | None = None


class Invocation:
    """Makes the runs of one request; ``calls`` are those that were admitted. The deadline of a call
    counts from its arrival, ``waited`` seconds ago."""

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        user: str | None = None,
        asked: Asked = NOTHING,
        headers: Mapping[str, str] | None = None,
        waited: float = 0.0,
    ) -> None:
        self.calls: list[Waiting] = []
        self._host = host
        self._name = name
        self._user = user
        self._asked = asked
        self._headers = headers
        # Microseconds; 0 for a request that waited for nothing: its run then begins the clock.
        self._arrived = now() - int(waited * 1_000_000) if waited else 0

    @property
    def run_id(self) -> str | None:
        """The run that was made; None where there is none, or more than one."""
        return self.calls[0].run_id if len(self.calls) == 1 else None

    async def answer(self, payload: Payload, *, detached: bool = False) -> Reply:
        """Run what ``payload`` says and return the answer.

        Raises:
            BadRequest, ParameterError: the body does not fit.
            UsageError: an Idempotency-Key was used for another request.
            Conflict: the request of the same key is not done yet.
            RunError and its kinds: the run did not succeed.
            What :meth:`Dispatcher.call` says.
        """
        host = self._host
        if self._name not in host.deployments:
            await self._look_again(payload)
        found = envelope(payload.data) if payload.content_type is None else None
        if found is not None and found.instances is not None:
            return await self._batch(found, found.instances, detached)
        wanted = self._wanted(found, payload, detached=detached)
        if (run_id := self._made(wanted)) is not None:
            return await self._replay(run_id, wanted)
        call = self._call(payload.data if found is None else bytes(found.parameters), wanted)
        payload.keep_until(call.future)
        if wanted.detached:
            return await self._detached(call)
        return self.reply(await call.future)

    async def start(self, payload: Payload) -> Waiting | str:
        """Admit the run that ``payload`` says and do not wait for it; its events are streamed.
        Returns the id of the run where an earlier request of the same Idempotency-Key made it."""
        if self._name not in self._host.deployments:
            await self._look_again(payload)
        found = envelope(payload.data) if payload.content_type is None else None
        if found is not None and found.instances is not None:
            raise UsageError("A batch of instances has no stream.", hint="Stream one run.")
        wanted = self._wanted(found, payload, detached=False, stream=True)
        if (run_id := self._made(wanted)) is not None:
            return run_id
        call = self._call(payload.data if found is None else bytes(found.parameters), wanted)
        payload.keep_until(call.future)
        return call

    def abandon(self) -> None:
        """The caller went away."""
        for call in self.calls:
            self._host.dispatcher.abandon(call)

    # -- inside ------------------------------------------------------------------------------

    async def _look_again(self, payload: Payload) -> None:
        """Another host may serve the deployment since, or have ended."""
        self._arrived = self._arrived or now()
        timeout = None
        with contextlib.suppress(WarmcellError):  # what is wrong with the body is said later
            timeout = envelope(payload.data).timeout if payload.content_type is None else None
        await in_time(self._host.refresh(), self._left(timeout))

    def _left(self, timeout: float | None) -> float:
        """Seconds until the deadline of a call with this timeout, as far as it has one."""
        waited = (now() - self._arrived) / 1_000_000 if self._arrived else 0.0
        return (STORE_SECONDS if timeout is None else timeout) - waited

    def _wanted(
        self,
        found: Envelope | None,
        payload: Payload,
        *,
        detached: bool,
        stream: bool = False,
    ) -> Wanted:
        asked = self._asked
        fields: dict[str, Any] = {}
        if found is not None:
            detached = detached or found.detached
            for name in ("run_name", "timeout", "queue_timeout", "run_timeout", "callback_url"):
                if (value := getattr(found, name)) is not None:
                    fields[name] = value
            if found.skip_artifact_materialization:
                fields["plain"] = True
            if found.callback_url is not None:
                if self._user == PUBLIC:  # else strangers could have this server post anywhere
                    raise Forbidden(
                        "A callback_url is for callers with a key or a login.",
                        hint="Leave it out and ask for the run, or call with a key.",
                    )
                self._host.webhooks.check(found.callback_url)
        if asked is not NOTHING:
            detached = detached or asked.detached
            if asked.accept is not None and not detached:
                fields["accept"] = asked.accept
            if asked.traceparent is not None:
                fields["traceparent"] = asked.traceparent
            if asked.key is not None:
                fields["key"] = digest(asked.key, self._user, self._name)
                fields["fingerprint"] = fingerprint(
                    asked.key,
                    payload.data,
                    payload.digest or "",
                    payload.content_type or "",
                    _encode(sorted((payload.query or {}).items())).decode(),
                )
        if detached:
            fields["detached"] = True
        if stream:
            fields["stream"] = True
        if payload.content_type is not None:
            fields["content_type"], fields["file"] = payload.content_type, payload.file
        if payload.query is not None and (found is None or asked.accept is not None):
            fields["query"] = payload.query
        if self._headers is not None and self._middleware():
            fields["headers"] = shown_headers(self._headers)
        return Wanted(**fields) if fields else PLAIN

    def _middleware(self) -> bool:
        deployment = self._host.deployments.get(self._name)
        if deployment.binding is None:
            return deployment.restoring or deployment.resting  # it may have some
        return deployment.binding.body.middleware

    def _made(self, wanted: Wanted) -> str | None:
        """The run that an earlier request of the same Idempotency-Key made, if one did."""
        if wanted.key is None or wanted.fingerprint is None:
            return None
        return self._host.idempotency.find(wanted.key, wanted.fingerprint)

    def _call(self, parameters: bytes, wanted: Wanted) -> Waiting:
        call = self._host.dispatcher.call(
            self._name, parameters, user=self._user, wanted=wanted, arrived=self._arrived
        )
        self.calls.append(call)
        if wanted.key is not None and wanted.fingerprint is not None:
            self._host.idempotency.remember(wanted.key, wanted.fingerprint, call.run_id)
        return call

    def reply(self, result: CallResult) -> Reply:
        """The answer of a run that ended. Raises what it ended with, unless it succeeded."""
        if result.http_status or result.headers:
            return self._changed(result)
        if result.status != "succeeded" or result.error is not None:
            raise failure(result)
        if result.body is not None:
            headers = {"X-Run-Id": result.run_id, "Vary": "Accept"}
            kind = result.content_type or "application/octet-stream"
            return Reply(200, result.body, headers, kind, result)
        return Reply(200, success(result), {}, result=result)

    def _changed(self, result: CallResult) -> Reply:
        """The answer of a run as middleware changed it."""
        headers = result.headers or {}
        found = self._host.deployments.find(self._name)
        trusted = found is not None and found.served.trusted
        check_headers(headers, f"Middleware of '{self._name}'", trusted=trusted)
        status = result.http_status or 200
        if result.body is not None:
            headers = {"X-Run-Id": result.run_id, **headers}
            kind = result.content_type or "application/octet-stream"
            return Reply(status, result.body, headers, kind, result)
        if result.status == "succeeded" and result.error is None:
            return Reply(status, success(result), headers, result=result)
        problem = problems.problem(failure(result))
        status = result.http_status or problem.status
        body = _encode({**problem.body, "status": status})
        return Reply(status, body, {**problem.headers, **headers}, problems.CONTENT_TYPE, result)

    async def _detached(self, call: Waiting) -> Reply:
        asked = self._asked
        if asked.wait is not None:
            await asyncio.wait([call.future], timeout=asked.wait)
            if call.future.done():
                reply = self.reply(call.future.result())
                applied = f"respond-async, wait={asked.wait:g}"
                reply.headers = {
                    **reply.headers, "Preference-Applied": applied, "Vary": "Prefer"
                }  # fmt: skip
                return reply
        return self._accepted(call.run_id)

    def _accepted(self, run_id: str, status: str = "queued") -> Reply:
        """202: the run goes on without its caller."""
        found = self._host.dispatcher.progress(run_id) or {"run_id": run_id, "status": status}
        path = f"{self._host.base_path}{self._name}/runs/{quote(run_id)}"
        body = {
            "run_id": run_id,
            "status": found["status"],
            "deployment": self._name,
            "url": f"{self._host.url}{self._name}/runs/{quote(run_id)}",
        }
        for name in ("queued_ahead", "eta_s"):
            if name in found:
                body[name] = found[name]
        seconds = found.get("eta_s") or 0.0
        headers = {
            "Location": path,
            "Retry-After": str(max(1, min(60, math.ceil(seconds)))),
            "Link": f'<{path}>; rel="monitor"',
            "Vary": "Prefer",
        }
        if self._asked.detached:
            headers["Preference-Applied"] = "respond-async"
        return Reply(202, _encode(body), headers)

    async def _replay(self, run_id: str, wanted: Wanted) -> Reply:
        """Answer a request that came before as it was or will be answered."""
        host = self._host
        if host.dispatcher.live(run_id) is not None:
            if not wanted.detached:
                raise Conflict(
                    f"The request of this Idempotency-Key is still running as run '{run_id}'.",
                    hint="Wait and send it again, or follow the run.",
                )
            reply = self._accepted(run_id)
        else:
            timeout = wanted.timeout
            if timeout is None and not wanted.detached:
                timeout = host.deployments.get(self._name).limits.timeout
            run = await read(host.store.get_run(run_id), self._left(timeout))
            if run["status"] not in TERMINAL:
                raise Unavailable(
                    f"Run '{run_id}' of this Idempotency-Key has ended, and the history does not "
                    "say yet how.",
                    retry_after=1,
                )
            await inline(run, host.store.blobs)
            if wanted.detached:
                reply = self._accepted(run_id, run["status"])
            else:
                result = from_run(run)
                if result.status != "succeeded":
                    error = failure(result)
                    error.headers = {"Idempotency-Replayed": "true"}
                    raise error
                reply = self.reply(result)
        reply.headers = {**reply.headers, "Idempotency-Replayed": "true"}
        return reply

    async def _batch(self, found: Envelope, instances: list[msgspec.Raw], detached: bool) -> Reply:
        """Run once per instance; each has a result of its own, in the same order."""
        if self._asked.key is not None:
            raise UsageError(
                "An Idempotency-Key is for one run, and the body has instances.",
                hint="Send the instances one by one, each with a key of its own.",
            )
        self._host.dispatcher.check_room(self._name, len(instances))
        wanted = self._wanted(found, _EMPTY, detached=detached)
        if wanted.accept is not None:
            wanted = msgspec.structs.replace(wanted, accept=None)
        calls = []
        for index, instance in enumerate(instances):
            one = wanted
            if found.run_name is not None:
                one = msgspec.structs.replace(wanted, run_name=f"{found.run_name}[{index}]")
            try:
                calls.append(self._call(bytes(instance), one))
            except WarmcellError:  # all are admitted or none is
                for call in calls:
                    self._host.dispatcher.withdraw(call)
                raise
        if wanted.detached:
            if self._asked.wait is not None:
                await asyncio.wait([c.future for c in calls], timeout=self._asked.wait)
            if not all(call.future.done() for call in calls):
                return self._accepted_all(calls)
        done = await asyncio.gather(*(call.future for call in calls), return_exceptions=True)
        results = [self._one(call, ended) for call, ended in zip(calls, done, strict=True)]
        good = all(isinstance(d, CallResult) and d.status == "succeeded" for d in done)
        results_json = b"[" + b",".join(results) + b"]"
        body = _encode({"success": good, "results": msgspec.Raw(results_json)})
        return Reply(200, body)

    def _one(self, call: Waiting, ended: CallResult | BaseException) -> bytes:
        """The result of one instance: what a call of its own would have answered."""
        if isinstance(ended, CallResult):
            if ended.status == "succeeded":
                return success(ended)
            error = failure(ended)
        elif isinstance(ended, WarmcellError):
            error = ended
        else:
            raise ended
        body = problems.problem(error).body
        metadata = {"run_id": call.run_id, "run_name": call.wanted.run_name}
        return _encode({"success": False, "outputs": None, "metadata": metadata, "error": body})

    def _accepted_all(self, calls: list[Waiting]) -> Reply:
        url = f"{self._host.url}{self._name}/runs/"
        runs = [
            {
                "run_id": call.run_id,
                "status": _status(call),
                "url": url + quote(call.run_id),
            }
            for call in calls
        ]
        headers = {"Retry-After": "1", "Vary": "Prefer"}
        if self._asked.detached:
            headers["Preference-Applied"] = "respond-async"
        return Reply(202, _encode({"runs": runs}), headers)


def _status(call: Waiting) -> str:
    if call.future.done():
        result = call.future.result()
        return "failed" if result.status == "invalid" else result.status
    return "queued" if call.pending is None else "running"
