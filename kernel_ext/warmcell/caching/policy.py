"""CachePolicy: what has to be the same for a step's results to be taken again.

The names are ZenML's; ``expires_after`` and ``include_globals`` are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from warmcell.config.strict import Strict
from warmcell.errors import UsageError

__all__ = ["CachePolicy", "policy_of"]


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


def _function(value: Any) -> Any:
    if value is None or callable(value):
        return value
    raise ValueError("a function without parameters is expected, that returns text")


class CachePolicy(Strict):
    """What a step's key is made of.

    ``include_step_code`` is the code of the step and all notebook code that it reaches,
    ``include_globals`` the values that this code reads. An input counts by its value; where a value
    has no hash of its own (``include_artifact_values=False``, or it can be told apart only by where
    it is in memory), by the artifact version that it came from, with ``include_artifact_ids``.
    ``ignored_inputs`` do not count. The contents of ``file_dependencies`` count, and the source of
    the modules, classes and functions of ``source_dependencies``; ``cache_func()`` returns text
    that counts too. After ``expires_after`` seconds results are not taken any more.

    Variables that ``environment`` and ``secrets`` of the step or its pipeline set always count, by
    their values. What is not part of a key: docstrings and comments, the rest of ``os.environ``,
    and the versions of libraries and of Python. Where they matter, say so:
    ``cache_func=lambda: os.environ["REGION"]`` or ``lambda: sklearn.__version__``,
    ``source_dependencies=[module]`` for the whole source of a module, docstrings and all.
    """

    owner: ClassVar[str] = "A cache policy"

    include_step_code: bool = True
    include_globals: bool = True
    include_step_parameters: bool = True
    include_artifact_values: bool = True
    include_artifact_ids: bool = True
    ignored_inputs: Annotated[list[str] | None, BeforeValidator(_names)] = None
    file_dependencies: Annotated[list[Path] | None, BeforeValidator(_names)] = None
    source_dependencies: list[Any] | None = None
    cache_func: Annotated[Callable[[], str] | None, BeforeValidator(_function)] = None
    expires_after: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None

    @classmethod
    def default(cls) -> CachePolicy:
        """Everything counts, for ever."""
        return cls()


def policy_of(given: Any) -> CachePolicy:
    """Read ``cache_policy`` of a step or pipeline: a policy, ``"default"``, a dict or None.

    Raises :class:`UsageError` for anything else.
    """
    if given is None or given == "default":
        return CachePolicy.default()
    if isinstance(given, CachePolicy):
        return given
    if isinstance(given, dict):
        return CachePolicy(**given)
    raise UsageError(
        f"`cache_policy` is {given!r}.",
        hint='Give a CachePolicy, a dict of its fields, or "default".',
    )
