"""Trusting: whose stored snapshots are loaded on this host: those that this user signed.

A store travels with its folder, and its snapshots are code. What somebody else signed, or what
changed since, is listed and never loaded; no kernel is even started for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotTrusted, SnapshotError
from warmcell.snapshots import trust
from warmcell.snapshots.stored import StoredForm, endorse, trusted

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["Trusting"]

_REMEMBERED = 10_000

log = logging.getLogger("warmcell.trust")


class Trusting:
    """Says what is trusted, and makes it so. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[bytes, bool] = {}  # by digest of the key file and the manifest

    async def judge(self, rows: Sequence[dict[str, Any]]) -> None:
        """Set ``trusted`` of snapshots as the store has them: None where nothing is stored."""
        await asyncio.to_thread(self._judge, rows)
        for row in rows:
            self._tell(row)

    async def refusal(self, row: dict[str, Any]) -> str:
        """Why a stored snapshot is not loaded, and the way out; empty for one that is."""
        await self.judge([row])
        return "" if row["trusted"] else _question(row["pipeline"], row["number"])

    def check(self, deployment: Deployment) -> None:
        """Raise :class:`NotTrusted` for a deployment of which nothing is to be shown in a browser,
        as scripts of a page are code as well."""
        if deployment.trusted is False and not deployment.ready:
            raise NotTrusted(_question(deployment.pipeline, deployment.snapshot))

    async def sign(self, row: dict[str, Any]) -> msgspec.Raw:
        """Check every byte of a stored snapshot; returns its manifest with this user's signature.

        Raises:
            Conflict: nothing is stored.
            SnapshotError: it is damaged, or the key cannot be read or made.
        """
        form = _form(row)
        if form is None:
            raise Conflict(
                f"Nothing of snapshot {row['number']} of '{row['pipeline']}' is stored that could "
                f"be trusted ({row['stored']})."
            )
        signed = await asyncio.to_thread(endorse, form, Path(self._host.store.blobs))
        return msgspec.Raw(msgspec.json.encode(signed))

    def _judge(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            key = trust.key_file().read_bytes()
        except OSError:  # who has no key has signed nothing
            key = b""
        if len(self._known) > _REMEMBERED:
            self._known = {}
        known = self._known  # another thread may begin a new one
        for row in rows:
            form = _form(row)
            if form is None:
                row["trusted"] = None
                continue
            mark = hashlib.sha256(key + b"\0" + msgspec.json.encode(form)).digest()
            if mark not in known:
                try:
                    known[mark] = trusted(form)
                except SnapshotError as error:
                    log.warning("No stored snapshot can be trusted: %s", error.message)
                    row["trusted"] = False
                    continue
            row["trusted"] = known[mark]

    def _tell(self, row: dict[str, Any]) -> None:
        for deployment in self._host.deployments:
            if (deployment.pipeline, deployment.snapshot) == (row["pipeline"], row["number"]):
                deployment.trusted = row["trusted"]


def _form(row: dict[str, Any]) -> StoredForm | None:
    """The manifest of a snapshot; None where nothing is stored. What cannot be read is not signed:
    its form has no signature."""
    if row.get("stored") != "stored" or row.get("manifest") is None:
        return None
    try:
        return msgspec.convert(row["manifest"], StoredForm)
    except msgspec.ValidationError:
        return StoredForm("refused: its manifest cannot be read")


def _question(pipeline: str, number: int) -> str:
    return (
        f"Snapshot {number} of '{pipeline}' was signed by somebody else, or changed since, and "
        "restoring it would run its code. If you trust it, say so: "
        f"warmcell trust {pipeline}@{number}"
    )
