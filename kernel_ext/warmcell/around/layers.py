"""Middleware at work: layers of functions around the execution of a call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.around.aside import REFUSALS, Aside, perform, tell_error
from warmcell.around.exchange import Request, Response, checked
from warmcell.context import current
from warmcell.errors import (
    OutputError,
    ParameterError,
    StepCancelled,
    UsageError,
    WarmcellError,
)
from warmcell.ids import now
from warmcell.records import ErrorInfo
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.errorinfo import message_of

if TYPE_CHECKING:
    from warmcell.serving import Binding

__all__ = ["InvokeRequest", "InvokeResponse", "through"]

_STATUSES = {
    "succeeded": 200, "invalid": 422, "failed": 500, "timed_out": 504, "cancelled": 409,
    "lost": 503,
}  # fmt: skip
Execute = Callable[[wire.Invoke], wire.Answer]


class InvokeRequest(Request):
    """A call as middleware sees it. ``parameters`` are its plain JSON values; what is changed in
    them is what the pipeline gets, checked against its signature."""

    def __init__(self, message: wire.Invoke, state: object) -> None:
        super().__init__(
            "POST",
            "invoke",
            headers=message.headers,
            query_list=list((message.query or {}).items()),
            user=message.user,
            state=state,
        )
        self.run_id = message.run_id
        self.run_name = message.run_name
        self.deployment = message.deployment
        self._message = message
        self._parameters: dict[str, Any] | None = None

    @property
    def body(self) -> bytes:
        """The bytes of the parameters, whatever their content type is."""
        if self._message.file is not None:
            return Path(self._message.file).read_bytes()
        return self._message.parameters

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name. Raises :class:`UsageError` where they are no JSON."""
        if self._parameters is None:
            if self._message.content_type is not None:
                raise UsageError(
                    f"The parameters of this call came as {self._message.content_type}.",
                    hint="Read request.body, or leave them to the pipeline.",
                )
            self._parameters = msgspec.json.decode(self._message.parameters, type=dict[str, Any])
        return self._parameters

    @parameters.setter
    def parameters(self, values: dict[str, Any]) -> None:
        self._parameters = dict(values)

    def message(self) -> wire.Invoke:
        """The call as it goes on. Raises :class:`ParameterError` for a value without JSON form."""
        if self._parameters is None:
            return self._message
        from warmcell.schemas import encode_parameters

        raw = msgspec.json.encode(encode_parameters(self._parameters))
        if raw == self._message.parameters:
            return self._message
        changed: wire.Invoke = msgspec.structs.replace(
            self._message, parameters=raw, content_type=None, query=None, file=None
        )
        return changed


class InvokeResponse(Response):
    """How a call ended, as middleware sees it. ``outputs``, ``status`` and ``headers`` may be
    changed; ``error`` is there where the run did not succeed."""

    def __init__(self, answer: wire.Answer) -> None:
        self._usual = _STATUSES.get(answer.status, 500)
        super().__init__(None, answer.http_status or self._usual, answer.headers)
        self.error = answer.error
        self._answer = answer
        self._outputs: dict[str, Any] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run did."""
        return self._answer.status == "succeeded"

    @property
    def outputs(self) -> dict[str, Any] | None:
        """The outputs by name, as plain JSON values; None where there are none."""
        if self._outputs is None and self._answer.outputs is not None:
            self._outputs = msgspec.json.decode(self._answer.outputs)
        return self._outputs

    @outputs.setter
    def outputs(self, values: dict[str, Any] | None) -> None:
        self._outputs = values

    def answer(self) -> wire.Answer:
        """The answer with what was changed."""
        answer = self._answer
        if self._outputs is not None:
            from warmcell.schemas import encode_outputs

            outputs = encode_outputs(self._outputs)
            if outputs != answer.outputs:
                answer.outputs, answer.body, answer.content_type = outputs, None, None
                answer.recorded = None
        if self.headers:
            answer.headers = checked(self.headers)
        if self.status != self._usual:
            answer.http_status = self.status
        return answer


def through(
    layers: Sequence[tuple[str, Callable[..., Any]]],
    binding: Binding,
    message: wire.Invoke,
    execute: Execute,
    token: CancelToken,
) -> wire.Answer:
    """Send a call through ``layers`` to ``execute`` and back; never raises."""
    began = now()
    executed: list[wire.Answer] = []

    def innermost(request: InvokeRequest) -> InvokeResponse:
        reset = current.set(None)
        try:
            executed[:] = [execute(request.message())]
        finally:
            current.reset(reset)
        return InvokeResponse(executed[0])

    inner: Callable[[InvokeRequest], Response] = innermost
    for name, layer in reversed(layers):
        inner = _Layer(name, layer, inner, binding, token)
    try:
        response = inner(InvokeRequest(message, binding.state))
        run = executed[0] if executed else None
        if isinstance(response, InvokeResponse):
            return response.answer()
        return _replaced(message, run, response, began)
    except BaseException as error:  # even SystemExit of the author's code ends one call
        return _failed(message, executed[0] if executed else None, error, began)


class _Layer:
    """One middleware and what is inside of it."""

    def __init__(
        self,
        name: str,
        layer: Callable[..., Any],
        inner: Callable[[InvokeRequest], Response],
        binding: Binding,
        token: CancelToken,
    ) -> None:
        self.name = name
        self.layer = layer
        self.inner = inner
        self.binding = binding
        self.token = token

    def __call__(self, request: InvokeRequest) -> Response:
        binding = self.binding
        scope = Aside(binding.pipeline, f"middleware {self.name}", self.token, binding.state)
        call_next = self._awaited if _is_async(self.layer) else self._within
        response = perform(scope, self.layer, request, call_next)
        if not isinstance(response, Response):
            raise UsageError(
                f"Middleware `{self.name}` returned a {type(response).__name__}.",
                hint="Return what call_next(request) returned, or a warmcell.Response.",
            )
        return response

    def _within(self, request: InvokeRequest) -> Response:
        """Go on, outside of this layer's scope."""
        reset = current.set(None)
        try:
            return self.inner(request)
        finally:
            current.reset(reset)

    async def _awaited(self, request: InvokeRequest) -> Response:
        from warmcell.runner.pool import pool

        result: Future[Response] = Future()

        def work() -> None:
            try:
                result.set_result(self.inner(request))
            except BaseException as error:
                result.set_exception(error)

        pool().run(work, at_once=True)
        return await asyncio.wrap_future(result)


def _is_async(layer: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(layer) or inspect.iscoroutinefunction(
        getattr(layer, "__call__", None)  # noqa: B004 - of an instance, to look at
    )


def _replaced(
    message: wire.Invoke, run: wire.Answer | None, response: Response, began: int
) -> wire.Answer:
    """The answer of a call that middleware answers itself, with or without a run before."""
    body, kind = response.render()
    answer = run
    if answer is None:
        answer = _without_run(message, began)
        answer.status = "succeeded" if response.status < 400 else "failed"
        if response.status >= 400:
            told = f"Middleware answered {response.status}."
            answer.error = ErrorInfo("Refused", told)
    answer.body, answer.content_type = body, kind
    answer.http_status = response.status
    answer.headers = dict(response.headers) or None
    return answer


def _failed(
    message: wire.Invoke, run: wire.Answer | None, error: BaseException, began: int
) -> wire.Answer:
    answer = _without_run(message, began)
    if run is not None:  # what it did stays in the history
        answer.parameters, answer.detail, answer.steps = run.parameters, run.detail, run.steps
        answer.started_at, answer.finished_at = run.started_at, run.finished_at
    if isinstance(error, StepCancelled):
        answer.status = "cancelled"
        answer.error = ErrorInfo("RunCancelled", "The run was cancelled.")
        return answer
    answer.status = "failed"
    if isinstance(error, ParameterError):
        answer.status, answer.errors = "invalid", error.errors
    refusal = next((kind for kind in type(error).__mro__ if kind in REFUSALS), None)
    if refusal is None:
        tell_error("middleware", error)
    name = refusal.__name__ if refusal is not None else type(error).__name__
    told = message_of(error)
    hint = error.hint if isinstance(error, WarmcellError) else None
    answer.error = ErrorInfo(name, told, hint=hint)
    if isinstance(error, OutputError):
        answer.error = ErrorInfo("OutputError", told, error.step, hint=hint)
    elif refusal is not None:
        answer.errors = answer.errors or []  # told by what is around the run, not by a step
    return answer


def _without_run(message: wire.Invoke, began: int) -> wire.Answer:
    return wire.Answer(message.call, "failed", started_at=began, finished_at=now())
