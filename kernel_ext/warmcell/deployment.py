"""Deployment: what a notebook holds of a served name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from warmcell.link import control

__all__ = ["Deployment"]


class Deployment:
    """A name and its URL, as the host described them when this was made or refreshed."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = dict(described)

    @property
    def name(self) -> str:
        return str(self._described["name"])

    @property
    def url(self) -> str:
        """Address of the deployment; ends in a slash."""
        return str(self._described["url"])

    @property
    def invoke_url(self) -> str:
        """Address that answers ``POST {"parameters": {...}}``."""
        return str(self._described["invoke_url"])

    @property
    def pipeline(self) -> str:
        return str(self._described["pipeline"])

    @property
    def snapshot(self) -> int:
        """Number of the snapshot that is served."""
        return int(self._described["snapshot"])

    @property
    def status(self) -> str:
        """ "serving", "detached" (nothing holds the snapshot) or "removed"."""
        return str(self._described["state"])

    @property
    def notes(self) -> list[str]:
        """What is held by reference or cannot be stored, in sentences."""
        return list(self._described.get("notes") or [])

    @property
    def held(self) -> list[dict[str, Any]]:
        """Each name that the snapshot holds: by copy or by reference, type and size in bytes."""
        return list(self._described.get("held") or [])

    @property
    def stored(self) -> str:
        """ "pending", "stored", or why the snapshot cannot be restored in another kernel."""
        return str(self.refresh()._described.get("stored"))

    def refresh(self) -> Deployment:
        """Ask the host again; returns itself."""
        self._described = control("GET", f"api/v1/deployments/{quote(self.name)}")
        return self

    def invoke(self, **parameters: Any) -> Any:
        """Call the deployment as HTTP would and return its outputs, a dict.

        Raises :class:`~warmcell.errors.ParameterError` or :class:`~warmcell.errors.RunError`.
        """
        from warmcell.schemas.jsonform import to_json

        body = json.loads(to_json({"parameters": parameters}))
        return control("POST", f"{quote(self.name)}/invoke", body, timeout=3600)["outputs"]

    def undeploy(self) -> None:
        """Stop serving: calls answer 404 from now on, calls in flight end."""
        self._described |= control("DELETE", f"api/v1/deployments/{quote(self.name)}")

    delete = undeploy

    def rollback(self, to: int | None = None) -> Deployment:
        """Serve an earlier snapshot that is still warm, the one before by default."""
        path = f"api/v1/deployments/{quote(self.name)}/rollback"
        self._described = control("POST", path, {"to": to})
        return self

    def curl(self, **parameters: Any) -> str:
        """Return a shell command that calls the deployment."""
        body = json.dumps({"parameters": parameters}).replace("'", "'\\''")
        return (
            f'curl -X POST {self.invoke_url} -H "Authorization: token $TOKEN" '
            f"-H 'Content-Type: application/json' -d '{body}'"
        )

    def __repr__(self) -> str:
        what = f"snapshot {self.snapshot} of {self.pipeline}"
        return f"<deployment {self.name}: {what} at {self.url}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from warmcell_widgets import render

        return {
            "text/plain": render.deployment_text(self._described),
            "text/html": render.deployment_html(self._described),
        }
