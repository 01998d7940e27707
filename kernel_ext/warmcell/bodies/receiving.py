"""From a call, whatever its body is, to the arguments of its pipeline."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pydantic_core

from warmcell import wire
from warmcell.artifacts import describe, recorded
from warmcell.bodies import media
from warmcell.bodies.media import MediaType
from warmcell.bodies.multipart import parts
from warmcell.bodies.readers import fits, read
from warmcell.bodies.sources import Source, mapped
from warmcell.errors import ParameterError, UnsupportedMedia
from warmcell.schemas import ParameterModel
from warmcell.schemas.kinds import Kind, Name, kind_of

__all__ = ["LARGE", "RESERVED", "Received", "receive"]

LARGE = 1 << 18
"""Bytes of JSON from which on the history gets descriptions of parameters instead of them."""

RESERVED = frozenset({"parameter", "output"})
"""Names in a query that are not parameters of the pipeline."""


class Received:
    """The arguments of a call and, as JSON, what the history gets of them. :meth:`close` removes
    the files that were made for parameters; to be called once the run has ended."""

    __slots__ = ("_folder", "_message", "arguments", "used")

    def __init__(self, message: wire.Invoke) -> None:
        self.arguments: dict[str, Any] = {}
        self.used = b"{}"
        self._message = message
        self._folder: Path | None = None

    def folder(self) -> Path:
        """A folder for this call alone."""
        if self._folder is None:
            file = self._message.file
            beside = Path(file).parent if file else None  # where the host clears up after a crash
            self._folder = Path(tempfile.mkdtemp(prefix="call-", dir=beside))
        return self._folder

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def receive(model: ParameterModel, message: wire.Invoke) -> Received:
    """Read what a call brings: JSON, or the body and the query where ``content_type`` is set.

    Raises:
        ParameterError: a parameter does not fit or is missing, or the bytes are not of their type.
        UnsupportedMedia: no parameter takes such a body, or the kernel lacks a package for it.
        BadRequest: a body of several parts that is broken.
    """
    received = Received(message)
    if message.content_type is None:
        raw = message.parameters
        received.arguments = model.validate_json(raw)
        large = len(raw) > LARGE
        received.used = (recorded if large else model.dump)(received.arguments)
        return received
    try:
        _Reading(model, received).read(message)
    except BaseException:
        received.close()
        raise
    return received


class _Reading:
    """One call on its way to arguments."""

    def __init__(self, model: ParameterModel, received: Received) -> None:
        self._model = model
        self._received = received
        self._values: dict[str, Any] = {}
        self._described: dict[str, Any] = {}
        self._errors: list[dict[str, Any]] = []

    def read(self, message: wire.Invoke) -> None:
        assert message.content_type is not None
        declared = media.parse(message.content_type)
        body = mapped(message.file) if message.file else message.parameters
        query = message.query or {}
        if declared.name == media.MULTIPART:
            self._parts(body, declared)
        else:
            self._single(Source(memoryview(body), declared), query.get("parameter"))
        for name, text in query.items():
            if name not in RESERVED:
                self._text(name, [text])
        self._finish()

    # -- bodies ------------------------------------------------------------------------------

    def _parts(self, body: Any, declared: MediaType) -> None:
        texts: dict[str, list[str]] = {}
        files: dict[str, list[Source]] = {}
        for part in parts(body, declared.parameters.get("boundary", "")):
            source = Source(part.data, media.parse(part.content_type or ""), part.filename)
            kind = self._kind(part.name)
            typed = source.declared.name not in ("", media.TEXT)
            is_file = part.filename is not None or typed
            if is_file and kind is not None and self._reads(kind, source):
                files.setdefault(part.name, []).append(source)
                continue
            try:
                text = source.text()
            except (UnicodeDecodeError, LookupError):
                self._wrong(part.name, f"it is no text in {source.encoding}", "media")
            else:
                texts.setdefault(part.name, []).append(text)
        for name, sources in files.items():
            if name in texts:
                self._wrong(name, "it is given both as text and as a file", "media")
            else:
                self._files(name, sources)
        for name, given in texts.items():
            if name not in files:
                self._text(name, given)

    def _reads(self, kind: Kind, source: Source) -> bool:
        """Whether a part becomes a file for its parameter; JSON and text become values."""
        if kind.takes_file:
            return kind.name in ("bytes", "path") or source.type != media.JSON
        return kind.name == "any" and source.type not in (media.JSON, media.TEXT)

    def _single(self, source: Source, named: str | None) -> None:
        if named is not None and self._kind(named) is None:
            known = ", ".join(self._model.names) or "it takes none"
            raise ParameterError(
                f"'{named}' is not a parameter of '{self._model.name}' ({known}).",
                errors=[{"pointer": "", "message": f"no parameter '{named}'", "type": "media"}],
                hint="Name the parameter that the body is: ?parameter=NAME",
            )
        name = named or self._target(source.type)
        kind = self._kind(name)
        if source.type == media.JSON and (kind is None or kind.name not in ("bytes", "path")):
            self._text(name, [source.text()], json=True)
        else:
            self._files(name, [source])

    def _target(self, content_type: str) -> str:
        """The parameter that a body without a name is."""
        kinds = {name: kind_of(hint) for name, hint in self._model.hints.items()}
        found = [name for name, kind in kinds.items() if _is(kind, content_type)]
        if len(found) > 1:  # one that reads it beats one that takes any bytes
            special = [n for n in found if kinds[n].name not in ("bytes", "path")]
            found = special if len(special) == 1 else found
        if not found:
            found = [name for name, kind in kinds.items() if kind.name == "any"]
        if len(found) == 1:
            return found[0]
        if found:
            raise ParameterError(
                f"The body could be any of {', '.join(found)}.",
                errors=[{"pointer": "", "message": "ambiguous", "type": "media"}],
                hint=f"Say which: ?parameter={found[0]}",
            )
        if content_type == media.JSON:
            raise ParameterError(
                f"The body does not fit: expected an object, and '{self._model.name}' has no "
                "parameter that an array could be.",
                errors=[{"pointer": "", "message": "Expected `object`", "type": "envelope"}],
                hint='The body is {"parameters": {...}}.',
            )
        raise UnsupportedMedia(
            f"'{self._model.name}' has no parameter that a body of the type {content_type} could "
            "be.",
            hint='Send JSON: {"parameters": {...}}; or name the parameter: ?parameter=NAME',
        )

    # -- values ------------------------------------------------------------------------------

    def _kind(self, name: str) -> Kind | None:
        """The kind of a parameter; None where there is none of that name."""
        hint = self._model.hints.get(name, self)
        if hint is self:
            return Kind("any") if self._model.extra else None
        return kind_of(hint)

    def _files(self, name: str, sources: list[Source]) -> None:
        kind = self._kind(name)
        if kind is None:
            self._unknown(name)
            return
        if len(sources) > 1 and not kind.many:
            self._wrong(name, f"it is given {len(sources)} times", "media")
            return
        try:
            values = [self._read(kind.name, source) for source in sources]
        except UnsupportedMedia:
            raise
        except Exception as error:  # packages raise anything for bytes that they cannot read
            message = f"it cannot be read as {sources[0].type}: {error}"
            self._wrong(name, message, "media")
            return
        value = values if kind.many else values[0]
        if self._check(name, value):
            described = [_described(v, s) for v, s in zip(values, sources, strict=True)]
            self._described[name] = described if kind.many else described[0]

    def _read(self, kind: Name, source: Source) -> Any:
        return read(kind, source, self._received.folder)

    def _text(self, name: str, texts: list[str], *, json: bool = False) -> None:
        """Take a text as the parameter's type reads it: as it is, else as JSON."""
        kind = self._kind(name)
        if kind is None:
            self._unknown(name)
        elif name in self._values:
            self._wrong(name, "it is given twice", "media")
        elif len(texts) > 1:
            self._check(name, texts)
        else:
            self._one_text(name, texts[0], kind, json)

    def _one_text(self, name: str, text: str, kind: Kind, json: bool) -> None:
        field = self._model.field(name)
        if not json and kind.name != "any" and self._fits(name, text):
            return
        try:
            parsed = pydantic_core.from_json(text)
        except ValueError as error:
            if json:
                self._wrong(name, f"it is no JSON: {error}", "media")
            elif kind.name == "any" or not self._fits(name, [text]):
                self._check(name, text)
            return
        try:
            self._values[name] = field.validate_json(text)
        except pydantic.ValidationError as error:
            if json or not self._fits(name, [text]):
                self._misfit(name, parsed, error)

    def _fits(self, name: str, value: Any) -> bool:
        try:
            self._values[name] = self._model.field(name).validate_python(value)
        except pydantic.ValidationError:
            return False
        return True

    def _check(self, name: str, value: Any) -> bool:
        try:
            self._values[name] = self._model.field(name).validate_python(value)
        except pydantic.ValidationError as error:
            self._misfit(name, value, error)
            return False
        return True

    # -- the end -----------------------------------------------------------------------------

    def _unknown(self, name: str) -> None:
        problem = {"pointer": f"/parameters/{name}", "message": self._model.unknown(name)}
        self._errors.append({**problem, "type": "extra_forbidden"})

    def _wrong(self, name: str, message: str, kind: str) -> None:
        self._errors.append({"pointer": f"/parameters/{name}", "message": message, "type": kind})

    def _misfit(self, name: str, value: Any, error: pydantic.ValidationError) -> None:
        self._errors += self._model.problems(error, {name: value}, (name,))

    def _finish(self) -> None:
        wrong = {error["pointer"] for error in self._errors}
        for name in self._model.required:
            if name not in self._values and f"/parameters/{name}" not in wrong:
                self._wrong(name, f"{name!r} is required", "missing")
        if self._errors:
            shown = "; ".join(f"{e['pointer']}: {e['message']}" for e in self._errors[:3])
            raise ParameterError(f"{shown}.", errors=self._errors)
        arguments = self._received.arguments = self._model.complete(self._values)
        self._received.used = _used(arguments, self._described, self._model)


def _is(kind: Kind, content_type: str) -> bool:
    if content_type == media.JSON:
        return kind.name in ("frame", "series", "array")
    return kind.takes_file and fits(kind.name, content_type)


def _described(value: Any, source: Source) -> dict[str, Any]:
    """What the history gets of a value that came as a file."""
    record = describe("", "", value)
    shown = {
        "$type": record.type,
        "$preview": record.preview,
        "$content_type": source.type,
        "$size": len(source.data),
        "$filename": source.filename,
    }
    return {key: item for key, item in shown.items() if item is not None}


def _used(values: Mapping[str, Any], described: dict[str, Any], model: ParameterModel) -> bytes:
    """Parameters for the history: files as what they were, the others as they are."""
    rest = {name: value for name, value in values.items() if name not in described}
    members = msgspec.json.decode(model.dump(rest), type=dict[str, msgspec.Raw])
    return msgspec.json.encode({name: (members | described)[name] for name in values})
