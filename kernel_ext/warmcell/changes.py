"""What change control answers, as objects that show themselves: differences, drift, a history."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Drift", "SnapshotDiff", "Snapshots", "Table", "stored_as"]

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_LINES = 400  # of a cell's diff, in a notebook
_COLOURS = {"+": "#1a7f37", "-": "#cf222e", "@": "#8250df"}


class SnapshotDiff:
    """What differs between two snapshots, or a snapshot and the notebook as it is now.

    ``cells`` (each with ``name``, ``change`` and ``diff``, a list of lines), ``names``,
    ``parameters``, ``settings`` and ``environment`` list what is different. False if nothing is.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)
        self.before: dict[str, Any] = found["before"]
        self.after: dict[str, Any] = found["after"]
        self.cells: list[dict[str, Any]] = found["cells"]
        self.names: list[dict[str, Any]] = found["names"]
        self.parameters: list[dict[str, Any]] = found["parameters"]
        self.settings: list[dict[str, Any]] = found["settings"]
        self.environment: dict[str, Any] | None = found["environment"]

    def __bool__(self) -> bool:
        return not self._found["same"]

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._found)

    def __repr__(self) -> str:
        lines = [self._title(), *(f"  {line}" for line in self._facts())]
        for cell in self.cells:
            lines += ["", f"{_MARKS[cell['change']]} {_what(cell)}", *cell["diff"]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self._title())}</b></p>"]
        facts = "".join(f"<li>{html.escape(line)}</li>" for line in self._facts())
        parts.append(f"<ul>{facts}</ul>" if facts else "")
        for cell in self.cells:
            title = f"{_MARKS[cell['change']]} {_what(cell)}"
            body = "".join(map(_coloured, cell["diff"][:_LINES]))
            parts.append(
                f"<details open><summary>{html.escape(title)}</summary>"
                f'<pre style="line-height:1.3">{body}</pre></details>'
            )
        return "".join(parts)

    def _title(self) -> str:
        sides = [
            "now" if head["number"] is None else f"snapshot {head['number']}"
            for head in (self.before, self.after)
        ]
        what = "" if self else ": no difference"
        return f"{self.before['pipeline']}, {sides[0]} -> {sides[1]}{what}"

    def _facts(self) -> list[str]:
        facts = [
            f"{entry['name']} ({entry['kind']}) {entry['change']}"
            for entry in self.names
            if entry["kind"] != "code"
        ]
        for title, entries in (("parameter", self.parameters), ("setting", self.settings)):
            facts += [_turned(f"{title} {entry['name']}", entry) for entry in entries]
        if self.environment is None:
            return [*facts, "environment: not known of both yet"]
        for name, entry in self.environment.items():
            listed = entry if name == "packages" else [{"name": name, **entry}]
            facts += [_turned(str(one["name"]), one) for one in listed]
        return facts


def _what(cell: Mapping[str, Any]) -> str:
    place = f" ({cell['cell']})" if cell.get("cell") else ""
    return f"{cell['kind']} {cell['name']}{place}"


def _turned(name: str, entry: Mapping[str, Any]) -> str:
    before, after = (
        "-" if entry.get(side) is None else str(entry[side]) for side in ("before", "after")
    )
    return f"{name}: {before} -> {after}"


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    text = html.escape(line) + "\n"
    return f'<span style="color:{colour}">{text}</span>' if colour else text


class Table(ABC):
    """Rows that show themselves as a table."""

    columns: Sequence[str] = ()

    @abstractmethod
    def rows(self) -> list[list[Any]]:
        """Its rows, each with a value per column."""

    def title(self) -> str:
        return ""

    def __repr__(self) -> str:
        rows = self.rows()
        if not rows and self.title():
            return self.title()
        lines = [list(self.columns), *([_text(value) for value in row] for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        shown = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*filter(None, [self.title()]), *shown])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{_row(row)}</tr>" for row in self.rows())
        title = f"<p>{html.escape(self.title())}</p>" if self.title() else ""
        if title and not body:
            return title
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: Iterable[Any]) -> str:
    return "".join(f"<td>{html.escape(_text(value))}</td>" for value in row)


def _text(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= 120 else text[:119] + "…"


class Drift(Table):
    """How the names that a deployment holds stand to the notebook as it is now.

    ``names`` lists them, each with ``name``, ``by`` ("copy" or "reference"), ``type``, ``size`` in
    bytes, ``state`` and ``says``; ``drifted`` are the names of those that differ. False if none
    does.
    """

    columns = ("name", "type", "held by", "bytes", "state", "")

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)
        self.names: list[dict[str, Any]] = found["names"]
        self.drifted: list[str] = found["drifted"]
        self.snapshot = int(found["snapshot"]["number"])

    def __bool__(self) -> bool:
        return bool(self.drifted)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.names if entry["name"] == name)

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._found)

    def title(self) -> str:
        name = self._found.get("deployment")
        if not self.drifted:
            return f"{name} serves what the notebook says (snapshot {self.snapshot})."
        count = f"{len(self.drifted)} of {len(self.names)} names"
        return f"{name}: {count} drifted from snapshot {self.snapshot}; deploy again to refreeze."

    def rows(self) -> list[list[Any]]:
        return [
            [e["name"], e["type"], e["by"], e["size"] or None, e["state"], e["says"]]
            for e in self.names
        ]


class Snapshots(Table, Sequence[dict[str, Any]]):
    """Snapshots of a pipeline, newest first: who deployed them, when, and from where."""

    columns = ("snapshot", "created", "by", "notebook", "note", "stored")

    def __init__(self, found: Sequence[dict[str, Any]]) -> None:
        self._found = list(found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def rows(self) -> list[list[Any]]:
        fields = ("number", "created_at", "user", "notebook", "note")
        return [
            [*(entry.get(field) for field in fields), stored_as(entry)] for entry in self._found
        ]


def stored_as(entry: Mapping[str, Any]) -> str:
    """How the stored form is, and whether it may be loaded."""
    foreign = ", not trusted" if entry.get("trusted") is False else ""
    return f"{entry.get('stored')}{foreign}"
