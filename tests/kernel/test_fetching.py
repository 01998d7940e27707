"""Fetching files of artifacts from a server that is elsewhere."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from warmcell.artifacts.fetching import PIECE, fetching
from warmcell.errors import ArtifactError
from warmcell.records import FileRecord
from warmcell.remote.transport import Http

DATA = b"x" * (5 * PIECE + 17)  # no line at all


class Elsewhere(BaseHTTPRequestHandler):
    """A server whose store is not on this machine."""

    def do_GET(self) -> None:
        body = b'{"home": "/nowhere/at/all"}' if self.path.endswith("/status") else DATA
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Http]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    transport = Http(f"http://127.0.0.1:{server.server_port}/warmcell/")
    yield transport
    transport.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_without_lines_comes_in_pieces(elsewhere: Http) -> None:
    """So memory holds a piece of it and not all; what arrives is what was sent."""
    with elsewhere.lines("GET", "api/v1/file", piece=PIECE) as pieces:
        sizes = [len(piece) for piece in pieces]
    assert sizes == [PIECE] * 5 + [17]
    digest = hashlib.sha256(DATA).hexdigest()[:32]
    found = fetching(elsewhere, "v")(FileRecord("value.bin", digest, len(DATA)))
    assert found.read_bytes() == DATA


def test_a_server_that_sends_too_much_is_left(elsewhere: Http) -> None:
    """Nothing of it stays."""
    find = fetching(elsewhere, "v")
    with pytest.raises(ArtifactError, match=r"more for 'value\.bin'"):
        find(FileRecord("value.bin", "0" * 32, PIECE))
    assert isinstance(find(FileRecord("value.bin", "1" * 32, len(DATA))), Path)
