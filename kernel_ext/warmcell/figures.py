"""Figures of matplotlib's pyplot, kept apart by run and closed with it.

pyplot knows one list of open figures for the whole process. A figure that a served run leaves open
would be shown by whichever cell ends next, and two runs would draw into each other's. So this list
is made one that looks at the run: each run sees the figures it opened, and a cell sees its own.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from warmcell.context import current

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution

_HELPERS = "matplotlib._pylab_helpers"


class _Figures(OrderedDict[int, Any]):
    """The open figures of the run that asks; outside a run those of the kernel."""

    def __init__(self, outside: OrderedDict[int, Any]) -> None:
        super().__init__()
        self.outside = outside

    def _own(self) -> OrderedDict[int, Any]:
        scope = current.get()
        if scope is None:
            return self.outside
        figures = scope.run.figures
        if figures is None:
            figures = scope.run.figures = OrderedDict()
        return figures

    def __getitem__(self, key: int) -> Any:
        return self._own()[key]

    def __setitem__(self, key: int, value: Any) -> None:
        self._own()[key] = value

    def __delitem__(self, key: int) -> None:
        del self._own()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own()

    def __iter__(self) -> Iterator[int]:
        yield from self._own()

    def __reversed__(self) -> Iterator[int]:
        yield from reversed(self._own())

    def __len__(self) -> int:
        return len(self._own())

    def __bool__(self) -> bool:
        return bool(self._own())

    def keys(self) -> Any:
        return self._own().keys()

    def values(self) -> Any:
        return self._own().values()

    def items(self) -> Any:
        return self._own().items()

    def get(self, key: int, default: Any = None) -> Any:
        return self._own().get(key, default)

    def pop(self, key: int, *default: Any) -> Any:
        return self._own().pop(key, *default)

    def popitem(self, last: bool = True) -> Any:
        return self._own().popitem(last)

    def move_to_end(self, key: int, last: bool = True) -> None:
        self._own().move_to_end(key, last)

    def clear(self) -> None:
        self._own().clear()


def loaded() -> bool:
    """Whether pyplot is there."""
    return _HELPERS in sys.modules


def isolate() -> bool:
    """Keep figures apart from now on; returns whether pyplot is there at all."""
    helpers = sys.modules.get(_HELPERS)
    if helpers is None or not hasattr(helpers, "Gcf"):
        return False
    if not isinstance(helpers.Gcf.figs, _Figures):
        helpers.Gcf.figs = _Figures(helpers.Gcf.figs)
    return True


def restore() -> None:
    """Undo :func:`isolate`."""
    helpers = sys.modules.get(_HELPERS)
    if helpers is not None and isinstance(getattr(helpers.Gcf, "figs", None), _Figures):
        helpers.Gcf.figs = helpers.Gcf.figs.outside


def close(run: Execution, *, isolated: bool) -> None:
    """Close the figures that ``run`` opened. Called inside the scope of the run.

    ``isolated`` is what :func:`isolate` said when the run began: where pyplot was first imported
    by the run itself, every figure there is came from it.
    """
    helpers = sys.modules.get(_HELPERS)
    if helpers is None or not hasattr(helpers, "Gcf"):
        return
    if not isolated or run.figures:
        helpers.Gcf.destroy_all()
    isolate()
