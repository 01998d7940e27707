"""Shadowing: calls that another snapshot executes too, its answers compared and never returned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from warmcell.ids import new_id
from warmcell_server.calls import Waiting, Wanted, heard

if TYPE_CHECKING:
    from warmcell_server.shadow import Shadow

__all__ = ["Shadowing"]

COMPARED = 256 << 10  # bytes of an answer; larger ones have to be equal byte for byte


@dataclass
class _End:
    status: str
    outputs: bytes | None


@dataclass
class _Pair:
    """A call and those that shadow it, as far as they have ended."""

    open: dict[str, Shadow]
    real: _End | None = None
    ended: list[tuple[Shadow, _End]] = field(default_factory=list)


class Shadowing:
    """All calls that are shadowed now. Belongs to the host's event loop."""

    def __init__(self) -> None:
        self._pairs: dict[str, _Pair] = {}  # by the id of the real run

    def begin(self, real: Waiting, moment: int) -> Iterator[Waiting]:
        """The calls that shadow ``real``, which was just sent; all of them have to be sent."""
        deployment, wanted = real.deployment, real.wanted
        traffic = deployment.traffic
        if traffic is None or real.again:
            return
        pair = _Pair({})
        made = []
        for snapshot in traffic.shadows(real.run_id):
            shadow = traffic.shadowed[snapshot]
            if wanted.file is not None:  # it is gone when the real call has ended
                shadow.ended("dropped")
                continue
            call = Waiting(
                new_id(),
                real.parameters,
                real.user,
                "shadow",
                Wanted(
                    snapshot=snapshot,
                    origin=real.run_id,
                    content_type=wanted.content_type,
                    query=wanted.query,
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
            pair.open[call.run_id] = shadow
            made.append(call)
        if made:
            self._pairs[real.run_id] = pair
        yield from made

    def ended(self, call: Waiting, status: str, outputs: bytes | None) -> None:
        """A call ended, a real one or one that shadows it."""
        origin = call.wanted.origin if call.shadow else call.run_id
        pair = self._pairs.get(origin or "")
        if pair is None:
            return
        end = _End(status, outputs)
        if call.shadow:
            pair.ended.append((pair.open.pop(call.run_id), end))
        else:
            pair.real = end
        if pair.real is None:
            return
        for shadow, its in pair.ended:
            shadow.ended(_outcome(pair.real, its))
        pair.ended = []
        if not pair.open:
            del self._pairs[origin or ""]


def _outcome(real: _End, shadow: _End) -> str:
    if shadow.status != "succeeded":
        return "same" if real.status == shadow.status else "failed"
    if real.status != "succeeded":
        return "different"
    first, second = real.outputs or b"", shadow.outputs or b""
    if first == second:
        return "same"
    if max(len(first), len(second)) > COMPARED:
        return "different"
    return "same" if msgspec.json.decode(first) == msgspec.json.decode(second) else "different"
