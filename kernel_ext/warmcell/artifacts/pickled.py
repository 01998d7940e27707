"""Everything else."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary

__all__ = ["Pickled"]


class Pickled:
    """Any object that can be pickled; notebook classes and functions go by value."""

    kind: ClassVar[str] = "pickle"

    def accepts(self, value: Any) -> bool:
        return True

    def summarise(self, value: Any) -> Summary:
        length = getattr(type(value), "__len__", None)
        return Summary(None, type(value).__name__ if length is None else None)

    def dump(self, value: Any) -> bytes:
        import cloudpickle

        try:
            return bytes(cloudpickle.dumps(value, protocol=5))
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(str(error)) from error

    def load(self, data: bytes, hint: type | None = None) -> Any:
        return pickle.loads(data)  # noqa: S301 - the caller vouches for the bytes
