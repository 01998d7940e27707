"""Lines of the audit about deployments: who served what under a name, and who took it over."""

from __future__ import annotations

import getpass
import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import StoreFull
from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.operation import Call

__all__ = ["note_change", "who"]

log = logging.getLogger("warmcell.audit")


def who(call: Call) -> str | None:
    """The person behind a call: over HTTP who signed in, from a kernel whose server this is."""
    if call.worker is None:
        return call.user
    named = os.environ.get("JUPYTERHUB_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return call.user


def note_change(host: Host, call: Call, event: str, deployment: str, **detail: Any) -> None:
    """Record what was done to a deployment, such as "deployment.deployed". It is done by then, so
    a full disk is only logged."""
    if call.worker is not None:
        detail.setdefault("by", call.worker.label())
    record = AuditRecord(
        time=now(),
        event=event,
        subject=deployment,
        deployment=deployment,
        user=who(call),
        detail=msgspec.Raw(msgspec.json.encode(detail)),
    )
    try:
        host.store.append(AuditEntry(record))
    except StoreFull as error:
        log.error("%s of '%s' could not be recorded: %s", event, deployment, error)
