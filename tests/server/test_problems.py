"""The one map of errors to answers."""

from __future__ import annotations

from typing import Any

import pytest

from warmcell import errors
from warmcell.errors import WarmcellError, error_from_problem
from warmcell_server import problems

EXTRA: dict[type[WarmcellError], dict[str, Any]] = {
    errors.CellSyntaxError: {"rendered": ["here"]},
    errors.NameTaken: {"holder": "a.ipynb"},
    errors.StoreTooNew: {"found": 9, "known": 1},
    errors.ParameterError: {"errors": [{"pointer": "/parameters/a", "message": "m", "type": "t"}]},
    errors.QueueFull: {"retry_after": 2.5},
    errors.RunError: {"run_id": "r", "step": "s"},
}
# Errors that are no class of their own on the wire: they are raised in kernels only.
WIRED: dict[type[WarmcellError], type[WarmcellError]] = {
    errors.CellSyntaxError: errors.DefinitionError,
    errors.GraphError: errors.DefinitionError,
    errors.StepContextError: errors.UsageError,
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, WarmcellError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_wire(kind: type[WarmcellError]) -> None:
    """Every error becomes a problem, and a client makes an error of the same class of it."""
    error = kind("It went wrong.", hint="Do this.", **EXTRA.get(kind, {}))
    found = problems.problem(error, instance="/warmcell/x/invoke")
    assert 400 <= found.status < 600
    assert found.body["status"] == found.status
    assert found.body["detail"] == "It went wrong."
    assert found.body["instance"] == "/warmcell/x/invoke"
    again = error_from_problem(found.status, found.body)
    assert type(again) is WIRED.get(kind, kind)
    assert (again.message, again.hint) == (error.message, error.hint)
    for name, value in EXTRA.get(type(again), {}).items():
        assert getattr(again, name) == value


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.QueueFull("full", retry_after=2.5), "3"),
        (errors.Unavailable("no worker", retry_after=0.1), "1"),
        (errors.StoreFull("disk"), "1"),
        (errors.RunLost("died"), "1"),
    ],
)
def test_retry_after(error: WarmcellError, seconds: str) -> None:
    """Every 429 and 503 says when to try again, in whole seconds."""
    found = problems.problem(error)
    assert found.status in (429, 503)
    assert found.headers["Retry-After"] == seconds


def test_what_is_not_ours_tells_nothing() -> None:
    """A bare status is an about:blank problem."""
    found = problems.plain(500, instance="/x")
    assert found.body == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "instance": "/x",
    }
