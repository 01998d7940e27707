"""Idempotency keys: the same request sent twice makes one run.

After draft-ietf-httpapi-idempotency-key-header-07. A key counts for 24 hours, per principal and
deployment. The run is in the history before its caller hears of it, so that a key also holds over a
restart of the server.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable

from warmcell.errors import BadRequest, UsageError
from warmcell.ids import now

__all__ = ["LIFETIME", "Idempotency", "digest", "fingerprint"]

LIFETIME = 24 * 3600 * 1_000_000  # microseconds
LONGEST = 255
MOST = 100_000  # keys that are held; beyond, the oldest go before their time


def digest(key: str, user: str | None, deployment: str) -> str:
    """What a key is known by: nobody else's and no other deployment's.

    Raises :class:`BadRequest` for a key that is empty, too long or not printable ASCII.
    """
    key = _plain(key)
    if not 0 < len(key) <= LONGEST or not (key.isascii() and key.isprintable()):
        raise BadRequest(
            f"The Idempotency-Key must be 1 to {LONGEST} printable ASCII characters.",
            hint="A UUID is a good key.",
        )
    return hashlib.sha256(f"{user or ''}\0{deployment}\0{key}".encode()).hexdigest()


def fingerprint(key: str, body: bytes, *more: str) -> str:
    """What tells one request from another of the same ``key``, which is the client's own and in no
    store: without it nobody finds by trying what the body of a stored fingerprint was."""
    found = hmac.new(_plain(key).encode("utf-8", "surrogatepass"), body, hashlib.sha256)
    for part in more:
        found.update(b"\0" + part.encode())
    return found.hexdigest()


def _plain(key: str) -> str:
    key = key.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':  # the draft's own form, a structured string
        key = key[1:-1]
    return key


class Idempotency:
    """The keys of the last 24 hours and the runs that they made. Belongs to the event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, str, int]] = OrderedDict()

    def load(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """Take up keys of the history: digest, fingerprint, run id, microseconds; oldest first."""
        for key, print_, run_id, created_at in rows:
            known = self._known.get(key)
            if known is None or known[2] < created_at:
                self._known[key] = (print_, run_id, created_at)

    def find(self, key: str, print_: str) -> str | None:
        """The run that the key made, if it is known.

        Raises :class:`UsageError` if that was another request.
        """
        found = self._known.get(key)
        if found is None or found[2] < now() - LIFETIME:
            return None
        if found[0] != print_:
            raise UsageError(
                "The Idempotency-Key was used with another request.",
                hint="Use a new key for a new request.",
            )
        return found[1]

    def remember(self, key: str, print_: str, run_id: str) -> None:
        """Keep what a key made, and forget what is too old."""
        moment = now()
        self._known[key] = (print_, run_id, moment)
        while len(self._known) > MOST or next(iter(self._known.values()))[2] < moment - LIFETIME:
            self._known.popitem(last=False)
