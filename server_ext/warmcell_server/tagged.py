"""Lists with the tags of what they have, and of what has certain tags only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from warmcell.errors import StoreError, Unavailable
from warmcell_server.intime import read

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.operation import Call

__all__ = ["tags_asked", "with_tags"]


def tags_asked(call: Call) -> list[str]:
    """The tags that a query names, with commas between them: names, or ``contains:`` and the
    like."""
    return [part.strip() for part in call.query.get("tag", "").split(",") if part.strip()]


async def with_tags(
    host: Host,
    call: Call,
    kind: str,
    rows: Iterable[dict[str, Any]],
    key: Callable[[dict[str, Any]], str],
) -> list[dict[str, Any]]:
    """``rows`` of one ``kind``, each with its ``tags``; where the query names some, those only
    that all of them fit."""
    found = {key(row): row for row in rows}
    if not found:
        return []
    wanted = {"kind": kind, "keys": list(found), "tags": tags_asked(call)}
    try:
        tags = await read(host.store.read("tagged_among", **wanted))
    except (Unavailable, StoreError):
        if wanted["tags"]:
            raise
        return list(found.values())  # what is served is worth more than its tags
    return [row | {"tags": tags[name]} for name, row in found.items() if name in tags]
