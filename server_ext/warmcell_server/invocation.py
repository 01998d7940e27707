"""The body of an invocation and its answer, without decoding parameters or outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from warmcell.errors import (
    BadRequest,
    OutputError,
    ParameterError,
    RunCancelled,
    RunError,
    RunLost,
    RunTimedOut,
    WarmcellError,
)
from warmcell.records import ErrorInfo
from warmcell_server.dispatcher import CallResult

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Envelope", "envelope", "failure", "invoke", "success"]

NULL = msgspec.Raw(b"null")


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST {name}/invoke``. ``timeout`` is in seconds."""

    parameters: msgspec.Raw
    run_name: str | None = None
    timeout: float | None = None


class _Metadata(msgspec.Struct):
    run_id: str
    run_name: str | None
    deployment: str
    snapshot: int
    snapshot_id: str
    pipeline: str
    parameters_used: msgspec.Raw


class _Success(msgspec.Struct):
    success: bool
    outputs: msgspec.Raw
    execution_time: float
    metadata: _Metadata
    error: None = None


_decode = msgspec.json.Decoder(Envelope).decode
_encode = msgspec.json.Encoder().encode


def envelope(body: bytes) -> Envelope:
    """Read the body of an invocation.

    Raises:
        BadRequest: it is no JSON, or nested too deep.
        ParameterError: it is JSON of another form; the error has pointers into the body.
    """
    try:
        found = _decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is no JSON: {error}.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deep.") from error
    if memoryview(found.parameters)[0] != ord("{"):
        raise _misfit("Expected `object` - at `$.parameters`")
    if found.timeout is not None and not found.timeout > 0:
        raise _misfit("Expected a number of seconds above 0 - at `$.timeout`")
    return found


def _misfit(message: str) -> ParameterError:
    text, _, path = message.partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/")
    hint = 'The body is {"parameters": {...}}, with "run_name" and "timeout" if you like.'
    return ParameterError(
        f"The body does not fit: {text}.",
        errors=[{"pointer": pointer, "message": text, "type": "envelope"}],
        hint=hint,
    )


def success(result: CallResult) -> bytes:
    """The JSON of a run that succeeded."""
    return _encode(
        _Success(
            True,
            NULL if result.outputs is None else msgspec.Raw(result.outputs),
            result.execution_time,
            _Metadata(
                result.run_id,
                result.run_name,
                result.deployment,
                result.snapshot,
                result.snapshot_id,
                result.pipeline,
                NULL if result.parameters is None else msgspec.Raw(result.parameters),
            ),
        )
    )


def failure(result: CallResult) -> WarmcellError:
    """The error of a run that did not succeed, for the one map of errors to statuses."""
    error = result.error or ErrorInfo("RunError", f"The run is {result.status}.")
    if result.status == "invalid":
        return ParameterError(error.message, errors=result.errors or [], hint=error.hint)
    kinds: dict[str, type[RunError]] = {
        "timed_out": RunTimedOut,
        "cancelled": RunCancelled,
        "lost": RunLost,
    }
    kind = kinds.get(result.status, OutputError if error.type == "OutputError" else RunError)
    message = error.message
    if kind is RunError:
        where = f"Step '{error.step}'" if error.step else "The run"
        message = f"{where} raised {error.type}: {error.message}"
    return kind(message, run_id=result.run_id, step=error.step, hint=error.hint)


async def invoke(host: Host, name: str, body: bytes, *, user: str | None) -> bytes:
    """Invoke a deployment, wait for its end and return the JSON of its success.

    Raises what :func:`envelope`, :meth:`Dispatcher.call` and :func:`failure` say.
    """
    found = envelope(body)
    if name not in host.deployments:
        await host.refresh()  # another host may serve it since
    result = await host.dispatcher.call(
        name,
        bytes(found.parameters),
        user=user,
        run_name=found.run_name,
        timeout=found.timeout,
    )
    if result.status != "succeeded":
        raise failure(result)
    return success(result)
