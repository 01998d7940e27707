"""Sparse matrices and arrays of scipy, in its own format on numpy's."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.serializer import Serializer, Summary, family

__all__ = ["Sparse"]

_FORMATS = ("csc", "csr", "bsr", "dia", "coo")


class Sparse(Serializer):
    """Sparse matrices and arrays; those that are made by key (``lil``, ``dok``) are pickled."""

    kind: ClassVar[str] = "sparse"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        if family(value) != "scipy":
            return False
        sparse = sys.modules.get("scipy.sparse")
        return sparse is not None and sparse.issparse(value) and value.format in _FORMATS

    def summarise(self, value: Any) -> Summary:
        shape = " x ".join(map(str, value.shape))
        return Summary(None, f"{shape} {value.dtype}, {value.nnz:,} stored, {value.format}")

    def save(self, value: Any, out: Outgoing) -> None:
        if value.dtype.hasobject:
            raise TypeError("npz has no objects")
        with out.path("value.npz").open("wb") as file:
            import_module("scipy.sparse").save_npz(file, value, compressed=False)

    def load(self, parts: Incoming) -> Any:
        with parts.checking("value.npz") as path, path.open("rb") as file:
            return import_module("scipy.sparse").load_npz(file)

    def facts(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"shape": list(value.shape), "dtype": str(value.dtype)}
        return found | {"format": value.format, "stored": int(value.nnz)}
