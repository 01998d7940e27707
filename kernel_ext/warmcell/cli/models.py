"""``warmcell models``: models, their versions, and who moved them between stages."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.client import Client
from warmcell.errors import NotFound, UsageError

if TYPE_CHECKING:
    from warmcell.model.version import ModelVersion

__all__ = [
    "back", "compare", "delete", "delete_version", "history", "linked", "listed", "listing",
    "register", "stage", "update", "update_version", "versions",
]  # fmt: skip

_ABOUT = (
    "description", "license", "audience", "use_cases", "ethics", "trade_offs", "limitations",
)  # fmt: skip
_ROLES = {
    "data_artifacts": "data", "model_artifacts": "model", "deployment_artifacts": "deployment",
    "endpoint_artifacts": "deployment",
}  # fmt: skip
_RUNS = 20  # that are told more of than their ids


def register(given: Namespace) -> None:
    """Make a model."""
    made = client(given).create_model(_model(given), tags=given.tag, **_about(given))
    if given.json:
        show.as_json(made.to_json())
    else:
        print(f"Model '{made.name}' is registered.")


def _model(given: Namespace) -> str:
    """The model, which ZenML names by an option, or by the first word."""
    name: str | None = given.name or given.named
    if name is None:
        raise UsageError("Which model is meant?", hint="Name it.")
    return name


def _about(given: Namespace) -> dict[str, str]:
    said = {name: getattr(given, name) for name in _ABOUT}
    return {name: value for name, value in said.items() if value is not None}


def update(given: Namespace) -> None:
    """Change what a model says of itself, and its tags."""
    about = _about(given)
    if not (about or given.tag or given.remove_tag):
        raise UsageError("Nothing is to be changed.", hint="See warmcell model update --help.")
    made = client(given).update_model(
        given.name, add_tags=given.tag, remove_tags=given.remove_tag, **about
    )
    if given.json:
        show.as_json(made.to_json())
    else:
        print(f"Model '{made.name}' is changed.")


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
    _listed(given, given.name, client(given).list_model_versions(given.name, stage=given.stage))


def listed(given: Namespace) -> None:
    """Print the versions of a model, newest first, those with a tag as well."""
    name = _model(given)
    found = client(given).list_model_versions(name, stage=given.stage, tag=given.tag)
    _listed(given, name, found)


def _listed(given: Namespace, name: str, found: Sequence[ModelVersion]) -> None:
    if given.json:
        show.as_json([one.to_json() for one in found])
        return
    rows = [
        [one.number, one.name, one.stage, ", ".join(one.aliases), one.created_at, one.run_id]
        for one in found
    ]
    titles = ["number", "version", "stage", "aliases", "created", "run"]
    show.table(titles, rows, f"Model '{name}' has no such version.")


def update_version(given: Namespace) -> None:
    """Bring a version to a stage, or change its description and its tags."""
    if not (given.stage or given.description is not None or given.tag or given.remove_tag):
        raise UsageError(
            "Nothing is to be changed.", hint="Give --stage, --description, --tag or --remove-tag."
        )
    here = client(given)
    found = _version(given, here).update(
        stage=given.stage, force=given.force, description=given.description,
        add_tags=given.tag, remove_tags=given.remove_tag,
    )  # fmt: skip
    if given.json:
        show.as_json(found.to_json())
        return
    place = f" It is in: {found.stage or 'no stage'}." if given.stage else ""
    print(f"Version '{found.name}' of '{given.name}' is changed.{place}")


def delete_version(given: Namespace) -> None:
    """Delete a version, named by its model and itself, or by its id alone."""
    here = client(given)
    if given.version or given.number:
        _version(given, here).delete()
    else:
        here.delete_model_version(given.name)
    if given.json:
        show.as_json({"deleted": True})
    else:
        print(f"Version '{given.version or given.number or given.name}' is deleted.")


def linked(given: Namespace) -> None:
    """Print what belongs to a version: artifacts of a role or of all, runs, or all links."""
    here = client(given)
    version = _version(given, here)
    none = f"Version '{version.name}' of '{given.name}' has none."
    if given.what in ("runs", "links"):
        links = version.links()
        if given.what == "runs":
            _runs(given, here, links, none)
        elif given.json:
            show.as_json(links)
        else:
            rows = [[one["kind"], one["subject"], one["role"], one["time"]] for one in links]
            show.table(["kind", "subject", "role", "since"], rows, none)
        return
    found = version.artifacts(_ROLES.get(given.what))
    if given.json:
        show.as_json(found)
        return
    columns = ("artifact", "version", "role", "type", "step", "run_id", "created_at")
    rows = [[one[column] for column in columns] for one in found]
    titles = ["artifact", "version", "role", "type", "step", "run", "created"]
    show.table(titles, rows, none)


def _runs(given: Namespace, here: Client, links: Sequence[Mapping[str, Any]], none: str) -> None:
    """Print the runs among links, also those of which only a step belongs to the version."""
    subjects = (one["subject"] for one in links if one["kind"] in ("run", "step"))
    ids = list(dict.fromkeys(subject.partition("/")[0] for subject in subjects))
    if given.json:
        show.as_json(ids)
        return
    rows: list[list[Any]] = []
    for run_id in ids[:_RUNS]:
        try:
            run = here.get_run(run_id)
        except NotFound:  # it was pruned since
            rows.append([run_id, None, None, None, None])
            continue
        created = run.created_at and run.created_at.isoformat(timespec="seconds")
        rows.append([run_id, run.name, run.pipeline, run.status, created])
    rows += [[run_id, None, None, None, None] for run_id in ids[_RUNS:]]
    show.table(["run", "name", "pipeline", "status", "created"], rows, none)


def _version(given: Namespace, here: Client) -> ModelVersion:
    """The version that ``MODEL`` with ``VERSION`` or ``-v VERSION`` names, else the newest."""
    return here.get_model_version(given.name, given.version or given.number)


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
