"""Front ends of deployments: their files in the store, and how their page is served.

The page is not ours, so it runs in a sandbox with an origin of its own, where it has no login: it
gets a key of its deployment, and an address for its files that is a secret in itself, because a
sandboxed page sends no credentials for its scripts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from html import escape
from pathlib import Path

import msgspec

from warmcell import blobs
from warmcell.around.site import Asset, Site
from warmcell.errors import NotFound, Unavailable
from warmcell.ids import now

__all__ = ["SECONDS", "Dashboards", "page"]

SECONDS = 8 * 3600.0  # how long a page works without being loaded again
_KEPT = 32
_EXPIRES, _DIGEST, _MAC = 5, 16, 16

_decode = msgspec.json.Decoder(Site).decode


class Dashboards:
    """Reads front ends from the folder of blobs, and makes the secret addresses of their files.
    These are void once the process ends. Belongs to the host's event loop."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder
        self._sites: dict[str, Site] = {}
        self._secret = secrets.token_bytes(32)

    async def site(self, digest: str) -> Site:
        """The front end of this digest. Raises :class:`Unavailable` if the store has lost it."""
        found = self._sites.get(digest)
        if found is None:
            found = _decode(await self.read(digest))
            while len(self._sites) >= _KEPT:
                del self._sites[next(iter(self._sites))]
            self._sites[digest] = found
        return found

    async def read(self, digest: str) -> bytes:
        """The bytes of a file. Raises :class:`Unavailable` if the store has lost it."""
        try:
            return await asyncio.to_thread(blobs.read, self._blobs, digest)
        except OSError as error:
            raise Unavailable(
                "A file of the front end is missing in the store.",
                hint="Deploy it again.",
                retry_after=60,
            ) from error

    def grant(self, name: str, digest: str) -> str:
        """A secret word, part of an address: whoever has it may read the files of this site of
        deployment ``name`` for a while."""
        expires = int(now() / 1e6 + SECONDS).to_bytes(_EXPIRES)
        claim = expires + bytes.fromhex(digest)
        return base64.urlsafe_b64encode(claim + self._mac(name, claim)).rstrip(b"=").decode()

    def granted(self, name: str, word: str) -> str:
        """The digest that ``word`` was made for. Raises :class:`NotFound` if it is not ours, for
        another deployment, or has expired."""
        try:
            data = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        except (binascii.Error, ValueError):
            data = b""
        claim, mac = data[: _EXPIRES + _DIGEST], data[_EXPIRES + _DIGEST :]
        genuine = hmac.compare_digest(mac, self._mac(name, claim))
        if genuine and int.from_bytes(claim[:_EXPIRES]) > now() / 1e6:
            return claim[_EXPIRES:].hex()
        raise NotFound("This address of the front end has expired.", hint="Load the page again.")

    def _mac(self, name: str, claim: bytes) -> bytes:
        return hmac.digest(self._secret, name.encode() + b"\0" + claim, "sha256")[:_MAC]


_HEAD = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)
_HTML = re.compile(rb"<html\b[^>]*>", re.IGNORECASE)
_DOCTYPE = re.compile(rb"\s*<!doctype[^>]*>", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"""(\b(?:src|href)\s*=\s*["'])/(?!/)([^"'?#]*)""", re.IGNORECASE)

_SCRIPT = """\
(about => {
  const url = new URL(about.path, location.href).href;
  const call = (path, options = {}) => {
    const headers = new Headers(options.headers);
    headers.set("Authorization", "Bearer " + about.key);
    return fetch(new URL(path, url), {...options, headers, credentials: "omit"});
  };
  const invoke = async parameters => {
    const answer = await call("invoke", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({parameters}),
    });
    const body = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(body.detail || body.title), {problem: body});
    return body.outputs;
  };
  window.warmcell = Object.freeze({...about, url, fetch: call, invoke});
})"""


def page(
    index: bytes,
    files: Mapping[str, Asset],
    *,
    name: str,
    path: str,
    base: str,
    key: str,
) -> bytes:
    """The ``index.html`` of the front end of deployment ``name`` as it is served.

    ``path`` is that of the deployment, ``base`` that of the files, and ``key`` a short-lived key
    of the deployment: in ``<meta name="warmcell-key">`` and in ``window.warmcell``. Addresses that
    begin at the server's root and name a file of the front end are made relative.
    """
    about = {"deployment": name, "path": path, "key": key}
    known = msgspec.json.encode(about).decode().replace("<", "\\u003c")
    added = (
        f'<base href="{escape(base)}"><meta name="warmcell-url" content="{escape(path)}">'
        f'<meta name="warmcell-key" content="{escape(key)}"><script>{_SCRIPT}({known});</script>'
    ).encode()

    def relative(match: re.Match[bytes]) -> bytes:
        return match[1] + match[2] if match[2].decode("utf-8", "replace") in files else match[0]

    text = _ABSOLUTE.sub(relative, index)
    found = _HEAD.search(text) or _HTML.search(text) or _DOCTYPE.match(text)
    end = found.end() if found is not None else 0
    return text[:end] + added + text[end:]
