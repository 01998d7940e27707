"""``warmcell artifacts``: what steps gave and is kept, and deleting it."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.client import Client
from warmcell.errors import UsageError

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion, ArtifactVersions

__all__ = [
    "delete", "listing", "load", "prune", "show_named", "show_version", "update", "update_version",
    "versions",
]  # fmt: skip


def listing(given: Namespace) -> None:
    """Print artifacts, or the versions of one."""
    here = client(given)
    if given.name is None and given.run is None:
        found = here.list_artifacts(tag=given.tag, pipeline=given.pipeline, limit=given.limit)
        if given.json:
            show.as_json(found)
            return
        columns = ("artifact", "versions", "version", "type", "size", "created_at", "tags")
        titles = ["artifact", "versions", "newest", "type", "bytes", "created", "tags"]
        rows = [[_cell(row[column]) for column in columns] for row in found]
        show.table(titles, rows, "No artifacts: what steps of batch runs give is kept as one.")
        return
    versions = here.list_artifact_versions(
        given.name, limit=given.limit, tag=given.tag, pipeline=given.pipeline, run_id=given.run
    )
    _listed(given, versions)


def versions(given: Namespace) -> None:
    """Print versions, of one artifact or of all."""
    name = given.name or given.named
    _listed(given, client(given).list_artifact_versions(name, limit=given.limit, tag=given.tag))


def _listed(given: Namespace, found: ArtifactVersions) -> None:
    if given.json:
        show.as_json([version.to_json() for version in found])
    else:
        show.table(found.columns, found.rows(), "No versions.")


def show_version(given: Namespace) -> None:
    """Print all about one version."""
    _shown(given, _named(client(given), given))


def show_named(given: Namespace) -> None:
    """Print all about the version that is named by name and version, as ZenML does."""
    _shown(given, _versioned(client(given), given))


def update(given: Namespace) -> None:
    """Change the tags of an artifact."""
    _tag(client(given), given, f"Artifact '{given.name}'", artifact=given.name)


def update_version(given: Namespace) -> None:
    """Change the tags of a version."""
    here = client(given)
    version = _versioned(here, given)
    what = f"Version '{version.version}' of artifact '{version.artifact}'"
    _tag(here, given, what, artifact_version_id=version.id)


def _tag(here: Client, given: Namespace, what: str, **on: str) -> None:
    if not (given.tag or given.remove_tag):
        raise UsageError(
            "Nothing is to be changed.", hint="Give --tag or --remove-tag, each with a tag."
        )
    if given.remove_tag:
        found = here.detach_tags(given.remove_tag, **on)
    if given.tag:
        found = here.attach_tags(given.tag, **on)
    if given.json:
        show.as_json(found)
    else:
        print(f"{what} has the tags: {', '.join(found['tags']) or 'none'}.")


def _versioned(here: Client, given: Namespace) -> ArtifactVersion:
    """The version that ``NAME`` with ``VERSION`` or ``-v VERSION`` names."""
    return here.get_artifact_version(given.name, given.version or given.number)


def _shown(given: Namespace, version: ArtifactVersion) -> None:
    found = version.to_json()
    if given.json:
        show.as_json(found)
        return
    show.pairs(
        {
            "artifact": version.artifact,
            "version": version.version,
            "number": version.number,
            "id": version.id,
            "status": version.status,
            "type": version.type,
            "kind": version.kind,
            "bytes": version.size,
            "made by": f"{version.step}, run {version.run_id}" if version.run_id else None,
            "pipeline": version.pipeline,
            "created": found["created_at"],
            "by": version.user,
            "tags": version.tags,
            "facts": version.facts or None,
            "metadata": version.run_metadata or None,
            "kept by": [_keeper(one) for one in found["kept_by"]],
            "files": [f"{file['name']} ({file['size']} bytes)" for file in found["files"]],
            "value": found.get("value"),
        }
    )


def load(given: Namespace) -> None:
    """Write the files of a version into a folder, as they are; print a value that is small."""
    version = _named(client(given), given)
    files = version.fetch()
    if not files:
        value = version.to_json()["value"]
        if given.folder is None:
            show.as_json(value) if given.json else show.value(value)
            return
        raise UsageError(
            f"Version {version.version} of artifact '{version.artifact}' has no files: it is JSON.",
            hint="Leave the folder out to print it.",
        )
    folder = Path(given.folder or ".")
    written = []
    for name, path in files.items():
        target = folder / name
        if target.exists() and not given.overwrite:
            raise UsageError(f"{target} exists already.", hint="Give --overwrite to replace it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        written.append(str(target))
    if given.json:
        show.as_json({"files": written})
    else:
        for line in written:
            show.value(line)


def delete(given: Namespace) -> None:
    """Delete one version, or with ``--all`` all versions of an artifact."""
    here = client(given)
    if given.all:
        if "@" in given.version:
            raise UsageError(f"--all means all versions, and {given.version} is one.")
        count = here.delete_artifact(given.version)
    else:
        _named(here, given).delete()
        count = 1
    if given.json:
        show.as_json({"versions": count})
    else:
        show.note(f"Deleted {count} version{'' if count == 1 else 's'}.")


def prune(given: Namespace) -> None:
    """Delete what nothing keeps, by age, count or bytes."""
    if not (given.unused or given.days or given.keep is not None or given.bytes is not None):
        raise UsageError(
            "What shall go?",
            hint="Give --older-than, --keep or --max-bytes; or --unused for all that nothing uses.",
        )
    gone = client(given).prune_artifacts(
        days=None if given.days is None else given.days / 86_400,
        keep=given.keep,
        bytes=given.bytes,
        artifact=given.artifact,
        dry_run=given.dry_run,
    )
    if given.json:
        show.as_json(gone)
        return
    for name in gone["names"]:
        show.value(name)
    verb = "would go" if given.dry_run else "went"
    show.note(f"{gone['versions']} versions with {gone['bytes']} bytes {verb}.")
    if gone["kept"]:
        show.note(f"{gone['kept']} more stay, as something uses them.")


def _named(here: Client, given: Namespace) -> ArtifactVersion:
    """The version that ``NAME``, ``NAME@VERSION`` or an id names."""
    name, _, version = given.version.partition("@")
    return here.get_artifact_version(name, version or None)


def _keeper(found: dict[str, Any]) -> str:
    how = f" ({found['how']})" if found.get("how") else ""
    return f"{found['kind']} {found['name']}{how}"


def _cell(thing: Any) -> Any:
    return ", ".join(map(str, thing)) if isinstance(thing, list) else thing
