"""Artifacts and their versions: list, find, save, delete, prune.

The bytes of a version are not here: a kernel of this machine reads the blobs themselves, everybody
else gets them from ``api/v1/artifact-versions/{id}/files/{name}``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound, StoreFull, UsageError
from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord, VersionRecord
from warmcell.tags import check_name
from warmcell_server.auditing import who
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.store.spooled import SpooledVersion

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES", "find"]

log = logging.getLogger("warmcell.audit")

ROUTES = Routes()
MOST = 1000  # versions on a page
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INLINE = 16_384  # bytes of JSON that a version may carry itself
LONGEST = 1000  # characters of a name
MOST_TAGS = 100
TOLD = 4 << 20  # bytes of JSON about a version: a folder may have ten thousand files


@ROUTES.add("GET", "api/v1/artifacts")
async def _artifacts(host: Host, call: Call) -> Result:
    """One page of artifacts, the one with the newest version first."""
    found = await read(host.store.read("list_artifacts", **call.query))
    return 200, {"artifacts": found}


@ROUTES.add("DELETE", "api/v1/artifacts")
async def _delete_artifact(host: Host, call: Call) -> Result:
    """Delete all versions of the artifact ``name``, or none where something keeps one of them."""
    name = _wanted(call)
    ids: list[str] = []
    before: dict[str, str] = {}
    while page := await read(host.store.read("list_versions", artifact=name, limit=MOST, **before)):
        ids += [version["id"] for version in page]
        before = {"before": page[-1]["id"]}
    if not ids:
        raise NotFound(f"There is no artifact '{name}'.")
    return 200, {"artifact": name, **await _delete(host, call, ids, name)}


@ROUTES.add("GET", "api/v1/artifact-versions/find")
async def _found(host: Host, call: Call) -> Result:
    """One version: ``name`` is an artifact, ``version`` a label, a number or "latest", ``tag`` one
    that it has. In the query, since names may have slashes, which no proxy leaves alone."""
    query = call.query
    return 200, await find(host, _wanted(call), query.get("version"), query.get("tag"))


@ROUTES.add("GET", "api/v1/artifact-versions")
async def _versions(host: Host, call: Call) -> Result:
    """One page of versions, newest first, and the cursor of the next."""
    return 200, await _page(host, call.query)


@ROUTES.add("POST", "api/v1/artifact-versions", VersionRecord)
async def _save(host: Host, call: Call) -> Result:
    """Save a version that no run made: a :class:`~warmcell.records.VersionRecord`, of which the
    files were written into the blobs before. Answers with its number."""
    record: VersionRecord = decode(call, SpooledVersion)
    await asyncio.to_thread(_check, record, Path(host.store.blobs))
    record.user = who(call) or record.user
    said = await read(
        host.store.change(
            "put_version", record=msgspec.json.encode(record).decode(), host_id=host.host_id
        )
    )
    return 201, said


@ROUTES.add("POST", "api/v1/artifact-versions/prune")
async def _prune(host: Host, call: Call) -> Result:
    """Delete versions by age, count or bytes, never one that something keeps; with ``dry_run``
    only say which."""

    class Body(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
        days: float | None = None
        keep: int | None = None
        bytes: int | None = None
        artifact: str | None = None
        dry_run: bool = False

    body = decode(call, Body)
    for name in ("days", "keep", "bytes"):
        value = getattr(body, name)
        if value is not None and value < 0:
            raise UsageError(f"'{name}' is {value:g}, and cannot be less than 0.")
    request = msgspec.to_builtins(body)
    gone = await asyncio.wrap_future(host.store.change("prune_versions", **request))
    if not body.dry_run and gone["versions"]:
        _note(host, call, "artifact.pruned", body.artifact or "*", request | _count(gone))
        swept = await asyncio.wrap_future(host.store.prune())
        gone["freed"] = swept["bytes"]
    return 200, gone


@ROUTES.add("GET", "api/v1/artifact-versions/*")
async def _version(host: Host, call: Call) -> Result:
    """One version by its id, with its metadata and what keeps it."""
    return 200, await find(host, call.arguments[0])


@ROUTES.add("DELETE", "api/v1/artifact-versions/*")
async def _delete_version(host: Host, call: Call) -> Result:
    """Delete one version. 409 names what keeps it."""
    found = await find(host, call.arguments[0])
    subject = f"{found['artifact']}@{found['version']}"
    return 200, {"id": found["id"], **await _delete(host, call, [found["id"]], subject)}


@ROUTES.add("POST", "api/v1/artifact-versions/*/signatures")
async def _sign(host: Host, call: Call) -> Result:
    """Add the signature of a user who trusts a version. It counts for whose key it is of, and
    nothing else."""

    class Body(msgspec.Struct, forbid_unknown_fields=True):
        signature: str

    signature = decode(call, Body).signature
    if not _SIGNATURE.fullmatch(signature):
        raise UsageError("A signature is 64 hexadecimal digits.")
    found = await find(host, call.arguments[0])
    said = await read(host.store.change("sign_version", id=found["id"], signature=signature))
    subject = f"{found['artifact']}@{found['version']}"
    _note(host, call, "artifact.trusted", subject, {"id": found["id"]})
    return 200, said


async def find(
    host: Host, name: str, version: str | None = None, tag: str | None = None
) -> dict[str, Any]:
    """A version by id, or by the name of its artifact. Raises NotFound, or Conflict where none is
    stored yet."""
    request = {"name": name, "version": version, "tag": tag}
    given = {key: value for key, value in request.items() if value is not None}
    found: dict[str, Any] = await read(host.store.read("find_version", **given))
    return found


def _wanted(call: Call) -> str:
    name = call.query.get("name")
    if not name:
        raise UsageError("Which artifact is meant?", hint="Name it in the query: ?name=…")
    return name


async def _page(host: Host, query: dict[str, str]) -> dict[str, Any]:
    text = query.get("limit", "50")
    if not text.isdecimal():
        raise UsageError(f"'limit' must be a whole number, not '{text}'.")
    limit = max(1, min(int(text), MOST - 1))
    rows = await read(host.store.read("list_versions", **{**query, "limit": limit + 1}))
    more = len(rows) > limit
    return {"versions": rows[:limit], "next": rows[limit - 1]["id"] if more else None}


async def _delete(host: Host, call: Call, ids: list[str], subject: str) -> dict[str, Any]:
    gone: dict[str, Any] = await asyncio.wrap_future(host.store.change("delete_versions", ids=ids))
    _note(host, call, "artifact.deleted", subject, _count(gone))
    return gone


def _count(gone: dict[str, Any]) -> dict[str, Any]:
    return {name: gone[name] for name in ("versions", "bytes")}


def _note(host: Host, call: Call, event: str, subject: str, detail: dict[str, Any]) -> None:
    told = msgspec.Raw(msgspec.json.encode(detail))
    record = AuditRecord(now(), event, subject, user=who(call), detail=told)
    try:
        host.store.append(AuditEntry(record))
    except StoreFull as error:  # it is done by then, and made room
        log.error("%s of %s could not be recorded: %s", event, subject, error)


def _check(record: VersionRecord, blobs: Path) -> None:
    """Raise :class:`UsageError` or :class:`Conflict` for a version that could never be loaded."""
    size = len(bytes(record.value or b""))
    if record.status != "stored":
        raise UsageError(
            f"A version is saved once it is whole; this one is '{record.status}'.",
            hint="Write its files first, then send it with the status 'stored'.",
        )
    _check_words(record)
    if size > INLINE:
        raise UsageError(
            f"The value takes {size} bytes as JSON, and {INLINE} are the most.",
            hint="Write it into a file of the blobs.",
        )
    for file in record.files:
        path = blobs / file.blob
        named = _DIGEST.fullmatch(file.blob) is not None
        if not (named and path.is_file() and path.stat().st_size == file.size):
            raise Conflict(
                f"File '{file.name}' of artifact '{record.artifact}' is not among the blobs of "
                f"this store ({file.blob}, {file.size} bytes).",
                hint="Save it from a kernel of this server, which writes it there.",
            )


def _check_words(record: VersionRecord) -> None:
    """Raise :class:`UsageError` for what no list of artifacts could show."""
    name = record.artifact
    if not name.strip():
        raise UsageError("An artifact needs a name.")
    if not _ID.fullmatch(record.id):
        raise UsageError(f"{record.id[:50]!r} is no id: a version has a UUID.")
    words = (name, record.version, record.kind, record.type, record.role, record.step, record.name)
    for word in (*words, record.pipeline, record.run_id, record.digest):
        if word is not None and (len(word) > LONGEST or not word.isprintable()):
            raise UsageError(
                f"{word[:50]!r} cannot be said of an artifact.",
                hint=f"Names have at most {LONGEST} characters that can be printed.",
            )
    if len(record.tags) > MOST_TAGS:
        raise UsageError(f"{len(record.tags)} tags are more than {MOST_TAGS}.")
    for tag in record.tags:
        check_name(tag)
    told = len(msgspec.json.encode([record.facts, record.about, record.files]))
    if told > TOLD:
        raise UsageError(
            f"What is told of '{name[:100]}' takes {told} bytes as JSON, and {TOLD} are the most.",
            hint="Leave facts out: save_artifact(..., extract_metadata=False).",
        )
