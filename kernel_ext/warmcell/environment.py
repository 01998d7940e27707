"""What a kernel consists of: Python, platform and packages, and how two of them differ."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

__all__ = ["differences", "environment", "warning"]

_SHOWN = 12  # packages that a warning names


@cache
def environment() -> dict[str, Any]:
    """Python, platform and package versions of this kernel."""
    from importlib.metadata import distributions

    packages = {found.name: found.version for found in distributions()}
    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items())),
    }


def differences(recorded: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """What is different, as texts like ``"pandas 3.0.1 -> 3.1.1"``; a package that one side does
    not have is ``none`` there. Nothing where nothing was recorded."""
    if not recorded or not recorded.get("packages"):
        return []
    found = [
        f"{name} {recorded[name]} -> {now.get(name)}"
        for name in ("python", "implementation", "platform")
        if recorded.get(name) and recorded[name] != now.get(name)
    ]
    before, after = recorded["packages"], now.get("packages") or {}
    return found + [
        f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in sorted(before.keys() | after.keys(), key=str.lower)
        if before.get(name) != after.get(name)
    ]


def warning(recorded: Mapping[str, Any] | None) -> str | None:
    """A sentence on how this kernel differs from the one that took a snapshot, or None."""
    found = differences(recorded, environment())
    if not found:
        return None
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"Restored in another environment than it was deployed from: {', '.join(found[:_SHOWN])}"
        f"{more}. Answers may differ; install the recorded versions, or deploy again."
    )
