"""Trained models with scikit-learn's interface."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary

__all__ = ["Models"]


class Models:
    """Estimators: ``fit`` and ``get_params``, as scikit-learn, XGBoost and LightGBM have them."""

    kind: ClassVar[str] = "model"

    def accepts(self, value: Any) -> bool:
        kind = type(value)
        return hasattr(kind, "fit") and hasattr(kind, "get_params") and kind is not type

    def summarise(self, value: Any) -> Summary:
        inputs = value.__dict__.get("n_features_in_") if hasattr(value, "__dict__") else None
        fitted = f", {inputs} features" if inputs is not None else ""
        return Summary(None, f"{type(value).__name__}{fitted}")

    def dump(self, value: Any) -> bytes:
        try:
            return pickle.dumps(value, protocol=5)
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(str(error)) from error

    def load(self, data: bytes, hint: type | None = None) -> Any:
        return pickle.loads(data)  # noqa: S301 - the caller vouches for the bytes
