"""What the listing magics answer: the history, a query's table, pipelines and deployments."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from warmcell.client import Client
from warmcell.errors import UsageError
from warmcell.notebook.names import pipelines_in

__all__ = [
    "Listing",
    "deployments_table",
    "found_in_logs",
    "history",
    "pipelines_table",
    "query",
    "views_table",
]


class Listing:
    """A small table with a text and an HTML form; ``columns`` and ``rows`` hold the values."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
        self.columns = list(columns)
        self.rows = [list(row) for row in rows]
        self._empty = empty

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return self._empty
        lines = [self.columns, *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{html.escape(self._empty)}</p>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 120 else text[:119] + "…"


def query(sql: str, *, limit: int | None = None) -> Any:
    """Run one SQL statement over the history: a DataFrame, or a :class:`Listing` where pandas is
    not installed. Raises :class:`warmcell.errors.QueryError`."""
    table = Client().sql(sql, **({} if limit is None else {"limit": limit}))
    try:
        return table.to_frame()
    except ImportError:
        return Listing(table.columns, table.rows, "No rows.")


def history(filters: Mapping[str, Any]) -> Any:
    """Return the run history widget."""
    import warmcell_widgets

    return warmcell_widgets.history(**filters)


def found_in_logs(given: Mapping[str, Any]) -> Listing:
    """List the lines that runs wrote with the text ``logs``, the newest first. Raises
    :class:`warmcell.errors.UsageError` for a filter of runs that lines do not have."""
    filters = dict(given)
    text = " ".join(filters.pop("logs")).strip("\"'")
    for name in ("status", "trigger"):
        if name in filters:
            raise UsageError(
                f"%runs --logs has no --{name}.", hint="It takes --pipeline, --deployment, --limit."
            )
    rows = [
        [found.time[:19].replace("T", " "), found.deployment or found.pipeline, found.step,
         found.run_id, line]
        for found in Client().search_logs(text, **filters)
        for line in found.text.splitlines()
        if text.lower() in line.lower()
    ]  # fmt: skip
    columns = ["time", "of", "step", "run", "line"]
    return Listing(columns, rows, f"No run wrote '{text}'.")


def views_table(name: str) -> Listing:
    """What SQL over the history can read: the views, or the columns of the view ``name``. Raises
    :class:`warmcell.errors.UsageError` for one that there is not."""
    rows = Client().sql("SELECT * FROM views").rows
    if not name:
        found = [[view, about] for view, column, _, about in rows if column is None]
        return Listing(["view", "what it has"], sorted(found), "No views.")
    known = sorted({row[0] for row in rows})
    if name not in known:
        raise UsageError(f"There is no view '{name}'.", hint=f"There are {', '.join(known)}.")
    columns = [row[1:] for row in rows if row[0] == name and row[1] is not None]
    return Listing(["column", "type", "what it means"], columns, "No columns.")


def pipelines_table(namespace: Mapping[str, Any]) -> Listing:
    """List the pipelines among the notebook's variables."""
    rows = [
        [name, str(pipeline.inputs), ", ".join(step.name for step in pipeline.steps)]
        for name, pipeline in pipelines_in(namespace).items()
    ]
    return Listing(["pipeline", "inputs", "steps"], rows, "No pipelines yet: define a %%pipeline.")


def deployments_table() -> Listing:
    """List the deployments of the store, whichever notebook serves them."""
    rows = [[d.name, d.pipeline, d.snapshot, d.status, d.url] for d in Client().list_deployments()]
    columns = ["deployment", "pipeline", "snapshot", "status", "url"]
    return Listing(columns, rows, "Nothing is deployed yet: call .deploy() of a pipeline.")
