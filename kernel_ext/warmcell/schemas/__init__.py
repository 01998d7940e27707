"""What a pipeline takes and gives, as JSON: models of parameters, schemas, encoded outputs."""

from __future__ import annotations

from warmcell.schemas.outputs import output_schema
from warmcell.schemas.parameters import (
    ParameterModel,
    check_deployable,
    parameter_model,
    resolved_hints,
)
from warmcell.schemas.payloads import encode_outputs, encode_parameters

__all__ = [
    "ParameterModel",
    "check_deployable",
    "encode_outputs",
    "encode_parameters",
    "output_schema",
    "parameter_model",
    "resolved_hints",
]
