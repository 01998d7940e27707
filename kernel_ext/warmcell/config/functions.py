"""Functions in settings: given as they are, or by the path of what is to be imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any

from pydantic import BeforeValidator

from warmcell.errors import UsageError
from warmcell.options import close_match

__all__ = ["Function", "check_keywords", "imported"]


def imported(path: str) -> Any:
    """What the dotted ``path`` (``package.module.name``) stands for. Raises UsageError."""
    module, _, name = path.rpartition(".")
    if not module:
        raise UsageError(
            f"'{path}' names no function.", hint="Give the function itself, or 'module.function'."
        )
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise UsageError(f"'{path}' cannot be imported: {error}.") from error
    except AttributeError:
        raise UsageError(f"The module '{module}' has no '{name}'.") from None


def _resolved(value: Any) -> Any:
    return imported(value) if isinstance(value, str) else value


Function = Annotated[Callable[..., Any], BeforeValidator(_resolved)]


def check_keywords(
    setting: str, function: Callable[..., Any], given: Mapping[str, Any], *, complete: bool
) -> None:
    """Raise :class:`UsageError` where ``function`` does not take the keywords ``given``, or, with
    ``complete``, where it needs others. A ``state`` is always there."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    known = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    name = getattr(function, "__name__", repr(function))
    for key in given:
        if key not in known and not open_ended:
            raise UsageError(
                f"{setting}_kwargs has '{key}', which `{name}` does not take.",
                hint=close_match(key, known) or f"It takes {', '.join(known) or 'nothing'}.",
            )
    for key in known:
        parameter = parameters[key]
        needed = parameter.default is parameter.empty and key not in given and key != "state"
        if needed and (complete or key == "app_runner"):
            hint = f"Give it in {setting}_kwargs, or give `{key}` a default."
            if key == "app_runner":
                hint = "Warmcell has no app runner: the hook gets its keywords, and `state`."
            raise UsageError(f"{setting}: `{name}` needs `{key}`.", hint=hint)
