"""Step: a named function with typed inputs and named outputs."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_origin, overload

from warmcell.context import current
from warmcell.errors import DefinitionError, UsageError
from warmcell.generators import collected
from warmcell.options import Retry, StepOptions, change, make
from warmcell.source import Source

__all__ = ["OutputSpec", "Retry", "Source", "Step", "StepOptions", "step", "unmapped"]

_NAME = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*", re.ASCII)
_PREPARED = (
    "inputs", "is_async", "is_generator", "outputs", "plain", "positional", "_needed", "_simple",
)  # fmt: skip


class OutputSpec(NamedTuple):
    """One output of a step. ``annotation`` is its type, or None where none was written."""

    name: str
    annotation: Any = None


class unmapped(NamedTuple):
    """Marks an argument of :meth:`Step.map` that every call gets as it is."""

    value: Any


class Step:
    """A function that a pipeline is made of.

    Outside a pipeline it is that function. Inside the body of one, calling it adds a step run to
    the run. Re-made from its own state, so that a snapshot can take it along.

    The function may be a generator: who follows the run gets what it yields as it yields it. The
    value of the step is what it returns, or, where that is None, the list of what it yielded.
    """

    kind: ClassVar[str] = "step"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        options: StepOptions | None = None,
        outputs: Sequence[str] | None = None,
        source: Source | None = None,
        doc: str | None = None,
    ) -> None:
        if isinstance(function, Step):
            raise DefinitionError(f"`{function.name}` is a step already.")
        if not callable(function):
            raise DefinitionError(
                f"A step is made from a function, not from {type(function).__name__}.",
                hint="Write `@step` above a `def`.",
            )
        self.function = function
        self.name: str = check_name(name or function_name(function), "step")
        self.options = options or StepOptions()
        self.source = source or Source.of(function)
        self.doc = doc if doc is not None else inspect.getdoc(function)
        self._names = tuple(outputs) if outputs is not None else None
        self._prepare()

    def _prepare(self) -> None:
        """Work out what follows from the function. None of it is part of the state."""
        function = self.function
        try:
            self.inputs = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise DefinitionError(
                f"The inputs of step `{self.name}` cannot be read: {error}.",
                hint="Wrap it: def my_step(x): return it(x).",
            ) from error
        async_generator = inspect.isasyncgenfunction(function)
        self.is_async = async_generator or inspect.iscoroutinefunction(function)
        self.is_generator = async_generator or inspect.isgeneratorfunction(function)
        self.outputs = _outputs(self)
        _check_cache_policy(self)
        self.plain = self.options.plain and not (self.is_async or self.is_generator)
        positional = []
        for parameter in self.inputs.parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                positional.append(parameter.name)
        self.positional = tuple(positional)
        parameters = self.inputs.parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        self._needed = frozenset(
            p.name for p in parameters if p.default is p.empty and p.kind in named
        )
        self._simple = all(p.kind in named for p in parameters)
        self.__doc__ = self.doc
        self.__name__ = self.name
        self.__qualname__ = getattr(function, "__qualname__", self.name)
        self.__module__ = getattr(function, "__module__", __name__)

    def __getstate__(self) -> dict[str, Any]:
        keys = ("function", "name", "options", "source", "doc", "_names")
        return {key: self.__dict__[key] for key in keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __getattr__(self, attribute: str) -> Any:
        # A step that was just unpickled: its function may not have been filled in before now.
        if attribute in _PREPARED:
            self._prepare()
            return self.__dict__[attribute]
        if attribute == "__wrapped__" and "function" in self.__dict__:
            return self.__dict__["function"]
        raise AttributeError(f"Step has no attribute `{attribute}`.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, or add a step run to the pipeline whose body this is called in."""
        scope = current.get()
        if scope is None:
            return self.function(*args, **kwargs)
        return scope.call(self, args, kwargs, sys._getframe(1))

    def fits(self, given: Collection[str]) -> bool:
        """Whether a call with the parameters ``given``, each once, is known to be right."""
        return (
            self._simple
            and self._needed <= set(given)
            and set(given) <= self.inputs.parameters.keys()
        )

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Start this step and go on: returns a :class:`warmcell.runner.futures.StepFuture` with
        ``result()``. Arguments may be futures. Only inside the body of a pipeline."""
        return self._body("submit").submit(self, args, kwargs)

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Start this step once per item: arguments are iterables of one length, or
        :class:`unmapped`. Returns :class:`warmcell.runner.futures.StepFutures`. Only inside the
        body of a pipeline."""
        return self._body("map").map(self, args, kwargs)

    def _body(self, method: str) -> Any:
        scope = current.get()
        if scope is None or not hasattr(scope, method):
            raise UsageError(
                f"`{self.name}.{method}()` works only inside the body of a pipeline.",
                hint=f"Call `{self.name}(...)` itself to run the plain function.",
            )
        return scope

    def with_options(self, **options: Any) -> Step:
        """The same step with other options; takes those of :func:`step`."""
        return _configured(self, options)

    def configure(self, **options: Any) -> Step:
        """Change options of this step itself; :meth:`with_options` makes another one."""
        self.options = change(self.options, options, f"Step `{self.name}`")
        self._prepare()
        return self

    def __repr__(self) -> str:
        names = ", ".join(output.name for output in self.outputs)
        return f"<step {self.name}({', '.join(self.inputs.parameters)}) -> {names or None}>"


def _check_cache_policy(step: Step) -> None:
    policy = step.options.cache_policy
    if policy is not None and policy.ignored_inputs:
        from warmcell.caching.key import check_policy

        check_policy(step, policy)


def _configured(old: Step, options: dict[str, Any]) -> Step:
    name = options.pop("name", None) or old.name
    outputs = options.pop("outputs", old._names)
    return Step(
        old.function,
        name=name,
        options=change(old.options, options, f"Step `{old.name}`"),
        outputs=outputs,
        source=old.source,
        doc=old.doc,
    )


@overload
def step(function: Callable[..., Any], /) -> Step: ...
@overload
def step(
    *, name: str | None = None, outputs: Sequence[str] | None = None, **options: Any
) -> Callable[[Callable[..., Any]], Step]: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    outputs: Sequence[str] | None = None,
    **options: Any,
) -> Step | Callable[[Callable[..., Any]], Step]:
    """Make a function a step; the twin of ``%%step``.

    Options: ``name``, ``outputs`` (names), ``retry`` (a number or :class:`Retry`), ``timeout``
    (seconds per attempt), ``on_start``, ``on_end``, ``on_success``, ``on_failure``, ``tags``
    (of the artifact versions that it makes),
    ``model``, ``settings``, ``extra``, ``enable_cache`` (whether results of earlier runs are taken
    where nothing changed), ``cache_policy`` (:class:`~warmcell.caching.CachePolicy`),
    ``environment`` (variables while the step runs) and ``secrets`` (names of secrets, whose values
    are such variables too). Raises :class:`DefinitionError` for any other.
    """

    def decorate(function: Callable[..., Any]) -> Step:
        owner = f"Step `{getattr(function, '__name__', function)}`"
        made = make(StepOptions, options, owner)
        return Step(function, name=name, options=made, outputs=outputs)

    return decorate if function is None else decorate(function)


# -- names and outputs -----------------------------------------------------------------------


def function_name(function: object) -> str:
    """The name of a function, empty where it has none."""
    return str(getattr(function, "__name__", ""))


def check_name(name: str, kind: str) -> str:
    """``name`` if it can name a step or a pipeline, else :class:`DefinitionError`."""
    if not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{name!r} cannot name a {kind}.",
            hint="A name begins with a letter; letters, digits, `_`, `-` and `.` follow."
            + (f" Write @{kind}(name=...)." if name == "<lambda>" else ""),
        )
    return name


def _outputs(owner: Step) -> tuple[OutputSpec, ...]:
    annotation = return_annotation(owner.function, owner.inputs)
    if owner.is_generator:
        annotation = collected(annotation)
    if owner._names is not None:
        parts = parts_of(annotation)
        types_ = parts if len(parts) == len(owner._names) else [annotation] * len(owner._names)
        specs = [
            OutputSpec(name, _named(part)[1])
            for name, part in zip(owner._names, types_, strict=True)
        ]
    elif annotation is None or annotation is types.NoneType:
        specs = []
    elif parts := parts_of(annotation):
        specs = []
        for number, part in enumerate(parts):
            name, kind = _named(part)
            specs.append(OutputSpec(name or f"output_{number}", kind))
    else:
        name, kind = _named(annotation)
        specs = [OutputSpec(name or "output", kind)]
    seen: set[str] = set()
    for spec in specs:
        if not spec.name.isidentifier() and not _NAME.fullmatch(spec.name):
            raise DefinitionError(
                f"Step `{owner.name}` ({owner.source.place}): {spec.name!r} cannot name an output."
            )
        if spec.name in seen:
            raise DefinitionError(
                f"Step `{owner.name}` ({owner.source.place}) has two outputs named `{spec.name}`.",
                hint='Give each its own name: tuple[Annotated[int, "a"], Annotated[int, "b"]].',
            )
        seen.add(spec.name)
    return tuple(specs)


_MISSING = inspect.Signature.empty


def return_annotation(function: Callable[..., Any], signature: inspect.Signature) -> Any:
    """The type of the result, resolved where it is text; ``empty`` where there is none."""
    annotation = signature.return_annotation
    if not isinstance(annotation, str):
        return annotation
    try:
        # Annotations are the user's own code, as typing.get_type_hints evaluates them.
        holder = types.SimpleNamespace(__annotations__={"return": annotation})
        scope = getattr(inspect.unwrap(function), "__globals__", {})
        return typing.get_type_hints(holder, scope, include_extras=True)["return"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return _MISSING


def return_name(annotation: Any) -> str | None:
    """The output name that a return annotation gives, if it does."""
    return _named(annotation)[0]


def parts_of(annotation: Any) -> list[Any]:
    """The types of a tuple with a fixed number of items; empty for anything else."""
    if get_origin(annotation) is not tuple:
        return []
    parts = list(get_args(annotation))
    return [] if len(parts) < 2 or Ellipsis in parts else parts


def _named(annotation: Any) -> tuple[str | None, Any]:
    """The output name in ``Annotated[T, "name"]`` or ``Annotated[T, ArtifactConfig(...)]``, and
    the type."""
    if annotation is _MISSING:
        return None, None
    if get_origin(annotation) is Annotated:
        kind, *extras = get_args(annotation)
        for extra in extras:
            name = extra if isinstance(extra, str) else getattr(extra, "name", None)
            if isinstance(name, str):
                # One with places names artifacts; as an output it is called as without a name.
                plain = None if "{" in name else name
                return plain, annotation if not isinstance(extra, str) else kind
        return None, annotation
    return None, annotation
