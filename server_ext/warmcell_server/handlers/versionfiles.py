"""``GET api/v1/artifact-versions/{id}/files/{name}``: a file of an artifact version, as it is."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tornado import web

from warmcell.errors import Conflict, NotFound
from warmcell_server.handlers.outputs import POLICY, FileHandler
from warmcell_server.operations.artifacts import find

__all__ = ["VersionFileHandler"]


class VersionFileHandler(FileHandler):
    """Always an attachment: whatever it is, it is the author's."""

    async def _show(self, identifier: str, name: str) -> None:
        version = await find(self.host, identifier)
        if version["status"] != "stored":
            raise Conflict(
                f"Version {version['version']} of artifact '{version['artifact']}' is "
                f"{version['status']}: it has no files."
            )
        file = _named(version, name)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", file["size"])
        last = quote(name.rpartition("/")[2], safe="")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{last}")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        # The blob's name is the digest of what is in it: it never changes.
        self.set_header("Etag", f'"{file["blob"]}"')
        await self.send(file["blob"])

    get = head = web.authenticated(_show)


def _named(version: dict[str, Any], name: str) -> dict[str, Any]:
    for file in version["files"]:
        if file["name"] == name:
            found: dict[str, Any] = file
            return found
    known = ", ".join(f"'{file['name']}'" for file in version["files"]) or "none"
    raise NotFound(
        f"Version {version['version']} of artifact '{version['artifact']}' has no file '{name}'.",
        hint=f"It has {known}.",
    )
