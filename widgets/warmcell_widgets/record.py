"""Artifacts, models, tags, logs and the store as static tables: the twins of the history's tabs.

Each view has what it asks of the host and how the answer becomes columns and rows; the rest is the
same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from warmcell_widgets import formatting as fmt
from warmcell_widgets.markup import Json, table, table_text, text, wrap

__all__ = ["RECORDS", "RecordView", "record_html", "record_text"]

Row = Sequence[object]


class RecordView(NamedTuple):
    """``path`` is asked with the filters that the host ``takes``; ``rows`` makes rows of the
    answer, for ``columns``, of which ``numbers`` are figures and ``clip`` is cut."""

    title: str
    path: str
    columns: tuple[str, ...]
    rows: Callable[[Any], list[Row]]
    empty: str
    takes: frozenset[str] = frozenset()
    numbers: tuple[int, ...] = ()
    clip: tuple[int, ...] = ()


def record_html(view: RecordView, answer: Any, *, as_of: object) -> str:
    """The answer of the host as a card with a table."""
    rows = view.rows(answer)
    head = (
        f'<div class="wc-head"><span class="wc-name">{text(view.title)}</span>'
        f'<span class="wc-dim">as of {text(fmt.clock(as_of))}</span></div>'
    )
    body = (
        table(view.columns, rows, numbers=view.numbers, clip=view.clip)
        if rows
        else f'<div class="wc-part wc-dim">{text(view.empty)}</div>'
    )
    return wrap(f'<div class="wc-card">{head}{body}</div>')


def record_text(view: RecordView, answer: Any) -> str:
    """The same as text."""
    rows = view.rows(answer)
    return table_text(view.columns, rows) if rows else view.empty


def outline(version: Json) -> str:
    """What an artifact version is, in a few words: its value, its columns, or its facts."""
    if version.get("value") is not None:
        return fmt.short(version["value"], 120)
    facts: Mapping[str, Any] = version.get("facts") or {}
    if facts.get("schema"):
        names = ", ".join(list(facts["schema"])[:8])
        return f"{facts.get('rows')} × {facts.get('columns')}: {names}"
    return fmt.pairs(facts, 120)


def _versions(answer: Any) -> list[Row]:
    return [
        (
            one["artifact"],
            one["version"],
            str(one["type"]).rpartition(".")[2],
            outline(one),
            fmt.size(one.get("size")),
            ", ".join(one.get("tags") or ()),
            fmt.clock(one["created_at"]),
            one["status"],
        )
        for one in answer["versions"]
    ]


def _models(answer: Any) -> list[Row]:
    return [
        (
            one["name"],
            one["versions"],
            one.get("latest"),
            fmt.pairs(one.get("aliases") or {}, 80),
            ", ".join(one.get("tags") or ()),
            fmt.clock(one["updated_at"]),
        )
        for one in answer["models"]
    ]


def _tags(answer: Any) -> list[Row]:
    return [
        (
            one["name"],
            fmt.pairs(one.get("uses") or {}, 80),
            ", ".join(word for word in ("exclusive", "cascade") if one.get(word)),
            fmt.clock(one["created_at"]),
        )
        for one in answer["tags"]
    ]


def _logs(answer: Any) -> list[Row]:
    return [
        (
            fmt.clock(one["time"]),
            one.get("pipeline"),
            one.get("step"),
            one.get("level") or one.get("stream"),
            fmt.plain(one["text"]).strip(),
            fmt.short_id(one["run_id"]),
        )
        for one in answer["logs"]
    ]


def _store(answer: Any) -> list[Row]:
    def came(part: Json) -> str:
        return f"{part['runs']} runs, {fmt.size(part['bytes'])}"

    return [
        ("in all", fmt.size(answer["total"])),
        ("database", f"{fmt.size(answer['database'])}, {answer['runs']} runs"),
        ("files", f"{fmt.size(answer['blobs'])}, {answer['artifacts']} artifact versions"),
        ("in the last day", came(answer["last_day"])),
        ("in the last week", came(answer["last_week"])),
        ("oldest run", fmt.clock(answer.get("oldest"))),
    ]


RECORDS: dict[str, RecordView] = {
    "artifacts": RecordView(
        "Artifacts",
        "api/v1/artifact-versions",
        ("artifact", "version", "type", "what", "size", "tags", "made", "status"),
        _versions,
        "There are no artifacts.",
        frozenset({"pipeline", "tag", "since", "until", "limit"}),
        numbers=(4,),
        clip=(3,),
    ),
    "models": RecordView(
        "Models",
        "api/v1/models",
        ("model", "versions", "newest", "stages and aliases", "tags", "changed"),
        _models,
        "There are no models.",
        numbers=(1,),
    ),
    "tags": RecordView(
        "Tags", "api/v1/tags", ("tag", "on", "kind", "since"), _tags, "There are no tags."
    ),
    "logs": RecordView(
        "Logs",
        "api/v1/logs",
        ("when", "pipeline", "step", "", "text", "run"),
        _logs,
        "Nothing was written.",
        frozenset({"pipeline", "deployment", "since", "until", "limit"}),
        clip=(4,),
    ),
    "store": RecordView("The store", "api/v1/store", ("", ""), _store, ""),
}
