"""``warmcell serve`` and ``warmcell status``: the servers of this user."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.cli.store import size
from warmcell.client import Client
from warmcell.errors import LinkError, UsageError
from warmcell.remote.calling import Request
from warmcell.remote.discovery import Found, hosts, store_of

__all__ = ["serve", "status"]


def serve(given: Namespace) -> int:
    """Start a Jupyter server with Warmcell and no browser, and stay until it ends; or say where
    the one that serves this folder's store runs."""
    folder = Path(given.folder).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"There is no folder '{folder}'.")
    running = _running(folder)
    if running is not None:
        _say(running.http.url, running.home, as_json=given.json, already=True)
        return 0
    from jupyter_server.serverapp import ServerApp

    words = [
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={folder}",
        *([f"--ServerApp.port={given.port}"] if given.port else []),
        *([f"--IdentityProvider.token={given.token}"] if given.token else []),
        *given.words,
    ]
    server = ServerApp.instance()
    server.jpserver_extensions = {**server.jpserver_extensions, "warmcell_server": True}
    server.initialize(words)
    server.io_loop.add_callback(_announce, server, given.json)
    server.start()
    return 0


async def _announce(server: Any, as_json: bool) -> None:
    """Say on standard output that callers may come."""
    settings = server.web_app.settings
    starting: asyncio.Event | None = settings.get("warmcell_starting")
    if starting is not None:
        await starting.wait()
    host = settings.get("warmcell")
    if host is None:
        server.log.error(settings.get("warmcell_reason") or "Warmcell did not start.")
        server.exit_code = 1
        server.stop()
        return
    _say(host.url, str(host.home), as_json=as_json, already=False)


def _say(url: str, home: str, *, as_json: bool, already: bool) -> None:
    if as_json:
        print(json.dumps({"url": url, "home": home, "already": already}), flush=True)
        return
    show.note(f"Warmcell {'already ' if already else ''}serves the store {home} at:")
    print(url, flush=True)


def _running(folder: Path) -> Found | None:
    """The Jupyter server that has the store of ``folder``."""
    home = store_of(folder) or folder / ".warmcell"
    for found in hosts(near=folder):
        if found.mode == "server" and Path(found.home) == home:
            return found
    return None


def status(given: Namespace) -> int:
    """Print the servers that run, and how much they serve."""
    clients = [client(given)] if given.url else [Client.of(h.http) for h in hosts(given.token)]
    found = [
        (
            here.url,
            {**here.send(Request("GET", "api/v1/status")), "usage": here.store_usage()},
            here.list_deployments(),
        )
        for here in clients
    ]
    if given.json:
        show.as_json(
            [{**told, "url": url, "deployments": [d.name for d in ds]} for url, told, ds in found]
        )
        return 0
    if not found:
        raise LinkError("No server with Warmcell runs.", hint="Start one: warmcell serve")
    show.table(
        ["url", "mode", "version", "store", "runs", "size", "last week", "deployments"],
        [
            [
                url,
                told["mode"],
                told["version"],
                told["home"],
                f"{told['usage']['runs']:,}",
                size(told["usage"]["total"]),
                f"+{told['usage']['last_week']['runs']:,} runs",
                ", ".join(d.name for d in ds),
            ]
            for url, told, ds in found
        ],
        "",
    )
    return 0
