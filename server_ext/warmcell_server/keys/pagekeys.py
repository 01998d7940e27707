"""Keys for the pages of a deployment's own front end: short-lived, signed and kept nowhere."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

import msgspec

from warmcell.errors import Unauthenticated
from warmcell.ids import now
from warmcell_server.keys.key import Key, random_text

__all__ = ["TEMPORARY", "PageKeys", "void"]

TEMPORARY: Final = "wck_tmp."
_ID = 16


class _Claim(msgspec.Struct, array_like=True):
    """What a temporary key says of itself, signed."""

    id: str
    deployment: str
    created_at: int
    expires_at: int
    parent: str | None = None
    anybody: bool = False


_decode = msgspec.json.Decoder(_Claim).decode


def void() -> Unauthenticated:
    """The error for a key of a page that is one no more."""
    return Unauthenticated("The key of this page has expired.", hint="Load the page again.")


class PageKeys:
    """Makes such keys and knows its own. They are void once the process ends."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._void: dict[str, int] = {}  # per deployment: keys made until then are void

    def make(
        self, deployment: str, seconds: float, *, by: Key | None = None, anybody: bool = False
    ) -> str:
        """Return a key of ``deployment`` with the scope "invoke", for a page that was given to the
        holder of the key ``by``, to ``anybody``, or to a user of Jupyter's."""
        moment = now()
        claim = _Claim(random_text(_ID), deployment, moment, moment + int(seconds * 1e6))
        claim.anybody = anybody
        if by is not None:
            claim.expires_at = min(claim.expires_at, by.expires_at or claim.expires_at)
            claim.parent = by.id
        if by is not None and by.page:  # the page was loaded again, which makes its key no younger
            claim.parent, claim.anybody = by.parent, by.anybody
        payload = _url_text(msgspec.json.encode(claim))
        return f"{TEMPORARY}{payload}.{self._sign(payload)}"

    def find(self, text: str) -> Key:
        """Return the key that ``text`` is, or raise :class:`Unauthenticated`."""
        payload, _, signature = text.removeprefix(TEMPORARY).partition(".")
        if hmac.compare_digest(self._sign(payload).encode(), signature.encode("utf-8", "replace")):
            claim = _decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if claim.expires_at > now() and claim.created_at > self._void.get(claim.deployment, 0):
                return Key(
                    id=claim.id,
                    name="page",
                    deployment=claim.deployment,
                    scopes=["invoke"],
                    created_at=claim.created_at,
                    expires_at=claim.expires_at,
                    page=True,
                    parent=claim.parent,
                    anybody=claim.anybody,
                )
        raise void()

    def revoke(self, deployment: str) -> None:
        """Refuse the keys of ``deployment`` that were made until now."""
        self._void[deployment] = now()

    def _sign(self, payload: str) -> str:
        data = payload.encode("utf-8", "replace")
        return _url_text(hmac.digest(self._secret, data, "sha256"))


def _url_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
