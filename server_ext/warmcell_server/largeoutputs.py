"""Large outputs: JSON that the history keeps in files, put back where somebody asks for a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from warmcell.blobs import read

__all__ = ["INLINE", "inline"]

INLINE = 1 << 20  # bytes of an output that a run is shown with; more is fetched by itself


async def inline(run: dict[str, Any], blobs: Path, most: int | None = None) -> None:
    """Replace, in the outputs of ``run``, references to files of JSON by what they hold.

    Those larger than ``most`` bytes stay references, as do those whose file is gone.
    """
    outputs = run.get("outputs")
    if not isinstance(outputs, dict):
        return
    for artifact in run.get("artifacts") or ():
        name = artifact["name"].removeprefix("outputs/")
        if artifact["kind"] != "output" or artifact["digest"] is None or name not in outputs:
            continue
        if artifact["value"]["content_type"] != "application/json":
            continue
        if most is None or artifact["size"] <= most:
            try:
                data = await asyncio.to_thread(read, blobs, artifact["digest"])
            except OSError:
                continue
            outputs[name] = msgspec.Raw(data)
