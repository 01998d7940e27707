"""Answering requests for custom endpoints, on a thread of the worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.around.aside import REFUSALS, Aside, perform, tell_error
from warmcell.around.endpoints.arguments import Arguments
from warmcell.around.endpoints.definition import Endpoint
from warmcell.around.exchange import Request, Response
from warmcell.errors import EndpointError, StepCancelled, UsageError, WarmcellError
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.errorinfo import message_of
from warmcell.schemas.jsonform import to_json, without_json_form

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = ["ServedEndpoint"]

_encode = msgspec.json.Encoder().encode


class ServedEndpoint:
    """An endpoint of a snapshot, ready to answer. Raises :class:`DefinitionError` where its
    function cannot be called from a request, and what a class raises that makes the function."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.function = endpoint.function()
        self.arguments = Arguments(endpoint, self.function)

    def spec(self) -> wire.EndpointSpec:
        """What the host has to know of it."""
        endpoint = self.endpoint
        operation = msgspec.Raw(_encode(self.arguments.operation()))
        return wire.EndpointSpec(
            endpoint.method, endpoint.path, endpoint.name, endpoint.auth_required, operation
        )

    def answer(
        self, message: wire.EndpointCall, pipeline: Pipeline, state: Any, token: CancelToken
    ) -> wire.EndpointAnswer:
        """Answer one request; never raises. A refusal or a failure has status 0 and a problem as
        its body: which status that is, the host says."""
        request = Request(
            message.method,
            message.url,
            headers=message.headers,
            path_params=message.path,
            query_list=message.query,
            body=message.body,
            user=message.user,
            state=state,
        )
        scope = Aside(pipeline, f"endpoint {self.endpoint.name}", token, state)
        try:
            given = self.arguments.bind(request)
            value = perform(scope, self.function, **given)
            return self._rendered(message.call, value)
        except WarmcellError as error:
            if isinstance(error, REFUSALS):
                return failed(message.call, error)
            return self._failed(message.call, error)
        except StepCancelled:
            return failed(message.call, EndpointError("The request was cancelled."))
        except BaseException as error:  # even SystemExit of the author's code ends one request
            return self._failed(message.call, error)

    def _rendered(self, call: int, value: Any) -> wire.EndpointAnswer:
        if not isinstance(value, Response):
            try:
                return wire.EndpointAnswer(call, 200, to_json(value))
            except ValueError:
                raise _no_json(value) from None
        try:
            body, kind = value.render()
        except UsageError:
            raise
        except ValueError:
            raise _no_json(value.content) from None
        return wire.EndpointAnswer(call, value.status, body, kind, value.headers)

    def _failed(self, call: int, error: BaseException) -> wire.EndpointAnswer:
        endpoint = self.endpoint
        tell_error(f"endpoint {endpoint.name}", error)
        told = f"Endpoint '{endpoint.name}' raised {type(error).__name__}: {message_of(error)}"
        return failed(call, EndpointError(told))


def _no_json(value: Any) -> EndpointError:
    path, kind = without_json_form(value, "answer")
    return EndpointError(
        f"The {path} is a {kind}, which has no JSON form.",
        hint="Return a warmcell.Response with the bytes and their media_type.",
    )


def failed(call: int, error: WarmcellError) -> wire.EndpointAnswer:
    """An answer that the host turns into the problem of ``error``."""
    kind = next(base for base in type(error).__mro__ if base in REFUSALS or base is EndpointError)
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()
    body: dict[str, Any] = {"type": f":{name}", "detail": message_of(error)}
    for key in ("hint", "errors", "retry_after"):
        if value := getattr(error, key, None):
            body[key] = value
    return wire.EndpointAnswer(call, 0, _encode(body))
