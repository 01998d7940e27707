"""``GET {name}/runs/{id}/outputs/{output}``: one output of a run, as JSON or as the file it is."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tornado import web

from warmcell.blobs import opened
from warmcell.bodies import media
from warmcell.errors import Conflict, NotAcceptable, NotFound
from warmcell.records import TERMINAL
from warmcell_server import visibility
from warmcell_server.handlers.base import Handler
from warmcell_server.operations.runs import show_run

__all__ = ["POLICY", "FileHandler", "OutputHandler"]

PIECE = 1 << 20  # bytes that are read at once
# It is not ours: whatever it is, a browser must not run it as a page of Jupyter's origin.
POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
_SUFFIXES = {media.ARROW: ".arrows", media.NPY: ".npy", media.OCTETS: ".bin", media.CSV: ".csv"}


class _File(NamedTuple):
    """An output that is bytes: in a blob named ``digest``, or small and in ``data``."""

    content_type: str
    size: int
    digest: str | None = None
    data: bytes = b""


class FileHandler(Handler):
    """Answers with files of the blobs, piece by piece."""

    async def send(self, digest: str) -> None:
        """Finish with a blob; the headers are set. Raises NotFound for one that is gone."""
        pieces = _pieces(self.host.store.blobs, digest)
        try:
            first = await anext(pieces)
        except OSError as error:
            self.clear()
            raise NotFound("This file is not kept any more.") from error
        if self.request.method == "HEAD":
            await pieces.aclose()
            self.finish()
            return
        self.write(first)
        async for piece in pieces:
            await self.flush()
            self.write(piece)
        self.finish()


class OutputHandler(FileHandler):
    """Files are attachments; with ``Accept: application/json`` they are described."""

    scope = "any"
    public = True

    async def _show(self, name: str, run_id: str, output: str) -> None:
        host = self.host
        deployment = host.deployments.get(name)
        run = await show_run(host, run_id, name)
        visibility.check(self, run.get("user"), run_id)
        value = _value(run, output)
        file = _file(run, output, value)
        self.set_header("Vary", "Accept")
        if file is None:
            self._negotiate((media.JSON,), output)
            self.answer(value)
            return
        chosen = self._negotiate((file.content_type, media.JSON), output)
        if chosen == media.JSON and file.content_type != media.JSON:
            self.answer(value)
            return
        self.set_header("Content-Type", file.content_type)
        self.set_header("Content-Length", file.size)
        self.set_header("Content-Disposition", _attachment(deployment.pipeline, output, file))
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        if file.digest is None:
            self.finish(file.data)
        else:
            await self.send(file.digest)

    get = head = web.authenticated(_show)

    def _negotiate(self, offers: tuple[str, ...], output: str) -> str:
        accept = self.request.headers.get("Accept", "*/*")
        best = media.best(accept, offers)
        if best is None:
            raise NotAcceptable(
                f"Output '{output}' cannot be had as '{accept}'.",
                hint=f"It can be had as {', '.join(offers)}.",
            )
        return best


async def _pieces(blobs: Path, digest: str) -> AsyncGenerator[bytes, None]:
    """Read a blob piece by piece, beside the event loop; the first piece may be empty."""
    file = await asyncio.to_thread(opened, blobs, digest)
    try:
        while True:
            piece = await asyncio.to_thread(file.read, PIECE)
            yield piece
            if len(piece) < PIECE:
                return
    finally:
        file.close()


def _value(run: dict[str, Any], output: str) -> Any:
    """The JSON of an output. Raises NotFound, or Conflict for a run that has none."""
    status = run["status"]
    if status not in TERMINAL:
        raise Conflict(
            f"Run '{run['run_id']}' is {status}.", hint="Ask again once it has succeeded."
        )
    if status != "succeeded":
        raise Conflict(f"Run '{run['run_id']}' is {status}: it has no outputs.")
    outputs = run.get("outputs")
    if not isinstance(outputs, dict) or output not in outputs:
        known = ", ".join(outputs) if isinstance(outputs, dict) and outputs else "none"
        raise NotFound(f"Run '{run['run_id']}' has no output '{output}'; there is {known}.")
    return outputs[output]


def _file(run: dict[str, Any], output: str, value: Any) -> _File | None:
    """What the worker wrote of an output; None for one that is JSON and nothing else."""
    for artifact in run.get("artifacts") or ():
        if artifact["kind"] != "output" or artifact["name"] != f"outputs/{output}":
            continue
        kind = artifact["value"]["content_type"]
        if artifact["digest"] is not None:
            return _File(kind, artifact["size"], artifact["digest"])
        if isinstance(value, str):
            data = base64.urlsafe_b64decode(value)
            return _File(kind, len(data), None, data)
    return None


def _attachment(pipeline: str, output: str, file: _File) -> str:
    """A Content-Disposition (RFC 6266), with the name in both of its forms."""
    kind = media.parse(file.content_type).name
    suffix = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"
    name = f"{pipeline}-{output}{suffix}"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
