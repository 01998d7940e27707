"""DeploymentSettings: everything about a deployment that is not the pipeline itself.

The names are ZenML's where it has the setting. Only what was set travels to the host; the host has
the defaults (:mod:`warmcell_server.settings`, :mod:`warmcell_server.limits`).
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BeforeValidator, Field, InstanceOf

from warmcell.around.endpoints.definition import Endpoint as EndpointSpec
from warmcell.around.endpoints.definition import EndpointMethod
from warmcell.around.middleware import Middleware as MiddlewareSpec
from warmcell.artifacts.policy import rules_of
from warmcell.config.defaults import (
    DeploymentDefaultEndpoints,
    DeploymentDefaultMiddleware,
    chosen,
)
from warmcell.config.functions import Function, check_keywords
from warmcell.config.headers import CORSConfig, SecureHeadersConfig
from warmcell.config.paths import FIXED, check_paths, clean
from warmcell.config.strict import Strict
from warmcell.config.zenml import ELSEWHERE, GROUPS
from warmcell.errors import UsageError
from warmcell.options import close_match
from warmcell.redaction import patterns_of

__all__ = [
    "CORSConfig",
    "DeploymentDefaultEndpoints",
    "DeploymentDefaultMiddleware",
    "DeploymentSettings",
    "EndpointMethod",
    "EndpointSpec",
    "MiddlewareSpec",
    "SecureHeadersConfig",
    "merged",
    "normalized",
]


def _path(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


def _prefix(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and value.strip("/") else value


def _record(value: Any) -> Any:
    fraction = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    if value in ("all", "errors", "none") or fraction or value is None:
        return value
    raise ValueError('"all", "errors", "none" or a fraction from 0 to 1 is expected')


def _artifacts(value: Any) -> Any:
    return None if value is None else rules_of(value)


def _redact(value: Any) -> Any:
    return None if value is None else list(patterns_of(value))


def _kept(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and 0 < value < float("inf"):
        return float(value)
    raise ValueError("seconds above 0 are expected, or True for always")


MOST_REPLICAS = 64  # each is a process with what the snapshot holds: more is a slip of the pen
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def bytes_of(value: Any) -> Any:
    """A number of bytes; of text as "500 MB" or "2GiB"."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a number of bytes is expected, or text as "500 MB" or "2 GiB"')
    number, unit, binary = found[1], found[2].lower(), found[3]
    factor = 1024 ** "_kmgt".index(unit) if binary and unit else _UNITS[unit]
    return int(float(number) * factor)


def _items(kind: type[Any], what: str, *, functions: bool) -> Callable[[Any], Any]:
    """Converts a list of ``kind``; an item may be the dict of one, or, with ``functions``, what
    one is made from."""

    def item(value: Any) -> Any:
        if isinstance(value, Mapping):
            known = list(inspect.signature(kind).parameters)
            for name in value:
                if name not in known:
                    hint = close_match(name, known) or f"It has {', '.join(known)}."
                    raise UsageError(f"{what} has no '{name}'.", hint=hint)
            return kind(**value)
        if (
            functions
            and not isinstance(value, kind)
            and (callable(value) or isinstance(value, str))
        ):
            return kind(value)
        return value

    def convert(value: Any) -> Any:
        single = isinstance(value, kind | Mapping | str) or not isinstance(value, Iterable)
        return value if value is None else [item(v) for v in ([value] if single else value)]

    return convert


Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Folder = Annotated[str, BeforeValidator(lambda v: os.fspath(v) if isinstance(v, PathLike) else v)]
UrlPath = Annotated[Text, BeforeValidator(_path)]
Endpoints = Annotated[
    list[InstanceOf[EndpointSpec]],
    BeforeValidator(_items(EndpointSpec, "An endpoint", functions=False)),
]
Middlewares = Annotated[
    list[InstanceOf[MiddlewareSpec]],
    BeforeValidator(_items(MiddlewareSpec, "A middleware", functions=True)),
]
DefaultEndpoints = Annotated[
    DeploymentDefaultEndpoints, BeforeValidator(partial(chosen, DeploymentDefaultEndpoints))
]
DefaultMiddleware = Annotated[
    DeploymentDefaultMiddleware, BeforeValidator(partial(chosen, DeploymentDefaultMiddleware))
]


class DeploymentSettings(Strict):
    """Settings of a deployment; what is None has its default.

    Calls: ``concurrency`` runs at once and ``max_queue`` waiting; ``timeout``, ``queue_timeout``
    and ``run_timeout`` in seconds; ``pool`` is a name shared by deployments that together run at
    most ``pool_size`` at once; ``record`` is "all", "errors", "none" or a fraction. ``artifacts``
    says in the same words which outputs of steps are kept as artifacts, for all or by name:
    ``{"model": "all", "*": "errors"}``, or the names of those to keep. ``redact`` are patterns of
    names, such as ``["*password*"]``, whose values are masked before anything is stored.
    ``enable_cache`` has calls take the results of steps again that are kept as ``artifacts``.
    ``cancel_on_disconnect`` ends a run whose caller went away. ``idempotent`` says that a run may
    be executed once more when its kernel goes away. ``follow`` is a stage or an alias of the
    pipeline's model, such as "production": whenever another version is there, ``on_init`` runs for
    that one, and then it serves.

    Kernels: ``isolated`` serves from a kernel of its own instead of the notebook's, ``replicas``
    from so many of them; ``standby`` keeps one more ready. Such a kernel is replaced
    ``recycle_after`` so many runs, when it takes more than ``memory_limit`` (bytes, or text as
    "2 GB"), and when nothing is heard of it for ``hang_timeout`` seconds. ``keep_alive`` is how
    many seconds after its last call a kernel is kept, True for always; the next call brings it
    back. ``expires_in`` is in how many seconds the deployment ends.

    Access: ``auth`` is "jupyter" or "public"; ``cors`` and ``secure_headers``. ``trusted`` lets the
    own front end and custom endpoints' pages act as the Jupyter server itself.

    Application: ``app_title``, ``app_description``, ``app_version``; the paths, relative to the
    deployment's URL, of which those but ``docs_url_path`` follow ``api_url_path``;
    ``dashboard_files_path``, a folder with an ``index.html``; ``custom_endpoints``;
    ``custom_middlewares``; ``startup_hook``, called after ``on_init`` with ``startup_hook_kwargs``
    (and the ``state``, if it takes that), and ``shutdown_hook``, called before ``on_cleanup``.
    """

    owner: ClassVar[str] = "A deployment"
    elsewhere: ClassVar[Mapping[str, str]] = ELSEWHERE

    concurrency: Whole | None = None
    max_queue: Annotated[int, Field(strict=True, ge=0)] | None = None
    timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    run_timeout: Seconds | None = None
    pool: Annotated[str, Field(strict=True, min_length=1)] | None = None
    pool_size: Whole | None = None
    record: Annotated[str | float | None, BeforeValidator(_record)] = None
    artifacts: Annotated[dict[str, str | float] | None, BeforeValidator(_artifacts)] = None
    redact: Annotated[list[str] | None, BeforeValidator(_redact)] = None
    enable_cache: Switch | None = None
    cancel_on_disconnect: Switch | None = None
    idempotent: Switch | None = None
    follow: Annotated[str, Field(strict=True, pattern="^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")] | None = (
        None
    )
    standby: Switch | None = None
    isolated: Switch | None = None
    replicas: Annotated[int, Field(strict=True, ge=1, le=MOST_REPLICAS)] | None = None
    recycle_after: Whole | None = None
    memory_limit: Annotated[int | None, BeforeValidator(bytes_of)] = None
    hang_timeout: Seconds | None = None
    keep_alive: Annotated[bool | float | None, BeforeValidator(_kept)] = None
    expires_in: Seconds | None = None

    auth: Literal["jupyter", "public"] | None = None
    cors: CORSConfig | None = None
    secure_headers: SecureHeadersConfig | None = None
    trusted: Switch | None = None

    app_title: Text | None = None
    app_description: Text | None = None
    app_version: Text | None = None
    include_default_endpoints: DefaultEndpoints | None = None
    include_default_middleware: DefaultMiddleware | None = None
    api_url_path: Annotated[Text, BeforeValidator(_prefix)] | None = None
    docs_url_path: UrlPath | None = None
    invoke_url_path: UrlPath | None = None
    submit_url_path: UrlPath | None = None
    health_url_path: UrlPath | None = None
    info_url_path: UrlPath | None = None
    metrics_url_path: UrlPath | None = None
    dashboard_files_path: Folder | None = None
    custom_endpoints: Endpoints | None = None
    custom_middlewares: Middlewares | None = None
    startup_hook: Function | None = None
    startup_hook_kwargs: dict[str, Any] | None = None
    shutdown_hook: Function | None = None
    shutdown_hook_kwargs: dict[str, Any] | None = None

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> DeploymentSettings:
        self._check_hooks(complete=False)
        if self.isolated is False and self.replicas is not None:
            raise UsageError(
                f"'replicas' is {self.replicas}, which are kernels of its own, and 'isolated' is "
                "False.",
                hint="Leave one of them out.",
            )
        if self.enable_cache and not self.artifacts:
            raise UsageError(
                "'enable_cache' is True, but no outputs are kept that calls could take again.",
                hint="Set artifacts='all' too, or name the outputs to keep.",
            )
        check_paths(self.paths(), [(e.method, e.path, e.name) for e in self.custom_endpoints or ()])
        return self

    def _check_hooks(self, *, complete: bool) -> None:
        for name in ("startup_hook", "shutdown_hook"):
            hook = getattr(self, name)
            if hook is not None:
                given = getattr(self, f"{name}_kwargs") or {}
                check_keywords(name, hook, given, complete=complete)

    def paths(self) -> dict[str, str]:
        """The paths that were chosen, by the names of their settings, with their prefix."""
        prefix = self.api_url_path or ""
        found = {}
        for name, (usual, _) in FIXED.items():
            path = getattr(self, name)
            if name != "docs_url_path" and (path is not None or prefix):
                found[name] = prefix + (path or usual)
            elif path is not None:
                found[name] = path
        return found

    def given(self) -> dict[str, Any]:
        """What was set and is not None: plain values, functions, endpoints and middleware."""
        found: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None or name not in self.model_fields_set:
                continue
            if isinstance(value, Strict):
                value = value.model_dump()
            elif isinstance(value, DeploymentDefaultEndpoints | DeploymentDefaultMiddleware):
                value = [str(member.name).lower() for member in value]
            found[name] = value
        return found


def check_options(verb: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse an option that is no setting where one of ``function``'s own is meant; what else is
    wrong, the settings say themselves. Raises :class:`UsageError`."""
    own = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    fields = DeploymentSettings.model_fields
    for name in options:
        if name in fields or name in ELSEWHERE:
            continue
        meant = close_match(name, [*own, *fields])
        if meant is None:
            hint = f"It takes {', '.join(own)}, and the settings of a deployment."
        elif any(f"`{word}`" in meant for word in own):
            hint = meant
        else:
            continue
        raise UsageError(f"{verb}() has no option '{name}'.", hint=hint)


CODE = ("custom_endpoints", "custom_middlewares", "startup_hook", "startup_hook_kwargs",
        "shutdown_hook", "shutdown_hook_kwargs")  # fmt: skip
"""The settings that are code or for code: the snapshot takes them, the host never sees them."""


def normalized(settings: Mapping[str, Any] | DeploymentSettings | None) -> dict[str, Any]:
    """The settings by name, checked; from the object, a dict, or ZenML's ``{"deployment": …}``.

    Raises :class:`UsageError` for what does not fit.
    """
    if settings is None:
        return {}
    if isinstance(settings, DeploymentSettings):
        return settings.given()
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"`settings` takes DeploymentSettings or a dict, not a {type(settings).__name__}.",
            hint="Write for example settings=DeploymentSettings(concurrency=4).",
        )
    found = dict(settings)
    nested = found.pop("deployment", None)
    for name in found:
        group = str(name).partition(".")[0]
        if group in GROUPS:
            raise UsageError(f"There are no settings for '{name}' here.", hint=GROUPS[group])
    flat = DeploymentSettings(**{str(name): value for name, value in found.items()}).given()
    return flat | normalized(nested)


def merged(*sources: Mapping[str, Any] | DeploymentSettings | None) -> DeploymentSettings:
    """One object of several sources, of which the later win, checked as a whole.

    Raises :class:`UsageError` for what does not fit, alone or together.
    """
    found: dict[str, Any] = {}
    for source in sources:
        found |= normalized(source)
    settings = DeploymentSettings(**found)
    settings._check_hooks(complete=True)
    if settings.pool_size is not None and settings.pool is None:
        raise UsageError("The setting 'pool_size' needs the name of a pool.", hint="Set 'pool'.")
    return settings


def for_host(settings: DeploymentSettings) -> dict[str, Any]:
    """The JSON form of what the host reads; what :data:`CODE` names is left out."""
    found = {name: value for name, value in settings.given().items() if name not in CODE}
    around = found.pop("include_default_middleware", None)
    if around is not None and "cors" not in around:
        found.pop("cors", None)
    if around is not None and "secure_headers" not in around:
        found["secure_headers"] = dict.fromkeys(SecureHeadersConfig.model_fields, False)
    return found
