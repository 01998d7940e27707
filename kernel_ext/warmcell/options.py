"""Options of steps and pipelines: what is allowed, and what a typing error meant."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from warmcell.errors import DefinitionError

ExecutionMode: TypeAlias = Literal["continue_on_failure", "fail_fast", "stop_on_failure"]
Hook: TypeAlias = Callable[..., Any]

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Retry:
    """Try a step again when it raises.

    ``max_retries`` is how often after the first attempt; before the n-th of them the step waits
    ``delay * backoff ** (n - 1)`` seconds. Only errors that are instances of ``on`` count.
    """

    max_retries: int = 1
    delay: float = 0.0
    backoff: float = 1.0
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        given: Any = self.on
        kinds = (given,) if isinstance(given, type) else tuple(given)
        object.__setattr__(self, "on", kinds)
        if self.max_retries < 0 or self.delay < 0 or self.backoff < 0:
            raise DefinitionError("`max_retries`, `delay` and `backoff` of a retry are 0 or more.")
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise DefinitionError(
                f"`on` of a retry takes exception classes, not {given!r}.",
                hint="Write for example on=(TimeoutError, ConnectionError).",
            )

    def wait(self, retry: int) -> float:
        """Seconds to wait before retry number ``retry``, counted from 1."""
        return self.delay * (self.backoff or 1.0) ** (retry - 1)


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What to call around a step or a run. A hook takes nothing, or the exception; ``on_failure``
    and ``on_end`` are called once, after the last retry."""

    on_start: Hook | None = None
    on_end: Hook | None = None
    on_success: Hook | None = None
    on_failure: Hook | None = None

    def __post_init__(self) -> None:
        for field in ("on_start", "on_end", "on_success", "on_failure", "on_init", "on_cleanup"):
            hook = getattr(self, field, None)
            if hook is not None and not callable(hook):
                raise DefinitionError(f"`{field}` takes a function, not {hook!r}.")


@dataclasses.dataclass(frozen=True)
class StepOptions(Hooks):
    """Options of a step. ``timeout`` is in seconds and holds for each attempt."""

    retry: Retry | None = None
    timeout: float | None = None
    tags: tuple[Any, ...] = ()
    model: Any = None
    settings: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None
    enable_cache: bool | None = None
    cache_policy: Any = None  # a CachePolicy, a dict of its fields, or "default"
    substitutions: Mapping[str, str] | None = None  # for places in names of artifacts
    enable_artifact_metadata: bool | None = None  # whether facts about values are found out
    enable_artifact_visualization: bool | None = None  # whether materializers draw values
    environment: Mapping[str, str] | None = None  # variables while a step runs
    secrets: tuple[str, ...] = ()  # named secrets whose values are variables too
    output_materializers: Any = None  # how outputs are written: one for all, or by name

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_substitutions(self.substitutions)
        _check_materializers(self.output_materializers)
        _set_retry(self)
        object.__setattr__(self, "tags", _tags(self.tags))
        _check_environment(self)
        _check_caching(self)
        if self.timeout is not None and not self.timeout > 0:
            raise DefinitionError(
                f"`timeout` is a number of seconds above 0, not {self.timeout!r}."
            )

    @property
    def plain(self) -> bool:
        """Whether the step needs nothing but a call."""
        return (
            self.retry is None
            and self.timeout is None
            and self.on_start is self.on_end is self.on_success is self.on_failure is None
            and not (self.environment or self.secrets)
        )


@dataclasses.dataclass(frozen=True)
class PipelineOptions(Hooks):
    """Options of a pipeline. ``on_init(**on_init_kwargs)`` makes the state that steps see as
    ``get_step_context().pipeline_state``; ``retry`` holds for steps that name none. ``settings``
    are those of its deployments (:class:`warmcell.DeploymentSettings` or a dict)."""

    on_init: Hook | None = None
    on_init_kwargs: Mapping[str, Any] | None = None
    on_cleanup: Hook | None = None
    execution_mode: ExecutionMode = "continue_on_failure"
    retry: Retry | None = None
    tags: tuple[Any, ...] = ()
    model: Any = None
    settings: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None
    enable_cache: bool | None = None
    cache_policy: Any = None  # a CachePolicy, a dict of its fields, or "default"
    dynamic: bool | None = None
    substitutions: Mapping[str, str] | None = None  # for places in names of artifacts
    enable_artifact_metadata: bool | None = None  # whether facts about values are found out
    enable_artifact_visualization: bool | None = None  # whether materializers draw values
    environment: Mapping[str, str] | None = None  # variables while a step runs
    secrets: tuple[str, ...] = ()  # named secrets whose values are variables too

    def __post_init__(self) -> None:
        super().__post_init__()
        _set_retry(self)
        object.__setattr__(self, "tags", _tags(self.tags))
        _check_environment(self)
        _check_caching(self)
        _check_substitutions(self.substitutions)
        mode = str(getattr(self.execution_mode, "value", self.execution_mode)).lower()
        if mode not in get_args(ExecutionMode):
            raise DefinitionError(
                f"`execution_mode` is one of {', '.join(get_args(ExecutionMode))}, not {mode!r}."
            )
        object.__setattr__(self, "execution_mode", mode)
        if self.settings is not None:
            from warmcell.config.deployment_settings import normalized

            object.__setattr__(self, "settings", normalized(self.settings))


def _set_retry(options: StepOptions | PipelineOptions) -> None:
    retry: Any = options.retry
    if retry is None or isinstance(retry, Retry):
        return
    if isinstance(retry, int):
        retry = Retry(retry)
    elif isinstance(retry, Mapping):
        retry = make(Retry, retry, "a retry")
    else:
        raise DefinitionError(
            f"`retry` takes a number or a Retry, not {retry!r}.",
            hint="Write for example retry=Retry(max_retries=3, delay=1, backoff=2).",
        )
    object.__setattr__(options, "retry", retry)


def _check_caching(options: StepOptions | PipelineOptions) -> None:
    if options.enable_cache is not None and not isinstance(options.enable_cache, bool):
        raise DefinitionError(f"`enable_cache` is True or False, not {options.enable_cache!r}.")
    if options.cache_policy is not None:
        from warmcell.caching.policy import policy_of

        object.__setattr__(options, "cache_policy", policy_of(options.cache_policy))


def _check_substitutions(given: Any) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping) or not all(
        isinstance(part, str) for item in given.items() for part in item
    ):
        raise DefinitionError(
            f"`substitutions` is a dict of texts, not {given!r}.",
            hint='Write for example substitutions={"dataset": "train"}.',
        )


def _check_environment(options: StepOptions | PipelineOptions) -> None:
    given: Any = options.environment
    if given is not None and not (
        isinstance(given, Mapping) and all(map(_variable, given.items()))
    ):
        raise DefinitionError(
            f"`environment` is a dict of texts, not {given!r}.",
            hint='Write for example environment={"REGION": "eu"}.',
        )
    names: Any = options.secrets
    names = (names,) if isinstance(names, str) else () if names is None else names
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise DefinitionError(
            f"`secrets` takes names of secrets, not {names!r}.",
            hint='Write for example secrets=["warehouse"]; its values are variables of the step.',
        )
    object.__setattr__(options, "secrets", tuple(names))


def _variable(item: tuple[Any, Any]) -> bool:
    name, value = item
    if not (isinstance(name, str) and isinstance(value, str)):
        return False
    return bool(name) and "=" not in name and "\0" not in name + value


def _check_materializers(given: Any) -> None:
    """Raise :class:`DefinitionError` for what writes no values."""
    if given is None:
        return
    from warmcell.artifacts.materialized import Materialized
    from warmcell.artifacts.serializer import Serializer

    for one in given.values() if isinstance(given, Mapping) else [given]:
        if not isinstance(one, Serializer):
            Materialized.of(one)


def _tags(tags: Any) -> tuple[Any, ...]:
    if tags is None:
        return ()
    from warmcell.tags import as_tags

    as_tags(tags)
    return (tags,) if isinstance(tags, str) else tuple(tags)


def close_match(word: str, known: Collection[str]) -> str | None:
    """``Did you mean …?`` for a word that is not known, if anything is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else None


def make(kind: type[_T], values: Mapping[str, Any], owner: str) -> _T:
    """Make options from keywords; an unknown one raises :class:`DefinitionError`."""
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise DefinitionError(
                f"{owner} has an option `{name}` that Warmcell does not know.",
                hint=close_match(name, known) or f"Known options: {', '.join(sorted(known))}.",
            )
    return kind(**values)


def change(options: _T, values: Mapping[str, Any], owner: str) -> _T:
    """A copy of ``options`` with some of them replaced."""
    known = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    make(type(options), values, owner)
    return dataclasses.replace(options, **{k: v for k, v in values.items() if k in known})  # type: ignore[type-var]
