"""Asking: what the parts of the client have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["Asking"]


class Asking(ABC):
    """A part of the client, which asks the control plane of its host."""

    @abstractmethod
    def _call(
        self, method: str, path: str, body: object | None = None, *, timeout: float = 30.0
    ) -> Any:
        """The answer to a request for ``path`` below the host's address, within ``timeout``
        seconds. Raises the error that the host answers with."""
