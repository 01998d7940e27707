"""Admission: from what a caller wants and a deployment allows to a call with its deadlines."""

from __future__ import annotations

import asyncio

from warmcell.errors import Unavailable
from warmcell.ids import new_id, now
from warmcell_server.calls import Waiting, Wanted
from warmcell_server.deployment import Deployment

__all__ = ["QUEUED_SECONDS", "admitted", "comes_back"]

LONGEST_SECONDS = 1e9  # of a timeout: more would be no date
QUEUED_SECONDS = 24 * 3600.0  # an asynchronous run waits at most so long unless it says otherwise


def admitted(
    deployment: Deployment,
    parameters: bytes,
    user: str | None,
    trigger: str,
    wanted: Wanted,
    arrived: int,
) -> Waiting:
    """A call of ``deployment``. Timeouts of the caller shorten those of the deployment; they count
    from ``arrived`` (microseconds, UTC), or from now where that is 0.

    Raises:
        Unavailable: its time has passed already.
    """
    limits = deployment.limits
    moment = now()
    created = arrived or moment
    whole = _least(wanted.timeout, None if wanted.detached else limits.timeout)
    if arrived and whole is not None and created + int(whole * 1_000_000) <= moment:
        raise Unavailable(
            f"The {whole:g} s of the call passed while the server or its store was not ready.",
            hint="Send the request again, or give it more time.",
        )
    queue = _least(wanted.queue_timeout, limits.queue_timeout)
    if queue is None and wanted.detached:
        queue = QUEUED_SECONDS
    run = _least(wanted.run_timeout, limits.run_timeout)
    if wanted.detached:
        run = _least(run, limits.timeout)
    return Waiting(
        new_id(),
        parameters,
        user,
        trigger,
        wanted,
        deployment,
        created,
        0 if whole is None else created + int(whole * 1_000_000),
        0 if queue is None else created + int(queue * 1_000_000),
        0 if run is None else int(run * 1_000_000),
        asyncio.get_running_loop().create_future(),
    )


def comes_back(deployment: Deployment, wanted: Wanted) -> bool:
    """Whether a call may wait for a worker: one is expected before the call's deadline."""
    restoration = deployment.restoration
    if restoration is None:
        return False
    limits = deployment.limits
    seconds = _least(wanted.timeout, limits.timeout)
    seconds = _least(seconds, _least(wanted.queue_timeout, limits.queue_timeout))
    soon = restoration.next_at is None or seconds is None or seconds > restoration.retry_after
    return soon or wanted.detached


def _least(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        given = second if first is None else first
        return None if given is None else min(given, LONGEST_SECONDS)
    return min(first, second, LONGEST_SECONDS)
