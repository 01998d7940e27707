"""Settings of a deployment as the host reads them: who may call, from where, under which paths.

What users write is :class:`warmcell.config.DeploymentSettings`, which checks it and says what was
wrong; here arrives its JSON form. Limits are read by :mod:`warmcell_server.limits`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from warmcell.errors import UsageError

__all__ = ["Cors", "SecureHeaders", "Settings", "settings_of"]

_ORIGIN = re.compile(
    r"null|[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:\d+)?|[a-z][a-z0-9+.-]*://\[[0-9a-f:.]+\](:\d+)?"
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


class Cors(msgspec.Struct, frozen=True):
    """Which pages of other origins may read answers; none unless set. ``allow_origins`` may be
    ``["*"]``."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ("GET", "POST", "DELETE", "OPTIONS")
    allow_headers: tuple[str, ...] = ("*",)
    allow_credentials: bool = False

    def __post_init__(self) -> None:
        for anybody in ("*", "null"):
            if self.allow_credentials and anybody in self.allow_origins:
                raise ValueError(
                    "allow_credentials needs the origins named one by one in allow_origins, "
                    f"not '{anybody}'"
                )
        for origin in self.allow_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"'{origin}' is no origin: write scheme, host and port in lower case, as "
                    "'https://shop.example:8443', or '*'"
                )
        for name in (*self.allow_methods, *self.allow_headers):
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"'{name}' is no name of a method or header")


class SecureHeaders(msgspec.Struct, frozen=True):
    """Headers by ZenML's names. True is our default, a text is sent as it is, False omits it."""

    server: bool | str = False
    hsts: bool | str = False
    xfo: bool | str = True
    content: bool | str = True
    csp: bool | str = True
    referrer: bool | str = True
    cache: bool | str = True
    permissions: bool | str = True

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and not _VALUE.fullmatch(value):
                raise ValueError(f"the value of '{name}' cannot stand in a header")


class Settings(msgspec.Struct, frozen=True):
    """What the host needs to know beside the limits. Paths begin with a slash and are relative to
    the deployment's URL."""

    auth: Literal["jupyter", "public"] = "jupyter"
    app_title: str | None = None
    app_description: str | None = None
    app_version: str | None = None
    cors: Cors = Cors()
    secure_headers: SecureHeaders = SecureHeaders()
    api_url_path: str = ""
    docs_url_path: str = "/docs"
    invoke_url_path: str = "/invoke"
    submit_url_path: str = "/submit"
    health_url_path: str = "/health"
    info_url_path: str = "/info"
    metrics_url_path: str = "/metrics"
    trusted: bool = False
    cancel_on_disconnect: bool = False
    idempotent: bool = False
    follow: str | None = None  # a stage or alias of the pipeline's model
    standby: bool = False
    isolated: bool = False
    replicas: int = 0  # kernels of its own; 0 says that `isolated` decides
    recycle_after: int | None = None
    memory_limit: int | None = None
    hang_timeout: float = 30.0
    keep_alive: bool | float | None = None
    expires_in: float | None = None
    include_default_endpoints: tuple[str, ...] | None = None

    @property
    def own_kernels(self) -> int:
        """From how many kernels of its own it is served; 0 for the notebook's."""
        return self.replicas or int(self.isolated)

    def offers(self, name: str) -> bool:
        """Whether the deployment has the endpoint "docs", "invoke", "submit", "health", "info",
        "metrics" or "dashboard"."""
        included = self.include_default_endpoints
        return included is None or name in included


def settings_of(given: dict[str, Any]) -> Settings:
    """Read the host's part of a deployment's settings; others are not looked at here.

    Raises :class:`UsageError` for a value that does not fit.
    """
    known = {name: given[name] for name in Settings.__struct_fields__ if name in given}
    try:
        return msgspec.convert(known, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"A setting of the deployment does not fit: {error}.") from error
