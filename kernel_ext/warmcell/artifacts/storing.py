"""From a value to what a store keeps of it, and back."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from warmcell.artifacts.files import VISUALS, Blobs, Incoming, Outgoing, canonical
from warmcell.artifacts.pickled import Pickled, libraries
from warmcell.artifacts.registry import serializer_for, serializer_of
from warmcell.artifacts.serializer import Serializer
from warmcell.errors import ArtifactError, NotTrusted, SnapshotError
from warmcell.records import FileRecord
from warmcell.schemas.jsonform import qualified, to_json
from warmcell.snapshots import trust

__all__ = ["Stored", "endorse", "prepare", "restore", "store"]

log = logging.getLogger("warmcell.artifacts")


class Stored(msgspec.Struct):
    """What is kept of one value. ``digest`` is a SHA-256 over its content: kind, class, and inline
    JSON or files. ``about`` has ``form`` (of the serializer), ``sha256`` (of each file),
    ``libraries`` (versions, where they matter), ``visualizations`` (what kind of picture a file
    is, by its name) and ``signature``."""

    kind: str
    type: str
    digest: str
    size: int
    role: str
    value: msgspec.Raw | None = None  # JSON, where it is small
    files: list[FileRecord] = []
    facts: dict[str, Any] = {}
    about: dict[str, Any] = {}


def store(
    value: Any,
    folder: Path,
    *,
    serializer: Serializer | None = None,
    facts: bool = True,
    visualize: bool = True,
) -> Stored:
    """Write ``value`` into the folder of blobs; what its own kind cannot write is pickled. Without
    ``facts`` nothing is found out about it, without ``visualize`` no files are made that show it.

    Raises:
        ArtifactError: it cannot be written at all; the message says why.
        StoreError: the disk refuses.
    """
    return prepare(value, folder, serializer, facts=facts, visualize=visualize)()


def prepare(
    value: Any,
    folder: Path,
    serializer: Serializer | None = None,
    *,
    facts: bool = True,
    visualize: bool = True,
    hold: int = 0,
) -> Callable[[], Stored]:
    """Take ``value`` as it is now, and return what stores it, whatever becomes of it meanwhile. At
    most ``hold`` bytes wait in memory for that; see :func:`store`, also for what either raises."""
    chosen = serializer or serializer_for(value)
    out = Outgoing(folder, visualize=visualize, hold=hold)
    try:
        try:
            chosen.save(value, out)
        except (TypeError, ValueError) as error:
            if serializer is not None or chosen.kind in (Pickled.kind, "path"):
                raise
            log.debug("%s is pickled: %s", type(value), error)
            out.restart()
            role, chosen = chosen.role, Pickled()
            chosen.save(value, out)
        else:
            role = chosen.role
    except BaseException as error:
        out.drop()
        if not isinstance(error, TypeError | ValueError):
            raise
        raise ArtifactError(
            f"A value of type {qualified(type(value))} cannot be kept: {error}",
            hint="Return what can be written, or register a serializer for its class: "
            "warmcell.artifacts.register(cls, serializer).",
        ) from error
    stored = Stored(chosen.kind, qualified(type(value)), "", 0, role)
    if facts:
        stored.facts = _facts(value, serializer)
    if chosen.runs_code:
        stored.about["libraries"] = libraries(value)
    return functools.partial(_finish, stored, out)


def _finish(stored: Stored, out: Outgoing) -> Stored:
    """Write what waits, and say what it is."""
    out.close()
    about, stored.files = stored.about, out.files
    if out.form:
        about["form"] = out.form
    if out.files:
        about["sha256"] = out.sha256
    if out.visuals:
        about["visualizations"] = out.visuals
    inline = None
    if out.inlined:
        inline = canonical(out.value)
        stored.value = msgspec.Raw(inline)
    stored.size = sum(file.size for file in out.files) + len(inline or b"")
    stored.digest = _digest(stored, out.value if out.inlined else None)
    _sign(stored)
    return stored


def restore(stored: Stored, where: Blobs, *, value: Any = None, hint: Any = None) -> Any:
    """The value again. ``value`` is the decoded inline JSON, ``hint`` the class to make of it.

    Raises:
        ArtifactError: it is damaged, or what reads it is not here.
        NotTrusted: reading it runs code that this user has not signed.
        NotFound: its kind is unknown in this process.
    """
    if stored.value is not None:
        value = msgspec.json.decode(stored.value)
    if _digest(stored, value) != stored.digest:
        raise ArtifactError(
            "The record of this artifact version does not fit its content.",
            hint="It was changed, or damaged: run the pipeline that made it again.",
        )
    serializer = serializer_of(stored.kind)
    signed = trust.signed(_statement(stored), _signatures(stored.about))
    if serializer.runs_code and not signed:
        whose = "was signed by somebody else" if _signatures(stored.about) else "is not signed"
        raise NotTrusted(
            f"This artifact version ({stored.kind} of {stored.type}) {whose} and is not loaded: "
            "loading it would run its code.",
            hint="If you trust where it comes from, sign it: version.trust(); or run the "
            "pipeline that made it again.",
        )
    parts = Incoming(
        where, stored.files, stored.about.get("sha256") or {}, value=value,
        form=stored.about.get("form"), type=stored.type, hint=hint, signed=signed,
    )  # fmt: skip
    try:
        return serializer.load(parts)
    except (ArtifactError, NotTrusted):
        raise
    except Exception as error:  # the serializer's, or the object's own code
        raise ArtifactError(
            f"This artifact version ({stored.kind} of {stored.type}) cannot be loaded: "
            f"{type(error).__name__}: {error}.{_versions(stored.about)}"
        ) from error


def endorse(stored: Stored) -> dict[str, Any]:
    """``about`` with this user's signature: from now on this user's kernels run its code."""
    mine = trust.sign(_statement(stored))
    others = [one for one in _signatures(stored.about) if one != mine]
    return {**stored.about, "signature": [*others[-30:], mine]}


def _digest(stored: Stored, value: Any) -> str:
    sha256 = stored.about.get("sha256") or {}
    files = [
        [file.name, sha256.get(file.name), file.size]
        for file in stored.files
        if not file.name.startswith(VISUALS)
    ]
    parts = [stored.kind, stored.type, stored.about.get("form"), value, files]
    try:
        return hashlib.sha256(canonical(parts)).hexdigest()
    except (TypeError, ValueError):
        return ""


def _statement(stored: Stored) -> bytes:
    return canonical(["warmcell artifact", 1, stored.kind, stored.digest])


def _signatures(about: Mapping[str, Any]) -> Sequence[str]:
    given = about.get("signature")
    found = given if isinstance(given, list) else [given]
    return [one for one in found if isinstance(one, str)]


def _sign(stored: Stored) -> None:
    try:
        stored.about["signature"] = trust.sign(_statement(stored))
    except SnapshotError:
        if serializer_of(stored.kind).runs_code:
            raise  # it could never be loaded


def _facts(value: Any, serializer: Serializer | None) -> dict[str, Any]:
    try:
        facts = (serializer or serializer_for(value)).facts(value)
        try:
            canonical(facts)
        except (TypeError, ValueError):  # times, numbers of numpy, …: as the history shows them
            facts = {str(name): json.loads(to_json(fact)) for name, fact in facts.items()}
    except Exception as error:  # of the value's own code: what is told of it is not its content
        log.debug("No facts of %s: %s", type(value), error)
        return {}
    return facts


def _versions(about: Mapping[str, Any]) -> str:
    known = about.get("libraries")
    if not isinstance(known, dict) or not known:
        return ""
    return " It was written with " + ", ".join(f"{k} {v}" for k, v in known.items()) + "."
