"""Two runs beside each other: what went in and came out, step by step. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from itertools import islice
from typing import Any

from warmcell.answers import Tolerance, each_difference
from warmcell.repeating import is_description

__all__ = ["RunComparison", "compare_runs"]

MOST = 1000  # differences that are listed of inputs, and of outputs
_HEAD = (
    "run_id", "run_name", "pipeline", "deployment", "snapshot", "status", "trigger", "origin",
    "created_at", "duration",
)  # fmt: skip
_SHOWN = 20
_ABSENT = "(nothing)"


def compare_runs(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    tolerance: Tolerance | float | Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Compare two runs, each as ``GET api/v1/runs/{id}`` describes it.

    ``inputs`` and ``outputs`` list the places at which they differ, at most :data:`MOST` each
    (``more`` says whether there are others); ``uncompared`` names what the history only describes.
    ``steps`` has statuses and durations (seconds), ``same`` says whether both gave the same.
    """
    uncompared: list[str] = []
    more = False
    found: dict[str, Any] = {"before": _head(before), "after": _head(after)}
    for title, member in (("inputs", "parameters"), ("outputs", "outputs")):
        sides = [dict(run.get(member) or {}) for run in (before, after)]
        for name in dict.fromkeys([*sides[0], *sides[1]]):
            if any(_described(side.get(name)) for side in sides):
                uncompared.append(f"{title}.{name}")
                for side in sides:
                    side.pop(name, None)
        listed = list(islice(each_difference(*sides, tolerance=tolerance), MOST + 1))
        more = more or len(listed) > MOST
        found[title] = [difference.to_json() for difference in listed[:MOST]]
    errors = [_error(run) for run in (before, after)]
    found["same"] = (
        not found["outputs"]
        and before["status"] == after["status"]
        and errors[0] == errors[1]
        and not any(name.startswith("outputs.") for name in uncompared)
    )
    return {**found, "more": more, "uncompared": uncompared, "steps": _steps(before, after)}


def _head(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: run.get(name) for name in _HEAD}, "error": _error(run)}


def _error(run: Mapping[str, Any]) -> dict[str, Any] | None:
    error = run.get("error")
    return {name: error.get(name) for name in ("type", "message", "step")} if error else None


def _described(value: Any) -> bool:
    return is_description(value[0] if isinstance(value, list) and value else value)


def _steps(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = [
        {
            step["step"]: {"status": step["status"], "duration": step.get("duration")}
            for step in run.get("steps") or ()
        }
        for run in (before, after)
    ]
    found = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = sides[0].get(name), sides[1].get(name)
        times = [side["duration"] if side else None for side in (old, new)]
        ratio = times[1] / times[0] if times[0] and times[1] is not None else None
        found.append({"step": name, "before": old, "after": new, "ratio": ratio})
    return found


class RunComparison:
    """Two runs beside each other. ``inputs`` and ``outputs`` list the places at which they differ,
    each with ``path``, ``before``, ``after`` and, of numbers, ``absolute`` and ``relative``;
    ``steps`` has statuses and durations. False if both gave the same."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)
        self.before: dict[str, Any] = found["before"]
        self.after: dict[str, Any] = found["after"]
        self.inputs: list[dict[str, Any]] = found["inputs"]
        self.outputs: list[dict[str, Any]] = found["outputs"]
        self.steps: list[dict[str, Any]] = found["steps"]
        self.uncompared: list[str] = found["uncompared"]

    @property
    def same(self) -> bool:
        """Whether both runs ended alike and gave the same outputs."""
        return bool(self._found["same"])

    def __bool__(self) -> bool:
        return not self.same

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._found)

    def __repr__(self) -> str:
        lines = [self._title()]
        for title, rows in self._tables():
            lines += ["", title]
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            lines += [
                "  " + "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip()
                for row in rows
            ]
        return "\n".join([*lines, *(f"\n{note}" for note in self._notes())])

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self._title())}</b></p>"]
        for title, rows in self._tables():
            head = "".join(f"<th>{html.escape(text)}</th>" for text in rows[0])
            body = "".join(
                f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>"
                for row in rows[1:]
            )
            parts.append(
                f"<p>{html.escape(title)}</p>"
                f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            )
        return "".join([*parts, *(f"<p>{html.escape(note)}</p>" for note in self._notes())])

    def _title(self) -> str:
        says = "gave the same" if self.same else "differ"
        return f"{_called(self.before)} and {_called(self.after)} {says}"

    def _tables(self) -> list[tuple[str, list[list[str]]]]:
        tables = []
        for title, places in (("inputs", self.inputs), ("outputs", self.outputs)):
            rows = [["place", "before", "after", "by", "relative"]]
            rows += [
                [
                    place["path"],
                    _text(place.get("before", _ABSENT)),
                    _text(place.get("after", _ABSENT)),
                    _number(place["absolute"]),
                    _number(place["relative"]),
                ]
                for place in places[:_SHOWN]
            ]
            if places:
                tables.append((f"{title}: {len(places)} places differ", rows))
        rows = [["step", "before", "after", "seconds before", "after", "ratio"]]
        for step in self.steps:
            sides = [step[side] or {} for side in ("before", "after")]
            rows.append(
                [
                    step["step"],
                    *(str(side.get("status") or "-") for side in sides),
                    *(_number(side.get("duration")) for side in sides),
                    _number(step["ratio"]),
                ]
            )
        if self.steps:
            tables.append(("steps", rows))
        return tables

    def _notes(self) -> list[str]:
        notes = []
        for run in (self.before, self.after):
            if error := run["error"]:
                where = f" in step {error['step']}" if error.get("step") else ""
                notes.append(f"{run['run_id']}: {error['type']}{where}: {_text(error['message'])}")
        if self.uncompared:
            names = ", ".join(self.uncompared)
            notes.append(f"Not compared, as the history only describes it: {names}.")
        return notes


def _called(run: Mapping[str, Any]) -> str:
    number = f" on snapshot {run['snapshot']}" if run.get("snapshot") is not None else ""
    return f"run {run['run_id']} ({run['status']}{number})"


def _text(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:59] + "…"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}"
