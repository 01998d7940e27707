"""A snapshot as a notebook: its cells in their order, and what they were run with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell.comparing import sources_of, whole
from warmcell.errors import UsageError

if TYPE_CHECKING:
    from warmcell.client import Client

__all__ = ["as_notebook", "open_snapshot", "snapshot_named"]

_TARGET = re.compile(r"(?P<name>[^@\s]+)@(?P<number>[1-9][0-9]{0,8})")
_SIZES = ("bytes", "kB", "MB", "GB", "TB")
_NAMESPACE = "warmcell"


def open_snapshot(
    target: str,
    path: str | None = None,
    *,
    overwrite: bool = False,
    client: Client | None = None,
) -> Path:
    """Write the snapshot that ``target`` names, such as ``churn@3``, as a notebook; return its
    path, by default ``churn@3.ipynb`` in the current folder.

    The name is a deployment's or a pipeline's. Raises :class:`UsageError` for another target and
    for a file that is there, and :class:`~warmcell.errors.NotFound`.
    """
    import nbformat

    from warmcell.client import Client

    name, number = snapshot_named(target)
    file = Path(path or f"{name.replace('/', '-')}@{number}.ipynb").expanduser()
    if file.exists() and not overwrite:
        raise UsageError(f"{file} is there already.", hint="Name another file, or --overwrite it.")
    if not file.parent.is_dir():
        raise UsageError(
            f"There is no folder {file.parent}.", hint="Make it first, or name another file."
        )
    content = (client or Client()).snapshot_notebook(name, number)
    made = nbformat.from_dict(content)
    nbformat.validate(made)
    file.write_text(nbformat.writes(made) + "\n", encoding="utf-8")
    return file


def snapshot_named(target: str) -> tuple[str, int]:
    """The name and the number that ``churn@3`` means. Raises :class:`UsageError`."""
    match = _TARGET.fullmatch(target.strip())
    if match is None:
        raise UsageError(
            f"'{target}' names no snapshot.", hint="Write NAME@NUMBER, such as churn@3."
        )
    return match["name"], int(match["number"])


def as_notebook(snapshot: Mapping[str, Any], served: Sequence[str] = ()) -> dict[str, Any]:
    """A snapshot, as the control plane shows it, as the JSON of a notebook (nbformat 4.5).

    First what it is, then the packages, then the cells. Files are raw cells, which nothing runs.
    ``served`` are the names under which it is served.
    """
    from nbformat import v4

    cells = [v4.new_markdown_cell(_about(snapshot, served))]
    environment = snapshot.get("environment") or {}
    if environment:
        cells.append(v4.new_markdown_cell(_packages(environment)))
    parts = whole(sources_of(snapshot))
    if not any("%load_ext warmcell" in part["source"] for part in parts):
        cells.append(v4.new_code_cell("%load_ext warmcell"))
    for part in parts:
        if part["kind"] == "module":
            about = f"The file `{part['name']}` as it was. To have it back, make this a code cell."
            cells.append(v4.new_markdown_cell(about))
            cells.append(v4.new_raw_cell(f"%%writefile {part['name']}\n{part['source']}"))
            continue
        kept = {name: part.get(name) for name in ("name", "kind", "cell")}
        metadata = {_NAMESPACE: {name: value for name, value in kept.items() if value}}
        cells.append(v4.new_code_cell(part["source"].rstrip("\n"), metadata=metadata))
    for number, cell in enumerate(cells):
        cell["id"] = f"snapshot-{snapshot['number']}-{number}"
    origin = {
        name: snapshot.get(name)
        for name in ("pipeline", "number", "digest", "created_at", "user", "notebook", "note")
    }
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "version": str(environment.get("python") or "3")},
        _NAMESPACE: {"snapshot": origin, "packages": environment.get("packages") or {}},
    }
    return dict(v4.new_notebook(cells=cells, metadata=metadata))


def _about(snapshot: Mapping[str, Any], served: Sequence[str]) -> str:
    by = f" by {snapshot['user']}" if snapshot.get("user") else ""
    of = f" from `{snapshot['notebook']}`" if snapshot.get("notebook") else ""
    lines = [
        f"# {snapshot['pipeline']}, snapshot {snapshot['number']}",
        "",
        f"Deployed {snapshot.get('created_at')}{by}{of}.",
    ]
    if snapshot.get("note"):
        lines += ["", *(f"> {line}" for line in str(snapshot["note"]).splitlines())]
    if served:
        lines += ["", f"Served as {', '.join(f'`{name}`' for name in served)}."]
    values = [held for held in snapshot.get("held") or () if held.get("kind") != "code"]
    if values:
        lines += [
            "",
            "Values that it holds:",
            "",
            "| name | type | size | held by |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{held['name']}` | {held['type']} | {_size(held.get('size') or 0)} | {held['by']} |"
            for held in values
        ]
    notes = snapshot.get("notes") or ()
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def _packages(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    lines = [
        f"Python {environment.get('python')} on {environment.get('platform')}.",
        "",
        f"<details><summary>{len(packages)} packages</summary>",
        "",
        "```",
        *(f"{name}=={version}" for name, version in packages.items()),
        "```",
        "",
        "</details>",
    ]
    return "\n".join(lines)


def _size(size: float) -> str:
    for unit in _SIZES:
        if size < 1000 or unit == _SIZES[-1]:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
