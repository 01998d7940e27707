"""Metadata: log it about what there is, read it, compare it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import UsageError
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()
MOST = 1000  # keys, and subjects, at once
LONGEST = 255  # characters of a key
LARGEST = 16_384  # bytes of a value as JSON, as in a step


class Value(msgspec.Struct, forbid_unknown_fields=True):
    """``type`` is a word of :mod:`warmcell.metadata.values`."""

    value: Any
    type: str


class Logged(msgspec.Struct, forbid_unknown_fields=True):
    """``on`` names the subjects; see :func:`.store.record.subjects.resolve`."""

    metadata: dict[str, Value]
    on: list[dict[str, Any]]


@ROUTES.add("POST", "api/v1/metadata", Logged)
async def _log(host: Host, call: Call) -> Result:
    """Log metadata about one or several things: all of them, or none."""
    body = decode(call, Logged)
    if not body.on:
        raise UsageError("What is the metadata about?", hint="Name it in 'on'.")
    _check(body)
    change = host.store.change("log_metadata", **msgspec.to_builtins(body))
    return 200, await asyncio.wrap_future(change)


@ROUTES.add("GET", "api/v1/metadata")
async def _metadata(host: Host, call: Call) -> Result:
    """All metadata of the subject that the query names: ``?kind=run&run=…``."""
    return 200, await read(host.store.read("metadata_of", on=dict(call.query)))


@ROUTES.add("GET", "api/v1/metadata/compare")
async def _compare(host: Host, call: Call) -> Result:
    """Side by side: ``?kind=run&subjects=…,…``; those of other kinds by their ids."""
    kind = call.query.get("kind", "run")
    member = "run" if kind == "run" else "id"
    subjects = [part.strip() for part in call.query.get("subjects", "").split(",") if part.strip()]
    on = [{"kind": kind, member: subject} for subject in subjects]
    return 200, await read(host.store.read("compare_metadata", on=on))


def _check(body: Logged) -> None:
    """Raise :class:`UsageError` for what is too much for a list to show."""
    if len(body.metadata) > MOST or len(body.on) > MOST:
        raise UsageError(f"At most {MOST} keys are logged at once, about {MOST} subjects.")
    for key, value in body.metadata.items():
        if not key.strip() or len(key) > LONGEST or not key.isprintable():
            raise UsageError(
                f"Metadata cannot be called {key[:50]!r}.",
                hint=f"A key has 1 to {LONGEST} characters that can be printed.",
            )
        size = len(msgspec.json.encode(value))
        if size > LARGEST:
            raise UsageError(
                f"The value of {key!r} takes {size} bytes, and {LARGEST} are the most.",
                hint="Save it as an artifact: save_artifact(value, name).",
            )
