"""The body of an invocation, read without decoding its parameters."""

from __future__ import annotations

import msgspec

from warmcell.errors import BadRequest, ParameterError

__all__ = ["Envelope", "envelope"]

ABSENT = msgspec.Raw()


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST {name}/invoke``; ``parameters`` for one run or ``instances`` for several.

    Times are in seconds: ``timeout`` for the whole, ``queue_timeout`` and ``run_timeout`` for its
    parts. With ``async`` the answer is the run's id. ``skip_artifact_materialization`` (ZenML's
    word) keeps the run but neither its steps nor their outputs.
    """

    parameters: msgspec.Raw = ABSENT
    instances: list[msgspec.Raw] | None = None
    run_name: str | None = None
    timeout: float | None = None
    queue_timeout: float | None = None
    run_timeout: float | None = None
    detached: bool = msgspec.field(name="async", default=False)
    callback_url: str | None = None
    skip_artifact_materialization: bool = False


_decode = msgspec.json.Decoder(Envelope).decode
_FORM = 'The body is {"parameters": {...}}, with "run_name" and "timeout" if you like.'


def envelope(body: bytes) -> Envelope:
    """Read the body of an invocation.

    Raises:
        BadRequest: it is no JSON, or nested too deep.
        ParameterError: it is JSON of another form; the error has pointers into the body.
    """
    try:
        found = _decode(body)
    except msgspec.ValidationError as error:
        raise misfit(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is no JSON: {error}.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deep.") from error
    if found.instances is not None:
        _check_instances(found)
    elif found.parameters is ABSENT:
        raise misfit("Object missing required field `parameters`")
    elif memoryview(found.parameters)[0] != ord("{"):
        raise misfit("Expected `object` - at `$.parameters`")
    for name in ("timeout", "queue_timeout", "run_timeout"):
        seconds = getattr(found, name)
        if seconds is not None and not seconds > 0:
            raise misfit(f"Expected a number of seconds above 0 - at `$.{name}`")
    return found


def _check_instances(found: Envelope) -> None:
    assert found.instances is not None
    if found.parameters is not ABSENT:
        raise misfit("Expected either `parameters` or `instances` - at `$.instances`")
    if not found.instances:
        raise misfit("Expected at least one instance - at `$.instances`")
    for index, instance in enumerate(found.instances):
        if memoryview(instance)[0] != ord("{"):
            raise misfit(f"Expected `object` - at `$.instances.{index}`")


def misfit(message: str) -> ParameterError:
    """The error for a body of another form; msgspec's message names the place."""
    text, _, path = message.partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
    return ParameterError(
        f"The body does not fit: {text}.",
        errors=[{"pointer": pointer, "message": text, "type": "envelope"}],
        hint=_FORM,
    )
