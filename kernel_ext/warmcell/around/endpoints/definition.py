"""Endpoint: a function and the method and path under which a deployment serves it."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from warmcell.config.paths import clean, segments
from warmcell.errors import DefinitionError
from warmcell.options import close_match
from warmcell.source import Source

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = ["Endpoint", "EndpointMethod", "attached", "endpoint"]


class EndpointMethod(enum.StrEnum):
    """The methods that an endpoint may have."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class Endpoint:
    """A custom endpoint. Outside a deployment it is the plain function.

    ``path`` is relative to the deployment's URL and may have ``{placeholders}``, which are
    parameters of the function. With ``auth_required=False`` anybody may call it. A class, or a
    function together with ``init_kwargs``, is called once per deployment and gives the function.
    ``pipeline`` is the name of the pipeline with which it is deployed; without one it has to be
    named in ``custom_endpoints``.
    """

    def __init__(
        self,
        path: str,
        method: str | EndpointMethod = EndpointMethod.GET,
        handler: Callable[..., Any] | str | None = None,
        *,
        name: str | None = None,
        auth_required: bool = True,
        init_kwargs: Mapping[str, Any] | None = None,
        pipeline: str | Pipeline | None = None,
        source: Source | None = None,
        native: bool = False,
        extra_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        given: Any = handler
        if isinstance(given, Endpoint):
            given, source = given.handler, source or given.source
        if isinstance(given, str):
            from warmcell.config.functions import imported

            given = imported(given)
        if not callable(given):
            raise DefinitionError(
                f"An endpoint is made from a function, not from a {type(given).__name__}.",
                hint='Write `@endpoint("GET", "/path")` above a `def`.',
            )
        if native or extra_kwargs:
            raise DefinitionError(
                "An endpoint cannot be `native` to a web framework, nor take its `extra_kwargs`.",
                hint="Write a plain function with typed parameters; Warmcell serves it itself.",
            )
        self.handler: Callable[..., Any] = given
        self.name = name or str(getattr(given, "__name__", type(given).__name__))
        self.method = _method(method, self.name)
        try:
            self.path = clean(path, placeholders=True)
        except ValueError as error:
            raise DefinitionError(f"Endpoint `{self.name}`: {error}.") from None
        self.auth_required = auth_required
        self.init_kwargs = dict(init_kwargs or {})
        self.pipeline = pipeline if isinstance(pipeline, str | None) else pipeline.name
        self.source = source or Source.of(given)
        self._check()

    @property
    def builds(self) -> bool:
        """Whether the handler makes the function instead of being it."""
        return isinstance(self.handler, type) or bool(self.init_kwargs)

    @property
    def placeholders(self) -> list[str]:
        """The names in braces of the path."""
        parts = zip(self.path.strip("/").split("/"), segments(self.path), strict=True)
        return [part[1:-1] for part, fixed in parts if fixed is None]

    def function(self) -> Callable[..., Any]:
        """What answers: the handler, or what it makes. Raises what it raises."""
        made = self.handler(**self.init_kwargs) if self.builds else self.handler
        if not callable(made):
            raise DefinitionError(
                f"Endpoint `{self.name}` ({self.source.place}): its `init_kwargs` say that the "
                f"handler makes a function, but it made a {type(made).__name__}."
            )
        self.check_signature(made)
        return made

    def _check(self) -> None:
        names = self.placeholders
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"Endpoint `{self.name}` has two placeholders {{{name}}}.")
        if not self.builds:
            self.check_signature(self.handler)

    def check_signature(self, function: Callable[..., Any]) -> None:
        """Raise :class:`DefinitionError` unless ``function`` can take what the path has."""
        where = f"Endpoint `{self.name}` ({self.source.place})"
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DefinitionError(f"{where} is a generator.", hint="Return a list instead.")
        parameters = inspect.signature(function).parameters
        for parameter in parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise DefinitionError(
                    f"{where}: the parameter `{parameter}` has no name in a request.",
                    hint="Give every parameter a name and a type.",
                )
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
        for name in self.placeholders:
            if name not in parameters:
                raise DefinitionError(
                    f"{where}: the path has {{{name}}}, but the function takes no `{name}`.",
                    hint=close_match(name, list(parameters))
                    or f"It takes {function.__name__}({', '.join(parameters)}).",
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<endpoint {self.method} {self.path}: {self.name}>"


def _method(given: str, name: str) -> str:
    try:
        return EndpointMethod(str(given).upper()).value
    except ValueError:
        methods = ", ".join(EndpointMethod)
        raise DefinitionError(
            f"Endpoint `{name}` has the method {str(given)!r}.",
            hint=f'It is one of {methods}: @endpoint("GET", "/path").',
        ) from None


def endpoint(
    method: str | EndpointMethod,
    path: str,
    *,
    name: str | None = None,
    auth_required: bool = True,
    pipeline: str | Pipeline | None = None,
) -> Callable[[Callable[..., Any]], Endpoint]:
    """Make a function a custom endpoint; the twin of ``%%endpoint``.

    Its parameters come from the path's placeholders, from the query (plain types) and from the
    body (models, dicts, lists of them, ``bytes``), checked by their types; one named or typed
    ``Request`` gets the whole request. It returns something that JSON can hold, or a
    :class:`~warmcell.Response`. With ``pipeline`` it is deployed with that pipeline.
    Raises :class:`DefinitionError` for a path that cannot be served.
    """

    def decorate(function: Callable[..., Any]) -> Endpoint:
        return Endpoint(
            path, method, function, name=name, auth_required=auth_required, pipeline=pipeline
        )

    return decorate


def attached(pipeline: Pipeline, listed: Iterable[Endpoint]) -> list[Endpoint]:
    """The endpoints of ``pipeline``: those ``listed`` in its settings, then those that name it
    and are variables where its function is defined."""
    found = list(listed)
    scope = getattr(inspect.unwrap(pipeline.function), "__globals__", {})
    for value in list(scope.values()):
        if (
            isinstance(value, Endpoint)
            and value.pipeline == pipeline.name
            and all(value is not other for other in found)
        ):
            found.append(value)
    return found
