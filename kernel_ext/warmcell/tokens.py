"""The token of this kernel's own host, for callers such as ``curl`` that need one."""

from __future__ import annotations

import json
from pathlib import Path

from warmcell.errors import LinkError
from warmcell.link import control

__all__ = ["server_token"]


def server_token() -> str:
    """Return the token that opens the deployments of this notebook to an HTTP caller.

    It is the one of the Jupyter server, or that of the host inside this kernel. Whoever has it can
    run code here: keep it out of what you share.

    Raises:
        LinkError: there is no host, or its server knows its users by other means than a token.
    """
    status = control("GET", "api/v1/status")
    if status["mode"] == "embedded":
        memory = json.loads((Path(status["home"]) / "embedded.json").read_text())
        return str(memory["token"])
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if status["url"] == server["url"].rstrip("/") + "/warmcell/" and server.get("token"):
            return str(server["token"])
    raise LinkError(
        f"The server at {status['url']} has no token that this kernel could read.",
        hint="Ask whoever runs the server how its users call its API.",
    )
