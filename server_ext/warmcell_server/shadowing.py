"""Shadowing: calls that another snapshot executes too, its answers compared and never returned.

A shadow begins when the real call has ended: it takes no place and no time from that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from warmcell import wire
from warmcell.answers import each_difference
from warmcell.ids import new_id
from warmcell_server.calls import Waiting, Wanted, heard

if TYPE_CHECKING:
    from warmcell_server.shadow import Shadow

__all__ = ["Shadowing"]

COMPARED = 256 << 10  # bytes of an answer; larger ones have to be equal byte for byte
USER = "shadow"  # who asked for the real run by its key does not see what shadowed it

_COMPARABLE = frozenset({"succeeded", "failed", "timed_out", "invalid"})


class Shadowing:
    """All calls that shadow others now. Belongs to the host's event loop."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Shadow, wire.Answer]] = {}  # by the id of the shadowing run

    def begin(self, real: Waiting, answer: wire.Answer, moment: int) -> Iterator[Waiting]:
        """The calls that shadow ``real``, which has just ended; all of them have to be sent."""
        deployment, wanted = real.deployment, real.wanted
        traffic = deployment.traffic
        if traffic is None or not traffic.shadowed or answer.status not in _COMPARABLE:
            return
        for snapshot in traffic.shadows(real.run_id):
            shadow = traffic.shadowed[snapshot]
            if wanted.file is not None or not deployment.holders(snapshot):
                shadow.ended("dropped")  # an upload is gone with its call
                continue
            call = Waiting(
                new_id(),
                real.parameters,
                USER,
                "shadow",
                Wanted(
                    snapshot=snapshot,
                    origin=real.run_id,
                    content_type=wanted.content_type,
                    query=wanted.query,
                    accept=wanted.accept,
                    headers=wanted.headers,
                ),
                deployment,
                moment,
                0,
                0,
                int(deployment.limits.timeout * 1_000_000),
                asyncio.get_running_loop().create_future(),
                snapshot=snapshot,
                shadow=True,
            )
            call.future.add_done_callback(heard)
            self._open[call.run_id] = shadow, answer
            yield call

    def ended(self, call: Waiting, answer: wire.Answer | None) -> None:
        """A call that shadows another ended; without an answer nothing executed it."""
        shadow, real = self._open.pop(call.run_id)
        shadow.ended("dropped" if answer is None else _outcome(real, answer))


def _outcome(real: wire.Answer, shadow: wire.Answer) -> str:
    if shadow.status != "succeeded":
        return "same" if real.status == shadow.status else "failed"
    if real.status != "succeeded":
        return "different"
    if (real.body, real.content_type) != (shadow.body, shadow.content_type):
        return "different"
    first, second = real.outputs or b"null", shadow.outputs or b"null"
    if first == second:
        return "same"
    if max(len(first), len(second)) > COMPARED:
        return "different"
    apart = each_difference(msgspec.json.decode(first), msgspec.json.decode(second))
    return "same" if next(apart, None) is None else "different"
