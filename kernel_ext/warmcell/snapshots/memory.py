"""Large memory goes out of band: stored once, whichever snapshots hold it, mapped when restored.

Arrays do so by themselves. Here are text and bytes, arrays that look at another one's memory, and
the storages of torch, which torch would write into the pickle.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from typing import Any

from warmcell.snapshots.kinds import SMALL_BYTES

# -- writing ---------------------------------------------------------------------------------


class _Outlying:
    def __init__(self, kind: type, data: Any) -> None:
        self.kind = kind
        self.data = data

    def __reduce__(self) -> Any:
        return (outlying, (self.kind.__name__, pickle.PickleBuffer(self.data)))


def set_apart(target: Any) -> object:
    """What to write for a referenced object, so that its memory goes out of band."""
    if type(target) is str and len(target) > SMALL_BYTES:
        return _Outlying(str, target.encode("utf-8", "surrogatepass"))
    if type(target) in (bytes, bytearray) and len(target) > SMALL_BYTES:
        return _Outlying(type(target), target)
    return target


def reduce_view(array: Any, others: Mapping[int, object]) -> Any:
    """The reduction of an array that looks at the memory of one of ``others``, by their ids;
    NotImplemented for any other."""
    base = array.base
    while getattr(base, "base", None) is not None and id(base) not in others:
        base = base.base
    if id(base) not in others or type(base) is not type(array):
        return NotImplemented
    if base.dtype.hasobject or array.dtype.hasobject or not base.flags.c_contiguous:
        return NotImplemented
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return (view, (base, array.dtype, array.shape, array.strides, offset))


def is_storage(cls: type) -> bool:
    """Whether a type is a storage of torch; imports nothing."""
    return cls.__module__ == "torch.storage" and cls.__name__ in ("TypedStorage", "UntypedStorage")


def reduce_storage(storage: Any) -> Any:
    """The reduction of a storage of torch; NotImplemented where it is not in the CPU's memory."""
    untyped = getattr(storage, "_untyped_storage", storage)
    if untyped.device.type != "cpu":
        return NotImplemented
    if untyped is storage:
        return (torch_storage, (_bytes(storage),))
    return (torch_typed, (untyped, str(storage.dtype).rpartition(".")[2]))


def storage_parts(storage: Any) -> tuple[Any, ...]:
    """What makes up a storage of torch, for its hash."""
    reduced = reduce_storage(storage)
    return storage.__reduce_ex__(5) if reduced is NotImplemented else reduced[1]  # type: ignore[no-any-return]


def _bytes(storage: Any) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.tensor([], dtype=torch.uint8).set_(storage).numpy()


# -- reading: these names are part of the format ---------------------------------------------


def outlying(kind: str, data: Any) -> Any:
    """Text or bytes from memory that was stored out of band."""
    if kind == "str":
        return str(data, "utf-8", "surrogatepass")
    return bytearray(data) if kind == "bytearray" else bytes(data)


def view(base: Any, dtype: Any, shape: Any, strides: Any, offset: int) -> Any:
    """An array that shares the memory of another, as it did when it was stored."""
    import numpy

    return numpy.ndarray(shape, dtype, base, offset, strides)


def torch_storage(data: Any) -> Any:
    """An untyped storage of torch over the memory of an array of bytes."""
    import torch  # type: ignore[import-not-found,unused-ignore]

    return torch.from_numpy(data).untyped_storage() if len(data) else torch.UntypedStorage(0)


def torch_typed(untyped: Any, dtype: str) -> Any:
    """A typed storage of torch."""
    import torch

    kind = getattr(torch, dtype)
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=kind, _internal=True)
