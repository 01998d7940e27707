"""Finding the host that a command or a client outside of a kernel means."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from warmcell.errors import LinkError, WarmcellError
from warmcell.remote.transport import Http

__all__ = ["Found", "discover", "hosts", "store_of"]

ASK_SECONDS = 5.0


class Found(NamedTuple):
    """A running host. ``home`` is the folder of its store, ``mode`` "server" or "embedded"."""

    http: Http
    home: str
    mode: str
    version: str


def discover(token: str | None = None, *, near: Path | None = None) -> Http:
    """Find the host that is meant: that of the Jupyter server which started this process's kernel;
    else the one of the store of the folder ``near``, by default the current one; else the only one
    that runs.

    Raises :class:`LinkError` naming what to set if there is none, or several.
    """
    if parent := os.environ.get("JPY_PARENT_PID"):
        for http in _servers(token, f"jpserver-{parent}.json"):
            with contextlib.suppress(WarmcellError):
                http.control("GET", "api/v1/status", timeout=ASK_SECONDS)
                return http
    found = hosts(token, near=near)
    home = store_of(near or Path.cwd())
    here = [host for host in found if home is not None and Path(host.home) == home]
    found = here or found
    servers = [host for host in found if host.mode == "server"]
    found = servers if here and servers else found  # the one that can also start kernels
    if len(found) == 1:
        return found[0].http
    if not found:
        raise LinkError(
            "No running Jupyter server with Warmcell was found.",
            hint="Start one with `warmcell serve`, or say where it is: Client(url=..., token=...), "
            "or WARMCELL_URL and WARMCELL_TOKEN.",
        )
    urls = ", ".join(host.http.url for host in found)
    raise LinkError(
        f"Several servers run: {urls}.",
        hint="Say which: Client(url=...), --url or WARMCELL_URL.",
    )


def hosts(token: str | None = None, *, near: Path | None = None) -> list[Found]:
    """All hosts of this user that answer: Jupyter servers, and kernels that host themselves for
    the store of ``near``."""
    found: dict[str, Found] = {}
    for http in (*_servers(token), *_embedded(near or Path.cwd())):
        with contextlib.suppress(WarmcellError):
            status = http.control("GET", "api/v1/status", timeout=ASK_SECONDS)
            found.setdefault(
                status["host_id"],
                Found(http, status["home"], status["mode"], status["version"]),
            )
    return list(found.values())


def store_of(folder: Path) -> Path | None:
    """The store that notebooks in ``folder`` use; None where there is none yet."""
    if named := os.environ.get("WARMCELL_HOME"):
        return Path(named).expanduser().absolute()
    folder = folder.absolute()
    for place in (folder, *folder.parents):
        if (place / ".warmcell").is_dir():
            return place / ".warmcell"
    return None


def _servers(token: str | None, name: str = "jpserver-*.json") -> Iterator[Http]:
    """The Jupyter servers that say in their runtime folder where they are."""
    from jupyter_core.paths import jupyter_runtime_dir

    for file in sorted(Path(jupyter_runtime_dir()).glob(name)):
        server = _read(file)
        with contextlib.suppress(LinkError):
            if _alive(server.get("pid")) and server.get("url"):
                yield Http(str(server["url"]), token or str(server.get("token") or "") or None)


def _embedded(folder: Path) -> Iterator[Http]:
    """The hosts inside kernels, of the store of ``folder``. Only where the process that wrote its
    address lives still: its token is for nobody else who has the port now."""
    home = store_of(folder)
    memory = _read(home / "embedded.json") if home is not None else {}
    if home is None or not memory.get("token"):
        return
    for file in sorted((home / "hosts").glob("*.lock")):
        card = _read(file)
        port = f":{memory.get('port')}/"
        if _locked(file) and port in str(card.get("url")):
            yield Http(str(card["url"]), str(memory["token"]))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError, OverflowError):
        return False
    return True


def _locked(file: Path) -> bool:
    """Whether a live host holds the lock that its card is."""
    import fcntl

    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
