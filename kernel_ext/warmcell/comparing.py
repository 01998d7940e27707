"""What differs between two snapshots, and between a snapshot and its notebook as it is now.

Works on snapshots as the control plane shows them, so that the host, the command line and a kernel
say the same. A draft, what would be deployed now, has the same form without a ``number``.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["compare", "drift", "sources_of", "whole"]

Json = Mapping[str, Any]

_ALIKE = 0.6  # from which share of common text on two cells count as one that was changed
_LONG = 20_000  # characters up to which cells are compared for that
_HEAD = ("pipeline", "number", "created_at", "user", "notebook", "note", "digest", "stored")


def compare(before: Json, after: Json) -> dict[str, Any]:
    """What changed from one snapshot to another.

    ``cells``, ``names`` and ``settings`` list what was added, removed or changed; ``cells`` have a
    unified diff as a list of lines. ``environment`` has ``python``, ``platform`` and ``packages``
    that differ, and is None where it is not known of both. ``parameters`` are those of a call.
    """
    cells = _cells(whole(sources_of(before)), whole(sources_of(after)))
    names = _names(before.get("held") or [], after.get("held") or [])
    found: dict[str, Any] = {
        "before": _head(before),
        "after": _head(after),
        "cells": cells,
        "names": names,
        "parameters": _mappings(_parameters(before), _parameters(after)),
        "settings": _mappings(before.get("settings") or {}, after.get("settings") or {}),
        "environment": _environment(before.get("environment"), after.get("environment")),
    }
    parts = ("cells", "names", "parameters", "settings")
    environment = found["environment"] or {}
    found["same"] = not any(found[part] for part in parts) and not any(environment.values())
    return found


def drift(snapshot: Json, draft: Json, in_place: Collection[str] = ()) -> dict[str, Any]:
    """How the names that a snapshot holds stand to the notebook as it is now.

    Each has ``state``: "same", "changed", "in place" (changed where it lies: calls see it),
    "unused" (the notebook's code does not name it any more), "new" (the snapshot does not hold it)
    or "unknown"; and ``says``, a sentence where there is something to say. ``in_place`` are the
    names of what changed where it lies.
    """
    before, after = _by_name(snapshot.get("held")), _by_name(draft.get("held"))
    names = []
    for name, held in before.items():
        now = after.get(name)
        state = "unused" if now is None else _state(held, now)
        if state == "same" and now is not None and now.get("file"):
            state = "changed"
        if name in in_place:
            state = "in place"
        names.append({**held, "state": state, "says": _says(held, now, state)})
    for name, now in after.items():
        if name not in before:
            names.append({**now, "state": "new", "says": "The served snapshot does not use it."})
    for entry in names:
        entry.pop("fingerprint", None)
        entry.pop("file", None)
    drifted = [entry["name"] for entry in names if entry["state"] not in ("same", "unknown")]
    return {"snapshot": _head(snapshot), "names": names, "drifted": drifted}


def sources_of(snapshot: Json) -> list[dict[str, Any]]:
    """The parts of a snapshot's source; see :func:`warmcell.notebook.sources.sources`."""
    source = snapshot.get("source") or "[]"
    found: list[dict[str, Any]] = (
        msgspec.json.decode(source) if isinstance(source, str) else list(source)
    )
    return found


def whole(parts: Iterable[Json]) -> list[Json]:
    """Whole cells and files, and the parts that none of them contains, in the order of a
    notebook."""
    parts = list(parts)
    around = [part for part in parts if part["kind"] in ("cell", "module")]
    rest = [
        part
        for part in parts
        if part["kind"] not in ("cell", "module")
        and not any(part["source"].strip() in one["source"] for one in around)
    ]
    return sorted([*around, *rest], key=_place)


def _place(part: Json) -> tuple[int, int]:
    label = str(part.get("cell") or "")
    digits = label[3:-1] if label.startswith("In[") else ""
    return (1, int(digits)) if digits.isdecimal() else (0, 0)


def _head(snapshot: Json) -> dict[str, Any]:
    return {name: snapshot.get(name) for name in _HEAD}


# -- cells -----------------------------------------------------------------------------------


def _cells(before: Sequence[Json], after: Sequence[Json]) -> list[dict[str, Any]]:
    texts = [part["source"].strip() for part in before]
    left = list(range(len(before)))
    partners: list[int | None] = []
    for part in after:  # first those that are as they were, so that no other takes their place
        text = part["source"].strip()
        same = next((at for at in left if texts[at] == text), None)
        partners.append(same)
        if same is not None:
            left.remove(same)
    unchanged = {at for at in partners if at is not None}
    for index, part in enumerate(after):
        if partners[index] is None:
            partners[index] = _partner(part, before, left)
            if partners[index] is not None:
                left.remove(partners[index])  # type: ignore[arg-type]
    found = []
    for part, at in zip(after, partners, strict=True):
        if at is None:
            found.append(_cell("added", None, part))
        elif at not in unchanged:
            found.append(_cell("changed", before[at], part))
    return [*(_cell("removed", before[at], None) for at in left), *found]


def _partner(part: Json, before: Sequence[Json], left: Sequence[int]) -> int | None:
    """Which of the cells that are left became this one: by its names, else by its text."""
    names = set(part["name"].split(", "))
    shared = [(len(names & set(before[at]["name"].split(", "))), -at) for at in left]
    best = max(shared, default=(0, 0))
    if best[0]:
        return -best[1]
    if len(part["source"]) > _LONG:
        return None
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(part["source"])
    for at in left:
        if len(before[at]["source"]) > _LONG or before[at]["kind"] != part["kind"]:
            continue
        matcher.set_seq1(before[at]["source"])
        if matcher.real_quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE:
            return at
    return None


def _cell(change: str, before: Json | None, after: Json | None) -> dict[str, Any]:
    part = after or before
    assert part is not None
    old, new = (one["source"].splitlines() if one is not None else [] for one in (before, after))
    diff = list(difflib.unified_diff(old, new, lineterm=""))[2:]
    return {
        "name": part["name"],
        "kind": part["kind"],
        "change": change,
        "cell": part.get("cell"),
        "cell_before": before.get("cell") if before is not None else None,
        "diff": diff,
    }


# -- names -----------------------------------------------------------------------------------


def _by_name(held: Iterable[Json] | None) -> dict[str, dict[str, Any]]:
    return {str(entry["name"]): dict(entry) for entry in held or ()}


def _names(before: Iterable[Json], after: Iterable[Json]) -> list[dict[str, Any]]:
    old, new = _by_name(before), _by_name(after)
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        had, has = old.get(name), new.get(name)
        if had is not None and has is not None:
            change = _state(had, has)
            if change in ("same", "unknown") and had["by"] == has["by"]:
                continue
            change = "changed"
        else:
            change = "added" if has is not None else "removed"
        entry = has or had
        assert entry is not None
        kind = entry.get("kind", "value")
        sides = {"before": _shown(had), "after": _shown(has)}
        found.append({"name": name, "kind": kind, "change": change, **sides})
    return found


def _shown(held: Json | None) -> dict[str, Any] | None:
    return None if held is None else {key: held.get(key) for key in ("by", "type", "size")}


def _state(before: Json, now: Json) -> str:
    """Whether a name means the same. What only its process can tell apart is unknown elsewhere."""
    first, second = before.get("fingerprint"), now.get("fingerprint")
    if not first or not second:
        return "unknown"
    if first == second:
        return "same"
    marks = [text.rpartition(":")[0] for text in (first, second)]
    return "unknown" if all(marks) and marks[0] != marks[1] else "changed"


def _says(held: Json, now: Json | None, state: str) -> str:
    if state == "in place":
        return "It was changed where it lies, and calls see that."
    if state == "unused":
        return "The notebook's code does not use it any more; the served code does."
    if state == "unknown":
        return "Whether it changed cannot be told outside of the kernel that deployed it."
    if state == "changed":
        if now is not None and now.get("file"):
            return f"{now['file']} was changed and not reloaded; calls run the old code."
        if held.get("kind") == "code":
            return "Its code changed; calls run the old one."
        if now is not None and now["type"] != held["type"]:
            return f"It is a {now['type']} now; calls use the old {held['type']}."
        return "It has another value now; calls use the old one."
    return ""


# -- the rest --------------------------------------------------------------------------------


def _parameters(snapshot: Json) -> dict[str, Any]:
    schema = snapshot.get("input_schema") or {}
    required = schema.get("required") or []
    found = schema.get("properties") or {}
    return {
        name: {**part, "required": name in required} if isinstance(part, Mapping) else part
        for name, part in found.items()
    }


def _mappings(before: Json, after: Json) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in [*after, *(name for name in before if name not in after)]
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    ]


def _environment(before: Json | None, after: Json | None) -> dict[str, Any] | None:
    if not before or not after:
        return None
    found: dict[str, Any] = {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in ("python", "implementation", "platform")
        if before.get(name) != after.get(name)
    }
    packages = _mappings(before.get("packages") or {}, after.get("packages") or {})
    return found | ({"packages": packages} if packages else {})
