"""``warmcell store``: how much the history takes, and deleting what is old."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from warmcell.cli import show
from warmcell.cli.given import client

__all__ = ["export", "import_", "prune", "size", "usage"]

DAY = 86_400.0


def usage(given: Namespace) -> None:
    """Print how much there is, how it grows, and what is kept at most."""
    found = client(given).store_usage()
    if given.json:
        show.as_json(found)
        return
    keep = found["keep"]
    limits = [
        f"{keep['days']:g} days" if keep["days"] else "",
        f"{keep['runs']:,} runs" if keep["runs"] else "",
        size(keep["bytes"]) if keep["bytes"] else "",
    ]
    show.pairs(
        {
            "store": found["home"],
            "size": f"{size(found['total'])} (database {size(found['database'])}, "
            f"files {size(found['blobs'])})",
            "runs": f"{found['runs']:,}, the oldest of {found['oldest'] or 'none'}",
            "artifacts": f"{found['artifacts']:,} versions, {size(found['artifact_bytes'])}",
            "last day": _came(found["last_day"]),
            "last week": _came(found["last_week"]),
            "kept": f"at most {', '.join(filter(None, limits))}" if any(limits) else "everything",
        }
    )


def prune(given: Namespace) -> None:
    """Delete old runs, or say how many that would be."""
    gone = client(given).prune(
        max_age_days=None if given.older_than is None else given.older_than / DAY,
        max_runs=given.max_runs,
        max_bytes=given.max_bytes,
        pipeline=given.pipeline,
        deployment=given.deployment,
        dry_run=given.dry_run,
    )
    if given.json:
        show.as_json(gone)
        return
    verb = "would go" if given.dry_run else "went"
    show.value(
        f"{gone['runs']:,} runs {verb}, with {gone['versions']:,} versions of artifacts; "
        f"{gone['blobs']:,} files of {size(gone['bytes'])}."
    )


def export(given: Namespace) -> None:
    """Write the history as Parquet."""
    found = client(given).export_store(given.folder, blobs=not given.no_files)
    if given.json:
        show.as_json(found)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in found["tables"].items() if count)
    show.value(f"{found['folder']}: {rows or 'nothing'}; {_files(found)}.")


def import_(given: Namespace) -> None:
    """Take in what is new in an export or in another store."""
    found = client(given).import_store(given.folder)
    if given.json:
        show.as_json(found)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in found["tables"].items() if count)
    show.value(f"Came: {rows or 'nothing new'}; {_files(found)}.")


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _came(found: Mapping[str, Any]) -> str:
    return f"{found['runs']:,} runs, {size(found['bytes'])}"


def _files(found: Mapping[str, Any]) -> str:
    lost = found.get("missing") or found.get("damaged")
    more = f", {lost:,} were lost or damaged" if lost else ""
    return f"{found['blobs']:,} files of {size(found['bytes'])} in all{more}"
