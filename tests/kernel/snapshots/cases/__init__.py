"""The cases of the snapshot tests, as tables."""

from __future__ import annotations

from tests.kernel.snapshots.cases import (
    boundaries,
    classes,
    data,
    functions,
    libraries,
    models,
    modules,
    named,
)
from tests.kernel.snapshots.cases.case import Case

ALL: list[Case] = [
    *functions.CASES,
    *classes.CASES,
    *models.CASES,
    *data.CASES,
    *modules.CASES,
    *boundaries.CASES,
    *named.CASES,
    *libraries.CASES,
]
