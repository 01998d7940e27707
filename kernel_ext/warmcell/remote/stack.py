"""Where a store keeps files, by ZenML's names: ``client.active_stack.artifact_store.path``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, cast

from warmcell.errors import UsageError
from warmcell.materializers.base_materializer import ArtifactStore

if TYPE_CHECKING:
    from warmcell.client import Client

__all__ = ["Stack", "StackClient"]

FOLDER = "files"


class Stack:
    """Where things are kept: ``name``, and ``artifact_store``, a folder beside the store for files
    that are to be registered (:func:`warmcell.register_artifact`)."""

    def __init__(self, client: Client) -> None:
        self.name = "default"
        self._client = client

    @functools.cached_property
    def artifact_store(self) -> ArtifactStore:
        """The folder. Raises :class:`UsageError` where the store is on another machine."""
        home = Path(self._client._call("GET", "api/v1/status")["home"])
        if not home.is_dir():
            raise UsageError(
                f"The store is at {home} of another machine.",
                hint="Write your files anywhere on this one, and save_artifact(path, name).",
            )
        folder = home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        return ArtifactStore(str(folder))

    def __repr__(self) -> str:
        return f"<stack {self.name}>"


class StackClient:
    """The part of the client that is about where files are."""

    @property
    def active_stack(self) -> Stack:
        """Where things are kept; there is one place."""
        return Stack(cast("Client", self))
