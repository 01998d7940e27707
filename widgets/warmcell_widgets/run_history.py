"""The run history as a live view."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

import traitlets

from warmcell.errors import UsageError, WarmcellError
from warmcell.ids import now
from warmcell.link import control
from warmcell_widgets.assets import script
from warmcell_widgets.bridge import HostView
from warmcell_widgets.markup import text, wrap
from warmcell_widgets.record import RECORDS, record_html, record_text
from warmcell_widgets.runs import runs_html, runs_text

FILTERS = ("pipeline", "deployment", "snapshot", "status", "trigger", "since", "until", "tag")
VIEWS = ("runs", *RECORDS)
STATIC_ROWS = 20


class History(HostView):
    """Runs, newest first; new ones appear without running a cell again, a click opens one.

    ``limit`` is the length of a page; the filters are those of ``Client().list_runs``: pipeline,
    deployment, snapshot, status, trigger, since, until, tag. ``view`` is the tab that it opens
    with: runs, artifacts, models, tags, logs or store. Raises :class:`UsageError` for another
    filter or view and whatever the host raises where there is none.
    """

    _esm: ClassVar[str] = script("history.js")

    _filters = traitlets.Dict().tag(sync=True)
    _view = traitlets.Unicode("runs").tag(sync=True)
    _limit = traitlets.Int(50).tag(sync=True)

    def __init__(self, *, limit: int = 50, view: str = "runs", **filters: Any) -> None:
        if view not in VIEWS:
            raise UsageError(
                f"The history has no view '{view}'.", hint=f"It has {', '.join(VIEWS)}."
            )
        for name in filters:
            if name not in FILTERS:
                raise UsageError(
                    f"The history has no filter '{name}'.", hint=f"Known: {', '.join(FILTERS)}."
                )
        chosen = {name: str(value) for name, value in filters.items() if value is not None}
        self._page(chosen, 1)  # connects, and refuses what the host refuses
        super().__init__(_filters=chosen, _limit=max(1, min(int(limit), 200)), _view=view)

    @staticmethod
    def _page(filters: dict[str, str], limit: int) -> dict[str, Any]:
        query = urlencode({**filters, "limit": limit})
        found: dict[str, Any] = control("GET", f"api/v1/runs?{query}")
        return found

    def _title(self) -> str:
        return f"Runs of {', '.join(self._filters.values())}" if self._filters else "Runs"

    def _answer_of(self) -> Any:
        """What the host says for the tab that the view opens with, if that is not the runs."""
        record = RECORDS[self._view]
        wanted = {**self._filters, "limit": STATIC_ROWS}
        query = urlencode({name: value for name, value in wanted.items() if name in record.takes})
        return control("GET", f"{record.path}?{query}" if query else record.path)

    def static_html(self) -> str:
        try:
            if self._view in RECORDS:
                return record_html(RECORDS[self._view], self._answer_of(), as_of=now())
            page = self._page(self._filters, STATIC_ROWS)
        except WarmcellError as error:
            return wrap(f'<p class="wc-dim">The run history: {text(error)}</p>')
        more = bool(page.get("next"))
        return runs_html(page["runs"], title=self._title(), more=more, as_of=now())

    def static_text(self) -> str:
        try:
            if self._view in RECORDS:
                return record_text(RECORDS[self._view], self._answer_of())
            return runs_text(self._page(self._filters, STATIC_ROWS)["runs"])
        except WarmcellError as error:
            return f"The run history: {error}"


def history(*, limit: int = 50, view: str = "runs", **filters: Any) -> History:
    """Show the run history; see :class:`History`."""
    return History(limit=limit, view=view, **filters)
