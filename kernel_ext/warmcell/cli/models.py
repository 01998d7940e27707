"""``warmcell models``: models, their versions, and who moved them between stages."""

from __future__ import annotations

from argparse import Namespace

from warmcell.cli import show
from warmcell.cli.given import client

__all__ = ["back", "compare", "delete", "history", "listing", "register", "stage", "versions"]


def register(given: Namespace) -> None:
    """Make a model."""
    about = {"description": given.description, "license": given.license}
    known = {name: value for name, value in about.items() if value is not None}
    made = client(given).create_model(given.name, tags=given.tag, **known)
    if given.json:
        show.as_json(made.to_json())
    else:
        print(f"Model '{made.name}' is registered.")


def listing(given: Namespace) -> None:
    """Print the models by name."""
    found = client(given).list_models(tag=given.tag)
    if given.json:
        show.as_json([one.to_json() for one in found])
        return
    rows = [
        [one.name, one.versions, one.latest, one.aliases.get("production"), one.description]
        for one in found
    ]
    titles = ["model", "versions", "latest", "production", "description"]
    show.table(titles, rows, "There are no models yet.")


def versions(given: Namespace) -> None:
    """Print the versions of a model, newest first."""
    found = client(given).list_model_versions(given.name, stage=given.stage)
    if given.json:
        show.as_json([one.to_json() for one in found])
        return
    rows = [
        [one.number, one.name, one.stage, ", ".join(one.aliases), one.created_at, one.run_id]
        for one in found
    ]
    titles = ["number", "version", "stage", "aliases", "created", "run"]
    show.table(titles, rows, f"Model '{given.name}' has no such version.")


def stage(given: Namespace) -> None:
    """Bring a version to a stage."""
    version = client(given).get_model_version(given.name, given.version)
    version.set_stage(given.stage, given.force, reason=given.reason)
    if given.json:
        show.as_json(version.to_json())
    else:
        print(f"Version '{version.name}' of '{given.name}' is in: {version.stage or 'no stage'}.")


def history(given: Namespace) -> None:
    """Print who moved which alias when."""
    found = client(given).get_model(given.name).history(given.alias)
    if given.json:
        show.as_json(found)
        return
    rows = [
        [
            one["time"],
            one["alias"],
            (one["before"] or {}).get("version"),
            (one["after"] or {}).get("version"),
            one["user"],
            one["reason"],
        ]
        for one in found
    ]
    titles = ["time", "alias", "before", "after", "by", "reason"]
    show.table(titles, rows, f"No alias of '{given.name}' was moved yet.")


def back(given: Namespace) -> None:
    """Undo the last move of a stage or alias."""
    version = client(given).get_model(given.name).back(given.alias, reason=given.reason)
    if given.json:
        show.as_json(version.to_json())
    else:
        print(f"'{given.alias}' of '{given.name}' is at version '{version.name}' again.")


def compare(given: Namespace) -> None:
    """Print the metadata of versions side by side; a star is where they differ."""
    found = client(given).compare_models(given.name, *given.compared)
    if given.json:
        show.as_json(found.to_json())
        return
    rows = [[" " if row["same"] else "*", row["key"], *row["values"]] for row in found.rows]
    show.table(["", "key", *given.compared], rows, "Nothing was logged about them.")


def delete(given: Namespace) -> None:
    """Delete a model, or one version of it."""
    here = client(given)
    if given.version is None:
        here.delete_model(given.name, force=given.force)
    else:
        here.get_model_version(given.name, given.version).delete()
    if given.json:
        show.as_json({"deleted": True})
    else:
        what = f"Version '{given.version}' of model" if given.version else "Model"
        print(f"{what} '{given.name}' is deleted.")
