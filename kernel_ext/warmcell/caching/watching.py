"""What a step is given that other steps take too: did the step change it in place?

Results are taken again by what the step before gave. A step that changes that for those after it
does so only when it runs; neither its own results nor theirs can be taken again.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.caching.key import digest_of
from warmcell.graph import Pack, Ref
from warmcell.runner.taking import HANDLES
from warmcell.snapshots.kinds import ATOMS

if TYPE_CHECKING:
    from warmcell.graph import Node

__all__ = ["Watched", "nodes_in", "watch"]


class Watched(NamedTuple):
    """The ``value`` of the input ``name``, which ``node`` gave (its index), and its digest."""

    name: str
    node: int
    value: Any
    digest: str | None

    def changed(self) -> bool:
        """Whether it is not what it was."""
        return self.digest is not None and _digest(self.value) != self.digest


def watch(
    node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], shared: Container[int] | None
) -> list[Watched]:
    """What a node takes from nodes that are ``shared``, with its digest of now. ``None`` for
    ``shared`` means all of them."""
    found = []
    names = [*node.step.positional, *(f"[{n}]" for n in range(len(node.args)))]
    given = [*zip(names, node.args, args, strict=False)]
    given += [(name, node.kwargs[name], kwargs[name]) for name in node.kwargs if name in kwargs]
    for name, source, value in given:
        if type(value) in ATOMS or type(value) in HANDLES:
            continue
        indices = [one for one in nodes_in(source) if shared is None or one in shared]
        if indices:
            digest = _digest(value)
            found += [Watched(name, index, value, digest) for index in dict.fromkeys(indices)]
    return found


def nodes_in(source: Any) -> Iterator[int]:
    """The indexes of the nodes that an argument is made of."""
    if type(source) is Ref:
        yield source.node
    elif type(source) is Pack:
        for item in source.items:
            yield from nodes_in(item)


def _digest(value: Any) -> str | None:
    try:
        return digest_of(value)
    except Exception:  # of the value's own code
        return None
