"""Everything else."""

from __future__ import annotations

import pickle
import sys
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.serializer import Serializer, Summary

__all__ = ["Pickled", "libraries", "pickled", "unpickled"]

_APART = 1 << 20  # bytes from which on a buffer is a file of its own, and stored once


class Pickled(Serializer):
    """Any object that can be pickled; notebook classes and functions go by value."""

    kind: ClassVar[str] = "pickle"
    runs_code = True

    def accepts(self, value: Any) -> bool:
        return True

    def summarise(self, value: Any) -> Summary:
        length = getattr(type(value), "__len__", None)
        return Summary(None, type(value).__name__ if length is None else None)

    def save(self, value: Any, out: Outgoing) -> None:
        pickled(value, out)

    def load(self, parts: Incoming) -> Any:
        return unpickled(parts)


def pickled(value: Any, out: Outgoing, name: str = "object.pkl") -> None:
    """Write ``value`` by pickle, large buffers as files of their own. Raises ``TypeError`` for what
    cannot be pickled."""
    import cloudpickle

    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < _APART:
            return True
        buffers.append(view)
        return False

    try:
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=keep)
    except Exception as error:  # whatever the object's own code raises
        raise TypeError(f"it cannot be pickled: {error}") from error
    out.write(name, data)
    for number, view in enumerate(buffers):
        out.write(f"{name}.{number}", view)


def unpickled(parts: Incoming, name: str = "object.pkl") -> Any:
    """Read what :func:`pickled` wrote. Runs its code: only for what was found signed."""
    if not parts.signed:
        raise AssertionError("a pickle was about to be loaded that nobody signed")
    buffers: list[bytearray] = []
    while (buffer := f"{name}.{len(buffers)}") in parts.names:
        buffers.append(bytearray(parts.read(buffer)))  # writable, as what was pickled
    return pickle.loads(parts.read(name), buffers=buffers)  # noqa: S301 - signed by this user


def libraries(value: Any) -> dict[str, str]:
    """The versions of the packages that the class of ``value`` builds on, by name."""
    names = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    if "sklearn" in names:
        names |= {"numpy", "scipy"}
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in sorted(names - {"builtins", "__main__"}):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = version
    return found
