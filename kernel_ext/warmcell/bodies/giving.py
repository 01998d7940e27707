"""From the outputs of a run to what its caller gets and what the history keeps."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from warmcell import blobs, wire
from warmcell.bodies import media, writers
from warmcell.errors import NotAcceptable, OutputError, ParameterError, StoreError
from warmcell.records import ArtifactRecord
from warmcell.redaction import NONE, Redaction
from warmcell.schemas import encode_outputs
from warmcell.schemas.jsonform import qualified

if TYPE_CHECKING:
    from warmcell.steps import OutputSpec

__all__ = ["LARGE", "OUTPUT", "PLAIN", "RECORDED", "Given", "check_accept", "give"]

LARGE = 1 << 20
"""Bytes from which on a table, an array or bytes are given as a file and not as JSON."""

RECORDED = 64 << 10
"""Bytes of JSON from which on the history has a file of an output and not the JSON itself."""

MOST = 512 << 20  # bytes of a body on the link, whose frames end at 1 GiB
OUTPUT = "output"
_RAWS = dict[str, msgspec.Raw]
PLAIN: frozenset[type] = frozenset({int, float, str, bool, dict, list, tuple, type(None)})
"""Types of which every value has a JSON form or none at all."""


class Given(msgspec.Struct):
    """``outputs`` is JSON; ``body`` of ``content_type`` is what the caller gets instead.
    ``artifacts`` are records of the files. ``recorded`` is the JSON for the history, where that
    has files in the place of what is large. ``refusal`` says why the caller gets neither."""

    outputs: bytes
    body: bytes | None = None
    content_type: str | None = None
    artifacts: list[ArtifactRecord] = []
    recorded: bytes | None = None
    refusal: NotAcceptable | None = None


def check_accept(outputs: tuple[OutputSpec, ...], message: wire.Invoke) -> None:
    """Refuse a call, before it runs, whose answer cannot be what the caller accepts.

    Raises:
        NotAcceptable: not even JSON is accepted, nor what the output can be written as.
        ParameterError: ``?output=`` names none of the outputs.
    """
    if message.accept is None:
        return
    names = [output.name for output in outputs]
    chosen = _chosen(names, message)
    if chosen is None:
        if media.best(message.accept, (media.JSON,)) is None:
            raise _several(names, message.accept)
        return
    known = next(o.annotation for o in outputs if o.name == chosen)
    offers = writers.offered(known)
    if offers is not None and media.best(message.accept, offers) is None:
        raise _refused(chosen, message.accept, offers)


def give(
    outputs: Mapping[str, Any],
    message: wire.Invoke,
    folder: Path | None,
    redaction: Redaction = NONE,
) -> Given:
    """Encode the outputs of a run.

    ``folder`` is where files of it are kept; without one, or for a run that the history may not
    have, they go into the JSON as base64. The caller gets all, the history what ``redaction``
    leaves of it: of what that covers, there is no file either.

    Raises :class:`OutputError` for an output without a JSON form, or where a file cannot be kept.
    """
    kept = None if message.fleeting or not message.record else folder
    giving = _Giving(message, kept, redaction)
    if message.accept is None and PLAIN.issuperset(map(type, outputs.values())):
        encoded = encode_outputs(outputs)
        if len(encoded) <= RECORDED:
            return giving.masked(Given(encoded))
        return giving.recorded(Given(encoded), outputs)
    return giving.give(outputs)


class _Giving:
    def __init__(self, message: wire.Invoke, folder: Path | None, redaction: Redaction) -> None:
        self._message = message
        self._folder = folder
        self._redaction = redaction
        self._artifacts: list[ArtifactRecord] = []

    def give(self, outputs: Mapping[str, Any]) -> Given:
        body = kind = chosen = None
        refusal = None
        if self._message.accept is not None:
            chosen = _chosen(list(outputs), self._message)
        if chosen is not None:
            try:
                body, kind = self._written(chosen, outputs[chosen])
            except NotAcceptable as error:
                refusal = error
        shown = {
            name: self._shown(name, value, body if name == chosen else None, kind)
            for name, value in outputs.items()
        }
        given = Given(encode_outputs(shown), body, kind, self._artifacts, refusal=refusal)
        return self.recorded(given, shown)

    def recorded(self, given: Given, shown: Mapping[str, Any]) -> Given:
        """Keep large JSON as files, so that a row of the history stays small: DuckDB holds
        thousands of rows at once in its memory."""
        if self._folder is None or len(given.outputs) <= RECORDED:
            return self.masked(given)
        kept: dict[str, Any] = {}
        for name, value in shown.items():
            data = msgspec.Raw(msgspec.json.decode(encode_outputs({name: value}), type=_RAWS)[name])
            if self._redaction.active:
                data = msgspec.Raw(self._redaction.json(bytes(data), name))
            kept[name] = data
            if memoryview(data).nbytes > RECORDED // 2:
                try:
                    digest = blobs.keep(bytes(data), self._folder)
                except StoreError as error:
                    raise OutputError(f"Output '{name}' cannot be kept: {error.message}") from error
                size = memoryview(data).nbytes
                self._record(name, value, media.JSON, size, digest)
                href = _href(self._message.run_id, name)
                kept[name] = {"content_type": media.JSON, "size": size, "href": href}
        given.artifacts = self._artifacts
        given.recorded = msgspec.json.encode(kept)
        return given

    def masked(self, given: Given) -> Given:
        """Let the history have what the redaction leaves of the JSON."""
        if self._redaction.active and self._message.record:
            found = self._redaction.json(given.outputs)
            if found is not given.outputs:
                given.recorded = found
        return given

    def _written(self, name: str, value: Any) -> tuple[bytes | None, str | None]:
        """The body that the caller likes best; none where that is JSON."""
        accept = self._message.accept or ""
        offers = writers.offers(value)
        best = media.best(accept, offers)
        if best is None:
            raise _refused(name, accept, offers)
        if best == media.JSON:
            return None, None
        try:
            body, kind = writers.write(value, best)
        except Exception as error:  # packages raise anything for values that a format lacks
            raise NotAcceptable(
                f"Output '{name}' cannot be written as {best}: {error}.",
                hint="Ask for JSON: -H 'Accept: application/json'.",
            ) from error
        if len(body) > MOST:
            raise NotAcceptable(
                f"Output '{name}' takes {len(body)} bytes as {best}; an answer has at most {MOST}.",
                hint=f"Fetch it from {_href(self._message.run_id, name)}.",
            )
        return body, kind

    def _shown(self, name: str, value: Any, body: bytes | None, kind: str | None) -> Any:
        """What stands in the JSON for an output: itself, or where its file is."""
        if type(value) in PLAIN:
            return value
        natural = writers.natural(value)
        if natural is None:
            return value
        covered = self._redaction.covers(name, value)
        folder = None if covered else self._folder
        always = natural == media.PNG and not isinstance(value, bytes | bytearray | memoryview)
        large = writers.weight(value) > LARGE
        if not always and (not large or folder is None):
            if large and body is not None:  # neither the caller nor the history gets the JSON
                return {"content_type": kind, "size": len(body)}
            if isinstance(value, bytes | bytearray | memoryview) and self._message.record:
                self._record(name, value, natural, memoryview(value).nbytes, None)
            return value
        if body is None or kind is None:
            try:
                body, kind = writers.write(value, natural)
            except Exception as error:
                if not always:
                    return value
                raise OutputError(f"Output '{name}' cannot be drawn: {error}.") from error
        found: dict[str, Any] = {"content_type": kind, "size": len(body)}
        if folder is None:
            return {**found, "data": base64.b64encode(body).decode()}
        try:
            digest = blobs.keep(body, folder)
        except StoreError as error:
            raise OutputError(f"Output '{name}' cannot be kept: {error.message}") from error
        self._record(name, value, kind, len(body), digest)
        return {**found, "href": _href(self._message.run_id, name)}

    def _record(self, name: str, value: Any, kind: str, size: int, digest: str | None) -> None:
        described = msgspec.Raw(msgspec.json.encode({"content_type": kind}))
        self._artifacts.append(
            ArtifactRecord(
                "", f"outputs/{name}", OUTPUT, qualified(type(value)), size, digest, kind, described
            )
        )


def _chosen(names: list[str], message: wire.Invoke) -> str | None:
    """The output that the body is to be; None where there are several and none was named."""
    named = (message.query or {}).get("output")
    if named is None:
        return names[0] if len(names) == 1 else None
    if named not in names:
        raise ParameterError(
            f"There is no output '{named}'; there is {', '.join(names) or 'none'}.",
            errors=[{"pointer": "", "message": f"no output '{named}'", "type": "media"}],
        )
    return named


def _href(run_id: str, name: str) -> str:
    return f"runs/{run_id}/outputs/{quote(name, safe='')}"


def _refused(name: str, accept: str, offers: tuple[str, ...]) -> NotAcceptable:
    return NotAcceptable(
        f"Output '{name}' cannot be had as '{accept}'.",
        hint=f"It can be had as {', '.join(offers)}.",
    )


def _several(names: list[str], accept: str) -> NotAcceptable:
    return NotAcceptable(
        f"There are {len(names)} outputs, which together cannot be had as '{accept}'.",
        hint=f"Name one: ?output={names[0]}; or ask for JSON."
        if names
        else "There is no output; ask for JSON.",
    )
