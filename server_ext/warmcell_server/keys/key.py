"""A key: what it opens, and until when."""

from __future__ import annotations

import secrets
import string
from typing import Any, Final, Literal

import msgspec

from warmcell.ids import now, rfc3339

__all__ = ["PREFIX", "Key", "Scope", "random_text"]

PREFIX: Final = "wck_"
Scope = Literal["invoke", "read"]

_LETTERS = string.digits + string.ascii_letters


class Key(msgspec.Struct, omit_defaults=True):
    """A key as it is kept. Times in microseconds; ``digest`` is the SHA-256 of the key, as hex.

    The key of a ``page`` of a front end is in no file. It opens no more than who got the page may
    open: the holder of the key ``parent``, or ``anybody`` while the deployment is public.
    """

    id: str
    name: str
    deployment: str
    scopes: list[Scope]
    created_at: int
    expires_at: int | None = None
    created_by: str | None = None
    last_used_at: int | None = None
    digest: str = ""
    page: bool = False
    parent: str | None = None
    anybody: bool = False

    @property
    def user(self) -> str:
        """Who makes the runs that are made with it."""
        return f"page:{self.id}" if self.page else f"key:{self.name}"

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    def describe(self) -> dict[str, Any]:
        """The key as the control plane shows it: without anything secret."""
        return {
            "id": self.id,
            "name": self.name,
            "deployment": self.deployment,
            "scopes": self.scopes,
            "created_at": rfc3339(self.created_at),
            "expires_at": rfc3339(self.expires_at) if self.expires_at else None,
            "expired": self.expired,
            "created_by": self.created_by,
            "last_used_at": rfc3339(self.last_used_at) if self.last_used_at else None,
        }


def random_text(length: int) -> str:
    """Return so many random characters of base 62, which is 5.95 bits each."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
