"""One run as a live view."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

import traitlets

from warmcell.errors import WarmcellError
from warmcell.link import control
from warmcell_widgets.assets import script
from warmcell_widgets.bridge import HostView
from warmcell_widgets.markup import text, wrap
from warmcell_widgets.runs import run_html, run_text


class RunView(HostView):
    """One run with its steps, outputs, logs and error; follows a run that goes on.

    Raises :class:`warmcell.errors.NotFound` for an unknown id.
    """

    _esm: ClassVar[str] = script("run.js")

    _run_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, run_id: str) -> None:
        self._get(str(run_id))
        super().__init__(_run_id=str(run_id))

    @staticmethod
    def _get(run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = control("GET", f"api/v1/runs/{quote(run_id, safe='')}")
        return found

    def static_html(self) -> str:
        try:
            run = self._get(self._run_id)
        except WarmcellError as error:
            return wrap(f'<p class="wc-dim">Run {text(self._run_id)}: {text(error)}</p>')
        return run_html(run)

    def static_text(self) -> str:
        try:
            return run_text(self._get(self._run_id))
        except WarmcellError as error:
            return f"Run {self._run_id}: {error}"
