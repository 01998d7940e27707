"""The client's part about the store as a whole: how much it holds, and deleting what is old."""

from __future__ import annotations

import os
from os import PathLike
from typing import Any

from warmcell.errors import UsageError
from warmcell.remote.asking import Asking

__all__ = ["StoreClient"]

PRUNE_SECONDS = 600.0
ALL_SECONDS = 3600.0  # for all that there is


class StoreClient(Asking):
    """The store of the history."""

    def store_usage(self) -> dict[str, Any]:
        """Return how much the store holds: the numbers of ``runs``, ``snapshots`` and
        ``artifacts``, the bytes of ``database``, ``blobs`` and ``spool`` and their ``total``, what
        came in the ``last_day`` and the ``last_week``, and what is kept at most (``keep``)."""
        found: dict[str, Any] = self._call("GET", "api/v1/store")
        return found

    def export_store(
        self, folder: str | PathLike[str] | None = None, *, blobs: bool = True
    ) -> dict[str, Any]:
        """Write the whole history as Parquet, a file per table, to a folder that is not there yet,
        while the server goes on; by default to a new one inside the store. ``blobs`` says whether
        the files of artifacts, outputs and snapshots come along.

        The folder is one of the server's machine. Returns ``folder``, ``tables`` (rows of each),
        ``blobs`` (how many), ``bytes``, and ``missing``, files that were lost before.
        """
        body = {"to": None if folder is None else _absolute(folder), "blobs": blobs}
        found: dict[str, Any] = self._call("POST", "api/v1/store/export", body, timeout=ALL_SECONDS)
        return found

    def import_store(self, folder: str | PathLike[str]) -> dict[str, Any]:
        """Take in what is new in an export, or in the folder of another store (which is brought up
        to date for that). What is here already stays as it is, so that repeating it is harmless.

        Snapshots and artifact versions get the next free numbers; deployments come as removed ones;
        what another user has signed has to be trusted before its code runs. Runs that go on, and
        what steps have cached, stay out. Returns ``tables`` (rows that came), ``blobs``, ``bytes``,
        and ``damaged``, files that are not what their name says and stayed out.
        """
        found: dict[str, Any] = self._call(
            "POST", "api/v1/store/import", {"from": _absolute(folder)}, timeout=ALL_SECONDS
        )
        return found

    def prune(
        self,
        *,
        max_age_days: float | None = None,
        max_runs: int | None = None,
        max_bytes: int | str | None = None,
        pipeline: str | None = None,
        deployment: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Delete ended runs that are older, beyond the newest so many, or the oldest until the rest
        takes no more bytes (also as text: ``"2 GB"``); of all, or of one pipeline or deployment.
        Without a limit those hold that the server is configured with.

        Artifacts that something else uses stay. Returns how many ``runs``, ``versions`` of
        artifacts and ``blobs`` of how many ``bytes`` went; with ``dry_run`` would go.
        """
        from warmcell.config.deployment_settings import bytes_of

        try:
            most = None if max_bytes in (None, 0) else bytes_of(max_bytes)
        except ValueError as error:
            raise UsageError(f"max_bytes is {max_bytes!r}: {error}.") from None
        body = {
            "max_age_days": max_age_days,
            "max_runs": max_runs,
            "max_bytes": 0 if max_bytes == 0 else most,
            "pipeline": pipeline,
            "deployment": deployment,
            "dry_run": dry_run,
        }
        found: dict[str, Any] = self._call(
            "POST", "api/v1/store/prune", body, timeout=PRUNE_SECONDS
        )
        return found


def _absolute(folder: str | PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(folder))
