"""API keys: each opens one deployment, for what its scopes say, until it expires or is revoked.

A key is ``wck_``, eight characters that are its id, and 33 random ones, all of base 62 (196 bits).
Of it ``keys.json`` in the store's folder has the SHA-256 only: it is shown once, when it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from warmcell.errors import (
    InvalidName,
    NameTaken,
    NotFound,
    StoreError,
    Unauthenticated,
    UsageError,
)
from warmcell.ids import now, rfc3339
from warmcell.secretfile import SecretFile
from warmcell_server.keys.key import PREFIX, Key, Scope, random_text
from warmcell_server.keys.pagekeys import TEMPORARY, PageKeys, void

__all__ = ["Keys"]

FLUSH_SECONDS = 60.0  # how long the time of a key's last use may be in memory only
LONGEST = 100 * 365 * 86400.0  # seconds a key may be valid
_ID, _SECRET = 8, 33
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_ID}}})[0-9A-Za-z]{{{_SECRET}}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_Stored = dict[str, Key]

log = logging.getLogger("warmcell.keys")


class Keys:
    """The keys of all deployments of a store, shared by its hosts. Belongs to the event loop."""

    def __init__(self, home: Path) -> None:
        self._file: SecretFile[_Stored] = SecretFile(home / "keys.json", _Stored)
        self._used: dict[str, int] = {}
        self._pages = PageKeys()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write down now and then when keys were used."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Write down what is still to be written. Harmless when repeated."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            await self._flush()

    # -- using -------------------------------------------------------------------------------

    def find(self, text: str) -> Key:
        """Return the key that ``text`` is. Whether it opens a deployment is the caller's to check.

        Raises:
            Unauthenticated: there is no such key (any more), or it has expired.
            StoreError: the file of the keys cannot be read.
        """
        if text.startswith(TEMPORARY):
            return self._find_of_page(text)
        match = _FORM.fullmatch(text)
        key = self._file.read().get(match[1]) if match is not None else None
        if key is None or not hmac.compare_digest(_digest(text), key.digest):
            raise Unauthenticated(
                "The API key is not valid: it was revoked, or there never was one.",
                hint="Ask whoever runs the deployment for a new one: deployment.create_key(name).",
            )
        if key.expired:
            raise Unauthenticated(
                f"The API key '{key.name}' expired at {rfc3339(key.expires_at or 0)}.",
                hint="Ask whoever runs the deployment for a new one: deployment.create_key(name).",
            )
        self._used[key.id] = now()
        return key

    def of(self, deployment: str) -> list[Key]:
        """The keys of ``deployment``, newest first, the expired ones too."""
        found = [key for key in self._file.read().values() if key.deployment == deployment]
        return [self._refreshed(key) for key in sorted(found, key=lambda k: -k.created_at)]

    # -- changing ----------------------------------------------------------------------------

    async def create(
        self,
        deployment: str,
        name: str,
        scopes: Sequence[str] = ("invoke",),
        *,
        expires_in: float | None = None,
        user: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key that is valid for ``expires_in`` seconds, or until it is revoked. Return it,
        and the text that its holder has to send: nobody can get that again.

        An expired key of the same name is replaced. Raises:
            InvalidName, UsageError: an argument does not fit.
            NameTaken: the deployment has a key of this name.
            StoreError: it cannot be kept.
        """
        granted = _check(name, scopes, expires_in)
        moment = now()
        id = random_text(_ID)
        text = f"{PREFIX}{id}{random_text(_SECRET)}"
        key = Key(
            id=id,
            name=name,
            deployment=deployment,
            scopes=granted,
            created_at=moment,
            expires_at=None if expires_in is None else moment + int(expires_in * 1e6),
            created_by=user,
            digest=_digest(text),
        )

        def add(keys: _Stored) -> _Stored:
            for other in [k for k in keys.values() if (k.deployment, k.name) == (deployment, name)]:
                if not other.expired:
                    raise NameTaken(
                        f"Deployment '{deployment}' has a key '{name}'.",
                        holder=other.created_by or "",
                        hint="Choose another name, or revoke that key first.",
                    )
                del keys[other.id]
            keys[id] = key
            return keys

        await asyncio.to_thread(self._file.change, add)
        return key, text

    async def revoke(self, deployment: str, name: str) -> Key:
        """Take a key back: requests with it are refused from here on.

        Raises :class:`NotFound`, or :class:`StoreError` if that cannot be kept.
        """
        revoked = await self._remove(deployment, name)
        if not revoked:
            known = ", ".join(sorted(key.name for key in self.of(deployment))) or "none"
            raise NotFound(
                f"Deployment '{deployment}' has no key '{name}'.", hint=f"Its keys: {known}."
            )
        return revoked[0]

    async def revoke_all(self, deployment: str) -> list[Key]:
        """Take back all keys of ``deployment``, the temporary ones too."""
        self._pages.revoke(deployment)
        return await self._remove(deployment, None)

    async def _remove(self, deployment: str, name: str | None) -> list[Key]:
        removed: list[Key] = []

        def remove(keys: _Stored) -> _Stored:
            removed.extend(
                key
                for key in keys.values()
                if key.deployment == deployment and name in (None, key.name)
            )
            return {id: key for id, key in keys.items() if key not in removed}

        await asyncio.to_thread(self._file.change, remove)
        return removed

    # -- for front ends ----------------------------------------------------------------------

    def temporary(
        self, deployment: str, seconds: float, *, by: Key | None = None, anybody: bool = False
    ) -> str:
        """Make a key with scope "invoke" for a page of ``deployment``'s own front end, which the
        holder of the key ``by`` asked for, or ``anybody``. It is kept nowhere, and void once this
        host ends, or that key, or the deployment is no longer public."""
        return self._pages.make(deployment, seconds, by=by, anybody=anybody)

    def _find_of_page(self, text: str) -> Key:
        key = self._pages.find(text)
        if key.parent is not None:
            parent = self._file.read().get(key.parent)
            if parent is None or parent.expired:
                raise void()
        return key

    # -- when they were used -----------------------------------------------------------------

    def _refreshed(self, key: Key) -> Key:
        used = max(self._used.get(key.id, 0), key.last_used_at or 0)
        return msgspec.structs.replace(key, last_used_at=used or None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return

        def note(keys: _Stored) -> _Stored:
            for id, moment in used.items():
                if id in keys:
                    keys[id].last_used_at = max(moment, keys[id].last_used_at or 0)
            return keys

        try:
            await asyncio.to_thread(self._file.change, note)
        except StoreError as error:
            self._used = used | self._used
            log.warning("When keys were used could not be written: %s", error)


def _check(name: str, scopes: Sequence[str], expires_in: float | None) -> list[Scope]:
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"'{name}' is no name of a key.",
            hint="Use 1 to 63 letters, digits, '.', '_' and '-', the first a letter or a digit.",
        )
    known = get_args(Scope)
    wrong = [scope for scope in scopes if scope not in known]
    if wrong or not scopes:
        raise UsageError(
            f"There is no scope '{wrong[0]}'." if wrong else "A key needs a scope.",
            hint=f"Scopes: {', '.join(known)}.",
        )
    if expires_in is not None and not (math.isfinite(expires_in) and 0 < expires_in <= LONGEST):
        raise UsageError(
            f"A key cannot expire in {expires_in:g} seconds.",
            hint="Give a number of seconds above 0, or nothing for a key that does not expire.",
        )
    return [scope for scope in known if scope in scopes]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
