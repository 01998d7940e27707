"""A load generator in a process of its own, the same for every peer.

``python -m tests.benchmarks.load URL --connections 1 --requests 2000`` prints one JSON object. One
connection is a blocking raw socket; several are ``wrk`` where it is installed, else asyncio
protocols on raw sockets. An answer other than 200 counts as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def message(url: str, body: str, headers: list[str]) -> bytes:
    """One request as bytes."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body.encode())}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def length(head: bytes) -> int:
    """The content length of a response head."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"no content length in {head!r}")


def quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def one(url: str, data: bytes, requests: int, warmup: int) -> dict[str, Any]:
    """Ask again and again on one keep-alive connection."""
    parts = urlsplit(url)
    times, failed = [], 0
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(-warmup, requests):
            begin = time.perf_counter()
            connection.sendall(data)
            received = connection.recv(65536)
            while (end := received.find(b"\r\n\r\n")) < 0:
                received += connection.recv(65536)
            wanted = end + 4 + length(received[:end])
            while len(received) < wanted:
                received += connection.recv(65536)
            if number >= 0:
                times.append(time.perf_counter() - begin)
                failed += not received.startswith(b"HTTP/1.1 200")
    times.sort()
    return {
        "p50": quantile(times, 0.5),
        "p99": quantile(times, 0.99),
        "rate": len(times) / sum(times),
        "failed": failed,
        "generator": "socket",
    }


class Asker(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it has its answer."""

    def __init__(self, data: bytes, until: float, times: list[float]) -> None:
        self.data, self.until, self.times = data, until, times
        self.failed, self.received = 0, b""
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.received, self.begin = b"", time.perf_counter()
        self.transport.write(self.data)

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or len(self.received) < end + 4 + length(self.received[:end]):
            return
        now = time.perf_counter()
        self.times.append(now - self.begin)
        self.failed += not self.received.startswith(b"HTTP/1.1 200")
        if now < self.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def many(url: str, data: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Ask on several connections at once for some seconds."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    begin = time.perf_counter()
    times: list[float] = []
    askers = [
        (
            await loop.create_connection(
                lambda: Asker(data, begin + seconds, times), parts.hostname, parts.port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(asker.ended for asker in askers)), seconds + 60)
    took = time.perf_counter() - begin
    times.sort()
    return {
        "p50": quantile(times, 0.5),
        "p99": quantile(times, 0.99),
        "rate": len(times) / took,
        "failed": sum(asker.failed for asker in askers),
        "generator": "asyncio",
    }


def wrk(
    url: str, body: str, headers: list[str], connections: int, seconds: float
) -> dict[str, Any]:
    """The same by ``wrk``, which leaves more of two cores to the servers."""
    script = [
        'wrk.method = "POST"',
        f"wrk.body = {json.dumps(body)}",
        'wrk.headers["Content-Type"] = "application/json"',
        *(
            f"wrk.headers[{json.dumps(name)}] = {json.dumps(value.strip())}"
            for name, _, value in (header.partition(":") for header in headers)
        ),
        "done = function(summary, latency, requests)",
        '  io.write(string.format("RESULT %f %f %f %d\\n", latency:percentile(50) / 1e6,',
        "    latency:percentile(99) / 1e6, summary.requests / (summary.duration / 1e6),",
        "    summary.errors.status + summary.errors.connect + summary.errors.read",
        "    + summary.errors.write + summary.errors.timeout))",
        "end",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "post.lua"
        file.write_text("\n".join(script))
        answer = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(file), url],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        ).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", answer)
    if found is None:
        raise RuntimeError(f"wrk said:\n{answer}")
    p50, p99, rate = map(float, found.groups()[:3])
    failed = int(found[4])
    return {"p50": p50, "p99": p99, "rate": rate, "failed": failed, "generator": "wrk"}


def run(url: str, *, body: Any, headers: list[str], **options: Any) -> dict[str, Any]:
    """Start this module in a process of its own and return what it measured (seconds)."""
    command = [sys.executable, "-m", "tests.benchmarks.load", url, "--body", json.dumps(body)]
    for header in headers:
        command += ["--header", header]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", default="{}")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    data = message(given.url, given.body, given.header)
    if given.connections == 1:
        result = one(given.url, data, given.requests, given.warmup)
    elif shutil.which("wrk"):
        result = wrk(given.url, given.body, given.header, given.connections, given.seconds)
    else:
        result = asyncio.run(many(given.url, data, given.connections, given.seconds))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
