"""The home of a function, class or module: where it was written.

In the notebook, in a local file of the user, in an installed module, or in an anonymous namespace
made by ``exec``. Everything but what is installed is *code* that a snapshot re-creates.
"""

from __future__ import annotations

import functools
import pathlib
import site
import sys
import sysconfig
import types
from typing import Any, Literal, TypeAlias

Home: TypeAlias = Literal["notebook", "local", "installed", "anonymous"]

OWN_PACKAGES = ("warmcell", "warmcell_server", "warmcell_widgets")
NOTEBOOK = ("__main__", "__mp_main__")

_HEAP = 1 << 9
_IMMUTABLE = 1 << 8


@functools.cache
def environment_folders() -> tuple[str, ...]:
    """Folders whose modules count as installed, each ending in a separator."""
    paths = {sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= set(site.getsitepackages())
    paths.add(site.getusersitepackages())
    folders = {str(pathlib.Path(p).resolve()) for p in paths if p} | {p for p in paths if p}
    return tuple(sorted(f.rstrip("/\\") + ("\\" if "\\" in f else "/") for f in folders))


def is_local_file(file: str | None) -> bool:
    """Whether a module of that file belongs to the user rather than to the environment."""
    if not file or file.startswith("<"):
        return False
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(environment_folders())


def is_local_module(module: types.ModuleType) -> bool:
    """Whether a module goes by value: a ``.py`` file of the user, or one made by hand."""
    name = str(module.__dict__.get("__name__", ""))
    if name in NOTEBOOK:
        return False
    if name.partition(".")[0] in OWN_PACKAGES:
        return False
    file = module.__dict__.get("__file__")
    if isinstance(file, str):
        return file.endswith(".py") and is_local_file(file)
    if sys.modules.get(name) is not module:
        return True
    path = module.__dict__.get("__path__")
    if path is None:
        return False
    return any(is_local_file(str(p).rstrip("/") + "/") for p in path)


def home_of_namespace(namespace: dict[str, Any]) -> Home:
    """Where functions with these globals were written."""
    name = namespace.get("__name__")
    if not isinstance(name, str):
        return "anonymous"
    if name in NOTEBOOK:
        return "notebook"
    module = sys.modules.get(name)
    if isinstance(module, types.ModuleType) and module.__dict__ is namespace:
        return "local" if is_local_module(module) else "installed"
    file = namespace.get("__file__")
    if isinstance(file, str) and name.partition(".")[0] not in OWN_PACKAGES:
        return "local" if is_local_file(file) else "installed"
    return "anonymous"


def importable(target: Any) -> bool:
    """Whether importing an installed ``__module__`` and walking ``__qualname__`` gives this object.

    ``wraps`` copies both names from the notebook, so that they may lead back there.
    """
    name = getattr(target, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) and name not in NOTEBOOK else None
    qualname = getattr(target, "__qualname__", None)
    if module is None or not isinstance(qualname, str) or is_local_module(module):
        return False
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return found is target


def home_of_class(cls: type) -> Home:
    """Where a class was written. A type made in C is always ``installed``."""
    if not cls.__flags__ & _HEAP or cls.__flags__ & _IMMUTABLE:
        return "installed"
    name = cls.__dict__.get("__module__")
    if name in NOTEBOOK:
        return "notebook"
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return (
            "anonymous"
            if "__dict__" in cls.__dict__ or "__slots__" in cls.__dict__
            else ("installed")
        )
    return "local" if is_local_module(module) else "installed"


def home_of_function(function: types.FunctionType) -> Home:
    """Where a function was written, by its globals: ``wraps`` copies ``__module__``."""
    return home_of_namespace(function.__globals__)


def is_own_variable(target: Any) -> bool:
    """Whether a type variable is the user's own, and none that can be imported."""
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    if module is None or module.__name__ in NOTEBOOK or is_local_module(module):
        return True
    return getattr(module, target.__name__, None) is not target


def is_code(target: object) -> bool:
    """Whether an object is notebook code: a function or class that a snapshot re-creates."""
    if isinstance(target, types.FunctionType):
        return home_of_function(target) != "installed"
    if isinstance(target, type):
        return home_of_class(target) != "installed"
    return isinstance(target, types.ModuleType) and is_local_module(target)
