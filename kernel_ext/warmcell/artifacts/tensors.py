"""Tensors and modules of torch, in torch's own format."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.pickled import pickled, unpickled
from warmcell.artifacts.serializer import Serializer, Summary, family

__all__ = ["Modules", "Tensors"]


class Tensors(Serializer):
    """Tensors. They come back on the processor, wherever they were."""

    kind: ClassVar[str] = "torch"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return family(value) == "torch" and isinstance(value, sys.modules["torch"].Tensor)

    def summarise(self, value: Any) -> Summary:
        shape = " x ".join(map(str, value.shape))
        dtype = str(value.dtype).removeprefix("torch.")
        return Summary(None, f"{shape} {dtype}".strip())

    def save(self, value: Any, out: Outgoing) -> None:
        torch = import_module("torch")
        if type(value) is not torch.Tensor:
            raise TypeError("a subclass of tensors is more than its numbers")
        alone = value.detach().cpu().clone().requires_grad_(value.requires_grad)
        _save(alone, out, "value.pt")

    def load(self, parts: Incoming) -> Any:
        torch = import_module("torch")
        with parts.checking("value.pt") as path:
            return torch.load(path, map_location="cpu", weights_only=True)

    def facts(self, value: Any) -> dict[str, Any]:
        return {"shape": list(value.shape), "dtype": str(value.dtype), "device": str(value.device)}


class Modules(Serializer):
    """Modules: the whole object, and its weights in a file that can be read without its code."""

    kind: ClassVar[str] = "torch-module"
    role = "model"
    runs_code = True

    def accepts(self, value: Any) -> bool:
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(value, torch.nn.Module)

    def summarise(self, value: Any) -> Summary:
        return Summary(None, type(value).__name__)

    def save(self, value: Any, out: Outgoing) -> None:
        pickled(value, out)
        _save(value.state_dict(), out, "weights.pt")

    def load(self, parts: Incoming) -> Any:
        return unpickled(parts)

    def facts(self, value: Any) -> dict[str, Any]:
        count = sum(one.numel() for one in value.parameters())
        return {"class": type(value).__name__, "weights": count}


def _save(value: Any, out: Outgoing, name: str) -> None:
    # An open file: torch writes the name of a path into it, and the same value has one digest.
    with out.path(name).open("wb") as file:
        import_module("torch").save(value, file)
