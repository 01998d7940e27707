"""Paths of a deployment that its settings choose: their form, and what they may not hide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from warmcell.errors import UsageError

__all__ = ["FIXED", "check_paths", "clean", "segments", "shape"]

# What every deployment has; a configured path comes beside it, not instead of it.
FIXED: Mapping[str, tuple[str, str]] = {
    "invoke_url_path": ("/invoke", "POST"),
    "submit_url_path": ("/submit", "POST"),
    "health_url_path": ("/health", "GET"),
    "info_url_path": ("/info", "GET"),
    "metrics_url_path": ("/metrics", "GET"),
    "docs_url_path": ("/docs", "GET"),
}
_OTHERS = ("/livez", "/readyz", "/openapi.json")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


def clean(path: str, *, placeholders: bool = False) -> str:
    """``path`` with one slash in front and none at the end. Raises ValueError for what no URL of
    a deployment can be."""
    parts = path.strip("/").split("/")
    if parts == [""]:
        raise ValueError("a path below the deployment's URL, such as /predict, is expected")
    for part in parts:
        if placeholders and _PLACEHOLDER.fullmatch(part):
            continue
        if part in (".", "..") or not _SEGMENT.fullmatch(part):
            hint = " or {placeholders}" if placeholders else ""
            raise ValueError(
                f"the part {part!r} of a path has other characters than letters, digits, '.', "
                f"'_', '~' and '-'{hint}"
            )
    if parts[0].startswith("_"):
        raise ValueError("paths that begin with '_' are Warmcell's own")
    if parts[0] == "runs":
        raise ValueError("'/runs' and what is below it show the deployment's runs")
    return "/" + "/".join(parts)


def segments(path: str) -> list[str | None]:
    """The segments of an endpoint's path; None stands for a placeholder."""
    return [None if _PLACEHOLDER.fullmatch(part) else part for part in path.strip("/").split("/")]


def shape(path: str) -> str:
    """``path`` without the names of its placeholders: two paths of one shape match the same."""
    return _PLACEHOLDER.sub("{}", path)


def check_paths(chosen: Mapping[str, str], endpoints: Iterable[tuple[str, str, str]]) -> None:
    """Raise :class:`UsageError` where two things would answer the same request.

    ``chosen`` are the paths by the names of their settings, ``endpoints`` a method, a path and a
    name each.
    """
    taken = {("GET", path): f"Warmcell's own {path}" for path in _OTHERS}
    taken |= {(method, path): f"Warmcell's own {path}" for path, method in FIXED.values()}
    for setting, path in chosen.items():
        usual, method = FIXED[setting]
        if path != usual:  # that would be the same thing twice
            _take(taken, method, path, f"the setting '{setting}'")
    for method, path, name in endpoints:
        _take(taken, method, path, f"the endpoint '{name}'")


def _take(taken: dict[tuple[str, str], str], method: str, path: str, who: str) -> None:
    key = method, shape(path)
    if key in taken:
        raise UsageError(
            f"{method} {path} is taken twice: by {taken[key]} and by {who}.",
            hint="Give one of them another path, or remove what you no longer need.",
        )
    taken[key] = who
