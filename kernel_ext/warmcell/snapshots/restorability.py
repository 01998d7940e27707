"""Whether a referenced object can be written to disk, found out without writing it."""

from __future__ import annotations

import pickle
from typing import Any

from warmcell.snapshots import pickler as writing
from warmcell.snapshots.kinds import (
    Kind,
    has_reducer,
    is_iterator,
)
from warmcell.snapshots.survey import Survey

_CHEAP = (Kind.ARRAY, Kind.FRAME, Kind.LOCK, Kind.VALUE)


class _Sink:
    """A file that forgets."""

    def write(self, data: Any) -> int:
        return len(data)


def unrestorable(target: object, survey: Survey, held: dict[int, writing.Held]) -> str | None:
    """Why an object cannot be stored, or None. A trial is made only where something below the
    object looks as if it refused."""
    if id(target) in held:
        return "its code could not be copied"
    kind = survey.kind(target)
    if kind in _CHEAP:
        return None
    if is_iterator(type(target)):
        return "its values are gone once they were read"
    if not _suspect(target, survey):
        return None
    try:
        writing.ReferencePickler(_Sink(), writing.EMPTY, _drop).dump(target)
    except Exception as error:  # the object's own code
        return f"{type(error).__name__}: {error}".rstrip(".")
    return None


def _drop(buffer: pickle.PickleBuffer) -> bool:
    return False


def _suspect(target: object, survey: Survey) -> bool:
    seen = {id(target)}
    pending = [id(target)]
    probed: set[type] = set()
    while pending:
        key = pending.pop()
        item = survey.objects.get(key)
        if survey.kind(item) is Kind.OPAQUE:
            return True
        cls = type(item)
        if cls not in probed and survey.kind(item) is Kind.OBJECT:
            probed.add(cls)
            if not has_reducer(cls) and not _reduces(item):
                return True
        for child in survey.children.get(key, ()):
            if child not in seen:
                seen.add(child)
                pending.append(child)
    return False


def _reduces(item: object) -> bool:
    try:
        item.__reduce_ex__(5)
    except Exception:  # the object's own code
        return False
    return True
