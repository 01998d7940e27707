"""Which objects of this process are stored values: what was loaded, saved or kept as a version.

A snapshot that holds such an object, or whose ``on_init`` loaded one, says of which version it is;
so lineage goes on to the deployment. Objects are known as long as they live. What Python cannot
refer to weakly (a dict, a list, a number) is not known by itself.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

__all__ = ["among", "collecting", "loaded", "remember"]

_known: dict[int, tuple[weakref.ref[Any], str]] = {}
_collected: ContextVar[dict[str, None] | None] = ContextVar("warmcell_loaded", default=None)


def remember(value: Any, version: str) -> None:
    """``value`` is the artifact version of that id, if it can be remembered."""
    key = id(value)
    try:
        _known[key] = weakref.ref(value, partial(_forget, key)), version
    except TypeError:
        return


def loaded(value: Any, version: str) -> None:
    """``value`` was loaded from the artifact version of that id."""
    remember(value, version)
    if (collected := _collected.get()) is not None:
        collected[version] = None


def among(objects: Mapping[int, object]) -> dict[int, str]:
    """The versions of those objects (by id) that are known, by the ids of the objects."""
    found = {}
    for key, (ref, version) in list(_known.items()):
        value = ref()
        if value is not None and objects.get(key) is value:
            found[key] = version
    return found


@contextmanager
def collecting() -> Iterator[dict[str, None]]:
    """Collect the versions that are loaded within, in the order in which they are."""
    found: dict[str, None] = {}
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def _forget(key: int, ref: weakref.ref[Any]) -> None:
    if (known := _known.get(key)) is not None and known[0] is ref:
        del _known[key]
