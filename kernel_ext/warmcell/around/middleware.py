"""Middleware: a function around ``invoke`` that sees the request and the response."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from warmcell.errors import DefinitionError
from warmcell.source import Source

__all__ = ["Middleware"]


class Middleware:
    """One layer around ``invoke``: ``middleware(request, call_next)`` returns a response.

    It may be ``async``. Of several, the one with the lowest ``order`` is the outermost.
    ``init_kwargs`` are passed as further keywords; a class is made with them, once per
    deployment, and its instance called.
    """

    def __init__(
        self,
        middleware: Callable[..., Any] | str,
        order: int = 0,
        init_kwargs: Mapping[str, Any] | None = None,
        *,
        native: bool = False,
        extra_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(middleware, str):
            from warmcell.config.functions import imported

            middleware = imported(middleware)
        if not callable(middleware):
            raise DefinitionError(
                f"A middleware is a function, not a {type(middleware).__name__}.",
                hint="Write def log_calls(request, call_next): return call_next(request).",
            )
        if native or extra_kwargs:
            raise DefinitionError(
                "A middleware cannot be `native` to a web framework, nor take its `extra_kwargs`.",
                hint="Write a function of (request, call_next) that returns a response.",
            )
        self.middleware = middleware
        self.order = order
        self.init_kwargs = dict(init_kwargs or {})
        self.name = str(getattr(middleware, "__name__", type(middleware).__name__))
        self.source = Source.of(middleware)
        if not isinstance(middleware, type):
            self._check(middleware)

    def _check(self, function: Callable[..., Any]) -> None:
        try:
            inspect.signature(function).bind(None, None, **self.init_kwargs)
        except TypeError:
            given = "".join(f", {name}=…" for name in self.init_kwargs)
            raise DefinitionError(
                f"Middleware `{self.name}` ({self.source.place}) cannot be called as "
                f"{self.name}(request, call_next{given}): it takes {inspect.signature(function)}.",
                hint="Write def log_calls(request, call_next): return call_next(request). "
                "ASGI middleware (scope, receive, send) has no place here.",
            ) from None

    def function(self) -> Callable[..., Any]:
        """What is called with the request and the next layer. Raises what a class raises that is
        made here."""
        if not isinstance(self.middleware, type):
            return partial(self.middleware, **self.init_kwargs)
        made: Any = self.middleware(**self.init_kwargs)
        if not callable(made):
            raise DefinitionError(f"Middleware `{self.name}` has no `__call__`.")
        made_of: Callable[..., Any] = made
        return made_of

    def __repr__(self) -> str:
        return f"<middleware {self.name}>"
