"""The public face of a snapshot that was taken in this process."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import msgspec

from warmcell.snapshots.capturing import Written, take
from warmcell.snapshots.stored import StoredForm


class Held(msgspec.Struct, omit_defaults=True):
    """One object of the notebook that a snapshot uses without writing it into its code.

    ``path`` says how it is reached (``con <- lookup <- answer``), ``by`` whether later changes of
    the notebook's object are seen ("reference") or not ("copy"), ``size`` is in bytes.
    """

    name: str
    path: str
    by: Literal["copy", "reference"]
    type: str
    size: int
    restorable: bool = True
    fingerprint: str | None = None


class Capture:
    """A snapshot in this process: ``live`` are the rebuilt roots."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self.live = written.live
        self.digest = ""
        self.notes: list[str] = []
        self.held: list[Held] = []
        self.restorable = True

    def drift(self) -> list[Held]:
        """What is held by reference and has changed since the capture."""
        return []

    def store(self, blobs: Path) -> StoredForm:
        """Write the stored form into the folder of blobs."""
        raise AssertionError


def capture(
    roots: dict[str, object],
    *,
    namespace: dict[str, Any] | None = None,
    copy: Collection[str] = (),
    extra: Collection[str] = (),
) -> Capture:
    """Take a snapshot of ``roots``.

    ``namespace`` is the notebook's; by default that of ``__main__``. ``copy`` names variables whose
    large values are copied instead of shared; ``extra`` names variables to include that no code
    names (found by ``eval`` or ``globals()``). Raises :class:`warmcell.errors.SnapshotError`.
    """
    return Capture(take(roots, namespace=namespace, copy=copy, extra=extra))
