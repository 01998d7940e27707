"""The key of a step: a digest of everything that its policy says counts, part by part.

The parts are kept with the results, so that a run can say which of them differs.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from warmcell.caching.surroundings import variables
from warmcell.errors import UsageError
from warmcell.snapshots import code as codes
from warmcell.snapshots import identity
from warmcell.snapshots.fingerprints import Hasher

if TYPE_CHECKING:
    from pathlib import Path

    from warmcell.caching.policy import CachePolicy
    from warmcell.steps import Step

__all__ = ["Key", "check_policy", "differences", "digest_of", "key_of", "parts_of", "whole"]

_digests: WeakKeyDictionary[CodeType, str] = WeakKeyDictionary()  # of code that was seen

FORMAT = b"1"  # of keys: results under another are never found


class Key(NamedTuple):
    """``digest`` is what results are looked up by, 64 hex digits; ``parts`` are digests by what
    they are of: "code", "global model", "input table", "parameter n", "file a.csv"…"""

    digest: str
    parts: dict[str, str]


def key_of(
    step: Step,
    policy: CachePolicy,
    *,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
) -> Key | str:
    """The key of a call of ``step``, or a sentence why there can be none.

    ``inputs`` are the artifact versions that it takes, by the name of its input: the digest of the
    value, or of the id. ``parameters`` are the values of its other inputs.

    Raises :class:`UsageError` where the policy cannot be followed, and
    :class:`~warmcell.errors.NotFound` for a secret that there is not.
    """
    check_policy(step, policy)
    parts = parts_of(step, policy, parameters)
    if isinstance(parts, str):
        return parts
    return whole(parts | variables(step.options), policy, inputs)


def check_policy(step: Step, policy: CachePolicy) -> None:
    """Raise :class:`UsageError` where ``policy`` ignores what is no input of ``step``."""
    unknown = frozenset(policy.ignored_inputs or ()) - step.inputs.parameters.keys()
    if unknown:
        raise UsageError(
            f"The cache policy of step '{step.name}' ignores '{min(unknown)}', which is no input.",
            hint=f"It has {', '.join(step.inputs.parameters) or 'none'}.",
        )


def whole(parts: Mapping[str, str], policy: CachePolicy, inputs: Mapping[str, str]) -> Key:
    """The key of a call: what :func:`parts_of` found, and the digests of its ``inputs``."""
    ignored = frozenset(policy.ignored_inputs or ())
    found = dict(parts)
    found |= {f"input {name}": digest for name, digest in inputs.items() if name not in ignored}
    hashed = hashlib.sha256(FORMAT)
    for name in sorted(found):
        hashed.update(f"{len(name)}:{name}{len(found[name])}:{found[name]}".encode())
    return Key(hashed.hexdigest(), found)


def parts_of(
    step: Step, policy: CachePolicy, parameters: Mapping[str, Any]
) -> dict[str, str] | str:
    """The parts of a key that no artifact is in, or a sentence why there can be none."""
    ignored = frozenset(policy.ignored_inputs or ())
    parts: dict[str, str] = {"step": step.name}
    for number, output in enumerate(step.outputs):
        parts[f"output {output.name}"] = f"{number}{_materializer(step, output.name)}"
    if policy.include_step_code:
        parts["code"] = _code(step.function)
    if policy.include_globals:
        for name, value in _globals(step.function).items():
            found = digest_of(value)
            if found is None:
                return f"the global `{name}` can be told apart only by where it is in memory"
            parts[f"global {name}"] = found
    if policy.include_step_parameters:
        for name, value in parameters.items():
            if name in ignored:
                continue
            found = digest_of(value)
            if found is None:
                return f"the input `{name}` can be told apart only by where it is in memory"
            parts[f"parameter {name}"] = found
    return parts | _dependencies(step, policy)


def _materializer(step: Step, output: str) -> str:
    """How an output is written, where its step says so: by the name of the class and its code, as
    what another one wrote would be read otherwise. Empty where the step says nothing."""
    given = step.options.output_materializers
    if isinstance(given, Mapping):
        given = given.get(output)
    if given is None:
        return ""
    made = given if isinstance(given, type) else type(given)
    found = hashlib.sha256(f"{made.__module__}.{made.__qualname__}".encode())
    for base in made.__mro__:
        if base is object or base.__module__.partition(".")[0] == "warmcell":
            continue
        for name, member in sorted(vars(base).items()):
            function = getattr(member, "__func__", member)  # of a class or static method
            if isinstance(function, FunctionType):
                found.update(f"{name}:{_code(function)}".encode())
    return found.hexdigest()


def differences(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """What is different in two keys of one step, in words: "code", "global model", …"""
    names = [*now, *(name for name in before if name not in now)]
    return [name for name in names if now.get(name) != before.get(name)]


def _code(function: Any) -> str:
    """The digest of a function's code and of the notebook code that it reaches; what it reads are
    parts of their own."""
    found = hashlib.sha256()
    for part in _reached(function):
        digest = _digests.get(part)
        if digest is None:
            hasher = Hasher()
            identity.code(hasher, part)
            digest = _digests[part] = hasher.hexdigest()
        found.update(digest.encode())
    return found.hexdigest()


def _reached(function: Any) -> list[CodeType]:
    return [item.__code__ for item in _functions(function)]


def _functions(function: Any) -> list[FunctionType]:
    """A function and all notebook functions that it reaches, each once, always in one order.
    Decorators are among them: the function that they wrap is in a cell of theirs."""
    found: list[FunctionType] = []
    seen: set[int] = set()
    pending = [function]
    while pending:
        item = pending.pop(0)
        if not isinstance(item, FunctionType) or id(item) in seen:
            continue
        seen.add(id(item))
        found.append(item)
        for value in _space(item).values():
            below = _function(value)
            if below is not None and _is_of_the_notebook(below):
                pending.append(below)
    return found


def _globals(function: Any) -> dict[str, Any]:
    """The values that a function and the notebook functions below it read, by name. Two of one name
    (of closures, or of modules) are told apart by the function that reads them."""
    if not isinstance(function, FunctionType):  # a bound method, or another object
        return {getattr(function, "__name__", type(function).__name__): function}
    found: dict[str, Any] = {}
    for item in _functions(function):
        for name, value in _space(item).items():
            below = _function(value)
            if below is not None and _is_of_the_notebook(below):
                continue
            if name in found and found[name] is not value:
                name = _unused(f"{name} of {item.__name__}", found)
            found[name] = value
    return found


def _space(function: FunctionType) -> dict[str, Any]:
    """What a function reads that is not handed to it, by name: globals, cells, what it imports from
    local modules, defaults, and its own attributes. Sorted. Of a decorator that is installed only
    the cells count: what was decorated, and how."""
    space = dict(zip(function.__code__.co_freevars, _cells(function), strict=False))
    if not _is_of_the_notebook(function):
        return space
    space = {**codes.globals_of(function), **codes.imported(function), **space}
    attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    for name, value in (*_defaults(function), *attributes.items()):
        space[f"{function.__name__}({name})"] = value
    return {name: space[name] for name in sorted(space)}


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name} {number}", number + 1
    return found


def _defaults(function: FunctionType) -> list[tuple[str, Any]]:
    code, given = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
    return [*zip(names, given, strict=True), *(function.__kwdefaults__ or {}).items()]


def _function(value: Any) -> FunctionType | None:
    """The function in a value: itself, or what a step is made of."""
    from warmcell.steps import Step

    if isinstance(value, Step):
        value = value.function
    return value if isinstance(value, FunctionType) else None


def _is_of_the_notebook(function: FunctionType) -> bool:
    from warmcell.snapshots.homes import home_of_function

    return home_of_function(function) != "installed"


def _cells(function: FunctionType) -> list[Any]:
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            values.append(None)
    return values


def digest_of(value: Any) -> str | None:
    """The digest of a value; None for what has none."""
    hasher = Hasher(imports=True)
    hasher.add(value)
    return hasher.hexdigest() if hasher.exact else None


def _dependencies(step: Step, policy: CachePolicy) -> dict[str, str]:
    parts = {f"file {path}": _file(step, path) for path in policy.file_dependencies or ()}
    for item in policy.source_dependencies or ():
        parts[f"source {getattr(item, '__qualname__', getattr(item, '__name__', item))}"] = _source(
            step, item
        )
    if policy.cache_func is not None:
        told = policy.cache_func()
        if not isinstance(told, str):
            raise UsageError(
                f"The cache_func of step '{step.name}' returned {type(told).__name__}, not text."
            )
        parts["cache_func"] = told
    return parts


def _file(step: Step, path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            f"The cache policy of step '{step.name}' depends on the file '{path}', which cannot be "
            f"read: {error.strerror}.",
            hint="The path is relative to the notebook's folder.",
        ) from error


def _source(step: Step, item: Any) -> str:
    if isinstance(item, ModuleType | type | FunctionType):
        try:
            return hashlib.sha256(inspect.getsource(item).encode()).hexdigest()
        except (OSError, TypeError):
            found = digest_of(item)
            if found is not None:
                return found
    raise UsageError(
        f"The cache policy of step '{step.name}' depends on the source of {item!r}.",
        hint="Name modules, classes and functions themselves.",
    )
