"""The Jupyter server extension: configuration, start and stop of the host."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Float, Int, List, TraitError, Unicode, validate

from warmcell.errors import UsageError, WarmcellError
from warmcell_server import metrics
from warmcell_server.activity import Activity
from warmcell_server.handlers import routes
from warmcell_server.handlers.body import BODY_LIMIT, UPLOAD_LIMIT
from warmcell_server.host import Host, find_home
from warmcell_server.housekeeping import Keep
from warmcell_server.kernels import DedicatedKernels
from warmcell_server.link import CONNECTION_VARIABLE
from warmcell_server.webhooks.egress import Egress

__all__ = ["Warmcell"]

STOP_SECONDS = 30.0


class Warmcell(ExtensionApp):
    """Serves the pipelines of this server's notebooks under ``{base_url}warmcell/``."""

    name = "warmcell"
    extension_url = "/tree"
    load_other_extensions = True

    home = Unicode(
        "",
        help="Folder of the store. Default: WARMCELL_HOME, else the nearest .warmcell at or above "
        "the server's root folder, else .warmcell in it.",
    ).tag(config=True)
    body_limit = Int(BODY_LIMIT, help="Largest JSON body of a request, in bytes.").tag(config=True)
    upload_limit = Int(
        UPLOAD_LIMIT,
        help="Largest body of another type (CSV, Arrow, npy, images, multipart), in bytes.",
    ).tag(config=True)

    callback_allow = List(
        Unicode(),
        help="Hosts, and networks such as 10.1.0.0/16, that a callback_url may name though they "
        "are not public. Whoever may call a deployment can have this server post to them.",
    ).tag(config=True)

    keep_days = Float(
        0, help="Delete runs that are older, in days; 0 keeps them whatever their age."
    ).tag(config=True)
    keep_bytes = Int(
        Keep.bytes or 0,
        help="Delete the oldest runs when the history takes more, in bytes; 0 sets no limit.",
    ).tag(config=True)

    keep_runs = Int(
        0, help="Delete the oldest runs when there are more of them; 0 sets no limit."
    ).tag(config=True)

    _host: Host | None = None
    _activity: Activity | None = None
    _variable_before: str | None = None

    @validate("body_limit", "upload_limit")
    def _validate_limit(self, proposal: Any) -> int:
        value: int = proposal["value"]
        if value < 1024:
            raise TraitError(f"Warmcell.{proposal['trait'].name} must be at least 1024 bytes")
        return value

    @validate("callback_allow")
    def _validate_callback_allow(self, proposal: Any) -> Any:
        try:
            Egress(proposal["value"])
        except UsageError as error:
            raise TraitError(f"Warmcell.{error}") from error
        return proposal["value"]

    @validate("keep_days", "keep_bytes", "keep_runs")
    def _validate_keep(self, proposal: Any) -> Any:
        if proposal["value"] < 0:
            raise TraitError(f"Warmcell.{proposal['trait'].name} must be 0 or more")
        return proposal["value"]

    def initialize_settings(self) -> None:
        # Jupyter puts the extension itself there; handlers look for the host, and wait for it.
        self.settings["warmcell"] = None
        self.settings["warmcell_reason"] = ""
        self.settings["warmcell_starting"] = asyncio.Event()
        self.settings["warmcell_body_limit"] = self.body_limit
        self.settings["warmcell_upload_limit"] = self.upload_limit

    def initialize_handlers(self) -> None:
        self.handlers.extend(routes("/"))  # Jupyter puts the base URL in front

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Start the host, now that the URL is final and before any kernel exists.

        A store that cannot be opened does not stop the server: every request then says why.
        """
        try:
            await self._start_host(serverapp)
        finally:
            starting = serverapp.web_app.settings.pop("warmcell_starting", None)
            if starting is not None:
                starting.set()

    async def _start_host(self, serverapp: Any) -> None:
        settings = serverapp.web_app.settings
        host = Host(
            self._home(Path(serverapp.root_dir)),
            keep=Keep(self.keep_days or None, self.keep_bytes or None, self.keep_runs or None),
            callback_allow=self.callback_allow,
        )
        try:
            connection = await host.start(
                url=url_path_join(serverapp.connection_url, "warmcell/"),
                base_path=url_path_join(settings["base_url"], "warmcell/"),
            )
        except (WarmcellError, OSError) as error:
            settings["warmcell_reason"] = f"Warmcell could not start: {error}"
            self.log.error("Warmcell could not start: %s", error)
            return
        host.kernels = DedicatedKernels(serverapp.kernel_manager, Path(serverapp.root_dir))
        self._host = settings["warmcell"] = host
        metrics.expose(host.deployments)
        # Every child process inherits the environment: it holds a path, never a secret.
        self._variable_before = os.environ.get(CONNECTION_VARIABLE)
        os.environ[CONNECTION_VARIABLE] = str(connection)
        self._activity = Activity(host, serverapp.kernel_manager)
        self._activity.start()
        host.restoring.resume(host.deployments)
        self.log.info("Warmcell serves at %s, store %s", host.url, host.home)

    def _home(self, root: Path) -> Path:
        return Path(self.home).expanduser().absolute() if self.home else find_home(root)

    def current_activity(self) -> int:
        """Calls in flight, so that no idle shutdown ends them."""
        if self._host is None:
            return 0
        return sum(d.in_flight + d.queued for d in self._host.deployments)

    async def stop_extension(self) -> None:
        """Let calls in flight end, then close the host. Harmless when repeated."""
        host, self._host = self._host, None
        if host is None:
            return
        if self._activity is not None:
            await self._activity.close()
        metrics.withdraw(host.deployments)
        if self._variable_before is None:
            os.environ.pop(CONNECTION_VARIABLE, None)
        else:
            os.environ[CONNECTION_VARIABLE] = self._variable_before
        try:
            await asyncio.wait_for(host.close(), STOP_SECONDS)
        except TimeoutError:
            self.log.error("Warmcell did not close within %g s.", STOP_SECONDS)
        if self.serverapp is not None:
            settings = self.serverapp.web_app.settings
            settings["warmcell_reason"] = "The server is shutting down."
            settings["warmcell"] = None
