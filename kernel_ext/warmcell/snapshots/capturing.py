"""Taking a snapshot: survey, write, load back, check."""

from __future__ import annotations

import copy as copying
import sys
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from warmcell.errors import SnapshotError
from warmcell.snapshots import pickler as writing
from warmcell.snapshots.kinds import (
    Kind,
)
from warmcell.snapshots.loader import Loader
from warmcell.snapshots.paths import place_of
from warmcell.snapshots.rebuild import RebuildError
from warmcell.snapshots.survey import Survey

_ATTEMPTS = 60
_RACES = 20
_RECURSION = 15_000
_STACK = 256 << 20


class Written:
    """The stream of a snapshot, what it refers to, and the roots loaded back from it."""

    def __init__(
        self,
        survey: Survey,
        stream: bytes,
        references: list[object],
        held: dict[int, writing.Held],
        files: list[str],
        live: dict[str, object],
        originals: list[object],
    ) -> None:
        self.survey = survey
        self.stream = stream
        self.references = references
        self.originals = originals
        self.held = held
        self.files = files
        self.live = live


def take(
    roots: dict[str, object],
    *,
    namespace: dict[str, Any] | None,
    copy: Collection[str],
    extra: Collection[str],
) -> Written:
    """Survey, write and load back. Raises :class:`SnapshotError` if a root cannot be copied."""
    if namespace is None:
        namespace = vars(sys.modules["__main__"])
    survey = Survey(roots, namespace=namespace, extra=extra)
    copied = frozenset(copy)
    held = {
        key: writing.Held(target, "it defines `__del__`, which a copy would run as well")
        for key in survey.carriers
        if hasattr(type(target := survey.objects[key]), "__del__")
    }
    races = 0
    write = writing.write
    for _ in range(_ATTEMPTS):
        pickler: writing.SnapshotPickler | None = None
        try:
            stream, pickler = write(survey, held)
            owners = [place_of(survey, id(o)).variable for o in pickler.references]
            references = [
                deep(o) if name in copied else _shared(o, survey)
                for o, name in zip(pickler.references, owners, strict=True)
            ]
            live = Loader(stream, references).load()
        except RebuildError as error:
            _hold_class(survey, held, error)
        except writing.WriteError as error:
            if _is_race(error.cause) and races < _RACES:
                races += 1
                continue
            if _is_deep(error.cause) and write is writing.write:
                write = _write_with_room
                continue
            _hold(survey, held, error)
        except Exception as error:  # rebuilding runs the objects' own code
            raise SnapshotError(
                f"A copy of the pipeline cannot be made: {type(error).__name__}: {error}."
            ) from error
        else:
            return Written(
                survey, stream, references, held, list(pickler.files), live, pickler.references
            )
    raise SnapshotError(
        "Too many objects of this pipeline refuse to be copied.",
        hint="Make the objects that hold connections or threads in `on_init`.",
    )


def _write_with_room(
    survey: Survey, held: dict[int, writing.Held]
) -> tuple[bytes, writing.SnapshotPickler]:
    """Write deeply nested objects: on a thread with a large stack and a higher recursion limit."""
    limit, stack = sys.getrecursionlimit(), threading.stack_size()
    try:
        sys.setrecursionlimit(max(limit, _RECURSION))
        threading.stack_size(_STACK)
        pool = ThreadPoolExecutor(1, thread_name_prefix="warmcell-capture")
        with pool:
            return pool.submit(writing.write, survey, held).result()
    finally:
        threading.stack_size(stack)
        sys.setrecursionlimit(limit)


def _is_deep(error: BaseException) -> bool:
    return isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)


def _is_race(error: BaseException) -> bool:
    """Another thread changed a container while it was written: the next attempt may be lucky."""
    return isinstance(error, RuntimeError) and "changed size during iteration" in str(error)


def _hold(survey: Survey, held: dict[int, writing.Held], error: writing.WriteError) -> None:
    roots = {id(survey.roots), *map(id, survey.roots.values())}
    for key in error.candidates:
        if key not in held and key not in roots:
            cause = error.cause
            held[key] = writing.Held(survey.objects[key], f"{type(cause).__name__}: {cause}")
            return
    raise SnapshotError(f"The pipeline cannot be captured: {error.cause}") from error.cause


def _hold_class(survey: Survey, held: dict[int, writing.Held], error: RebuildError) -> None:
    for key in survey.code:
        target = survey.objects[key]
        if isinstance(target, type) and target.__qualname__ == error.qualname and key not in held:
            held[key] = writing.Held(target, str(error))
            return
    raise SnapshotError(
        f"The class `{error.qualname}` cannot be captured: {error}."
    ) from error.__cause__


def _shared(target: Any, survey: Survey) -> Any:
    """What the live binding uses for a referenced object: the object itself, or for frames a
    shallow copy, which copy-on-write protects from later changes."""
    if survey.kind(target) is not Kind.FRAME:
        return target
    if type(target).__module__.startswith("polars."):
        return target.clone()
    return target.copy(deep=False) if _copies_on_write() else target


def _copies_on_write() -> bool:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    return int(str(pandas.__version__).partition(".")[0]) >= 3


def deep(target: Any) -> Any:
    """A copy of a referenced object that nothing else holds."""
    return copying.deepcopy(target)
