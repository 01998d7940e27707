"""What a user's SQL may say: one SELECT over the documented views, and nothing else.

The statement is judged by DuckDB's own parse of it, never by its text. What is not known to be
harmless is refused. A read-only transaction, closed external access and a locked configuration
stand behind this (database.py, sql.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from warmcell.errors import QueryError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["OURS", "VIEWS", "check"]

VIEWS = (
    "runs",
    "calls",
    "steps",
    "artifacts",
    "logs",
    "snapshots",
    "deployments",
    "deliveries",
    "audit",
    "errors",
    "tags",
    "visualizations",
    "metadata",
    "models",
    "stages",
    "lineage",
    "views",
)

_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SOURCES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY", "TABLE_FUNCTION", "PIVOT"}
)
_TABLE_FUNCTIONS = frozenset(
    {"unnest", "range", "generate_series", "json_each", "json_tree", "repeat", "repeat_row"}
)
OURS = frozenset({"artifact", "calls"})
"""Tables that are made of what is stored; see :mod:`.made`."""

_FUNCTIONS_REFUSED = frozenset(
    {"getenv", "query", "query_table", "nextval", "currval", "current_setting", "getvariable",
     "sleep_ms", "write_log", "add_parquet_key", "json_execute_serialized_sql"}
)  # fmt: skip
# One call of these makes a value of whatever size, in one go and past every limit.
_MAKERS = frozenset(
    {"repeat", "lpad", "rpad", "range", "generate_series", "list_resize", "array_resize",
     "bitstring"}
)  # fmt: skip
_MOST = 100_000
_FORMATS = frozenset({"format", "printf"})
_WIDE = re.compile(r"[0-9]{6}")
_HINT = f"Views: {', '.join(VIEWS)}; and artifact('name'), calls('deployment')."


def check(connection: DuckDBPyConnection, query: str) -> None:
    """Raise :class:`QueryError` unless ``query`` is exactly one harmless SELECT."""
    try:
        _check(connection, query)
    except RecursionError as error:
        raise QueryError("The query is nested too deep.") from error


def _check(connection: DuckDBPyConnection, query: str) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(_first_line(error)) from error
    if len(statements) != 1:
        raise QueryError(
            f"A query is exactly one statement; this has {len(statements)}.",
            hint="Run them one by one." if statements else "For example: SELECT * FROM runs",
        )
    text = connection.execute(
        "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true)", [query]
    ).fetchall()[0][0]
    tree = msgspec.json.decode(text)
    if tree.get("error"):
        kind = str(statements[0].type).rpartition(".")[2]
        raise QueryError(
            f"Only SELECT statements are taken; this is {kind}.",
            hint="The history is read-only here.",
        )
    for statement in tree["statements"]:
        _walk(statement["node"], frozenset())


def _walk(node: Any, names: frozenset[str]) -> None:
    """Check a part of the tree. ``names`` are the WITH names that can be seen from here."""
    if isinstance(node, list):
        for part in node:
            _walk(part, names)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
        raise QueryError(
            f"A query reads only; this one has a {kind.removesuffix('_QUERY_NODE')} inside.",
            hint="The history is read-only here.",
        )
    if kind == "RECURSIVE_CTE_NODE" and isinstance(node.get("cte_name"), str):
        names = names | {node["cte_name"].lower()}
    for entry in (node.get("cte_map") or {}).get("map", ()):
        _walk(entry.get("value"), names)
        names = names | {str(entry.get("key")).lower()}
    if kind in ("BASE_TABLE", "TABLE_FUNCTION", "SHOW_REF"):
        _source(node, names)
        return
    if "from_table" in node:
        _source(node["from_table"], names)
    if isinstance(node.get("function_name"), str):
        _function(node)
    for key, part in node.items():
        if key not in ("cte_map", "from_table"):
            _walk(part, names)


def _source(source: Any, names: frozenset[str]) -> None:
    """Check what a FROM names."""
    kind = source.get("type")
    if kind == "SHOW_REF" and source.get("show_type") in ("DESCRIBE", "SUMMARY"):
        inner = source.get("query")
        if inner is not None:
            _walk(inner, names)
            return
    if kind not in _SOURCES:
        raise QueryError(f"A query cannot read from {kind}.", hint=_HINT)
    if kind == "BASE_TABLE":
        path = [str(part) for part in source.get("qualified_name", {}).get("path", ())]
        _table(path or [str(source.get("table_name"))], names)
    if kind == "TABLE_FUNCTION":
        name = str(source.get("function", {}).get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS | OURS:
            raise QueryError(f"The table function {name!r} is not available here.", hint=_HINT)
    for key, part in source.items():
        if key in ("left", "right", "source"):
            _source(part, names)
        elif key == "function" and kind == "TABLE_FUNCTION":
            _walk(part.get("arguments"), names)  # its rows come one by one
        else:
            _walk(part, names)


def _table(path: list[str], names: frozenset[str]) -> None:
    known = [part.lower() for part in path]
    if len(known) == 1 and known[0] in names:
        return
    if known[-1] in VIEWS and known[:-1] in ([], ["main"]):
        return
    raise QueryError(f"There is no view {'.'.join(path)!r}.", hint=_HINT)


def _function(node: dict[str, Any]) -> None:
    name = node["function_name"].lower()
    path = [str(part).lower() for part in node.get("qualified_name", {}).get("path", ())]
    if name in _FUNCTIONS_REFUSED or not _FUNCTIONS_REFUSED.isdisjoint(path):
        raise QueryError(f"The function {name!r} is not available here.")
    arguments = [part.get("expression") or {} for part in node.get("arguments") or ()]
    sizes = arguments if name in _TABLE_FUNCTIONS - {"repeat"} else arguments[1:2]
    if name in _MAKERS and not all(map(_small, sizes)):
        raise QueryError(
            f"{name}() makes values of at most {_MOST:,} here, said as a number.",
            hint=f"Rows have no bound: FROM {name}(…)."
            if name in _TABLE_FUNCTIONS - {"repeat"}
            else None,
        )
    if name in _FORMATS and _WIDE.search(str((arguments or [{}])[0].get("literal") or "{}")):
        raise QueryError(f"{name}() makes text of at most {_MOST:,} here.")


def _small(argument: dict[str, Any]) -> bool:
    literal = argument.get("literal") or {}
    text = str(literal.get("text")).lstrip("-")
    return literal.get("kind") == "INTEGER" and text.isdecimal() and int(text) <= _MOST


def _first_line(error: duckdb.Error) -> str:
    return str(error).split("\n\n", 1)[0].strip()
