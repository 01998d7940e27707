"""Trained models with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.pickled import pickled, unpickled
from warmcell.artifacts.serializer import Serializer, Summary

__all__ = ["Models"]


class Models(Serializer):
    """Estimators: ``fit`` and ``get_params``, as scikit-learn, XGBoost and LightGBM have them."""

    kind: ClassVar[str] = "model"
    role = "model"
    runs_code = True

    def accepts(self, value: Any) -> bool:
        kind = type(value)
        return hasattr(kind, "fit") and hasattr(kind, "get_params") and kind is not type

    def summarise(self, value: Any) -> Summary:
        inputs = value.__dict__.get("n_features_in_") if hasattr(value, "__dict__") else None
        fitted = f", {inputs} features" if inputs is not None else ""
        return Summary(None, f"{type(value).__name__}{fitted}")

    def save(self, value: Any, out: Outgoing) -> None:
        pickled(value, out)

    def load(self, parts: Incoming) -> Any:
        return unpickled(parts)

    def facts(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"class": type(value).__name__}
        inputs = getattr(value, "n_features_in_", None)
        if isinstance(inputs, int):
            found["features"] = inputs
        plain = (bool, int, float, str, type(None))
        given = value.get_params(deep=False).items()
        found["parameters"] = {name: item for name, item in given if type(item) in plain}
        return found
