"""``python3 dev.py bench``: measure, and print the report as Markdown."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import (
    bigstore,
    caching,
    frames,
    http_calls,
    notebook,
    pressure,
    recordcost,
    restoring,
    storeserver,
)
from tests.benchmarks.faults import __main__ as faults
from tests.benchmarks.report import machine
from tests.support.jupyter import JupyterServer

PARTS = (
    "http", "steps", "deploys", "memory", "pressure", "restoring", "frames", "caching", "recording",
    "store",
)  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["faults"]:  # the fault campaign has options of its own
        faults.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["bigstore"]:  # makes one, to be opened by hand
        bigstore.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the HTTP comparison")
    parser.add_argument("--requests", type=int, default=2000, help="requests on one connection")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs of the large store")
    given = parser.parse_args()
    parts = given.parts or PARTS
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")

    sys.stdout.write(f"## Benchmarks\n\n{machine()}\n")
    for part in parts:
        sys.stderr.write(f"measuring: {part}\n")
        with tempfile.TemporaryDirectory() as folder:
            server = JupyterServer(Path(folder) / "root", Path(folder))
            try:
                server.start()
                match part:
                    case "http":
                        text = http_calls.measure(
                            server, given.rounds, given.requests, given.connections
                        )
                    case "steps":
                        text = notebook.steps(server)
                    case "deploys":
                        text = notebook.deploys(server)
                    case "pressure":
                        text = pressure.measure(server)
                    case "restoring":
                        text = restoring.measure(server)
                    case "frames":
                        text = frames.measure(server)
                    case "caching":
                        text = caching.measure(server)
                    case "recording":
                        text = recordcost.measure(server, given.rounds, given.requests)
                    case "store":
                        text = storeserver.measure(Path(folder) / "stores", given.runs, 15)
                    case _:
                        text = notebook.memory(server)
            finally:
                server.stop()
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
